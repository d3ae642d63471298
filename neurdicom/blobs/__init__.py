"""The blob store: the received files, byte for byte, behind one port.

Owns spool files and the durable place of bytes; knows nothing of what is in them but `dicom.header.BlobRef`.
"""
