"""Tasks on a cluster of dask.distributed.

The server's side is in `cluster`, `executor` and `transfer`, a Dask worker's in `extension` and `store`, the messages
between them in `messages`.

Imports `workers`, `blobs.base` and `errors`. `distributed` is imported nowhere else, and only where a cluster is
configured.
"""
