"""The tables and their indexes, generated from `dicom.query.attributes`.

Each level is a table: `id` is the id that users see, `parent` the row above, `source` the row of the earliest instance
below, `attributes` the effective values as JSON. A filterable attribute has a column with its sort key (text folded)
and an index; those with several search keys (names, lists) have rows in `<level>_key` too, and the further values by
which a study or series is found have rows in `<level>_other`.

The digest of an entity's key (`dicom.identity`) is in `study.digest` and `series.digest`; the instances of a series
have that in `series.below`, but for those with another one in `instance.digest`, which a move brought there. Instances
whose files say the same of the levels above share a row in `origin`.
"""

import sqlite3
from functools import cache

from neurdicom.catalog.projection import has_many_keys, indexed
from neurdicom.catalog.sqlite import holdings
from neurdicom.catalog.sqlite.upgrade import create_edits, create_moves, fold_keys, record_folding, upgrade_from_4
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.errors import Unavailable

#: 2: the words of names are search keys too. 3: documents have terms. 4: keys hold the hierarchy.
#: 5: edits have a history, and there are moves.
VERSION = 5
#: First version whose instances need no migration.
MIGRATED = 4

#: Names of the DICOM tables before version 4, each of which gets `old_` before it until a migration has emptied it.
SET_ASIDE = (*(level.value for level in Level), "header", *(f"{level}_key" for level in Level))

#: Levels whose entities are made of what several files say.
MERGED = (Level.STUDY, Level.SERIES)
_DOCUMENTS = """
CREATE TABLE IF NOT EXISTS garbage (key TEXT PRIMARY KEY, place TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS total (level TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (kind TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS termed (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL,
                     UNIQUE (kind, key));
CREATE TABLE IF NOT EXISTS term (term TEXT, number INTEGER, PRIMARY KEY (term, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS term_number ON term (number)
"""
_ORIGINS = """
CREATE TABLE header (pk INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE origin (pk INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, parent INTEGER NOT NULL,
                     first INTEGER NOT NULL, attributes BLOB NOT NULL, moved BLOB);
CREATE INDEX origin_by_parent ON origin (parent);
CREATE TABLE claim (study_uid TEXT, key TEXT, patient_id TEXT NOT NULL, issuer TEXT NOT NULL, patient TEXT NOT NULL,
                    number INTEGER NOT NULL, PRIMARY KEY (study_uid, key)) WITHOUT ROWID;
CREATE INDEX claim_by_key ON claim (key, patient) WHERE key <> patient;
CREATE INDEX claim_by_patient ON claim (patient, key) WHERE key <> patient;
CREATE TABLE conflict (level TEXT, uid TEXT, PRIMARY KEY (level, uid)) WITHOUT ROWID
"""
_INSTANCE = """origin INTEGER NOT NULL, blob_key TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
               received TEXT NOT NULL, layout BLOB NOT NULL"""
#: Columns after `parent` in the index on it: what the rows below an entity are read in the order of.
_BELOW = {
    Level.STUDY: ", study_date, study_time, source",  # the latest studies of a patient
    Level.SERIES: "",
    Level.INSTANCE: ", origin",  # the earliest instance of an origin
}

#: Columns of the indexes that have more than that of their attribute.
_INDEXED = {
    # Studies are found by the modality of their series without reading the rows.
    (Level.SERIES, "modality"): "modality, parent",
    # The newest studies are read in their order.
    (Level.STUDY, "study_date"): "study_date DESC, study_time DESC, id",
}


def _create_level(level: Level) -> list[str]:
    columns = ["pk INTEGER PRIMARY KEY AUTOINCREMENT", "id TEXT NOT NULL UNIQUE"]
    if level.parent:
        columns.append("parent INTEGER NOT NULL")
    if level is Level.INSTANCE:
        columns.append(_INSTANCE)
    else:
        columns += [f"{count} INTEGER NOT NULL DEFAULT 0" for count in COUNTS[level]]
    if level in MERGED:
        columns.append("digest TEXT NOT NULL, source INTEGER NOT NULL")
    if level is Level.SERIES:
        columns.append("below TEXT NOT NULL")
    if level is Level.STUDY:
        columns.append("modalities TEXT NOT NULL DEFAULT '[]'")
    columns.append("attributes BLOB NOT NULL")
    columns += [f'"{attribute.field}"' for attribute in indexed(level)]
    if level is Level.INSTANCE:
        columns.append("digest TEXT")
    statements = [f"CREATE TABLE {level} ({', '.join(columns)})"]
    if level.parent:
        statements.append(f"CREATE INDEX {level}_by_parent ON {level} (parent{_BELOW[level]})")
    statements += [create_index(level, attribute.field) for attribute in indexed(level)]
    if has_keys(level):
        statements += _key_table(f"{level}_key", "key TEXT")
    if level in MERGED:
        statements += _key_table(f"{level}_other", "key")
    return statements


def _key_table(name: str, key: str) -> list[str]:
    return [
        f"CREATE TABLE {name} (field TEXT, {key}, entity INTEGER, PRIMARY KEY (field, key, entity)) WITHOUT ROWID",
        f"CREATE INDEX {name}_entity_of ON {name} (entity)",
    ]


def create_index(level: Level, field: str) -> str:
    """Write the statement that makes the index of a filterable attribute."""
    columns = _INDEXED.get((level, field), f'"{field}"')
    return f'CREATE INDEX "{level}_by_{field}" ON {level} ({columns})'


@cache
def has_keys(level: Level) -> bool:
    """Tell whether a level has a table of search keys; patients are searched by those of their studies."""
    return level is not Level.PATIENT and any(has_many_keys(attribute) for attribute in indexed(level))


def prepare(db: sqlite3.Connection) -> bool:
    """Create the schema, in one transaction; return False where an earlier one has to be migrated first.

    A file of an earlier version gets only the tables of documents that it lacks, since its own program may use it.

    Raises
    ------
    Unavailable
        The file has the schema of a later version.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise Unavailable(
            f"the catalog has schema {version}, this NeurDICOM knows up to {VERSION}: use the newer NeurDICOM"
        )
    db.execute("BEGIN IMMEDIATE")
    for statement in _DOCUMENTS.split(";"):
        db.execute(statement)
    if not version:
        _create(db)
    elif version == MIGRATED:
        upgrade_from_4(db)
        db.execute(f"PRAGMA user_version = {VERSION}")
    if version >= MIGRATED and holdings.are_missing(db):
        holdings.create(db)
    if version >= MIGRATED and fold_keys(db, [f"{level}_{of}" for level in MERGED for of in ("key", "other")]):
        db.execute('DROP INDEX IF EXISTS "study_by_study_date"')
        db.execute(create_index(Level.STUDY, "study_date"))
    db.execute("COMMIT")
    return version == 0 or version >= MIGRATED


def _create(db: sqlite3.Connection) -> None:
    """Create the tables of the DICOM entities, and write the schema's number."""
    for statement in _ORIGINS.split(";"):
        db.execute(statement)
    for level in Level:
        for statement in _create_level(level):
            db.execute(statement)
        db.execute("INSERT OR REPLACE INTO total VALUES (?, 0)", (level,))
    create_edits(db)
    create_moves(db)
    holdings.create(db)
    record_folding(db)
    db.execute(f"PRAGMA user_version = {VERSION}")


# -- schemas of before ---------------------------------------------------------------------------------------


def needs_migration(db: sqlite3.Connection) -> bool:
    """Tell whether instances of an earlier version have yet to be brought along."""
    if db.execute("PRAGMA user_version").fetchone()[0] < MIGRATED:
        return True
    return are_instances_waiting(db)


def are_instances_waiting(db: sqlite3.Connection) -> bool:
    """Tell whether a migration that has begun has yet to move instances."""
    return db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'old_instance'").fetchone() is not None


def begin_migration(db: sqlite3.Connection) -> None:
    """Rename the DICOM tables of an earlier version, and create those of this one; documents, edits and garbage stay.

    From then on programs of earlier versions refuse the file.
    """
    if db.execute("PRAGMA user_version").fetchone()[0] >= MIGRATED:
        return
    present = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for name in SET_ASIDE:
        if name in present:
            db.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
    if "place" not in {row[1] for row in db.execute("PRAGMA table_info(garbage)")}:
        db.execute("ALTER TABLE garbage ADD COLUMN place TEXT NOT NULL DEFAULT ''")
    _create(db)
