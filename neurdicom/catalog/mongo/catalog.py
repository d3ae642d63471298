"""The adapter of the catalog port on MongoDB."""

import asyncio
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import orjson
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ReturnDocument, WriteConcern
from pymongo.errors import ConfigurationError, DuplicateKeyError, InvalidURI, PyMongoError

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
from neurdicom.catalog.mongo import described, schema, select, terms, writer
from neurdicom.catalog.mongo.entities import as_edits, edits_key
from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.mongo.unit import Unit, Units, translated
from neurdicom.catalog.projection import holds, to_json
from neurdicom.catalog.terms import Having, Termed
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query, Value
from neurdicom.errors import Unavailable

Verb = TypeVar("Verb", bound=Callable[..., Coroutine[Any, Any, Any]])

_PATIENCE = "serverSelectionTimeoutMS"
_CONNECT_MILLISECONDS = 10_000
_HEADERS_AT_ONCE = 200


def _verb(method: Verb) -> Verb:
    """Give the driver's errors as ours."""

    @wraps(method)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return await method(*args, **kwargs)
        except PyMongoError as error:
            raise translated(error) from error

    return cast(Verb, wrapped)


class MongoCatalog(Catalog):
    """The catalog in a MongoDB database.

    With transactions (a replica set or a sharded cluster) each write is one, and several servers may share the
    database. A standalone server has none: one NeurDICOM at a time then, and a write that is cut short is finished
    when the catalog is opened again. Until it is, an instance of it may be seen before it is counted.

    Parameters
    ----------
    uri : str
        `mongodb://...`, with the options of the driver.
    database : str, optional
        Name of the database; by default the one that the URI names, else `neurdicom`.
    transactions : bool, optional
        Whether to use transactions; by default if the server is known to have them.
    """

    def __init__(self, uri: str, database: str | None = None, *, transactions: bool | None = None) -> None:
        self._uri = uri
        self._name = database
        self._transactions = transactions
        self._client: AsyncIOMotorClient[Document] | None = None
        self._opened: tuple[AsyncIOMotorDatabase[Document], Units] | None = None

    @property
    def _database(self) -> "AsyncIOMotorDatabase[Document]":
        if self._opened is None:
            raise Unavailable("the catalog is not open")
        return self._opened[0]

    @property
    def _units(self) -> Units:
        if self._opened is None:
            raise Unavailable("the catalog is not open")
        return self._opened[1]

    async def open(self) -> None:
        try:
            # The URI's own options win.
            patience: dict[str, Any] = (
                {} if _PATIENCE.lower() in self._uri.lower() else {_PATIENCE: _CONNECT_MILLISECONDS}
            )
            self._client = AsyncIOMotorClient(self._uri, **patience)
            hello = await self._client.admin.command("hello")
            offered = bool(hello.get("setName")) or hello.get("msg") == "isdbgrid"
            transactions = offered if self._transactions is None else self._transactions
            named = self._client[self._name] if self._name else self._client.get_default_database("neurdicom")
            database = named.with_options(write_concern=WriteConcern(w="majority" if offered else 1, j=True))
            outdated = await schema.prepare(database)
            units = Units(self._client, database, transactions=transactions, recover=writer.recover)
            await units.settled()
            if outdated:
                await writer.rebuild(Unit(database, None))
                await schema.finished(database)
            self._opened = (database, units)
        except (InvalidURI, ConfigurationError) as error:
            await self.close()
            raise Unavailable(f"MongoDB can't be reached by this URI: {error}") from error
        except PyMongoError as error:
            await self.close()
            raise translated(error) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened[1].finish()
        client, self._client = self._client, None
        if client is not None:
            # The driver says goodbye to the server and waits for its answer.
            await asyncio.to_thread(client.close)

    # -- DICOM -----------------------------------------------------------------------------------------------

    @_verb
    async def store(self, arrivals: Sequence[NewInstance]) -> list[Outcome]:
        if not arrivals:
            return []
        # Numbers may be lost with a write that fails; they only need to grow.
        counter = await self._database["meta"].find_one_and_update(
            {"_id": "arrivals"},
            {"$inc": {"last": len(arrivals)}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        first = counter["last"] - len(arrivals) + 1
        return await self._units.write(lambda unit: writer.Store(unit, arrivals, first).run())

    @_verb
    async def get(self, level: Level, entity: str) -> Entity | None:
        return await select.get(self._database, level, entity)

    @_verb
    async def find(self, query: Query) -> Page:
        return await select.find(self._database, query)

    @_verb
    async def locate(self, instance: str) -> Location | None:
        fields = dict.fromkeys(("blob_key", "size", "sha256", "layout", "patient", "study", "series"), 1)
        found = await self._database["instances"].find_one({"_id": instance}, fields)
        if found is None:
            return None
        keys = [edits_key(level, found[level.value]) for level in Level.INSTANCE.above]
        keys.append(edits_key(Level.INSTANCE, instance))
        edited = await self._database["edits"].find_one({"_id": {"$in": keys}}, {"_id": 1})
        blob = BlobRef(found["blob_key"], found["size"], found["sha256"])
        layout, above = orjson.loads(found["layout"]), {name: found[name] for name in ("study", "series")}
        return Location(instance, blob, layout, edited is not None, **above)

    @_verb
    async def locate_all(self, level: Level, entity: str) -> list[Located]:
        return await described.located(self._database, level, entity)

    @_verb
    async def digests(self, instances: Sequence[str]) -> dict[str, str]:
        found = await Unit(self._database, None).among("instances", instances, "sha256")
        return {one["_id"]: one["sha256"] for one in found}

    @_verb
    async def headers(self, level: Level, entity: str) -> list[bytes]:
        where = {"_id" if level is Level.INSTANCE else level.value: entity}
        found = self._database["instances"].find(where, {"arrival": 1, "parts": 1}).sort("_id", 1)
        wanted = [writer.header_ids(one) async for one in found]
        headers: list[bytes] = []
        for start in range(0, len(wanted), _HEADERS_AT_ONCE):
            batch = wanted[start : start + _HEADERS_AT_ONCE]
            ids = [part for parts in batch for part in parts]
            parts = self._database["headers"].find({"_id": {"$in": ids}}, {"data": 1})
            data = {one["_id"]: one["data"] async for one in parts}
            headers += await asyncio.to_thread(_unpacked, batch, data)
        return headers

    @_verb
    async def described(
        self, level: Level, entity: str, *, after: str = "", budget: int = 1 << 62
    ) -> list[DescribedInstance]:
        return await described.described(self._database, level, entity, after, budget)

    @_verb
    async def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        return await described.samples(self._database, level, entities)

    @_verb
    async def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        return await select.sop_classes(self._database, studies)

    @_verb
    async def edit(self, level: Level, entity: str, changes: Mapping[str, Value], *, user: str, time: str) -> bool:
        return await self._units.write(lambda unit: writer.edit(unit, level, entity, changes, user, time))

    @_verb
    async def edits(self, instance: str) -> list[Edit]:
        found = await self._database["instances"].find_one({"_id": instance}, {"patient": 1, "study": 1, "series": 1})
        if found is None:
            return []
        chain = {level: found["_id" if level is Level.INSTANCE else level.value] for level in Level}
        keys = {edits_key(level, entity): level for level, entity in chain.items()}
        cursor = self._database["edits"].find({"_id": {"$in": list(keys)}})
        kept = {keys[one["_id"]]: one async for one in cursor}
        return [edit for level in Level for edit in as_edits(kept.get(level))]

    @_verb
    async def delete(self, level: Level, entity: str) -> list[str] | None:
        return await self._units.write(lambda unit: writer.delete(unit, level, entity))

    @_verb
    async def clear(self) -> None:
        await self._units.write(writer.clear)

    # -- blobs to delete -------------------------------------------------------------------------------------

    @_verb
    async def garbage(self) -> list[str]:
        return [one["_id"] async for one in self._database["garbage"].find({})]

    @_verb
    async def forget_garbage(self, keys: Sequence[str]) -> None:
        await self._units.write(lambda unit: unit.remove("garbage", keys))

    @_verb
    async def known_blobs(self, keys: Sequence[str]) -> set[str]:
        found = await Unit(self._database, None).among("instances", keys, "blob_key", by="blob_key")
        return {one["blob_key"] for one in found}

    # -- documents -------------------------------------------------------------------------------------------

    @_verb
    async def put_document(self, kind: str, key: str, document: Mapping[str, Any]) -> None:
        whole = _whole(kind, key, document)
        await self._database["documents"].replace_one({"_id": whole["_id"]}, whole, upsert=True)

    @_verb
    async def add_document(self, kind: str, key: str, document: Mapping[str, Any]) -> bool:
        try:
            await self._database["documents"].insert_one(_whole(kind, key, document))
        except DuplicateKeyError:
            return False
        return True

    @_verb
    async def get_document(self, kind: str, key: str) -> dict[str, Any] | None:
        found = await self._database["documents"].find_one({"_id": _document_id(kind, key)["_id"]})
        return orjson.loads(found["value"]) if found else None

    @_verb
    async def find_documents(self, kind: str, **equal: str | int | bool) -> list[dict[str, Any]]:
        found = self._database["documents"].find({"kind": kind}).sort("key", 1)
        documents = [orjson.loads(one["value"]) async for one in found]
        return [document for document in documents if holds(document, equal)]

    @_verb
    async def list_documents(
        self, kind: str, where: Mapping[str, str], *, limit: int, offset: int = 0, descending: bool = False
    ) -> Page:
        chosen = {"kind": kind} | {f"texts.{name}": value for name, value in where.items()}
        total = await self._database["documents"].count_documents(chosen)
        if not limit:  # which would mean all
            return Page([], total)
        found = self._database["documents"].find(chosen).sort("key", -1 if descending else 1).skip(offset).limit(limit)
        return Page([orjson.loads(one["value"]) async for one in found], total)

    @_verb
    async def swap_document(
        self, kind: str, key: str, before: Mapping[str, Any], after: Mapping[str, Any] | None
    ) -> bool:
        found = await self._database["documents"].find_one({"_id": _document_id(kind, key)["_id"]})
        if found is None or orjson.loads(found["value"]) != orjson.loads(to_json(dict(before))):
            return False
        same = {"_id": found["_id"], "value": found["value"]}
        if after is None:
            return bool((await self._database["documents"].delete_one(same)).deleted_count)
        whole = _whole(kind, key, after)
        changes = {"$set": {"value": whole["value"], "texts": whole["texts"]}}
        changed = await self._database["documents"].update_one(same, changes)
        return bool(changed.matched_count)

    @_verb
    async def delete_document(self, kind: str, key: str) -> bool:
        deleted = await self._database["documents"].delete_one({"_id": _document_id(kind, key)["_id"]})
        return bool(deleted.deleted_count)

    @_verb
    async def delete_documents(self, kind: str, keys: Sequence[str]) -> int:
        ids = [_document_id(kind, key)["_id"] for key in keys]
        return int((await self._database["documents"].delete_many({"_id": {"$in": ids}})).deleted_count)

    @_verb
    async def put_documents(self, kind: str, documents: Sequence[Termed]) -> None:
        wholes = [(_whole(kind, each.key, each.document), each.terms) for each in documents]
        await terms.put(self._database, kind, wholes)

    @_verb
    async def documents_after(self, kind: str, key: str, *, limit: int) -> list[dict[str, Any]]:
        found = self._database["documents"].find({"kind": kind, "key": {"$gt": key}}).sort("key", 1).limit(limit)
        return [orjson.loads(one["value"]) async for one in found]

    @_verb
    async def search_documents(
        self, kind: str, conditions: Sequence[Having], *, limit: int, offset: int = 0, descending: bool = False
    ) -> Page:
        return await terms.search(self._database, kind, conditions, limit, offset, descending)


def _document_id(kind: str, key: str) -> Document:
    return {"_id": f"{kind}/{key}", "kind": kind, "key": key}


def _whole(kind: str, key: str, document: Mapping[str, Any]) -> Document:
    value = to_json(dict(document)).decode()
    # What `list_documents` can ask for, where MongoDB can see it.
    texts = {n: v for n, v in orjson.loads(value).items() if isinstance(v, str) and len(v) <= 64 and n.isidentifier()}
    return {**_document_id(kind, key), "value": value, "texts": texts}


def _unpacked(batch: list[list[int]], data: Mapping[int, bytes]) -> list[bytes]:
    # A header that was replaced since the instances were listed is left out, as one that was deleted.
    whole = [parts for parts in batch if all(part in data for part in parts)]
    return [zlib.decompress(b"".join(data[part] for part in parts)) for parts in whole]
