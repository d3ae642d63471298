"""Bytes and last arrival of each study, and the bytes of all, kept by triggers and exact after every transaction.

Triggers, since instances are written in several places, and none of these may forget to count. A row whose `received`
is empty has lost its latest instance, or a whole series; `settle` counts it anew at the end of the same transaction.
"""

import sqlite3
from collections.abc import Callable, Collection

from neurdicom.catalog.records import StudyHolding
from neurdicom.catalog.sqlite.lookup import KEY
from neurdicom.dicom.identity import SEPARATOR, uid_of
from neurdicom.dicom.query.attributes import Level

_TABLE = """
CREATE TABLE holding (study INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, received TEXT NOT NULL);
CREATE INDEX holding_by_received ON holding (received, study)
"""
#: Tables of files, shown and displaced.
_FILES = ("instance", "displaced")
_ALL_FILES = " UNION ALL ".join(f"SELECT parent, size, received FROM {table}" for table in _FILES)
_COUNTED = (
    "SELECT series.parent, sum(file.size), max(file.received) FROM series"
    f" CROSS JOIN ({_ALL_FILES}) AS file ON file.parent = series.pk"
)
_MEMBERS = f"{KEY[Level.STUDY]}, patient.id, holding.bytes, holding.received, holding.study"
_STALE = "ON CONFLICT (study) DO UPDATE SET received = ''"


def _triggers_of(table: str) -> dict[str, str]:
    return {
        f"holding_of_new_{table}": f"""AFTER INSERT ON {table} BEGIN
            UPDATE total SET count = count + NEW.size WHERE level = 'bytes';
            INSERT INTO holding SELECT parent, NEW.size, NEW.received FROM series WHERE pk = NEW.parent
              ON CONFLICT (study) DO UPDATE SET bytes = bytes + excluded.bytes,
              received = iif(received = '', '', max(received, excluded.received));
            END""",
        f"holding_of_old_{table}": f"""AFTER DELETE ON {table} BEGIN
            UPDATE total SET count = count - OLD.size WHERE level = 'bytes';
            UPDATE holding SET bytes = bytes - OLD.size, received = iif(received = OLD.received, '', received)
              WHERE study = (SELECT parent FROM series WHERE pk = OLD.parent);
            END""",
        f"holding_of_changed_{table}": f"""AFTER UPDATE OF parent, size, received ON {table} BEGIN
            UPDATE total SET count = count + NEW.size - OLD.size WHERE level = 'bytes';
            UPDATE holding SET received = '' WHERE study = (SELECT parent FROM series WHERE pk = OLD.parent);
            INSERT INTO holding SELECT parent, 0, '' FROM series WHERE pk = NEW.parent {_STALE};
            END""",
    }


_TRIGGERS = {
    **_triggers_of("instance"),
    **_triggers_of("displaced"),
    "holding_of_moved_series": f"""AFTER UPDATE OF parent ON series BEGIN
        UPDATE holding SET received = '' WHERE study = OLD.parent;
        INSERT INTO holding VALUES (NEW.parent, 0, '') {_STALE};
        END""",
    "holding_of_old_study": "AFTER DELETE ON study BEGIN DELETE FROM holding WHERE study = OLD.pk; END",
}


def create(db: sqlite3.Connection) -> None:
    """Create the table and its triggers, in place of those of an earlier version, and count what is there."""
    db.execute("DROP TABLE IF EXISTS holding")
    for name in _TRIGGERS:
        db.execute(f"DROP TRIGGER IF EXISTS {name}")
    for statement in _TABLE.split(";"):
        db.execute(statement)
    db.execute(f"INSERT INTO holding {_COUNTED} GROUP BY series.parent")
    db.execute(f"INSERT OR REPLACE INTO total SELECT 'bytes', coalesce(sum(size), 0) FROM ({_ALL_FILES})")
    _create_triggers(db)


def _create_triggers(db: sqlite3.Connection) -> None:
    for name, text in _TRIGGERS.items():
        db.execute(f"CREATE TRIGGER {name} {text}")


def are_missing(db: sqlite3.Connection) -> bool:
    """Tell whether an earlier version has made the tables."""
    found = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")}
    return not found.issuperset(_TRIGGERS)


def clear(db: sqlite3.Connection, clear_entities: Callable[[], None]) -> None:
    """Delete all rows with the entities; without triggers, for which SQLite would delete these one by one.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    clear_entities : callable
        Deletes the entities, and sets all totals to 0.
    """
    for name in _TRIGGERS:
        db.execute(f"DROP TRIGGER {name}")
    clear_entities()
    db.execute("DELETE FROM holding")
    _create_triggers(db)


def settle(db: sqlite3.Connection) -> None:
    """Recount the studies that have lost their latest instance, at the end of a transaction."""
    stale = db.execute("SELECT study FROM holding WHERE received = ''").fetchall()
    for row in stale:
        db.execute("DELETE FROM holding WHERE study = ?", row)
        db.execute(f"INSERT INTO holding {_COUNTED} WHERE series.parent = ? GROUP BY series.parent", row)


def stored_bytes(db: sqlite3.Connection) -> int:
    """Look up the bytes of all instances, for `Catalog.stored_bytes`."""
    return int(db.execute("SELECT count FROM total WHERE level = 'bytes'").fetchone()[0])


def holdings(db: sqlite3.Connection, limit: int, after: StudyHolding | None) -> list[StudyHolding]:
    """List a page of studies by their last arrival, for `Catalog.holdings`."""
    mark = ("", 0) if after is None else (after.received, after.mark)
    rows = db.execute(
        f"SELECT {_MEMBERS} FROM holding CROSS JOIN study ON study.pk = holding.study"
        " CROSS JOIN patient ON patient.pk = study.parent"
        " WHERE (holding.received, holding.study) > (?, ?) ORDER BY holding.received, holding.study LIMIT ?",
        (*mark, limit),
    )
    return [StudyHolding(*row) for row in rows]


def holdings_of(db: sqlite3.Connection, studies: Collection[str]) -> list[StudyHolding]:
    """Look up studies by their present keys, for `Catalog.holdings_of`."""
    select = (
        f"SELECT {_MEMBERS} FROM study CROSS JOIN holding ON holding.study = study.pk"
        " CROSS JOIN patient ON patient.pk = study.parent WHERE study.id IN (?, ?) AND study.digest = ?"
    )
    named = [(uid_of(key), key, key.rpartition(SEPARATOR)[2]) for key in dict.fromkeys(studies)]
    return [StudyHolding(*row) for names in named for row in db.execute(select, names)]
