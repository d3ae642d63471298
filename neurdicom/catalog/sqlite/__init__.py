"""Adapters of both catalog ports to SQLite: one file in WAL mode, which needs no server."""

from neurdicom.catalog.sqlite.catalog import SqliteCatalog

__all__ = ["SqliteCatalog"]
