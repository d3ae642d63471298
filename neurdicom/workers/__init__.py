"""Processes that touch pixels and foreign code: their scheduler, their pool, and what runs in them.

Owns worker processes, the messages and the memory shared with them, and who waits for one. Imports `pixels`, `dicom`,
`blobs` and `errors`; knows nothing of requests, jobs or results.
"""
