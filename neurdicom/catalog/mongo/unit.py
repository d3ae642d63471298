"""One write at a time, whole or not at all: by a transaction, or by a journal where the server has none.

A journal entry names, before the first change, all that a write may touch. Opening the catalog (and the next write
after one that failed) finishes what an entry tells of: a deletion is done again, blobs that an instance referred to
before become garbage if none does now, and the entities are brought in step with the instances, which are each written
in one step. A new blob that did not get an instance is left to ingest, which knows of it.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from pymongo import UpdateOne
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, PyMongoError

from neurdicom.catalog.mongo.schema import Document
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import TooLarge, Unavailable

T = TypeVar("T")

_RETRIES = 5


@dataclass
class Intent:
    """The entities and blobs that a write may touch: an entry of the journal."""

    touched: set[tuple[Level, str]] = field(default_factory=set)
    keys: list[str] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    delete: tuple[Level, str] | None = None
    clear: bool = False

    def to_document(self) -> Document:
        return {
            "_id": uuid.uuid4().hex,
            "touched": [f"{level}:{entity}" for level, entity in sorted(self.touched)],
            "keys": self.keys,
            "arrivals": self.arrivals,
            "delete": [self.delete[0].value, self.delete[1]] if self.delete else None,
            "clear": self.clear,
        }

    @classmethod
    def from_document(cls, document: Document) -> "Intent":
        delete = document["delete"]
        return cls(
            {(Level(one.partition(":")[0]), one.partition(":")[2]) for one in document["touched"]},
            document["keys"],
            document["arrivals"],
            (Level(delete[0]), delete[1]) if delete else None,
            document["clear"],
        )


class Unit:
    """A write under way: the collections, the session of its transaction, and its journal entry."""

    def __init__(
        self,
        database: "AsyncIOMotorDatabase[Document]",
        session: AsyncIOMotorClientSession | None,
        entry: str | None = None,
    ) -> None:
        self.database = database
        self.session = session
        self._entry = entry

    def __getitem__(self, name: str) -> Any:
        return self.database[name]

    async def announce(self, intent: Intent) -> None:
        """Tell the journal what comes, before the first change. A transaction needs none."""
        if self.session is None:
            document = intent.to_document()
            await self.database["journal"].insert_one(document)
            self._entry = document["_id"]

    async def touch(self, entities: set[tuple[Level, str]]) -> None:
        """Tell the journal of entities that the write turns out to touch besides."""
        if self._entry is not None:
            for level, entity in sorted(entities):
                more = {"$push": {"touched": f"{level}:{entity}"}}
                await self.database["journal"].update_one({"_id": self._entry}, more)

    async def settle(self) -> None:
        """Take the entry of a whole write off the journal."""
        if self._entry is not None:
            await self.database["journal"].delete_one({"_id": self._entry})

    async def bulk(self, name: str, operations: list[Any]) -> None:
        """Write many, in order, in one exchange."""
        if operations:
            await self.database[name].bulk_write(operations, session=self.session)

    async def all(self, name: str, where: Document, *fields: str) -> list[Document]:
        """Give all documents that match, with some of their fields."""
        shown = dict.fromkeys(fields, 1) if fields else None
        return [one async for one in self.database[name].find(where, shown, session=self.session)]

    async def one(self, name: str, key: Any) -> Document | None:
        """Give a document by id."""
        found: Document | None = await self.database[name].find_one({"_id": key}, session=self.session)
        return found

    async def among(self, name: str, ids: Iterable[Any], *fields: str, by: str = "_id") -> list[Document]:
        """Give the documents of some ids, asked for in batches of bounded size."""
        wanted, found = list(ids), []
        for start in range(0, len(wanted), 1000):
            found += await self.all(name, {by: {"$in": wanted[start : start + 1000]}}, *fields)
        return found

    async def remove(self, name: str, ids: Iterable[Any]) -> None:
        """Delete the documents of some ids, in batches of bounded size."""
        gone = list(ids)
        for start in range(0, len(gone), 1000):
            await self.database[name].delete_many({"_id": {"$in": gone[start : start + 1000]}}, session=self.session)

    async def add_garbage(self, keys: Iterable[str]) -> None:
        """Record blobs that are to be deleted."""
        await self.bulk("garbage", [UpdateOne({"_id": key}, {"$set": {"_id": key}}, upsert=True) for key in keys])


class Units:
    """The writes of this process, one after the other.

    Several servers may share a database that has transactions (a replica set, a sharded cluster); one without is for
    one server at a time.
    """

    def __init__(
        self,
        client: "AsyncIOMotorClient[Document]",
        database: "AsyncIOMotorDatabase[Document]",
        *,
        transactions: bool,
        recover: Callable[[Unit, Intent], Awaitable[None]],
    ) -> None:
        self._client = client
        self._database = database
        self._transactions = transactions
        self._recover = recover
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._unsettled = True

    async def write(self, work: Callable[[Unit], Coroutine[Any, Any, T]]) -> T:
        """Run a write to its end, also when the caller is cancelled meanwhile."""
        task = asyncio.create_task(self._write(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def finish_left_over(self) -> None:
        """Finish what an earlier process, or a write that failed, has left."""
        async with self._lock:
            await self._settle()

    async def finish(self) -> None:
        """Wait for the writes under way."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _write(self, work: Callable[[Unit], Coroutine[Any, Any, T]]) -> T:
        async with self._lock:
            await self._settle()
            if self._transactions:
                return await self._in_transaction(work)
            unit = Unit(self._database, None)
            self._unsettled = True
            result = await work(unit)
            await unit.settle()
            self._unsettled = False
            return result

    async def _in_transaction(self, work: Callable[[Unit], Coroutine[Any, Any, T]]) -> T:
        async with await self._client.start_session() as session:
            for attempt in range(_RETRIES):
                try:
                    result: T = await session.with_transaction(lambda one: work(Unit(self._database, one)))
                    return result
                except DuplicateKeyError:
                    # Another server has just made the same entity: the next attempt finds it there.
                    if attempt == _RETRIES - 1:
                        raise
        raise Unavailable("MongoDB refused a transaction again and again")

    async def _settle(self) -> None:
        if not self._unsettled:
            return
        for document in [one async for one in self._database["journal"].find({})]:
            unit = Unit(self._database, None, document["_id"])
            await self._recover(unit, Intent.from_document(document))
            await unit.settle()
        self._unsettled = False


def translated(error: PyMongoError) -> TooLarge | Unavailable:
    """Translate an error of the driver into one of ours."""
    if isinstance(error, DocumentTooLarge):
        return TooLarge(f"the header is larger than MongoDB takes: {error}")
    return Unavailable(f"MongoDB: {error}")
