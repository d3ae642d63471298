"""The tables and their indexes, generated from `dicom.query.attributes`.

Each level is a table: `parent` is the row above, `source` the row of the earliest instance below, `attributes` the
effective values as JSON. A filterable attribute has a column with its sort key (text folded) and an index; those
with several search keys (names, lists) have rows in `<level>_key` too.
"""

import sqlite3
from collections.abc import Mapping
from functools import cache

import orjson

from neurdicom.catalog.projection import has_many_keys, indexed, many_keys, sort_values
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.errors import Unavailable

#: 2: the words of names are search keys too. 3: documents have terms.
VERSION = 3

_FIXED = """
CREATE TABLE header (pk INTEGER PRIMARY KEY, data BLOB NOT NULL, origin BLOB NOT NULL);
CREATE TABLE edit (level TEXT, entity TEXT, field TEXT, value TEXT, user TEXT, time TEXT,
                   PRIMARY KEY (level, entity, field)) WITHOUT ROWID;
CREATE TABLE garbage (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE total (level TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE document (kind TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
"""
_TERMS = """
CREATE TABLE IF NOT EXISTS termed (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL,
                     UNIQUE (kind, key));
CREATE TABLE IF NOT EXISTS term (term TEXT, number INTEGER, PRIMARY KEY (term, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS term_number ON term (number);
"""
_INSTANCE = """blob_key TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
               received TEXT NOT NULL, layout BLOB NOT NULL"""


def _create_level(level: Level) -> list[str]:
    columns = ["pk INTEGER PRIMARY KEY AUTOINCREMENT", "id TEXT NOT NULL UNIQUE"]
    if level.parent:
        columns.append("parent INTEGER NOT NULL")
    if level is Level.INSTANCE:
        columns.append(_INSTANCE)
    else:
        columns.append("source INTEGER NOT NULL")
        columns += [f"{count} INTEGER NOT NULL DEFAULT 0" for count in COUNTS[level]]
    if level is Level.STUDY:
        columns.append("modalities TEXT NOT NULL DEFAULT '[]'")
    columns.append("attributes BLOB NOT NULL")
    columns += [f'"{attribute.field}"' for attribute in indexed(level)]
    statements = [f"CREATE TABLE {level} ({', '.join(columns)})"]
    if level.parent:
        statements.append(f"CREATE INDEX {level}_parent ON {level} (parent)")
    statements += [_create_index(level, attribute.field) for attribute in indexed(level)]
    if any(has_many_keys(attribute) for attribute in indexed(level)):
        statements += [
            f"CREATE TABLE {level}_key (field TEXT, key TEXT, entity INTEGER,"
            " PRIMARY KEY (field, key, entity)) WITHOUT ROWID",
            f"CREATE INDEX {level}_key_entity ON {level}_key (entity)",
        ]
    return statements


def _create_index(level: Level, field: str) -> str:
    # With the parent in the index, studies are found by the modality of their series without reading the rows.
    more = ", parent" if field == "modality" else ""
    return f'CREATE INDEX "{level}_{field}" ON {level} ("{field}"{more})'


def prepare(db: sqlite3.Connection) -> None:
    """Create the schema, or update an earlier one. Raises `Unavailable` for one of a later version."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise Unavailable(
            f"the catalog has schema {version}, this NeurDICOM knows up to {VERSION}: use the newer NeurDICOM"
        )
    db.execute("BEGIN IMMEDIATE")
    if version == 0:
        for statement in _FIXED.split(";"):
            db.execute(statement)
        for level in Level:
            for statement in _create_level(level):
                db.execute(statement)
            db.execute("INSERT INTO total VALUES (?, 0)", (level,))
    else:
        for level in Level:
            _add_attributes(db, level, rewrite=version < 2 and has_keys(level))
    if version < 3:
        for statement in _TERMS.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _add_attributes(db: sqlite3.Connection, level: Level, *, rewrite: bool) -> None:
    """Index attributes that became filterable after the file was created, or all of them."""
    present = {row[1] for row in db.execute(f"PRAGMA table_info({level})")}
    new = [attribute for attribute in indexed(level) if attribute.field not in present]
    if not new and not rewrite:
        return
    for attribute in new:
        db.execute(f'ALTER TABLE {level} ADD COLUMN "{attribute.field}"')
    rows = db.execute(f"SELECT pk, attributes FROM {level}").fetchall()
    for pk, attributes in rows:
        write_index(db, level, pk, orjson.loads(attributes))
    for attribute in new:
        db.execute(_create_index(level, attribute.field))


def write_index(db: sqlite3.Connection, level: Level, pk: int, attributes: Mapping[str, Value]) -> None:
    """Rewrite the sort keys and the search keys of a row.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    level : Level
        Level of the entity.
    pk : int
        Its row.
    attributes : Mapping[str, Value]
        Effective values of its attributes.
    """
    columns = ", ".join(f'"{attribute.field}" = ?' for attribute in indexed(level))
    db.execute(f"UPDATE {level} SET {columns} WHERE pk = ?", (*sort_values(level, attributes), pk))
    if has_keys(level):
        db.execute(f"DELETE FROM {level}_key WHERE entity = ?", (pk,))
        add_keys(db, level, pk, attributes)


@cache
def has_keys(level: Level) -> bool:
    """Tell whether a level has a table of search keys."""
    return any(has_many_keys(attribute) for attribute in indexed(level))


def add_keys(db: sqlite3.Connection, level: Level, pk: int, attributes: Mapping[str, Value]) -> None:
    """Add the search keys of a new row.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    level : Level
        Level of the entity.
    pk : int
        Its row.
    attributes : Mapping[str, Value]
        Effective values of its attributes.
    """
    rows = [(field, key, pk) for field, key in many_keys(level, attributes)]
    if rows:
        db.executemany(f"INSERT OR IGNORE INTO {level}_key VALUES (?, ?, ?)", rows)
