"""Blob store: the received files, byte for byte, behind one port.

Owns spool files and the durable storage of bytes. Imports `errors`, and of `dicom` only `dicom.header.BlobRef`.
"""
