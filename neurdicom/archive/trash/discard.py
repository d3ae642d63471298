"""Deletion of entries of the trash for good, which waits while a backup holds deletions."""

import logging

from neurdicom.archive.garbage import AGAIN_SECONDS
from neurdicom.archive.hold import DelayedDeletion, are_deletions_held
from neurdicom.archive.trash.entry import OVER, TrashEntry, TrashState
from neurdicom.archive.trash.stores import TrashStores
from neurdicom.errors import Unavailable

log = logging.getLogger(__name__)


class EntryDiscarder:
    """Deleter of the files of entries that are emptied, or that were restored.

    Such an entry is no longer listed. Files that a backup or a failing disk keeps are deleted later.

    Parameters
    ----------
    stores : TrashStores
        Stores of the trash.
    """

    def __init__(self, stores: TrashStores) -> None:
        self._catalog = stores.catalog
        self._blobs = stores.blobs
        self._garbage = stores.garbage
        self._records = stores.records
        self._observer = stores.observer
        self._files = stores.files
        self._later = DelayedDeletion(
            stores.catalog.documents,
            self._discard_waiting,
            "emptied entries of the trash could not be deleted; the next start does it",
        )

    async def discard(self, entry: TrashEntry) -> None:
        """Delete the files and records of an emptied or restored entry: now, or when a backup under way has ended.

        The state is committed before the holds are read: either the catalog that a backup has copied has the state, or
        its hold is found here.
        """
        try:
            if await are_deletions_held(self._catalog.documents):
                self._later.start()
                return
            async with self._garbage.lock:
                if entry.state is TrashState.RESTORED:
                    # A file of the same version that was set aside again meanwhile stays.
                    await self._blobs.release(entry.place)
                else:
                    await self._take_waiting(entry.place)
                    files = [entry.place, *(f"{entry.place}/{ref.key}" for ref in await self._blobs.aside(entry.place))]
                    await self._blobs.discard_aside(entry.place)
                    await self._garbage.forget_damage(dict.fromkeys(files, ""))
                    await self._observer.on_discarded(entry.place)
                await self._records.remove(entry)
        except (OSError, Unavailable) as error:
            log.warning("the entry %s of the trash could not be deleted, which is tried again: %s", entry.id, error)
            self._later.start(AGAIN_SECONDS)

    async def put(self, entry: TrashEntry) -> None:
        """Write an entry whose place may have been used before, but not while the files of that are deleted."""
        async with self._garbage.lock:
            await self._records.put(entry)

    async def close(self) -> None:
        """Stop waiting for backups; the next start deletes what is left. Idempotent."""
        await self._later.close()

    async def _take_waiting(self, place: str) -> None:
        """Set aside the files of an entry that waited in the store for the end of a backup."""
        waiting = await self._files.waiting(place)
        if waiting:
            await self._garbage.release_versions(waiting)
            await self._blobs.set_aside(place, waiting)
            await self._catalog.forget_garbage(waiting)

    async def _discard_waiting(self) -> None:
        for entry in await self._records.unfinished():
            if entry.state in OVER:
                await self.discard(entry)
