"""Contract suites and fault wrappers, shipped so that third parties can test their adapters.

Owns the suites of the catalog's ports and of the blob store's. Imports the ports, `dicom` and `errors`; no adapter.
"""
