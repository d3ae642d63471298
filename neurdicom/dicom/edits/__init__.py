"""Edited attributes: which may change, and what a header, a dataset and a file look like with them.

Owns the Original Attributes Sequence (PS3.3 C.12.1). Imports `dicom.codec`, `dicom.query` and `dicom.header`.
"""
