"""Restoration of entries of the trash, with their edits, labels and results."""

from functools import partial
from typing import Final

from neurdicom.archive.ingest.recovery import read_file
from neurdicom.archive.trash.check import SetAsideChecker
from neurdicom.archive.trash.discard import EntryDiscarder
from neurdicom.archive.trash.entry import VERSION, TrashEntry, TrashState
from neurdicom.archive.trash.renewal import CURRENT
from neurdicom.archive.trash.restored import RestoredStudies
from neurdicom.archive.trash.stores import TrashStores
from neurdicom.archive.trash.versions import InstanceVersion, VersionService
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import StoreOutcome, StorePolicy
from neurdicom.catalog.records import Edit
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, Gone, Unavailable

#: Files that are restored in one transaction of the catalog.
_BATCH: Final = 256

#: An instance that is there with other bytes stays current, and the restored one becomes an earlier version.
_RESTORED = StorePolicy(same_instance="earlier", keep_versions=True)


class EntryRestorer:
    """Restorer of whole entries.

    Parameters
    ----------
    stores : TrashStores
        Stores of the trash.
    versions : VersionService
        Records restored files that are not current.
    discarder : EntryDiscarder
        Deletes the rest of entries that were restored.
    checker : SetAsideChecker
        Reads the files before.
    """

    def __init__(
        self, stores: TrashStores, versions: VersionService, discarder: EntryDiscarder, checker: SetAsideChecker
    ) -> None:
        self._stores = stores
        self._catalog = stores.catalog
        self._records = stores.records
        self._observer = stores.observer
        self._versions = versions
        self._discarder = discarder
        self._checker = checker
        self._restored = RestoredStudies(stores.catalog)
        self._under_way: set[str] = set()

    async def restore(self, id: str) -> TrashEntry:
        """Restore an entry whole, for `TrashService.restore`."""
        self.require_idle(id)
        self._under_way.add(id)
        try:
            entry = await self._records.get(id)
            if entry.state is not TrashState.RESTORING:  # else it goes on after a failure
                if not await self._checker.files.of(entry.place):
                    raise Gone(f"the files of the entry {id} of the trash are gone; delete it")
                await self._checker.require_whole(entry)
                if entry.kind == VERSION and await self._catalog.displaced(entry.entity):
                    await self._versions.renew(entry.entity, InstanceVersion.of(entry))
                    return entry
                entry = await self._records.advance(entry, TrashState.RESTORING)
            await self.bring_back(entry)
        except (OSError, Unavailable) as error:
            self._stores.retries.put(
                f"the entry {id} of the trash could not be restored", partial(self._resume, id), error
            )
            raise
        finally:
            self._under_way.discard(id)
        return entry

    async def _resume(self, id: str) -> None:
        """Resume a restoration that a disk or the catalog refused, unless it is under way or over."""
        entry = await self._records.get(id)
        if entry.state is TrashState.RESTORING and id not in self._under_way:
            self._under_way.add(id)
            try:
                await self.bring_back(entry)
            finally:
                self._under_way.discard(id)

    def require_idle(self, id: str) -> None:
        """Refuse an entry that is being restored at this moment. Raises `Conflict`."""
        if id in self._under_way:
            raise Conflict(f"the entry {id} of the trash is being restored just now; try again in a moment")

    async def bring_back(self, entry: TrashEntry) -> None:
        """Restore an entry that is `restoring`; may be repeated."""
        superseded: list[StoreOutcome] = []
        policy = CURRENT if entry.kind == VERSION else _RESTORED
        async with self._stores.garbage.lock:
            files = await self._checker.files.of(entry.place)
            for start in range(0, len(files), _BATCH):
                batch = files[start : start + _BATCH]
                arrivals = [await read_file(await self._checker.files.path(file), file.ref) for file in batch]
                await self._stores.blobs.bring_back(entry.place, [file.ref.key for file in batch])
                outcomes = await self._catalog.store(arrivals, policy)
                superseded += [outcome for outcome in outcomes if outcome.unused is not None]
                await self._restored.note({outcome.place.study for outcome in outcomes if outcome.place})
        await self._stores.garbage.collect({str(outcome.unused): outcome.aside for outcome in superseded})
        for outcome in superseded:
            await self._versions.note(outcome)
        await self._catalog.restore_edits(entry.edits)
        await self._observer.on_brought_back(entry.place)
        # The place of a version is used again when the same file is replaced again; that of a deletion never is.
        is_current = entry.kind == VERSION and not {file.ref.key for file in files} & {one.unused for one in superseded}
        state = TrashState.RESTORED if is_current else TrashState.EMPTYING
        await self._discarder.discard(await self._records.advance(entry, state))


async def edits_of_gone(catalog: Catalog, entry: TrashEntry) -> tuple[Edit, ...]:
    """Select the edits that were deleted with an entry; those of parents that are still there are not among them."""
    edited = {(edit.level, edit.entity) for edit in entry.edits}
    above = [one for one in edited if one[0] in Level(entry.kind).above]
    left = {one for one in above if await catalog.keys(*one)}
    return tuple(edit for edit in entry.edits if (edit.level, edit.entity) not in left)
