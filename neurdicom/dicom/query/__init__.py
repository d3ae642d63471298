"""Queries (PS3.4 C.2.2): keys, conditions, matching, the indexed attributes and responses.

Owns which attributes the catalog indexes. Imports `dicom.codec`, `schema` and `errors`.
"""
