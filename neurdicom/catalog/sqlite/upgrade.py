"""Quick upgrades of the schema, which change documents and edits alone; `migration` rewrites instances.

Each is run in the transaction that also writes the schema's number.
"""

import sqlite3
from collections.abc import Iterable

from neurdicom.catalog.projection import words_of
from neurdicom.catalog.records import earlier_edit_id
from neurdicom.dicom.query.attributes import ATTRIBUTES, Kind, Level
from neurdicom.dicom.query.folding import VERSION as FOLDING
from neurdicom.dicom.query.folding import name_key, word_key

#: The edits of an entity: `position` is their order, and those with `replaced` lie below others of their field.
_EDITS = """
CREATE TABLE edit (level TEXT, entity TEXT, replaced INTEGER, field TEXT, position INTEGER, id TEXT NOT NULL,
                   value TEXT NOT NULL, before TEXT NOT NULL, user TEXT NOT NULL, time TEXT NOT NULL,
                   PRIMARY KEY (level, entity, replaced, field, position)) WITHOUT ROWID
"""

#: Moves, the demographics that files moved to a patient show, and displaced files.
_MOVES = """
CREATE TABLE move (number INTEGER PRIMARY KEY AUTOINCREMENT, edit TEXT NOT NULL, subject TEXT NOT NULL,
                   study_uid TEXT NOT NULL, target_uid TEXT NOT NULL, patient TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX move_by_subject ON move (subject);
CREATE INDEX move_by_edit ON move (edit);
CREATE INDEX move_by_study_uid ON move (study_uid);
CREATE INDEX move_by_target_uid ON move (target_uid);
CREATE INDEX move_by_patient ON move (patient);
CREATE TABLE moved_patient (patient TEXT PRIMARY KEY, attributes TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX origin_moved ON origin (pk) WHERE moved IS NOT NULL;
CREATE TABLE displaced (pk INTEGER PRIMARY KEY, uid TEXT NOT NULL, digest TEXT NOT NULL, parent INTEGER NOT NULL,
                        origin INTEGER NOT NULL, blob_key TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
                        sha256 TEXT NOT NULL, received TEXT NOT NULL, layout BLOB NOT NULL, attributes BLOB NOT NULL);
CREATE INDEX displaced_by_parent ON displaced (parent, uid);
CREATE INDEX displaced_by_origin ON displaced (origin)
"""


def create_edits(db: sqlite3.Connection) -> None:
    """Create the table of edits with their histories, and copy the edits of a schema before version 5."""
    # Before version 5 the table had the last edit of each field alone.
    columns = {row[1] for row in db.execute("PRAGMA table_info(edit)")}
    if "position" in columns:
        return
    if columns:
        db.execute("ALTER TABLE edit RENAME TO earlier_edit")
    db.execute(_EDITS)
    if not columns:
        return
    found = db.execute(
        "SELECT level, entity, field, value, user, time,"
        " row_number() OVER (PARTITION BY level, entity ORDER BY time, field) FROM earlier_edit"
    ).fetchall()
    db.executemany(
        "INSERT INTO edit VALUES (?, ?, 0, ?, ?, ?, ?, 'null', ?, ?)",
        [
            (level, entity, field, position, earlier_edit_id(Level(level), entity, field, time), value, user, time)
            for level, entity, field, value, user, time, position in found
        ],
    )
    db.execute("DROP TABLE earlier_edit")


def create_moves(db: sqlite3.Connection) -> None:
    """Create the tables of moves, and that of displaced files."""
    for statement in _MOVES.split(";"):
        db.execute(statement)


def upgrade_from_4(db: sqlite3.Connection) -> None:
    """Upgrade a database file from version 4 to 5: add histories of edits, and moves."""
    create_edits(db)
    db.execute("ALTER TABLE origin ADD COLUMN moved BLOB")
    db.execute("ALTER TABLE instance ADD COLUMN digest TEXT")
    create_moves(db)


def record_folding(db: sqlite3.Connection) -> None:
    """Record that all search keys are folded by the rules of this version."""
    db.execute("INSERT OR REPLACE INTO total VALUES ('folding', ?)", (FOLDING,))


def fold_keys(db: sqlite3.Connection, tables: Iterable[str]) -> bool:
    """Fold the search keys of person names anew; return False where they follow the rules of this version.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection, in a transaction.
    tables : iterable of str
        Names of the tables of search keys.
    """
    known = db.execute("SELECT count FROM total WHERE level = 'folding'").fetchone()
    if known is not None and known[0] >= FOLDING:
        return False
    names = [attribute.field for attribute in ATTRIBUTES if attribute.kind is Kind.NAME]
    db.create_function("folded_name", 1, name_key, deterministic=True)
    db.create_function("folded_word", 1, word_key, deterministic=True)
    for table in tables:
        for fold, fields in (("folded_name", names), ("folded_word", [words_of(name) for name in names])):
            marks = ", ".join("?" * len(fields))
            chosen = f"field IN ({marks}) AND key <> {fold}(key)"
            db.execute(f"UPDATE OR REPLACE {table} SET key = {fold}(key) WHERE {chosen}", fields)
            db.execute(f"DELETE FROM {table} WHERE field IN ({marks}) AND key = ''", fields)
    record_folding(db)
    return True
