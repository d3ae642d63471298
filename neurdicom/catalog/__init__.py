"""Catalog: the metadata of every patient, study, series and instance, and the server's documents, behind two ports.

Owns the archive port (`base`), the document port (`documents`) and their adapters. Imports only `dicom` and `errors`;
`sqlite3` is imported in `sqlite/` alone, `motor`, `pymongo` and `bson` in `mongo/`.
"""
