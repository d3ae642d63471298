"""The connection to a MongoDB database, which updates its schema and translates the driver's errors."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ReturnDocument, WriteConcern
from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

from neurdicom.catalog.mongo import schema, writer
from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.mongo.unit import UnitOfWork, UnitOfWorkRunner, translated_error
from neurdicom.errors import Ambiguous, Unavailable

Database = AsyncIOMotorDatabase[Document]
T = TypeVar("T")

_PATIENCE = "serverSelectionTimeoutMS"
_CONNECT_MILLISECONDS = 10_000


class MongoConnection:
    """Connection to a database, shared by the adapters of both ports; `MongoCatalog` describes its parameters."""

    def __init__(self, uri: str, database: str | None, transactions: bool | None) -> None:
        self._uri = uri
        self._name = database
        self._transactions = transactions
        self._client: AsyncIOMotorClient[Document] | None = None
        self._opened: tuple[Database, UnitOfWorkRunner] | None = None

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises `Unavailable`."""
        try:
            self._opened = await self._open()
        except (InvalidURI, ConfigurationError) as error:
            await self.close()
            raise Unavailable(f"MongoDB can't be reached by this URI: {error}") from error
        except PyMongoError as error:
            await self.close()
            raise Unavailable(f"MongoDB: {error}") from error
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> tuple[Database, UnitOfWorkRunner]:
        # The URI's own options take precedence.
        patience: dict[str, Any] = {} if _PATIENCE.lower() in self._uri.lower() else {_PATIENCE: _CONNECT_MILLISECONDS}
        self._client = AsyncIOMotorClient(self._uri, **patience)
        hello = await self._client.admin.command("hello")
        offered = bool(hello.get("setName")) or hello.get("msg") == "isdbgrid"
        transactions = offered if self._transactions is None else self._transactions
        named = self._client[self._name] if self._name else self._client.get_default_database("neurdicom")
        database = named.with_options(write_concern=WriteConcern(w="majority" if offered else 1, j=True))
        outdated = await schema.prepare(database)
        units = UnitOfWorkRunner(self._client, database, transactions=transactions, recover=writer.recover)
        await units.recover_interrupted()
        if outdated:
            await writer.rebuild(UnitOfWork(database, None))
            await schema.record_finished(database)
        return database, units

    async def close(self) -> None:
        """Finish the running writes, then disconnect. Idempotent."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened[1].finish()
        client, self._client = self._client, None
        if client is not None:
            # The driver ends its sessions on the server, which blocks.
            await asyncio.to_thread(client.close)

    async def use(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        """Run reads, or a write of one document, on the database. Raises `Unavailable` or `TooLarge`."""
        database, _ = self._open_now()
        try:
            return await self.unambiguous(lambda: work(database))
        except PyMongoError as error:
            raise translated_error(error) from error

    async def unambiguous(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a read, and again after running and interrupted writes where it finds several entities of one reference.

        Without transactions an entity that such a write moves may be in two places.

        Parameters
        ----------
        read : callable
            The read, which may raise `Ambiguous`.
        """
        try:
            return await read()
        except Ambiguous:
            _, units = self._open_now()
            try:
                await units.recover_interrupted()
            except PyMongoError as error:
                raise translated_error(error) from error
            return await read()

    async def write(self, work: Callable[[UnitOfWork], Coroutine[Any, Any, T]]) -> T:
        """Run a write of many documents, whole or not at all. Raises `Unavailable` or `TooLarge`."""
        _, units = self._open_now()
        try:
            return await units.write(work)
        except PyMongoError as error:
            raise translated_error(error) from error

    def _open_now(self) -> tuple[Database, UnitOfWorkRunner]:
        if self._opened is None:
            raise Unavailable("the catalog is not open")
        return self._opened


async def take_numbers(database: Database, counter: str, count: int) -> int:
    """Reserve consecutive numbers of a counter.

    Parameters
    ----------
    database : Database
        The database.
    counter : str
        Name of the counter.
    count : int
        How many numbers to reserve.

    Returns
    -------
    int
        The first of them. Numbers grow, but have gaps where writes failed.
    """
    found = await database["meta"].find_one_and_update(
        {"_id": counter}, {"$inc": {"last": count}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    return int(found["last"]) - count + 1
