"""Adapters of both catalog ports to MongoDB, through Motor, which only this package imports."""

from neurdicom.catalog.mongo.catalog import MongoCatalog

__all__ = ["MongoCatalog"]
