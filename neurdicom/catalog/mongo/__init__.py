"""Adapters of both catalog ports to MongoDB, with transactions where the server has them.

Owns the collections and the queries. Imports `catalog`, `dicom` and `errors`; `motor`, `pymongo` and `bson` are
imported nowhere else.
"""

from neurdicom.catalog.mongo.catalog import MongoCatalog

__all__ = ["MongoCatalog"]
