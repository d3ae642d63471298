"""Removal of files that the catalog lists as garbage, which waits while a backup holds deletions."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby

from neurdicom.archive.hold import DelayedDeletion, are_deletions_held
from neurdicom.archive.verify.healing import Healer
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import version_place
from neurdicom.catalog.records import NewInstance
from neurdicom.errors import NotFound

log = logging.getLogger(__name__)

#: Files that are removed before the catalog is told.
_BATCH = 500
#: Seconds after which files are deleted again that the disk did not let go.
AGAIN_SECONDS = 30.0


class GarbageCollector:
    """Collector of files that the catalog has listed as garbage, which deletes them or sets them aside.

    Whatever removes files that the catalog knew calls it. Files that a hold or a failing disk keeps stay listed, and
    are removed when it ends, or at the next start.

    Parameters
    ----------
    catalog : Catalog
        Lists the garbage.
    blobs : BlobStore
        Has the files.
    healer : Healer, optional
        Compares the files of duplicates with the stored ones before they are deleted.

    Attributes
    ----------
    heals : bool
        True if there is a healer.
    lock : asyncio.Lock
        Held by whoever moves files out of the store or back.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, healer: Healer | None = None) -> None:
        self._healer = healer
        self.heals = healer is not None
        self._catalog = catalog
        self._blobs = blobs
        self.lock = asyncio.Lock()
        self._later = DelayedDeletion(
            catalog.documents,
            self.collect_all,
            "files that a backup had kept could not be deleted; the next start does it",
        )

    async def collect(self, garbage: Mapping[str, str]) -> bool:
        """Delete files that the catalog lists as garbage, or set them aside, and remove them from its list.

        Parameters
        ----------
        garbage : Mapping of str to str
            Keys of files that a committed transaction has listed as garbage, each with the place of the blob store that
            it is set aside to; an empty place deletes it.

        Returns
        -------
        bool
            False if a backup holds deletions: the files stay, listed, until it ends.

        Raises
        ------
        OSError
            The disk fails; they are deleted later.
        Unavailable
            The catalog or the blob store does not respond.
        """
        if await are_deletions_held(self._catalog.documents):
            self._later.start()
            return False
        try:
            async with self.lock:
                for place, group in groupby(sorted(garbage, key=lambda key: (garbage[key], key)), garbage.__getitem__):
                    keys = list(group)
                    for start in range(0, len(keys), _BATCH):
                        await self._collect(place, keys[start : start + _BATCH])
        except OSError:
            self._later.start(AGAIN_SECONDS)
            raise
        await self.forget_damage(garbage)
        return True

    async def forget_damage(self, files: Mapping[str, str]) -> None:
        """Forget the damage of files that are gone.

        Parameters
        ----------
        files : mapping of str to str
            The files as in `collect`, or files that were set aside with their places before their keys.
        """
        if self._healer is not None:
            await self._healer.forget(files)

    async def release_versions(self, keys: Sequence[str]) -> None:
        """Remove the names that restored versions may still have among the versions, before the files are moved.

        Afterwards nobody would know that such a name is not a version of its own. Called with the lock.
        """
        await self._blobs.release(*map(version_place, keys))

    async def _collect(self, place: str, keys: Sequence[str]) -> None:
        await self.release_versions(keys)
        if place:
            # Restored meanwhile: its file is in use again.
            used = await self._catalog.known_blobs(keys)
            await self._blobs.set_aside(place, [key for key in keys if key not in used])
        else:
            await self._blobs.delete(keys)
        await self._catalog.forget_garbage(keys)

    async def sizes(self, keys: Sequence[str]) -> dict[str, int]:
        """Look up the sizes of files that are garbage, and were not removed yet; 0 for one that is missing."""
        found = dict.fromkeys(keys, 0)
        for key in keys:
            with suppress(NotFound):
                found[key] = await self._blobs.size(key)
        return found

    async def heal(self, duplicate: NewInstance, instance: str) -> bool:
        """Compare the file of a duplicate, which is garbage, with the stored one; return whether it has healed that.

        Parameters
        ----------
        duplicate : NewInstance
            The arrival.
        instance : str
            Key of the instance that it is a duplicate of.
        """
        return self._healer is not None and await self._healer.heal(duplicate, instance)

    async def discard(self, key: str) -> None:
        """Delete a file that the catalog never knew, so that no copy of it does; one that fails stays."""
        try:
            await self._blobs.delete([key])
        except OSError as error:
            log.warning("file %s, which nothing refers to, could not be deleted, and stays: %s", key, error)

    async def collect_all(self) -> None:
        """Remove all files that the catalog lists as garbage; what fails stays listed, and is tried again."""
        garbage = await self._catalog.garbage()
        if not garbage:
            return
        try:
            collected = await self.collect(garbage)
        except OSError as error:
            log.warning(
                "%d files that nothing refers to could not be removed, which is tried again: %s",
                len(garbage),
                error,
            )
            return
        if collected:
            log.info("%d files that nothing referred to were removed", len(garbage))
        else:
            log.info("%d files that nothing refers to are removed when the backup under way has ended", len(garbage))

    async def close(self) -> None:
        """Stop waiting for a hold or a disk; the next start deletes what is left. Idempotent."""
        await self._later.close()
