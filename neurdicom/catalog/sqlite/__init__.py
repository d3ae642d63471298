"""The embedded catalog: one SQLite file in WAL mode, nothing to install or to start."""

from neurdicom.catalog.sqlite.catalog import SqliteCatalog

__all__ = ["SqliteCatalog"]
