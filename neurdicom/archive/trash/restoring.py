"""Restoration of entries of the trash: files, edits, and what was derived from them."""

from typing import Final

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.ingest.recovery import read_file
from neurdicom.archive.trash.check import SetAsideChecker
from neurdicom.archive.trash.discard import EntryDiscarder
from neurdicom.archive.trash.entry import VERSION, SetAsideObserver, TrashEntry, TrashState
from neurdicom.archive.trash.records import TrashRecords
from neurdicom.archive.trash.renewal import CURRENT
from neurdicom.archive.trash.restored import RestoredStudies
from neurdicom.archive.trash.versions import InstanceVersion, VersionService
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import StoreOutcome, StorePolicy
from neurdicom.catalog.records import Edit
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, Gone

#: Files that are restored in one transaction of the catalog.
_BATCH: Final = 256

#: An instance that is there with other bytes stays current, and the restored one becomes an earlier version.
_RESTORED = StorePolicy(same_instance="earlier", keep_versions=True)


class EntryRestorer:
    """Restores entries whole.

    Parameters
    ----------
    catalog : Catalog
        Gets the instances and the edits.
    blobs : BlobStore
        Has the files.
    garbage : GarbageCollector
        Removes the files of those that are there already.
    records : TrashRecords
        Records of the trash.
    versions : VersionService
        Records restored files that are not current.
    discarder : EntryDiscarder
        Deletes what is left of entries that were restored.
    observer : SetAsideObserver
        Brings back what was derived from them.
    checker : SetAsideChecker
        Reads the files before.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: BlobStore,
        garbage: GarbageCollector,
        records: TrashRecords,
        versions: VersionService,
        discarder: EntryDiscarder,
        observer: SetAsideObserver,
        checker: SetAsideChecker,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._garbage = garbage
        self._records = records
        self._versions = versions
        self._discarder = discarder
        self._observer = observer
        self._checker = checker
        self._restored = RestoredStudies(catalog)
        self._under_way: set[str] = set()

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
            It is being restored.
        Gone
            Its files are gone, or one of them is damaged; nothing is restored.
        """
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
        finally:
            self._under_way.discard(id)
        return entry

    def require_idle(self, id: str) -> None:
        """Refuse an entry that is being restored at this moment. Raises `Conflict`."""
        if id in self._under_way:
            raise Conflict(f"the entry {id} of the trash is being restored just now; try again in a moment")

    async def bring_back(self, entry: TrashEntry) -> None:
        """Restore an entry that is `restoring`; may be repeated."""
        superseded: list[StoreOutcome] = []
        policy = CURRENT if entry.kind == VERSION else _RESTORED
        async with self._garbage.lock:
            files = await self._checker.files.of(entry.place)
            for start in range(0, len(files), _BATCH):
                batch = files[start : start + _BATCH]
                arrivals = [await read_file(await self._checker.files.path(file), file.ref) for file in batch]
                await self._blobs.bring_back(entry.place, [file.ref.key for file in batch])
                outcomes = await self._catalog.store(arrivals, policy)
                superseded += [outcome for outcome in outcomes if outcome.unused is not None]
                await self._restored.note({outcome.place.study for outcome in outcomes if outcome.place})
        await self._garbage.collect({str(outcome.unused): outcome.aside for outcome in superseded})
        for outcome in superseded:
            await self._versions.note(outcome)
        await self._catalog.restore_edits(entry.edits)
        await self._observer.on_brought_back(entry.place)
        # The place of a version is used again when the same file is replaced again; that of a deletion never is.
        is_current = entry.kind == VERSION and not {file.ref.key for file in files} & {one.unused for one in superseded}
        state = TrashState.RESTORED if is_current else TrashState.EMPTYING
        await self._discarder.discard(await self._records.advance(entry, state))


async def edits_of_gone(catalog: Catalog, entry: TrashEntry) -> tuple[Edit, ...]:
    """Select the edits that went with what was deleted; those of parents that are left stay with these."""
    edited = {(edit.level, edit.entity) for edit in entry.edits}
    above = [one for one in edited if one[0] in Level(entry.kind).above]
    left = {one for one in above if await catalog.keys(*one)}
    return tuple(edit for edit in entry.edits if (edit.level, edit.entity) not in left)
