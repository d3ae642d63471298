"""The catalog on MongoDB, through Motor: the one place that knows of either."""

from neurdicom.catalog.mongo.catalog import MongoCatalog

__all__ = ["MongoCatalog"]
