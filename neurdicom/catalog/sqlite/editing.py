"""Edits of entities: making, undoing and restoring them, each within one transaction."""

import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from itertools import groupby

import orjson

from neurdicom.catalog.claims import with_edits
from neurdicom.catalog.edits import joined, moved_to, with_changes, without
from neurdicom.catalog.records import Edit
from neurdicom.catalog.shown import ShownAttributes
from neurdicom.catalog.sqlite.edits import StoredEdits
from neurdicom.catalog.sqlite.entities import Entities
from neurdicom.catalog.sqlite.lookup import KEY, own_keys, row_of
from neurdicom.catalog.sqlite.refresh import edits_of_all
from neurdicom.catalog.sqlite.rows import write_row
from neurdicom.catalog.sqlite.shown_ids import ShownIds
from neurdicom.catalog.sqlite.stored_moves import MoveTable
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


def history(db: sqlite3.Connection, level: Level, reference: str) -> list[Edit]:
    """List all edits of an entity, for `Catalog.history`."""
    row = row_of(db, level, reference)
    return [] if row is None else _history(db, StoredEdits(db), level, row)


def _history(db: sqlite3.Connection, edits: StoredEdits, level: Level, row: int) -> list[Edit]:
    """List the edits of an entity by all of its keys, in the order of time."""
    keys = own_keys(db, level, row)
    found = [edit for key in keys for edit in edits.history(level, key)]
    return found if len(keys) == 1 else sorted(found, key=lambda edit: edit.time)


def edit(
    db: sqlite3.Connection, level: Level, reference: str, changes: Mapping[str, Value], user: str, time: str
) -> bool:
    """Store edits of an entity and apply them, for `Catalog.edit`."""
    row = row_of(db, level, reference)
    if row is None:
        return False
    key, shown = _key_and_shown(db, level, row)
    edits = StoredEdits(db)
    there = edits.history(level, key)
    edits.write(level, key, with_changes(there, (level, key), changes, shown, user=user, time=time))
    _show(db, edits, {(level, row): {}})
    return True


def undo(db: sqlite3.Connection, level: Level, reference: str, edit_id: str) -> bool:
    """Undo an edit of an entity, for `Catalog.undo`."""
    row = row_of(db, level, reference)
    if row is None:
        return False
    edits = StoredEdits(db)
    there = _history(db, edits, level, row)
    key = next((edit.entity for edit in there if edit.id == edit_id), None)
    left = without(edits.history(level, key), edit_id) if key else None
    if key is None or left is None:
        return False
    edits.write(level, key, left)
    undone = {edit.field for edit in there} if level is Level.INSTANCE else set()
    _show(db, edits, {(level, row): _of_file(db, row, undone)})
    return True


def restore(db: sqlite3.Connection, back: Sequence[Edit]) -> None:
    """Bring edits back, for `Catalog.restore_edits`."""
    edits = StoredEdits(db)
    changed: dict[tuple[Level, int], Mapping[str, Value]] = {}
    ordered = sorted(back, key=lambda one: (one.level, one.entity))
    for (level, reference), of_one in groupby(ordered, key=lambda one: (one.level, one.entity)):
        row = row_of(db, level, reference)
        if row is not None:
            keys = own_keys(db, level, row)
            key = reference if reference in keys else keys[0]
            edits.write(level, key, joined(edits.history(level, key), moved_to(of_one, key)))
            changed[level, row] = {}
    _show(db, edits, changed)


def _key_and_shown(db: sqlite3.Connection, level: Level, row: int) -> tuple[str, dict[str, Value]]:
    """Look up the key of an entity, and the attributes that it shows."""
    joins = " JOIN series ON series.pk = instance.parent" if level is Level.INSTANCE else ""
    key, stored = db.execute(
        f"SELECT {KEY[level]}, {level}.attributes FROM {level}{joins} WHERE {level}.pk = ?", (row,)
    ).fetchone()
    return key, orjson.loads(stored)


def _of_file(db: sqlite3.Connection, row: int, fields: set[str]) -> dict[str, Value]:
    """Read attributes of an instance from its header, where edits hide what the file says."""
    if not fields:
        return {}
    from neurdicom.dicom.query.indexed import attributes_of  # pydicom takes 0.2 s, which other commands need not pay

    (data,) = db.execute("SELECT data FROM header WHERE pk = ?", (row,)).fetchone()
    said = attributes_of(orjson.loads(zlib.decompress(data)))
    return {field: said.get(field) for field in fields}


def _show(db: sqlite3.Connection, edits: StoredEdits, changed: Mapping[tuple[Level, int], Mapping[str, Value]]) -> None:
    """Apply the stored edits to entities, by level and row, and the given values of their files to instances."""
    entities = Entities(db, edits, ShownIds(db), MoveTable(db))
    for (level, row), of_file in changed.items():
        if level is Level.INSTANCE:
            _, shown = _key_and_shown(db, level, row)
            own = edits_of_all(edits, level, own_keys(db, level, row))
            write_row(db, level, row, ShownAttributes(with_edits({**shown, **of_file}, own)))
            continue
        if level is Level.PATIENT:  # demographics are attributes of its studies
            for (study,) in db.execute("SELECT pk FROM study WHERE parent = ?", (row,)).fetchall():
                entities.touch(Level.STUDY, study)
        entities.touch(level, row)
    entities.finish()
