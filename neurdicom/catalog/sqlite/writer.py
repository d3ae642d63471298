"""Deleting and clearing: the work of one write transaction."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from neurdicom.catalog.sqlite.displaced import remove_displaced
from neurdicom.catalog.sqlite.lookup import KEY, TABLES, any_moved, row_of
from neurdicom.catalog.sqlite.parts import keys_by, parts_below
from neurdicom.catalog.sqlite.rows import CHOSEN, json_of
from neurdicom.catalog.sqlite.schema import has_keys
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.dicom.identity import SEPARATOR, uid_of
from neurdicom.dicom.query.attributes import Level


class Writer:
    """Writer of one transaction on a connection.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._tx = Transaction(db)
        self._db = db

    def delete(self, level: Level, reference: str, aside: str = "") -> list[str] | None:
        """Delete an entity, all below it, and parents left empty, for `Catalog.delete`."""
        row = row_of(self._db, level, reference)
        if row is None:
            return None
        rows = self._db.execute(
            f"SELECT instance.pk, instance.id, {KEY[Level.INSTANCE]}, blob_key, origin,"
            f" series.pk, study.pk, study.parent FROM {TABLES[level]} WHERE {level}.pk = ? ORDER BY +instance.pk",
            (row,),
        ).fetchall()
        more = self._displaced(level, rows)
        aliases = self._aliases(rows)
        self._tx.remove_instances([pk for pk, *_ in rows])
        remove_displaced(self._tx, [pk for pk, *_ in more])
        for _, _, _, _, origin, series, study, patient in rows:
            self._tx.entities.touch_origin(origin, series)
            self._tx.entities.count(series, study, patient, -1)
        for _, _, _, origin, series in more:
            self._tx.entities.touch_origin(origin, series)
        self._tx.edits.forget(Level.INSTANCE, [key for _, _, key, *_ in rows] + [key for _, key, *_ in more])
        self._tx.ids.release(Level.INSTANCE, [entity for _, entity, *_ in rows])
        blobs = [blob for _, _, _, blob, *_ in rows] + [blob for _, _, blob, *_ in more]
        self._tx.add_garbage(blobs, aside)
        self._tx.entities.finish()
        for (each, pk), keys in aliases.items():
            if self._db.execute(f"SELECT 1 FROM {each} WHERE pk = ?", (pk,)).fetchone() is None:
                self._tx.edits.forget(each, keys)
        return blobs

    def _displaced(self, level: Level, rows: Sequence[Sequence[Any]]) -> list[tuple[int, str, str, int, int]]:
        """List the displaced files that are deleted with instances: row, key, blob, origin, and row of the series."""
        found = self._db.execute(
            f"SELECT pk, uid, digest, blob_key, origin, parent FROM displaced WHERE parent {CHOSEN} ORDER BY pk",
            json_of(list({series for *_, series, _, _ in rows})),
        ).fetchall()
        uids = {uid_of(entity) for _, entity, *_ in rows}
        return [
            (pk, f"{uid}{SEPARATOR}{digest}", *more)
            for pk, uid, digest, *more in found
            if level is not Level.INSTANCE or uid in uids
        ]

    def _aliases(self, rows: Sequence[Sequence[Any]]) -> dict[tuple[Level, int], list[str]]:
        """List the keys of the studies and series of instances, where moves may have given them several."""
        if not any_moved(self._db):
            return {}
        above = dict.fromkeys((Level.SERIES, series) for *_, series, _, _ in rows)
        above |= dict.fromkeys((Level.STUDY, study) for *_, study, _ in rows)
        return {(level, pk): keys_by(level, parts_below(self._db, level, pk)) for level, pk in above}

    def forget_garbage(self, keys: Iterable[str]) -> None:
        """Remove the keys of deleted blobs from the garbage."""
        self._db.executemany("DELETE FROM garbage WHERE key = ?", ((key,) for key in keys))

    def clear(self) -> None:
        """Delete all DICOM entities, but neither edits, moves, claims nor blobs."""
        for level in Level:
            self._db.execute(f"DELETE FROM {level}")
            if has_keys(level):
                self._db.execute(f"DELETE FROM {level}_key")
        for table in ("study_other", "series_other", "header", "origin", "conflict", "displaced"):
            self._db.execute(f"DELETE FROM {table}")
        self._db.execute("UPDATE total SET count = 0")
