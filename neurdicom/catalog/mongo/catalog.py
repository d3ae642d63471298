"""The archive port in MongoDB."""

from collections.abc import Callable, Collection, Mapping, Sequence

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import editing, holdings, ids, migration, moving, schema, select, writer
from neurdicom.catalog.mongo import instances as below
from neurdicom.catalog.mongo.connection import Database, MongoConnection, take_numbers
from neurdicom.catalog.mongo.displaced import displaced, known_blobs
from neurdicom.catalog.mongo.documents import MongoDocuments
from neurdicom.catalog.mongo.placed import PlacedArrivals
from neurdicom.catalog.mongo.references import keys_of
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.moves import DisplacedFile, Move, MovedSeries, MoveRequest
from neurdicom.catalog.outcomes import KEEP_ALL, StoreOutcome, StorePolicy, UidConflict
from neurdicom.catalog.records import (
    DescribedInstance,
    Edit,
    Entity,
    Located,
    MigrationProgress,
    NewInstance,
    Page,
    StudyHolding,
)
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query, Value


class MongoCatalog(Catalog):
    """The catalog in a MongoDB database.

    With transactions (a replica set or a sharded cluster) each write is one transaction, and several servers may share
    the database. A standalone MongoDB has none: only one NeurDICOM at a time may use it, and an interrupted write is
    finished when the catalog is next opened. Until then an instance may be found before it is counted.

    Parameters
    ----------
    uri : str
        `mongodb://...`, with the options of the driver.
    database : str, optional
        Name of the database; by default the one that the URI names, else `neurdicom`.
    transactions : bool, optional
        Whether to use transactions; by default if the database server has them.
    """

    def __init__(self, uri: str, database: str | None = None, *, transactions: bool | None = None) -> None:
        self._connection = MongoConnection(uri, database, transactions)
        self.documents = MongoDocuments(self._connection)

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    async def migrate(self, progress: Callable[[MigrationProgress], None]) -> None:
        await migration.bring_along(self._connection.use, self._connection.write, progress)

    async def needs_migration(self) -> bool:
        return await self._connection.use(schema.is_migrating)

    async def store(self, arrivals: Sequence[NewInstance], policy: StorePolicy = KEEP_ALL) -> list[StoreOutcome]:
        if not arrivals:
            return []
        first = await self._connection.use(lambda database: take_numbers(database, "arrivals", len(arrivals)))
        return await self._connection.write(
            lambda unit: PlacedArrivals(unit, dict(enumerate(arrivals, first)), policy).store()
        )

    async def conflicts(self) -> list[UidConflict]:
        return await self._connection.use(lambda database: ids.conflicts(UnitOfWork(database, None)))

    async def keys(self, level: Level, reference: str) -> tuple[str, ...]:
        return await self._connection.use(lambda database: keys_of(UnitOfWork(database, None), level, reference))

    async def shared(self, level: Level, uids: Collection[str]) -> set[str]:
        return await self._connection.use(lambda database: ids.shared_uids(UnitOfWork(database, None), level, uids))

    async def find(self, query: Query) -> Page:
        return await self._connection.use(lambda database: select.find(database, query))

    async def get(self, level: Level, entity: str) -> Entity | None:
        return await self._connection.unambiguous(lambda: super(MongoCatalog, self).get(level, entity))

    async def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        return await self._connection.use(lambda database: select.sop_classes(database, studies))

    async def locate_all(self, level: Level, entity: str) -> list[Located]:
        return await self._connection.use(lambda database: below.located(database, level, entity))

    async def digests(self, instances: Sequence[str]) -> dict[str, str]:
        return await self._connection.use(lambda database: below.digests(database, instances))

    async def described(
        self, level: Level, entity: str, *, after: str = "", budget: int = 1 << 62
    ) -> list[DescribedInstance]:
        return await self._connection.use(lambda database: below.described(database, level, entity, after, budget))

    async def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        return await self._connection.use(lambda database: below.samples(database, level, entities))

    async def edit(self, level: Level, entity: str, changes: Mapping[str, Value], *, user: str, time: str) -> bool:
        return await self._connection.write(lambda unit: editing.edit(unit, level, entity, changes, user, time))

    async def history(self, level: Level, entity: str) -> list[Edit]:
        return await self._connection.use(lambda database: editing.history(UnitOfWork(database, None), level, entity))

    async def undo(self, level: Level, entity: str, edit_id: str) -> bool:
        return await self._connection.write(lambda unit: editing.undo(unit, level, entity, edit_id))

    async def restore_edits(self, edits: Sequence[Edit]) -> None:
        await self._connection.write(lambda unit: editing.restore(unit, edits))

    async def delete(self, level: Level, entity: str, *, aside: str = "") -> list[str] | None:
        return await self._connection.write(lambda unit: writer.delete(unit, level, entity, aside))

    async def clear(self) -> None:
        await self._connection.write(writer.clear)

    async def stored_bytes(self) -> int:
        return await self._connection.use(holdings.stored_bytes)

    async def holdings(self, limit: int, after: StudyHolding | None = None) -> list[StudyHolding]:
        return await self._connection.use(lambda database: holdings.holdings(database, limit, after))

    async def move(self, request: MoveRequest) -> list[MovedSeries]:
        number = await self._connection.use(lambda database: take_numbers(database, "moves", 1))
        return await self._connection.write(lambda unit: moving.move(unit, number, request))

    async def undo_move(self, edit: str) -> list[MovedSeries] | None:
        return await self._connection.write(lambda unit: moving.undo(unit, edit))

    async def moves(self, level: Level, entity: str) -> list[Move]:
        return await self._connection.use(lambda database: moving.moves_of(UnitOfWork(database, None), level, entity))

    async def merged_into(self, patient: str) -> str | None:
        return await self._connection.use(lambda database: moving.merged_into(UnitOfWork(database, None), patient))

    async def displaced(self, entity: str, level: Level = Level.INSTANCE) -> list[DisplacedFile]:
        return await self._connection.use(lambda database: displaced(UnitOfWork(database, None), level, entity))

    async def holdings_of(self, studies: Collection[str]) -> list[StudyHolding]:
        return await self._connection.use(lambda database: holdings.holdings_of(database, studies))

    async def garbage(self) -> dict[str, str]:
        async def work(database: Database) -> dict[str, str]:
            return {one["_id"]: one.get("place", "") async for one in database["garbage"].find({})}

        return await self._connection.use(work)

    async def forget_garbage(self, keys: Sequence[str]) -> None:
        await self._connection.write(lambda unit: unit.remove("garbage", keys))

    async def known_blobs(self, keys: Sequence[str]) -> set[str]:
        return await self._connection.use(lambda database: known_blobs(UnitOfWork(database, None), keys))
