"""The tables of versions before keys, which are set aside until a migration has emptied them."""

import sqlite3

_LEVELS = ("patient", "study", "series", "instance")
#: Names of the tables of before, each of which gets `old_` before it.
SET_ASIDE = (*_LEVELS, "header", *(f"{level}_key" for level in _LEVELS))


def set_aside(db: sqlite3.Connection) -> None:
    """Rename the DICOM tables of an earlier version; documents, edits and garbage stay."""
    present = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for name in SET_ASIDE:
        if name in present:
            db.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
    if "place" not in {row[1] for row in db.execute("PRAGMA table_info(garbage)")}:
        db.execute("ALTER TABLE garbage ADD COLUMN place TEXT NOT NULL DEFAULT ''")


def is_waiting(db: sqlite3.Connection) -> bool:
    """Tell whether instances of an earlier version wait for the migration."""
    return db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'old_instance'").fetchone() is not None
