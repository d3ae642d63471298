"""Adapters of both catalog ports to SQLite: one file in WAL mode, which needs no server.

Owns the tables and the SQL. Imports `catalog`, `dicom` and `errors`; `sqlite3` is imported nowhere else.
"""

from neurdicom.catalog.sqlite.catalog import SqliteCatalog

__all__ = ["SqliteCatalog"]
