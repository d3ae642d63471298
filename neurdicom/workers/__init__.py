"""Processes that touch pixels and foreign code: the scheduler, the pool, the forking process, and what runs in a worker.

Owns worker processes, the messages and the memory shared with them, and who waits for one. Imports `pixels`, `dicom`,
`blobs` and `errors`; knows nothing of requests, jobs or results.
"""
