"""Storing, editing and deleting: the work of one write transaction.

Storing only adds to counts, since a new instance is always the latest and so never the source of an existing entity.
Removing one (by a replacement or a deletion) updates the entities above by `_refresh`, bottom up.
"""

import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import orjson

from neurdicom.catalog.base import Edit, NewInstance, StoreOutcome
from neurdicom.catalog.claims import EntityClaims, with_edits
from neurdicom.catalog.projection import indexed, sort_values, to_json
from neurdicom.catalog.sqlite.schema import add_keys, has_keys, write_index
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value

_COMPRESSION = 1
_CHOSEN = "IN (SELECT value FROM json_each(?))"


class Writer:
    """Writer of one transaction on a connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._images: dict[tuple[Level, int], int] = defaultdict(int)
        self._children: dict[tuple[Level, int], int] = defaultdict(int)
        self._totals: dict[Level, int] = defaultdict(int)
        self._chains: dict[str, tuple[int, int, int]] = {}

    # -- storing ---------------------------------------------------------------------------------------------

    def store(self, arrivals: Sequence[NewInstance]) -> list[StoreOutcome]:
        """Store arrivals in order."""
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'instance'").fetchone()
        first = (last[0] if last else 0) + 1
        outcomes = [self._store_one(pk, new) for pk, new in enumerate(arrivals, first)]
        self._write_counts()
        return outcomes

    def _store_one(self, pk: int, new: NewInstance) -> StoreOutcome:
        known = self._db.execute(
            "SELECT pk, parent, sha256, blob_key FROM instance WHERE id = ?", (new.instance,)
        ).fetchone()
        if known is None:
            self._insert_instance(pk, new)
            return StoreOutcome("stored")
        old, parent, sha256, key = known
        same_file = key == new.blob.key  # stored again, as by a reindex
        if sha256 == new.blob.sha256:
            unused = None if same_file else new.blob.key
            self._add_garbage([unused] if unused else [])
            return StoreOutcome("duplicate", unused)
        self._remove_rows(Level.INSTANCE, [old])
        self._insert_instance(pk, new)
        self._refresh(Level.SERIES, parent)
        unused = None if same_file else key
        self._add_garbage([unused] if unused else [])
        return StoreOutcome("replaced", unused)

    def _insert_instance(self, pk: int, new: NewInstance) -> None:
        claims = EntityClaims.from_arrival(new)
        chain = self._chain(claims, pk)
        attributes = with_edits(claims.at(Level.INSTANCE), edits_of(self._db, Level.INSTANCE, new.instance))
        blob, layout = new.blob, to_json(dict(new.layout))
        own = (pk, new.instance, chain[0], blob.key, blob.size, blob.sha256, new.received, layout)
        values = (*own, to_json(attributes), *sort_values(Level.INSTANCE, attributes))
        self._db.execute(f"INSERT INTO instance VALUES ({_marks(values)})", values)
        add_keys(self._db, Level.INSTANCE, pk, attributes)
        packed = zlib.compress(new.header, _COMPRESSION), zlib.compress(claims.to_document(), _COMPRESSION)
        self._db.execute("INSERT INTO header VALUES (?, ?, ?)", (pk, *packed))
        # A reindex may store a blob again that was garbage: it is in use now.
        self._db.execute("DELETE FROM garbage WHERE key = ?", (blob.key,))
        self._totals[Level.INSTANCE] += 1
        for level, row in zip((Level.SERIES, Level.STUDY, Level.PATIENT), chain, strict=True):
            self._images[level, row] += 1

    def _chain(self, claims: EntityClaims, source: int) -> tuple[int, int, int]:
        """Find the rows of the series, study and patient of an instance; insert those that are new."""
        entity = claims.ids[Level.SERIES]
        chain = self._chains.get(entity)
        if chain is None:
            row = self._ensure(Level.SERIES, claims, source)
            chain = self._chains[entity] = self._db.execute(
                "SELECT series.pk, study.pk, study.parent FROM series JOIN study ON study.pk = series.parent"
                " WHERE series.pk = ?",
                (row,),
            ).fetchone()
        return chain

    def _ensure(self, level: Level, claims: EntityClaims, source: int) -> int:
        """Find the row of the entity that an instance claims; insert it, from the claimed attributes, if it is new."""
        entity = claims.ids[level]
        row = self._db.execute(f"SELECT pk FROM {level} WHERE id = ?", (entity,)).fetchone()
        if row is not None:
            return int(row[0])
        attributes = with_edits(claims.at(level), edits_of(self._db, level, entity))
        names = ["id", "source", "attributes", *(f'"{attribute.field}"' for attribute in indexed(level))]
        values = [entity, source, to_json(attributes), *sort_values(level, attributes)]
        if level.parent:
            parent = self._ensure(level.parent, claims, source)
            self._children[level.parent, parent] += 1
            names.append("parent")
            values.append(parent)
        pk = self._db.execute(f"INSERT INTO {level} ({', '.join(names)}) VALUES ({_marks(values)})", values).lastrowid
        if pk is None:
            raise LookupError(f"the new {level} {entity} has no row")
        if has_keys(level):
            add_keys(self._db, level, pk, attributes)
        if level is Level.SERIES:
            self._add_modality(parent, attributes.get("modality"))
        self._totals[level] += 1
        return pk

    def _add_modality(self, study: int, modality: Value) -> None:
        row = self._db.execute("SELECT modalities FROM study WHERE pk = ?", (study,)).fetchone()
        known = orjson.loads(row[0])
        if modality and modality not in known:
            self._set_modalities(study, [*known, modality])

    def _set_modalities(self, study: int, modalities: Iterable[Value]) -> None:
        text = orjson.dumps(sorted(map(str, modalities))).decode()
        self._db.execute("UPDATE study SET modalities = ? WHERE pk = ?", (text, study))

    def _collect_modalities(self, study: int) -> None:
        rows = self._db.execute("SELECT attributes FROM series WHERE parent = ?", (study,)).fetchall()
        found = {orjson.loads(attributes).get("modality") for (attributes,) in rows}
        self._set_modalities(study, found - {None, ""})

    def _write_counts(self) -> None:
        """Add the collected counts to the rows."""
        for (level, pk), count in self._images.items():
            self._db.execute(f"UPDATE {level} SET images_count = images_count + ? WHERE pk = ?", (count, pk))
        for (level, pk), count in self._children.items():
            name = COUNTS[level][0]
            self._db.execute(f"UPDATE {level} SET {name} = {name} + ? WHERE pk = ?", (count, pk))
        for level, count in self._totals.items():
            self._db.execute("UPDATE total SET count = count + ? WHERE level = ?", (count, level))
        self._images.clear()
        self._children.clear()
        self._totals.clear()

    # -- updating entities above -----------------------------------------------------------------------------

    def _refresh(self, level: Level, pk: int) -> None:
        """Recompute an entity and those above it from the instances left below; delete it if none is left.

        All entities of a level are updated before the next level, so that an entity that loses one child and gains
        another is never found empty.
        """
        self._write_counts()
        self._chains.clear()
        rows = {pk}
        for step in reversed((*level.above, level)):
            rows = {parent for row in sorted(rows) for parent in self._refresh_one(step, row)}
        self._write_counts()

    def _refresh_one(self, level: Level, pk: int) -> set[int]:
        """Update one entity; return the rows above that this may affect."""
        below = "min(pk), count(*), count(*)" if level is Level.SERIES else "min(source), count(*), sum(images_count)"
        source, children, images = self._db.execute(
            f"SELECT {below} FROM {level.child} WHERE parent = ?", (pk,)
        ).fetchone()
        above = self._parents(level, pk)
        if not children:
            self._forget_edits(level, [pk])
            self._remove_rows(level, [pk])
            return above
        self._show_source(level, pk, source)
        self._write_counts()
        counts = (images,) if level is Level.SERIES else (children, images)
        changes = ", ".join(f"{name} = ?" for name in COUNTS[level])
        self._db.execute(f"UPDATE {level} SET {changes} WHERE pk = ?", (*counts, pk))
        if level is Level.STUDY:
            self._collect_modalities(pk)
        return above | self._parents(level, pk)

    def _parents(self, level: Level, pk: int) -> set[int]:
        if level.parent is None:
            return set()
        return {row[0] for row in self._db.execute(f"SELECT parent FROM {level} WHERE pk = ?", (pk,))}

    def _show_source(self, level: Level, pk: int, source: int) -> None:
        """Set the attributes and the parent that the instance `source` claims, if it is not the source already."""
        entity, earlier = self._db.execute(f"SELECT id, source FROM {level} WHERE pk = ?", (pk,)).fetchone()
        if source == earlier:
            return
        packed = self._db.execute("SELECT origin FROM header WHERE pk = ?", (source,)).fetchone()[0]
        claims = EntityClaims.from_document(zlib.decompress(packed))
        self._db.execute(f"UPDATE {level} SET source = ? WHERE pk = ?", (source, pk))
        self._show(level, pk, with_edits(claims.at(level), edits_of(self._db, level, entity)))
        if level.parent:
            parent = self._ensure(level.parent, claims, source)
            self._db.execute(f"UPDATE {level} SET parent = ? WHERE pk = ?", (parent, pk))

    def _show(self, level: Level, pk: int, attributes: Mapping[str, Value]) -> None:
        self._db.execute(f"UPDATE {level} SET attributes = ? WHERE pk = ?", (to_json(attributes), pk))
        write_index(self._db, level, pk, attributes)

    # -- deleting --------------------------------------------------------------------------------------------

    def delete(self, level: Level, entity: str) -> list[str] | None:
        """Delete an entity, all below it, and parents left empty; return the keys of the blobs that became garbage."""
        row = self._db.execute(f"SELECT pk FROM {level} WHERE id = ?", (entity,)).fetchone()
        if row is None:
            return None
        rows, parents = {level: [int(row[0])]}, self._parents(level, row[0])
        for below in tuple(Level)[tuple(Level).index(level) + 1 :]:
            above = _json(rows[Level(below.above[-1])])
            rows[below] = [pk for (pk,) in self._db.execute(f"SELECT pk FROM {below} WHERE parent {_CHOSEN}", above)]
        instances = _json(rows[Level.INSTANCE])
        blobs = self._db.execute(f"SELECT blob_key FROM instance WHERE pk {_CHOSEN} ORDER BY pk", instances)
        keys = [key for (key,) in blobs.fetchall()]
        for emptied, pks in rows.items():
            self._forget_edits(emptied, pks)
            self._remove_rows(emptied, pks)
        self._add_garbage(keys)
        self._write_counts()
        for parent in parents:
            self._refresh(level.above[-1], parent)
        return keys

    def _remove_rows(self, level: Level, pks: list[int]) -> None:
        if has_keys(level):
            self._db.execute(f"DELETE FROM {level}_key WHERE entity {_CHOSEN}", _json(pks))
        if level is Level.INSTANCE:
            self._db.execute(f"DELETE FROM header WHERE pk {_CHOSEN}", _json(pks))
        self._totals[level] -= self._db.execute(f"DELETE FROM {level} WHERE pk {_CHOSEN}", _json(pks)).rowcount

    def _forget_edits(self, level: Level, pks: list[int]) -> None:
        self._db.execute(
            f"DELETE FROM edit WHERE level = ? AND entity IN (SELECT id FROM {level} WHERE pk {_CHOSEN})",
            (level, *_json(pks)),
        )

    def _add_garbage(self, keys: Iterable[str]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO garbage VALUES (?)", ((key,) for key in keys))

    def forget_garbage(self, keys: Iterable[str]) -> None:
        """Remove the keys of deleted blobs from the garbage."""
        self._db.executemany("DELETE FROM garbage WHERE key = ?", ((key,) for key in keys))

    def clear(self) -> None:
        """Delete all DICOM entities, but neither edits nor blobs."""
        for level in Level:
            self._db.execute(f"DELETE FROM {level}")
            if has_keys(level):
                self._db.execute(f"DELETE FROM {level}_key")
        self._db.execute("DELETE FROM header")
        self._db.execute("UPDATE total SET count = 0")

    # -- editing ---------------------------------------------------------------------------------------------

    def edit(self, level: Level, entity: str, changes: Mapping[str, Value], user: str, time: str) -> bool:
        """Store edits of an entity and apply them, for `Catalog.edit`."""
        row = self._db.execute(f"SELECT pk, attributes FROM {level} WHERE id = ?", (entity,)).fetchone()
        if row is None:
            return False
        edits = [Edit(level, entity, field, value, user, time) for field, value in changes.items()]
        self._db.executemany(
            "INSERT OR REPLACE INTO edit VALUES (?, ?, ?, ?, ?, ?)",
            [(e.level, e.entity, e.field, to_json(e.value).decode(), e.user, e.time) for e in edits],
        )
        self._show(level, row[0], with_edits(orjson.loads(row[1]), edits))
        if level is Level.SERIES:
            for study in self._parents(level, row[0]):
                self._collect_modalities(study)
        return True


def edits_of(db: sqlite3.Connection, level: Level, entity: str) -> list[Edit]:
    """Look up the edits of an entity, in the order of fields.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    level : Level
        Level of the entity.
    entity : str
        Id of the entity.
    """
    rows = db.execute(
        "SELECT field, value, user, time FROM edit WHERE level = ? AND entity = ? ORDER BY field", (level, entity)
    )
    return [Edit(level, entity, field, orjson.loads(value), user, time) for field, value, user, time in rows]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _json(pks: list[int]) -> tuple[str]:
    return (orjson.dumps(pks).decode(),)
