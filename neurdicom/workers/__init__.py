"""Processes that touch pixels and foreign code: their scheduler, their pool, and the code that runs in them.

Owns worker processes, the messages and the memory shared with them, and the queue of waiting calls. Imports `pixels`,
`blobs`, `dicom`, `installation`, `schema` and `errors`; knows nothing of requests, jobs or results.
"""
