"""Service of the trash: deletions that are kept for a time, and their restoration."""

import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.hold import are_deletions_held
from neurdicom.archive.ingest.recovery import read_file
from neurdicom.archive.lookup import missing, names_of
from neurdicom.archive.trash.adopt import Adopter
from neurdicom.archive.trash.entry import (
    SECONDS_A_DAY,
    VERSION,
    SetAsideObserver,
    TrashEntry,
    TrashState,
    to_iso,
    uids_of,
)
from neurdicom.archive.trash.records import TrashRecords
from neurdicom.archive.trash.versions import VersionService
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import StoreOutcome, StorePolicy
from neurdicom.catalog.records import Edit, Entity, Located
from neurdicom.coordination import Periodic
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, Gone, NeurdicomError, NotFound, Unavailable

log = logging.getLogger(__name__)

#: Files that are restored in one transaction of the catalog.
_BATCH = 256

#: Seconds between two looks at what has lain there for its time; fewer where that is a fraction of a day.
_EMPTY_SECONDS = 3600.0

#: Entries that are emptied in one step.
_EMPTIED_AT_ONCE = 100

#: An instance that is there with other bytes stays current, and the restored one becomes an earlier version.
_RESTORED = StorePolicy(same_instance="earlier", keep_versions=True)

#: A restored version is current from now on.
_CURRENT = StorePolicy(same_instance="version", keep_versions=True)


@dataclass(frozen=True, slots=True)
class Deletion:
    """Who deletes something, and why."""

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
        Is told of what is set aside, comes back or is deleted for good.
    days : float
        Days that something lies in the trash.

    Attributes
    ----------
    versions : VersionService
        The earlier versions of instances.
    """

    def __init__(
        self, catalog: Catalog, blobs: BlobStore, garbage: GarbageCollector, observer: SetAsideObserver, days: float
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._garbage = garbage
        self._observer = observer
        self._days = days
        self._records = TrashRecords(catalog.documents)
        self.versions = VersionService(catalog, blobs, self._records, observer, days)
        self._adopter = Adopter(blobs, self._records, self.versions, days)
        self._under_way: set[str] = set()
        interval = min(_EMPTY_SECONDS, max(days * SECONDS_A_DAY / 10, 1.0)) if days else _EMPTY_SECONDS
        self._emptying = Periodic(self.empty_due, interval, "the trash could not be emptied")

    async def open(self) -> None:
        """Finish what an earlier process had begun, and empty the trash now and then from now on."""
        await self._recover()
        self._emptying.start()

    async def close(self) -> None:
        """Stop emptying the trash. Idempotent."""
        await self._emptying.stop()

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

    # -- into the trash --------------------------------------------------------------------------------------

    async def delete(self, level: Level, reference: str, deletion: Deletion) -> TrashEntry:
        """Move an entity with everything below it to the trash.

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
        located = await self._catalog.locate_all(level, entity["key"])
        names = await names_of(self._catalog, level, entity["key"])
        entry = await self._entry(level, entity, located, deletion)
        await self._records.put(entry)
        keys = await self._catalog.delete(level, entity["key"], aside=entry.place)
        if keys is None:
            await self._records.remove(entry.id)
            raise missing(level, reference)
        sizes = {one.location.blob.key: one.location.blob.size for one in located}
        entry = await self._records.advance(
            entry, TrashState.KEPT, instances=len(keys), bytes=sum(sizes.get(key, 0) for key in keys)
        )
        try:
            await self._garbage.collect(dict.fromkeys(keys, entry.place))
        except (OSError, Unavailable) as error:
            log.warning(
                "files of %s %s could not be moved to the trash, which is tried again: %s", level, reference, error
            )
        for each, key in names:
            await self._observer.on_set_aside(each, key, entry.place)
        return entry

    async def _entry(self, level: Level, entity: Entity, located: Sequence[Located], deletion: Deletion) -> TrashEntry:
        key, now = entity["key"], datetime.now(UTC)
        uids = [uid_of(entity[above.value]) for above in level.above[1:]]
        patient = entity if level is Level.PATIENT else await self._catalog.get(Level.PATIENT, entity["patient"])
        below = (*tuple(Level)[tuple(Level).index(level) :],)
        edits = {edit: None for one in located for edit in one.edits if edit.level in below}
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
            edits=tuple(edits),
        )

    # -- out of the trash ------------------------------------------------------------------------------------

    async def restore(self, id: str) -> TrashEntry:
        """Restore an entry whole: files, edits, and what was derived from it.

        Parents are made anew. An instance that is there with the same bytes is left; one with other bytes stays
        current, and the restored one becomes an earlier version. A version becomes the current one.

        Parameters
        ----------
        id : str
            Id of the entry.

        Returns
        -------
        TrashEntry
            The entry that is no more.

        Raises
        ------
        NotFound
            There is no such entry.
        Conflict
            It is being restored or emptied.
        """
        async with self._begun(id, TrashState.RESTORING) as entry:
            await self._bring_back(entry)
        return entry

    async def _bring_back(self, entry: TrashEntry) -> None:
        superseded: list[StoreOutcome] = []
        policy = _CURRENT if entry.kind == VERSION else _RESTORED
        async with self._garbage.lock:
            await self._take_waiting(entry)
            refs = await self._blobs.aside(entry.place)
            for start in range(0, len(refs), _BATCH):
                batch = refs[start : start + _BATCH]
                arrivals = [await read_file(await self._blobs.path_aside(entry.place, ref.key), ref) for ref in batch]
                await self._blobs.bring_back(entry.place, [ref.key for ref in batch])
                outcomes = await self._catalog.store(arrivals, policy)
                superseded += [outcome for outcome in outcomes if outcome.unused is not None]
            await self._blobs.release(entry.place, [ref.key for ref in refs])
        await self._garbage.collect({str(outcome.unused): outcome.aside for outcome in superseded})
        for outcome in superseded:
            await self.versions.note(outcome)
        for (level, key, user, at), edits in groupby(entry.edits, lambda e: (e.level, e.entity, e.user, e.time)):
            await self._edit_again(level, key, list(edits), user, at)
        await self._observer.on_brought_back(entry.place)
        await self._records.remove(entry.id)

    async def _take_waiting(self, entry: TrashEntry) -> None:
        """Move files of an entry to its place that a backup has kept in the store."""
        waiting = [key for key, place in (await self._catalog.garbage()).items() if place == entry.place]
        if waiting:
            await self._blobs.set_aside(entry.place, waiting)
            await self._catalog.forget_garbage(waiting)

    async def _edit_again(self, level: Level, key: str, edits: Sequence[Edit], user: str, at: str) -> None:
        """Restore edits of one entity, except where it was edited since."""
        if not await self._catalog.keys(level, key):
            return
        there = await self._catalog.locate_all(level, key)
        since = {edit.field for one in there[:1] for edit in one.edits if edit.level is level and edit.time > at}
        changes = {edit.field: edit.value for edit in edits if edit.field not in since}
        if changes:
            await self._catalog.edit(level, key, changes, user=user, time=at)

    # -- for good --------------------------------------------------------------------------------------------

    async def empty(self, id: str) -> TrashEntry:
        """Delete an entry for good.

        Parameters
        ----------
        id : str
            Id of the entry.

        Raises
        ------
        NotFound
            There is no such entry.
        Conflict
            It is being restored or emptied.
        """
        async with self._begun(id, TrashState.EMPTYING) as entry:
            await self._discard(entry)
        return entry

    @asynccontextmanager
    async def _begun(self, id: str, state: TrashState) -> AsyncIterator[TrashEntry]:
        """Begin to restore or to empty an entry, or go on with it after a failure."""
        entry = await self._records.get(id)
        if await are_deletions_held(self._catalog.documents):
            raise Conflict("a backup is under way, which copies the trash as it is; try again when it has ended")
        if state is TrashState.RESTORING and entry.state is TrashState.KEPT:
            await self._require_files(entry)
        if entry.state is not state or id in self._under_way:
            entry = await self._records.advance(entry, state)
        self._under_way.add(id)
        try:
            yield entry
        finally:
            self._under_way.discard(id)

    async def _require_files(self, entry: TrashEntry) -> None:
        """Refuse to restore an entry whose files are gone, as after a backup without them was restored."""
        if await self._blobs.aside(entry.place) or entry.place in (await self._catalog.garbage()).values():
            return
        raise Gone(f"the files of the entry {entry.id} of the trash are gone; delete it")

    async def _discard(self, entry: TrashEntry) -> None:
        async with self._garbage.lock:
            await self._take_waiting(entry)
            await self._blobs.discard_aside(entry.place)
        await self._observer.on_discarded(entry.place)
        await self._records.remove(entry.id)

    async def empty_due(self) -> None:
        """Delete for good what has lain in the trash for its time."""
        count = 0
        while due := await self._records.due(time.time(), limit=_EMPTIED_AT_ONCE):
            for entry in due:
                try:
                    await self.empty(entry.id)
                    count += 1
                except (NotFound, Conflict) as error:  # by somebody else at this moment, or while a backup is made
                    log.info("the entry %s of the trash is not emptied now: %s", entry.id, error)
                    return
        if count:
            log.info("%d entries of the trash were deleted, since their time was over", count)

    # -- after a crash ---------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Finish what an earlier process had begun, and list files whose record is lost."""
        garbage = set((await self._catalog.garbage()).values())
        for entry in await self._records.unfinished():
            try:
                await self._finish(entry, is_deleted=entry.place in garbage)
            except (NeurdicomError, OSError) as error:
                log.warning(
                    "the entry %s of the trash could not be finished, the next start tries again: %s", entry.id, error
                )
        await self._adopter.run()

    async def _finish(self, entry: TrashEntry, *, is_deleted: bool) -> None:
        if entry.state is TrashState.KEPT:
            await self._records.put(entry)  # its terms may be those of an earlier state
        elif entry.state is TrashState.RESTORING:
            await self._bring_back(entry)
        elif entry.state is TrashState.EMPTYING:
            await self._discard(entry)
        elif is_deleted or await self._blobs.aside(entry.place):
            refs = await self._blobs.aside(entry.place)
            size = sum(ref.size for ref in refs)
            entry = await self._records.advance(entry, TrashState.KEPT, instances=len(refs), bytes=size)
            if entry.kind != VERSION:
                await self._observer.on_set_aside(Level(entry.kind), entry.entity, entry.place)
        else:  # the deletion was never committed
            await self._records.remove(entry.id)
