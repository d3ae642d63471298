"""Tasks on a cluster of dask.distributed: the server's side (`cluster`, `executor`, `transfer`), a Dask worker's
(`extension`, `store`), and the messages between them (`messages`).

Imports `workers`, `blobs.base` and `errors`. `distributed` is imported nowhere else, and only where a cluster is
configured.
"""
