"""Recomputation of what entities show, from the origins below them and the edits."""

import sqlite3
import zlib
from collections.abc import Mapping, Sequence

import orjson

from neurdicom.catalog.projection import indexed, other_keys, to_json
from neurdicom.catalog.records import Edit
from neurdicom.catalog.shown import LATEST_STUDIES, ShownAttributes, carried, is_blank, merged, of_latest
from neurdicom.catalog.sqlite.edits import StoredEdits
from neurdicom.catalog.sqlite.lookup import KEY, any_moved
from neurdicom.catalog.sqlite.parts import keys_by, parts_below
from neurdicom.catalog.sqlite.rows import write_row
from neurdicom.catalog.sqlite.schema import create_index
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value

_ORIGINS = {
    Level.SERIES: "SELECT attributes FROM origin WHERE parent = ? ORDER BY first",
    Level.STUDY: "SELECT origin.attributes FROM series CROSS JOIN origin ON origin.parent = series.pk"
    " WHERE series.parent = ? ORDER BY first",
}
_SOURCE = {
    Level.SERIES: "SELECT min(first) FROM origin WHERE parent = ?",
    Level.STUDY: "SELECT min(source) FROM series WHERE parent = ?",
}
#: The same where origins may have displaced files only, which do not count.
_SHOWN_ORIGINS = {
    level: select.replace(
        " ORDER BY",
        " AND EXISTS (SELECT 1 FROM instance WHERE instance.parent = origin.parent AND instance.origin = origin.pk)"
        " ORDER BY",
    )
    for level, select in _ORIGINS.items()
}
_ANY_DISPLACED = {
    Level.SERIES: "SELECT 1 FROM displaced WHERE parent = ? LIMIT 1",
    Level.STUDY: "SELECT 1 FROM series CROSS JOIN displaced ON displaced.parent = series.pk"
    " WHERE series.parent = ? LIMIT 1",
}
_SHOWN_SOURCE = _SOURCE | {Level.SERIES: "SELECT min(pk) FROM instance WHERE parent = ?"}


def edits_of_all(edits: StoredEdits, level: Level, keys: Sequence[str]) -> list[Edit]:
    """List the edits of an entity of several keys in the order of time; of a field the last counts.

    Parameters
    ----------
    edits : StoredEdits
        The edits of this transaction.
    level : Level
        Level of the entity.
    keys : sequence of str
        Its keys.
    """
    found = [edit for key in keys for edit in edits.of(level, key)]
    return found if len(keys) == 1 else sorted(found, key=lambda edit: edit.time)


def adds_nothing(db: sqlite3.Connection, level: Level, pk: int, attributes: Mapping[str, Value]) -> bool:
    """Tell whether later files that say this change nothing that an entity shows or is found by.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    level : Level
        Level of the entity.
    pk : int
        Its row.
    attributes : Mapping[str, Value]
        Known attributes that the files give.
    """
    (stored,) = db.execute(f"SELECT attributes FROM {level} WHERE pk = ?", (pk,)).fetchone()
    shown = orjson.loads(stored)
    further: dict[str, list[Value]] = {}
    for attribute in carried(level):
        value, known = attributes.get(attribute.field), shown.get(attribute.field)
        if value is None or value == known:
            continue
        if known is None or is_blank(known):
            return False
        if attribute.filterable and not is_blank(value):
            further[attribute.field] = [value]
    find = f"SELECT 1 FROM {level}_other WHERE field = ? AND key = ? AND entity = ?"
    return all(db.execute(find, (*key, pk)).fetchone() for key in other_keys(level, further))


def refresh(db: sqlite3.Connection, edits: StoredEdits, level: Level, pk: int, *, index: bool = False) -> bool:
    """Recompute the attributes and the source of an entity; return False if nothing has changed.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    edits : StoredEdits
        The edits of this transaction.
    level : Level
        Level of the entity, above the instance.
    pk : int
        Its row.
    index : bool
        True to write index columns and search keys in any case.
    """
    row = db.execute(f"SELECT attributes, {KEY[level]} FROM {level} WHERE pk = ?", (pk,)).fetchone()
    if row is None:
        return False
    stored, key = row
    is_moved = level is not Level.PATIENT and any_moved(db)
    keys = keys_by(level, parts_below(db, level, pk)) if is_moved and edits.any else []
    own = edits_of_all(edits, level, keys or [key])
    moved = False
    if level is Level.PATIENT:
        studies = db.execute(
            "SELECT attributes FROM study WHERE parent = ?"
            " ORDER BY study_date DESC, study_time DESC, source DESC LIMIT ?",
            (pk, LATEST_STUDIES),
        ).fetchall()
        shown = ShownAttributes(of_latest((orjson.loads(attributes) for (attributes,) in studies), own))
    else:
        if level is Level.STUDY and edits.any:
            (patient,) = db.execute(
                "SELECT patient.id FROM study JOIN patient ON patient.pk = study.parent WHERE study.pk = ?", (pk,)
            ).fetchone()
            own = [*edits.of(Level.PATIENT, patient), *own]
        # Many series of a study say the same of it.
        is_displaced = is_moved and db.execute(_ANY_DISPLACED[level], (pk,)).fetchone() is not None
        origins = _SHOWN_ORIGINS if is_displaced else _ORIGINS
        claims = dict.fromkeys(packed for (packed,) in db.execute(origins[level], (pk,)))
        shown = merged(level, (orjson.loads(zlib.decompress(packed)) for packed in claims), own)
        source_of = _SHOWN_SOURCE if is_displaced else _SOURCE
        (source,) = db.execute(source_of[level], (pk,)).fetchone()
        change = db.execute(f"UPDATE {level} SET source = ? WHERE pk = ? AND source <> ?", (source, pk, source))
        moved = change.rowcount > 0
    has_others = bool(shown.others) or (
        level is not Level.PATIENT
        and db.execute(f"SELECT 1 FROM {level}_other WHERE entity = ? LIMIT 1", (pk,)).fetchone() is not None
    )
    if has_others or index or to_json(shown.values) != stored:
        write_row(db, level, pk, shown)
        return True
    return moved


def refresh_instance(db: sqlite3.Connection, pk: int) -> None:
    """Write the index columns and search keys of an instance anew, from its stored attributes."""
    (stored,) = db.execute("SELECT attributes FROM instance WHERE pk = ?", (pk,)).fetchone()
    write_row(db, Level.INSTANCE, pk, ShownAttributes(orjson.loads(stored)))


def add_missing_columns(db: sqlite3.Connection) -> None:
    """Index attributes that became filterable after the file was created."""
    for level in Level:
        present = {row[1] for row in db.execute(f"PRAGMA table_info({level})")}
        new = [attribute for attribute in indexed(level) if attribute.field not in present]
        if not new:
            continue
        db.execute("BEGIN IMMEDIATE")
        for attribute in new:
            db.execute(f'ALTER TABLE {level} ADD COLUMN "{attribute.field}"')
        edits = StoredEdits(db)
        for (pk,) in db.execute(f"SELECT pk FROM {level}").fetchall():
            if level is Level.INSTANCE:
                refresh_instance(db, pk)
            else:
                refresh(db, edits, level, pk, index=True)
        for attribute in new:
            db.execute(create_index(level, attribute.field))
        db.execute("COMMIT")
