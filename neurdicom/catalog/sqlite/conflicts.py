"""The list of UIDs that name several entities."""

import sqlite3

from neurdicom.catalog.outcomes import CONFLICT_LEVELS, UidConflict, is_conflict
from neurdicom.catalog.sqlite.lookup import UID, key_range
from neurdicom.dicom.query.attributes import Level

_SOURCE = {Level.STUDY: "study.source", Level.SERIES: "series.source", Level.INSTANCE: "instance.pk"}


def conflicts(db: sqlite3.Connection) -> list[UidConflict]:
    """List the UIDs that name several entities, for `Catalog.conflicts`.

    The table `conflict` knows the UIDs; the entities are looked up, and those left out that are none of their own.
    """
    found = []
    for kind, level in CONFLICT_LEVELS.items():
        for (uid,) in db.execute("SELECT uid FROM conflict WHERE level = ? ORDER BY uid", (level,)).fetchall():
            entities = db.execute(_select(level), key_range(uid)).fetchall()
            if is_conflict(level, [above for _, _, *above in entities]):
                ids = tuple(entity for entity, *_ in entities)
                found.append(UidConflict(kind, uid, ids, since=entities[1][1]))
    return found


def _select(level: Level) -> str:
    """Write the query for the entities of a UID: id, time of the earliest instance, and the ids above."""
    above = ", ".join("patient.id" if one is Level.PATIENT else UID[one] for one in level.above)
    joins = "".join(f" JOIN {one} ON {one}.pk = {one.child}.parent" for one in reversed(level.above))
    if level is not Level.INSTANCE:
        joins += f" JOIN instance ON instance.pk = {level}.source"
    return (
        f"SELECT {level}.id, instance.received, {above} FROM {level}{joins}"
        f" WHERE {level}.id > ? AND {level}.id < ? ORDER BY {_SOURCE[level]}"
    )
