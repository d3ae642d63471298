"""Blob store: the received files, byte for byte, behind one port.

Owns spool files and the durable storage of bytes; of their content it knows only `dicom.header.BlobRef`.
"""
