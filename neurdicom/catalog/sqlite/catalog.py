"""The archive port in SQLite: each verb is a function that runs in a thread, in one transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.cache import ReadCache
from neurdicom.catalog.moves import DisplacedFile, Move, MovedSeries, MoveRequest
from neurdicom.catalog.outcomes import KEEP_ALL, StoreOutcome, StorePolicy, UidConflict
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.records import (
    DescribedInstance,
    Edit,
    Entity,
    Located,
    Location,
    MigrationProgress,
    NewInstance,
    Page,
    StudyHolding,
)
from neurdicom.catalog.sqlite import conflicts, editing, holdings, instances, lookup, migration, moving, schema, select
from neurdicom.catalog.sqlite.connection import Connection, Connections
from neurdicom.catalog.sqlite.documents import SqliteDocuments
from neurdicom.catalog.sqlite.moving import Mover
from neurdicom.catalog.sqlite.stored_moves import MoveTable
from neurdicom.catalog.sqlite.storing import ArrivalWriter
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.catalog.sqlite.writer import Writer
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query, Value

#: Most locations in the cache.
_LOCATIONS = 20_000


class SqliteCatalog(Catalog):
    """The catalog in one SQLite file.

    One server process at a time may use the DICOM part of a file (locations are cached in memory); other processes,
    such as `neurdicom user`, may read and write documents at the same time.

    Parameters
    ----------
    path : Path
        The file; its folder is created if missing.
    """

    def __init__(self, path: Path) -> None:
        self._connections = Connections(path)
        self.documents = SqliteDocuments(self._connections)
        self._locations: ReadCache[Location] = ReadCache(_LOCATIONS)

    async def open(self) -> None:
        await self._connections.open()

    async def close(self) -> None:
        await self._connections.close()
        self._locations.invalidate()

    async def needs_migration(self) -> bool:
        return await self._connections.read(schema.needs_migration)

    async def migrate(self, progress: Callable[[MigrationProgress], None]) -> None:
        if not await self.needs_migration():
            return
        await self._connections.write(schema.begin_migration)
        for statement in await self._connections.read(migration.superfluous):
            await self._connections.write(partial(migration.drop, statement=statement))
        done, total = await self._connections.read(migration.counts)
        while moved := await self._connections.write(migration.move):
            done += moved
            progress(MigrationProgress(done, total))
        found = await self._connections.write(migration.findings)
        await self._connections.write(migration.finish, lambda _: self._locations.invalidate())
        progress(MigrationProgress(done, total, found))

    async def store(self, arrivals: Sequence[NewInstance], policy: StorePolicy = KEEP_ALL) -> list[StoreOutcome]:
        def work(db: Connection) -> tuple[list[StoreOutcome], bool]:
            tx = Transaction(db)
            outcomes = ArrivalWriter(tx).store(arrivals, policy)
            # A reference may name something else, with other edits, or another file.
            return outcomes, tx.ids.changed or any(outcome.status == "replaced" for outcome in outcomes)

        def finished(result: tuple[list[StoreOutcome], bool]) -> None:
            if result[1]:
                self._locations.invalidate()

        return (await self._connections.write(work, finished))[0]

    async def conflicts(self) -> list[UidConflict]:
        return await self._connections.read(conflicts.conflicts)

    async def keys(self, level: Level, reference: str) -> tuple[str, ...]:
        def work(db: Connection) -> tuple[str, ...]:
            row = lookup.row_of(db, level, reference)
            return () if row is None else lookup.keys_of(db, level, row)

        return await self._connections.read(work)

    async def all_keys(self, level: Level, references: Collection[str]) -> dict[str, tuple[str, ...]]:
        def work(db: Connection) -> dict[str, tuple[str, ...]]:
            rows = {reference: lookup.row_of(db, level, reference) for reference in references}
            return {one: () if row is None else lookup.keys_of(db, level, row) for one, row in rows.items()}

        return await self._connections.read(work) if references else {}

    async def shared(self, level: Level, uids: Collection[str]) -> set[str]:
        return await self._connections.read(lambda db: lookup.shared(db, level, uids))

    async def get(self, level: Level, entity: str) -> Entity | None:
        return await self._connections.read(lambda db: select.get(db, level, entity))

    async def find(self, query: Query) -> Page:
        return await self._connections.read(lambda db: select.find(db, query))

    async def locate(self, instance: str) -> Location | None:
        location = self._locations.get(instance)
        if location is None:
            generation = self._locations.generation
            location = await super().locate(instance)
            if location is not None:
                self._locations.put(instance, location, generation)
        return location

    async def locate_all(self, level: Level, entity: str) -> list[Located]:
        return await self._connections.read(lambda db: instances.located(db, level, entity))

    async def digests(self, instances: Sequence[str]) -> dict[str, str]:
        return await self._connections.read(lambda db: select.digests(db, instances))

    async def described(
        self, level: Level, entity: str, *, after: str = "", budget: int = 1 << 62
    ) -> list[DescribedInstance]:
        return await self._connections.read(lambda db: instances.described(db, level, entity, after, budget))

    async def headers(self, level: Level, entity: str) -> list[bytes]:
        return await self._connections.read(lambda db: instances.headers(db, level, entity))

    async def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        return await self._connections.read(lambda db: instances.samples(db, level, entities))

    async def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        return await self._connections.read(lambda db: select.sop_classes(db, studies))

    async def edit(self, level: Level, entity: str, changes: Mapping[str, Value], *, user: str, time: str) -> bool:
        return await self._connections.write(
            lambda db: editing.edit(db, level, entity, changes, user, time), lambda _: self._locations.invalidate()
        )

    async def history(self, level: Level, entity: str) -> list[Edit]:
        return await self._connections.read(lambda db: editing.history(db, level, entity))

    async def undo(self, level: Level, entity: str, edit_id: str) -> bool:
        return await self._connections.write(
            lambda db: editing.undo(db, level, entity, edit_id), lambda _: self._locations.invalidate()
        )

    async def restore_edits(self, edits: Sequence[Edit]) -> None:
        await self._connections.write(lambda db: editing.restore(db, edits), lambda _: self._locations.invalidate())

    async def delete(self, level: Level, entity: str, *, aside: str = "") -> list[str] | None:
        return await self._connections.write(
            lambda db: Writer(db).delete(level, entity, aside), lambda _: self._locations.invalidate()
        )

    async def move(self, request: MoveRequest) -> list[MovedSeries]:
        return await self._connections.write(
            lambda db: Mover(Transaction(db)).move(request), lambda _: self._locations.invalidate()
        )

    async def undo_move(self, edit: str) -> list[MovedSeries] | None:
        return await self._connections.write(
            lambda db: Mover(Transaction(db)).undo(edit), lambda _: self._locations.invalidate()
        )

    async def moves(self, level: Level, entity: str) -> list[Move]:
        return await self._connections.read(lambda db: moving.moves_of(db, level, entity))

    async def merged_into(self, patient: str) -> str | None:
        return await self._connections.read(lambda db: MoveTable(db).merged_into(patient))

    async def displaced(self, entity: str, level: Level = Level.INSTANCE) -> list[DisplacedFile]:
        return await self._connections.read(lambda db: moving.displaced(db, level, entity))

    async def clear(self) -> None:
        await self._connections.write(
            lambda db: holdings.clear(db, Writer(db).clear), lambda _: self._locations.invalidate()
        )

    async def stored_bytes(self) -> int:
        return await self._connections.read(holdings.stored_bytes)

    async def holdings(self, limit: int, after: StudyHolding | None = None) -> list[StudyHolding]:
        return await self._connections.read(lambda db: holdings.holdings(db, limit, after))

    async def holdings_of(self, studies: Collection[str]) -> list[StudyHolding]:
        return await self._connections.read(lambda db: holdings.holdings_of(db, studies))

    async def garbage(self) -> dict[str, str]:
        return await self._connections.read(lambda db: dict(db.execute("SELECT key, place FROM garbage").fetchall()))

    async def forget_garbage(self, keys: Sequence[str]) -> None:
        await self._connections.write(lambda db: Writer(db).forget_garbage(keys))

    async def known_blobs(self, keys: Sequence[str]) -> set[str]:
        wanted = to_json(list(keys)).decode()
        statement = " UNION ALL ".join(
            f"SELECT blob_key FROM json_each(?1) CROSS JOIN {table} ON blob_key = value"
            for table in ("instance", "displaced")
        )
        return await self._connections.read(lambda db: {key for (key,) in db.execute(statement, (wanted,))})
