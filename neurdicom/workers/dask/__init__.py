"""Tasks on a cluster of dask.distributed: the server's side (`cluster`, `executor`, `transfer`) and a Dask worker's
(`keeper`, `store`), with what travels between them (`messages`).

Imports `workers`, `blobs.base` and `errors`. `distributed` is imported nowhere else, and by nobody who has not asked
for a cluster.
"""
