"""Atomic writes: by a transaction, or by a journal where the database server has no transactions.

Before its first change a write announces in a journal entry all that it may change. Opening the catalog (and the next
write after one that failed) finishes the write of each entry: a deletion is repeated, blobs that an instance referred
to before become garbage if none does now, claims become those of the instances that were stored, and the entities and
their ids are updated to the instances, which are each written in one step. A new blob that did not get an instance is
left to ingest, which recovers it.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from pymongo import UpdateOne
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, PyMongoError

from neurdicom.catalog.mongo.holdings import ByteTotal, recount
from neurdicom.catalog.mongo.schema import Document
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import TooLarge, Unavailable

T = TypeVar("T")

log = logging.getLogger(__name__)

_RETRIES = 5


@dataclass
class Intent:
    """A journal entry: the entities and blobs that a write may change.

    Attributes
    ----------
    touched : set of (Level, str)
        Levels and `_id`s of entities to update.
    keys : list of str
        Blobs that instances refer to before the write.
    arrivals : list of int
        Numbers of the arrivals, and of the instances that they replace.
    delete : (Level, str) or None
        Level and `_id` of an entity to delete.
    aside : str
        Place that the blobs of the deleted entity are set aside to.
    keeps_versions : bool
        True to set aside the blobs that are replaced.
    clear : bool
        True to delete all entities.
    uids : set of (Level, str)
        UIDs that may name more, or fewer, entities afterwards.
    claims : dict of str to list of Document
        The claims before the write of each Study Instance UID whose claims it changes.
    moves : list of (str, str, str)
        Study Instance UIDs that go over to another patient, with the former patient and the new one.
    undone : list of str
        Fields of the touched instances that show what their files say where no edit is left.
    moved : str
        Id of an edit that moves something, or is taken back.
    origins : list of str
        `_id`s of the origins whose instances are placed again.
    of_before : bool
        True for an entry of an earlier schema, which names entities by UIDs.
    """

    touched: set[tuple[Level, str]] = field(default_factory=set)
    keys: list[str] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    delete: tuple[Level, str] | None = None
    aside: str = ""
    keeps_versions: bool = False
    clear: bool = False
    uids: set[tuple[Level, str]] = field(default_factory=set)
    claims: dict[str, list[Document]] = field(default_factory=dict)
    moves: list[tuple[str, str, str]] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    moved: str = ""
    origins: list[str] = field(default_factory=list)
    of_before: bool = False

    def to_document(self) -> Document:
        """Write the entry as a document of the collection `journal`."""
        return {
            "_id": uuid.uuid4().hex,
            "touched": _written(self.touched),
            "keys": self.keys,
            "arrivals": self.arrivals,
            "delete": [self.delete[0].value, self.delete[1]] if self.delete else None,
            "aside": self.aside,
            "keeps_versions": self.keeps_versions,
            "clear": self.clear,
            "uids": _written(self.uids),
            "claims": [{"study": study, "before": before} for study, before in self.claims.items()],
            "moves": [list(move) for move in self.moves],
            "undone": self.undone,
            "moved": self.moved,
            "origins": self.origins,
        }

    @classmethod
    def from_document(cls, document: Document) -> "Intent":
        """Read the document that `to_document` wrote, or an earlier version's."""
        delete = document["delete"]
        return cls(
            _read(document["touched"]),
            document["keys"],
            document["arrivals"],
            (Level(delete[0]), delete[1]) if delete else None,
            document.get("aside", ""),
            document.get("keeps_versions", False),
            document["clear"],
            _read(document.get("uids", ())),
            {one["study"]: one["before"] for one in document.get("claims", ())},
            [(study, former, patient) for study, former, patient in document.get("moves", ())],
            document.get("undone", []),
            document.get("moved", ""),
            document.get("origins", []),
            "uids" not in document,
        )

    def joined(self, more: "Intent") -> "Intent":
        """Add the further changes that the same write turns out to make."""
        return Intent(
            self.touched | more.touched,
            [*self.keys, *more.keys],
            [*self.arrivals, *more.arrivals],
            self.delete or more.delete,
            self.aside or more.aside,
            self.keeps_versions or more.keeps_versions,
            self.clear or more.clear,
            self.uids | more.uids,
            more.claims | self.claims,
            [*self.moves, *more.moves],
            [*self.undone, *more.undone],
            self.moved or more.moved,
            list(dict.fromkeys([*self.origins, *more.origins])),
            self.of_before,
        )


def _written(entities: Iterable[tuple[Level, str]]) -> list[str]:
    return [f"{level}:{entity}" for level, entity in sorted(entities)]


def _read(texts: Iterable[str]) -> set[tuple[Level, str]]:
    return {(Level(one.partition(":")[0]), one.partition(":")[2]) for one in texts}


class UnitOfWork:
    """Unit of work: a running write with the collections, the session of its transaction, and its journal entry.

    Attributes
    ----------
    bytes : int
        What it has added to the bytes of studies so far, or, by a negative number, taken away.
    """

    def __init__(
        self,
        database: "AsyncIOMotorDatabase[Document]",
        session: AsyncIOMotorClientSession | None,
        entry: str | None = None,
    ) -> None:
        self.database = database
        self.session = session
        self.bytes = 0
        self._entry = entry

    def __getitem__(self, name: str) -> Any:
        return self.database[name]

    async def announce(self, intent: Intent) -> None:
        """Write the journal entry before the first change, or add to it before another. A transaction needs none."""
        if self.session is not None:
            return
        journal = self.database["journal"]
        there = await journal.find_one({"_id": self._entry}) if self._entry is not None else None
        if there is not None:
            more = Intent.from_document(there).joined(intent)
            await journal.replace_one({"_id": self._entry}, more.to_document() | {"_id": self._entry})
            return
        document = intent.to_document()
        await journal.insert_one(document)
        self._entry = document["_id"]

    async def touch(self, entities: set[tuple[Level, str]]) -> None:
        """Add entities to the journal entry that the write turns out to change too."""
        if self._entry is not None:
            for level, entity in sorted(entities):
                more = {"$push": {"touched": f"{level}:{entity}"}}
                await self.database["journal"].update_one({"_id": self._entry}, more)

    def count_bytes(self, change: int) -> None:
        """Count bytes that a study gets or, by a negative number, loses."""
        self.bytes += change

    async def complete(self) -> None:
        """Delete the journal entry of a finished write."""
        if self._entry is not None:
            await self.database["journal"].delete_one({"_id": self._entry})

    async def bulk(self, name: str, operations: list[Any]) -> None:
        """Run write operations on a collection, in order, in one request."""
        if operations:
            await self.database[name].bulk_write(operations, session=self.session)

    async def all(self, name: str, where: Document, *fields: str) -> list[Document]:
        """List all documents of a collection that match a filter.

        Parameters
        ----------
        name : str
            Name of the collection.
        where : Document
            MongoDB's filter.
        *fields : str
            Members to load; all if none is named.
        """
        shown = dict.fromkeys(fields, 1) if fields else None
        return [one async for one in self.database[name].find(where, shown, session=self.session)]

    async def one(self, name: str, key: Any) -> Document | None:
        """Look up a document by id; return None if there is none."""
        found: Document | None = await self.database[name].find_one({"_id": key}, session=self.session)
        return found

    async def among(self, name: str, ids: Iterable[Any], *fields: str, by: str = "_id") -> list[Document]:
        """List the documents that have one of several ids, in batches of bounded size.

        Parameters
        ----------
        name : str
            Name of the collection.
        ids : iterable
            The ids.
        *fields : str
            Members to load; all if none is named.
        by : str
            Member that is compared with the ids.
        """
        wanted, found = list(ids), []
        for start in range(0, len(wanted), 1000):
            found += await self.all(name, {by: {"$in": wanted[start : start + 1000]}}, *fields)
        return found

    async def remove(self, name: str, ids: Iterable[Any]) -> None:
        """Delete the documents that have one of several ids, in batches of bounded size."""
        gone = list(ids)
        for start in range(0, len(gone), 1000):
            await self.database[name].delete_many({"_id": {"$in": gone[start : start + 1000]}}, session=self.session)

    async def add_garbage(self, places: Mapping[str, str]) -> None:
        """Record blobs that leave the store, each with the place that it is set aside to; empty to delete it."""
        changes = {key: {"$set": {"place": place}} for key, place in places.items()}
        await self.bulk("garbage", [UpdateOne({"_id": key}, change, upsert=True) for key, change in changes.items()])


class UnitOfWorkRunner:
    """Runner of this process's writes, one at a time.

    Several servers may share a database that has transactions (a replica set, a sharded cluster); one without them
    is for one server at a time.
    """

    def __init__(
        self,
        client: "AsyncIOMotorClient[Document]",
        database: "AsyncIOMotorDatabase[Document]",
        *,
        transactions: bool,
        recover: Callable[[UnitOfWork, Intent], Awaitable[None]],
    ) -> None:
        self._client = client
        self._database = database
        self._transactions = transactions
        self._recover = recover
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._may_be_interrupted = True
        self._total = ByteTotal()

    async def write(self, work: Callable[[UnitOfWork], Coroutine[Any, Any, T]]) -> T:
        """Run a write to its end, even if the caller is cancelled meanwhile."""
        task = asyncio.create_task(self._write(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def recover_interrupted(self) -> None:
        """Finish the writes that an earlier process, or a failure, interrupted."""
        async with self._lock:
            await self._recover_interrupted()

    async def finish(self) -> None:
        """Wait for the running writes."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _write(self, work: Callable[[UnitOfWork], Coroutine[Any, Any, T]]) -> T:
        async with self._lock:
            await self._recover_interrupted()
            if self._transactions:
                return await self._in_transaction(work)
            unit = UnitOfWork(self._database, None)
            self._may_be_interrupted = True
            result = await self._whole(work, unit)
            await unit.complete()
            self._may_be_interrupted = False
            return result

    async def _whole(self, work: Callable[[UnitOfWork], Coroutine[Any, Any, T]], unit: UnitOfWork) -> T:
        result = await work(unit)
        await self._total.add(self._database, unit.session, unit.bytes)
        return result

    async def _in_transaction(self, work: Callable[[UnitOfWork], Coroutine[Any, Any, T]]) -> T:
        async with await self._client.start_session() as session:
            for attempt in range(_RETRIES):
                try:
                    result: T = await session.with_transaction(
                        lambda one: self._whole(work, UnitOfWork(self._database, one))
                    )
                    return result
                except DuplicateKeyError:
                    # Another server has just created the same entity: the next attempt finds it.
                    if attempt == _RETRIES - 1:
                        raise
        raise Unavailable(f"MongoDB refused a transaction {_RETRIES} times")

    async def _recover_interrupted(self) -> None:
        if not self._may_be_interrupted:
            return
        units = []
        for document in [one async for one in self._database["journal"].find({})]:
            units.append(UnitOfWork(self._database, None, document["_id"]))
            await self._recover(units[-1], Intent.from_document(document))
        if units:
            await recount(self._database)
        for unit in units:
            await unit.complete()
        self._may_be_interrupted = False


def translated_error(error: PyMongoError) -> TooLarge | Unavailable:
    """Log an error of the driver, and translate it into one of ours, which does not name the server's hosts."""
    if isinstance(error, DocumentTooLarge):
        return TooLarge(f"a document is larger than MongoDB allows: {error}")
    log.error("MongoDB: %s", error)
    return Unavailable("MongoDB can't be used now; the server's log says why")
