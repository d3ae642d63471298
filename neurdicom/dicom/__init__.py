"""DICOM without I/O: headers, UIDs, the indexed attributes, queries and the JSON model."""
