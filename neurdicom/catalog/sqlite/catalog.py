"""The embedded adapter of the catalog port: each verb is a function run in a thread, in one transaction."""

import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from neurdicom.catalog.base import (
    Catalog,
    DescribedInstance,
    Edit,
    Entity,
    Located,
    Location,
    NewInstance,
    Outcome,
    Page,
)
from neurdicom.catalog.cache import ReadCache
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.sqlite import described, documents, select, terms
from neurdicom.catalog.sqlite.connection import Connections
from neurdicom.catalog.sqlite.writer import Writer, edits_of
from neurdicom.catalog.terms import Having, Termed
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query, Value

_LOCATIONS = 20_000
_ANCESTORS = """
    SELECT instance.id, series.id, study.id, patient.id FROM instance
    JOIN series ON series.pk = instance.parent JOIN study ON study.pk = series.parent
    JOIN patient ON patient.pk = study.parent WHERE instance.id = ?
"""


class SqliteCatalog(Catalog):
    """The catalog in one SQLite file.

    One server process at a time may use the DICOM part of a file (locations are cached in memory); documents may
    be read and written by others besides, such as `neurdicom user`.

    Parameters
    ----------
    path : Path
        The file; its folder is made where it is missing.
    """

    is_exclusive = True

    def __init__(self, path: Path) -> None:
        self._connections = Connections(path)
        self._locations: ReadCache[Location] = ReadCache(_LOCATIONS)

    async def open(self) -> None:
        await self._connections.open()

    async def close(self) -> None:
        await self._connections.close()
        self._locations.invalidate()

    async def store(self, arrivals: Sequence[NewInstance]) -> list[Outcome]:
        def finished(outcomes: list[Outcome]) -> None:
            # With a replacement others may move too, and so fall under other edits.
            if any(outcome.status == "replaced" for outcome in outcomes):
                self._locations.invalidate()

        return await self._connections.write(lambda db: Writer(db).store(arrivals), finished)

    async def get(self, level: Level, entity: str) -> Entity | None:
        return await self._connections.read(lambda db: select.get(db, level, entity))

    async def find(self, query: Query) -> Page:
        return await self._connections.read(lambda db: select.find(db, query))

    async def locate(self, instance: str) -> Location | None:
        location = self._locations.get(instance)
        if location is None:
            generation = self._locations.generation
            location = await self._connections.read(lambda db: _locate(db, instance))
            if location is not None:
                self._locations.put(instance, location, generation)
        return location

    async def locate_all(self, level: Level, entity: str) -> list[Located]:
        return await self._connections.read(lambda db: described.located(db, level, entity))

    async def digests(self, instances: Sequence[str]) -> dict[str, str]:
        wanted = to_json(list(instances)).decode()
        statement = "SELECT instance.id, sha256 FROM json_each(?) CROSS JOIN instance ON instance.id = value"
        return await self._connections.read(lambda db: dict(db.execute(statement, (wanted,)).fetchall()))

    async def headers(self, level: Level, entity: str) -> list[bytes]:
        def work(db: sqlite3.Connection) -> list[bytes]:
            below = [Level.INSTANCE, *reversed(Level.INSTANCE.above)]
            steps = below[1 : below.index(level) + 1]
            joins = "".join(f" JOIN {step} ON {step}.pk = {step.child}.parent" for step in steps)
            rows = db.execute(
                f"SELECT header.data FROM instance JOIN header ON header.pk = instance.pk{joins}"
                f" WHERE {level}.id = ? ORDER BY instance.id",
                (entity,),
            )
            return [zlib.decompress(data) for (data,) in rows]

        return await self._connections.read(work)

    async def described(
        self, level: Level, entity: str, *, after: str = "", budget: int = 1 << 62
    ) -> list[DescribedInstance]:
        return await self._connections.read(lambda db: described.described(db, level, entity, after, budget))

    async def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        return await self._connections.read(lambda db: described.samples(db, level, entities))

    async def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        return await self._connections.read(lambda db: select.sop_classes(db, studies))

    async def edit(self, level: Level, entity: str, changes: Mapping[str, Value], *, user: str, time: str) -> bool:
        return await self._connections.write(
            lambda db: Writer(db).edit(level, entity, changes, user, time), lambda _: self._locations.invalidate()
        )

    async def edits(self, instance: str) -> list[Edit]:
        def work(db: sqlite3.Connection) -> list[Edit]:
            ids = db.execute(_ANCESTORS, (instance,)).fetchone() or ()
            levels = zip(Level, reversed(ids), strict=False)
            return [edit for level, entity in levels for edit in edits_of(db, level, entity)]

        return await self._connections.read(work)

    async def delete(self, level: Level, entity: str) -> list[str] | None:
        return await self._connections.write(
            lambda db: Writer(db).delete(level, entity), lambda _: self._locations.invalidate()
        )

    async def clear(self) -> None:
        await self._connections.write(lambda db: Writer(db).clear(), lambda _: self._locations.invalidate())

    async def garbage(self) -> list[str]:
        return await self._connections.read(lambda db: [key for (key,) in db.execute("SELECT key FROM garbage")])

    async def forget_garbage(self, keys: Sequence[str]) -> None:
        await self._connections.write(lambda db: Writer(db).forget_garbage(keys))

    async def known_blobs(self, keys: Sequence[str]) -> set[str]:
        wanted = to_json(list(keys)).decode()
        statement = "SELECT blob_key FROM json_each(?) CROSS JOIN instance ON blob_key = value"
        return await self._connections.read(lambda db: {key for (key,) in db.execute(statement, (wanted,))})

    async def put_document(self, kind: str, key: str, document: Mapping[str, Any]) -> None:
        await self._connections.write(lambda db: documents.put(db, kind, key, document))

    async def add_document(self, kind: str, key: str, document: Mapping[str, Any]) -> bool:
        return await self._connections.write(lambda db: documents.add(db, kind, key, document))

    async def get_document(self, kind: str, key: str) -> dict[str, Any] | None:
        return await self._connections.read(lambda db: documents.get(db, kind, key))

    async def find_documents(self, kind: str, **equal: str | int | bool) -> list[dict[str, Any]]:
        return await self._connections.read(lambda db: documents.find(db, kind, equal))

    async def list_documents(
        self, kind: str, where: Mapping[str, str], *, limit: int, offset: int = 0, descending: bool = False
    ) -> Page:
        return await self._connections.read(lambda db: documents.page(db, kind, where, limit, offset, descending))

    async def swap_document(
        self, kind: str, key: str, before: Mapping[str, Any], after: Mapping[str, Any] | None
    ) -> bool:
        return await self._connections.write(lambda db: documents.swap(db, kind, key, before, after))

    async def delete_document(self, kind: str, key: str) -> bool:
        return await self._connections.write(lambda db: documents.delete(db, kind, key))

    async def delete_documents(self, kind: str, keys: Sequence[str]) -> int:
        return await self._connections.write(lambda db: documents.delete_all(db, kind, keys))

    async def put_documents(self, kind: str, documents: Sequence[Termed]) -> None:
        await self._connections.write(lambda db: terms.put(db, kind, documents))

    async def documents_after(self, kind: str, key: str, *, limit: int) -> list[dict[str, Any]]:
        return await self._connections.read(lambda db: documents.after(db, kind, key, limit))

    async def search_documents(
        self, kind: str, conditions: Sequence[Having], *, limit: int, offset: int = 0, descending: bool = False
    ) -> Page:
        return await self._connections.read(lambda db: terms.search(db, kind, conditions, limit, offset, descending))


def _locate(db: sqlite3.Connection, instance: str) -> Location | None:
    row = db.execute("SELECT blob_key, size, sha256, layout FROM instance WHERE id = ?", (instance,)).fetchone()
    if row is None:
        return None
    key, size, sha256, layout = row
    ids = db.execute(_ANCESTORS, (instance,)).fetchone()
    edited = any(
        db.execute("SELECT 1 FROM edit WHERE level = ? AND entity = ? LIMIT 1", (level, entity)).fetchone()
        for level, entity in zip(Level, reversed(ids), strict=True)
    )
    return Location(instance, BlobRef(key, size, sha256), orjson.loads(layout), edited, study=ids[2], series=ids[1])
