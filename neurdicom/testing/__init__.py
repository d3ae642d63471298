"""Contract suites and fault wrappers, shipped so that a third party can prove an adapter or a plugin.

Owns the suites of the catalog's ports and of the blob store's. Imports the ports, `dicom` and `errors`; no adapter.
"""
