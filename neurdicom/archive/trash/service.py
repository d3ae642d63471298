"""Service of the trash: deletions that are kept for a time, and their restoration."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.lookup import missing, names_of
from neurdicom.archive.trash.adopt import Adopter
from neurdicom.archive.trash.check import SetAsideChecker
from neurdicom.archive.trash.discard import EntryDiscarder
from neurdicom.archive.trash.entry import (
    SECONDS_A_DAY,
    SetAsideObserver,
    TrashEntry,
    TrashState,
    goes_with,
    to_iso,
    uids_of,
)
from neurdicom.archive.trash.recovery import TrashRecovery
from neurdicom.archive.trash.restoring import EntryRestorer, edits_of_gone
from neurdicom.archive.trash.stores import TrashStores
from neurdicom.archive.trash.versions import VersionService
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Edit, Entity, Located
from neurdicom.coordination import Periodic
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, NotFound, Unavailable

log = logging.getLogger(__name__)

#: Seconds between two looks at what has lain there for its time; fewer where that is a fraction of a day.
_EMPTY_SECONDS = 3600.0

#: Entries that are emptied in one step.
_EMPTIED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Deletion:
    """User and reason of a deletion."""

    user: str | None = None
    reason: str | None = None


class TrashService:
    """Service that moves entities to the trash, restores them, and empties it.

    Parameters
    ----------
    catalog : Catalog
        Has the entities and the records.
    blobs : BlobStore
        Has the files.
    garbage : GarbageCollector
        Moves the files of what was deleted.
    observer : SetAsideObserver
        Called for entities that are set aside, restored or deleted for good.
    guard : FileGuard
        Gives files in use.
    checker : SetAsideChecker
        Reads files of the trash before they are restored.
    days : float
        Days that something lies in the trash.

    Attributes
    ----------
    versions : VersionService
        The earlier versions of instances.
    retries : RetryQueue
        Does later what a disk or the catalog refuses once a deletion is committed.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: BlobStore,
        garbage: GarbageCollector,
        observer: SetAsideObserver,
        guard: FileGuard,
        checker: SetAsideChecker,
        days: float,
    ) -> None:
        self._catalog = catalog
        self._days = days
        stores = TrashStores.of(catalog, blobs, garbage, observer)
        self._stores = stores
        self._records = stores.records
        self.retries = stores.retries
        self._discarder = EntryDiscarder(stores)
        self.versions = VersionService(stores, self._discarder, guard, checker, days)
        self._restorer = EntryRestorer(stores, self.versions, self._discarder, checker)
        adopter = Adopter(blobs, stores.records, self.versions, days)
        self._recovery = TrashRecovery(stores, self._restorer, self._discarder, adopter)
        interval = min(_EMPTY_SECONDS, max(days * SECONDS_A_DAY / 10, 1.0)) if days else _EMPTY_SECONDS
        self._emptying = Periodic(self.empty_due, interval, "the trash could not be emptied")

    async def open(self) -> None:
        """Finish what an earlier process had begun, and empty the trash now and then from now on."""
        await self._recovery.run()
        self._emptying.start()

    async def close(self) -> None:
        """Stop emptying the trash. Idempotent."""
        await self._emptying.stop()
        await self.retries.close()
        await self._discarder.close()

    @property
    def keeps(self) -> bool:
        """True if deletions go to the trash; otherwise they are final."""
        return self._days > 0

    async def page(self, *, limit: int, offset: int = 0) -> tuple[list[TrashEntry], int]:
        """List a page of the entries, the latest first, and their number."""
        return await self._records.page(limit=limit, offset=offset)

    async def get(self, id: str) -> TrashEntry:
        """Return an entry. Raises `NotFound`."""
        return await self._records.get(id)

    async def usage(self) -> tuple[int, int]:
        """Count the entries, and the bytes of their files."""
        return await self._records.usage()

    async def size(self) -> int:
        """Add up the bytes of the files of all entries."""
        return await self._records.size()

    async def oldest(self, limit: int) -> list[TrashEntry]:
        """List the entries that lie there longest."""
        return await self._records.oldest(limit=limit)

    async def being_restored(self) -> list[TrashEntry]:
        """List the entries whose restoration is under way, also in another process."""
        return [entry for entry in await self._records.unfinished() if entry.state is TrashState.RESTORING]

    # -- into the trash --------------------------------------------------------------------------------------

    async def delete(self, level: Level, reference: str, deletion: Deletion) -> TrashEntry:
        """Move an entity with everything below it to the trash.

        Where the disk or the catalog refuses what follows the deletion, it is done later.

        Parameters
        ----------
        level : Level
            Level of the entity.
        reference : str
            Its key or UID.
        deletion : Deletion
            Who deletes it, and why.

        Returns
        -------
        TrashEntry
            Its entry; in the state `deleting` where something is left to do.

        Raises
        ------
        NotFound
            Nothing has this id.
        Ambiguous
            The UID names several entities.
        """
        entity = await self._catalog.get(level, reference)
        if entity is None:
            raise missing(level, reference)
        entry = await self._entry(level, entity, deletion)
        await self._records.put(entry)  # before the edits are read: what is edited from now on is added to it
        located = await self._catalog.locate_all(level, entity["key"])
        entry = await self._records.add_edits(entry.id, await self._edits(located)) or entry
        displaced = {one.blob.key: one.blob.size for one in await self._catalog.displaced(entity["key"], level)}
        names = await names_of(self._catalog, level, entity["key"])
        patient = entity["id"] if level is Level.PATIENT else entity["patient"]
        await self._stores.observer.labels.note(entry.place, patient, located)
        keys = await self._catalog.delete(level, entity["key"], aside=entry.place)
        if keys is None:
            await self._stores.observer.labels.discard(entry.place)
            await self._records.remove(entry)
            raise missing(level, reference)

        async def finish() -> None:
            nonlocal entry
            await self._stores.observer.labels.note(entry.place, patient, located)  # those that were given meanwhile
            await self._stores.observer.labels.set_aside(entry.place)
            for each, key in names:  # before anybody can empty or restore the entry
                await self._stores.observer.on_set_aside(each, key, entry.place)
            sizes = {one.location.blob.key: one.location.blob.size for one in located} | displaced
            late = await self._stores.garbage.sizes([key for key in keys if key not in sizes])  # arrived since located
            size = sum((sizes | late)[key] for key in keys)
            try:
                await self._stores.garbage.collect(dict.fromkeys(keys, entry.place))
            except (OSError, Unavailable) as error:
                log.warning("files of %s %s could not be moved, which is tried again: %s", level, reference, error)
            entry = await self._keep(entry, instances=len(keys), bytes=size)  # last: until then all is done again

        await self.retries.attempt(f"the trash does not show {level} {reference}, which was deleted", finish)
        return entry

    async def _keep(self, entry: TrashEntry, **counts: int) -> TrashEntry:
        """Let an entry be in the trash, with the edits that were made while it was deleted."""
        while True:
            entry = await self._records.add_edits(entry.id, ()) or entry
            edits = await edits_of_gone(self._catalog, entry)
            try:
                return await self._records.advance(entry, TrashState.KEPT, edits=edits, **counts)
            except Conflict:
                if await self._records.add_edits(entry.id, ()) in (None, entry):  # no edit was added meanwhile
                    raise

    async def take_along(self, level: Level, entity: Entity) -> None:
        """Let the edits of an entity, which has just been edited, go with what is being deleted of it.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : Entity
            The entity.
        """
        for entry in await self._records.deleting():
            if goes_with(entry, level, entity):
                await self._records.add_edits(entry.id, await self._catalog.history(level, entity["key"]))

    async def _edits(self, located: Sequence[Located]) -> list[Edit]:
        edited = dict.fromkeys((edit.level, edit.entity) for one in located for edit in one.edits)
        return [edit for each in edited for edit in await self._catalog.history(*each)]

    async def _entry(self, level: Level, entity: Entity, deletion: Deletion) -> TrashEntry:
        key, now = entity["key"], datetime.now(UTC)
        uids = [uid_of(entity[above.value]) for above in level.above[1:]]
        patient = entity if level is Level.PATIENT else await self._catalog.get(Level.PATIENT, entity["patient"])
        return TrashEntry(
            kind=level.value,
            entity=key,
            uids=uids_of(level, *uids, *([] if level is Level.PATIENT else [uid_of(key)])),
            patient=patient["id"] if patient else None,
            patient_id=patient["patient_id"] if patient else None,
            patient_name=patient["patient_name"] if patient else None,
            user=deletion.user,
            time=to_iso(now),
            reason=deletion.reason,
            until=now.timestamp() + self._days * SECONDS_A_DAY,
        )

    async def restore(self, id: str) -> TrashEntry:
        """Restore an entry whole: files, edits, labels and results.

        Parents are made anew. An instance that is there with the same bytes is left; one with other bytes stays
        current, and the restored one becomes an earlier version. A version becomes the current one.

        Parameters
        ----------
        id : str
            Id of the entry.

        Returns
        -------
        TrashEntry
            The entry, which is gone from the trash.

        Raises
        ------
        NotFound
            There is no such entry.
        Conflict
            It is being restored.
        Gone
            Its files are gone, or one of them is damaged; nothing is restored.
        """
        return await self._restorer.restore(id)

    # -- for good --------------------------------------------------------------------------------------------

    async def empty(self, id: str) -> TrashEntry:
        """Delete an entry for good; it is in no list from now on, also where a backup keeps its files for a while.

        Parameters
        ----------
        id : str
            Id of the entry.

        Raises
        ------
        NotFound
            There is no such entry.
        Conflict
            It is being restored.
        """
        self._restorer.require_idle(id)
        entry = await self._records.advance(await self._records.get(id), TrashState.EMPTYING)
        await self._discarder.discard(entry)
        return entry

    async def empty_due(self) -> None:
        """Delete for good what has lain in the trash for its time."""
        count = 0
        while due := await self._records.due(time.time(), limit=_EMPTIED_AT_ONCE):
            for entry in due:
                try:
                    await self.empty(entry.id)
                    count += 1
                except (NotFound, Conflict) as error:  # another request deletes or restores it
                    log.info("the entry %s of the trash is not emptied now: %s", entry.id, error)
                    return
        if count:
            log.info("%d entries of the trash were deleted, since their time was over", count)
