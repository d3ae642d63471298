"""Edits of attributes: their checks, and their application to headers, datasets and files.

Owns the Original Attributes Sequence (PS3.3 C.12.1). Imports `dicom.codec`, `dicom.query`, `dicom.header` and `schema`.
"""
