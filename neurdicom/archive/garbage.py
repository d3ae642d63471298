"""Deletion of files that the catalog lists as garbage, which waits while a backup holds deletions."""

import asyncio
import logging
from collections.abc import Sequence

from neurdicom.archive.hold import are_deletions_held
from neurdicom.archive.verify.healing import Healer
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog, NewInstance
from neurdicom.coordination import BackgroundTasks

log = logging.getLogger(__name__)

#: Seconds between two looks at a hold that deletions wait for.
POLL_SECONDS = 2.0

#: Seconds after which files are deleted again that the disk did not let go.
AGAIN_SECONDS = 30.0


class GarbageCollector:
    """Deletes files from the blob store after the catalog has listed them as garbage.

    Whatever deletes files that the catalog knew calls it. Files that a hold or a failing disk keeps stay listed, and
    are deleted when it ends, or at the next start.

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
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, healer: Healer | None = None) -> None:
        self._healer = healer
        self.heals = healer is not None
        self._catalog = catalog
        self._blobs = blobs
        self._is_waiting = False
        self._background = BackgroundTasks("files that a backup had kept could not be deleted; the next start does it")

    async def delete(self, keys: Sequence[str]) -> bool:
        """Delete files that the catalog lists as garbage; it is then the caller's to forget them there.

        Parameters
        ----------
        keys : sequence of str
            Keys of the files, listed as garbage in a transaction that has been committed.

        Returns
        -------
        bool
            False if a backup holds deletions: the files stay, listed, and are deleted later.

        Raises
        ------
        OSError
            The disk fails; they are deleted later.
        Unavailable
            The catalog or the blob store does not respond.
        """
        if await are_deletions_held(self._catalog.documents):
            self._wait()
            return False
        try:
            await self._blobs.delete(keys)
        except OSError:
            self._wait(AGAIN_SECONDS)
            raise
        if self._healer is not None:
            await self._healer.forget(keys)
        return True

    async def heal(self, duplicate: NewInstance) -> bool:
        """Compare the file of a duplicate, which is garbage, with the stored one; return whether it has healed that."""
        return self._healer is not None and await self._healer.heal(duplicate)

    async def discard(self, key: str) -> None:
        """Delete a file that the catalog never knew, so that no copy of it does; one that fails stays."""
        try:
            await self._blobs.delete([key])
        except OSError as error:
            log.warning("file %s, which nothing refers to, could not be deleted, and stays: %s", key, error)

    async def delete_all(self) -> None:
        """Delete all files that the catalog lists as garbage; what fails stays listed, and is tried again."""
        garbage = await self._catalog.garbage()
        if not garbage:
            return
        try:
            deleted = await self.delete(garbage)
        except OSError as error:
            log.warning(
                "%d files that nothing refers to could not be deleted, which is tried again: %s",
                len(garbage),
                error,
            )
            return
        if not deleted:
            log.info("%d files that nothing refers to are deleted when the backup under way has ended", len(garbage))
            return
        await self._catalog.forget_garbage(garbage)
        log.info("%d files that nothing referred to were deleted", len(garbage))

    async def close(self) -> None:
        """Stop waiting for a hold or a disk; the next start deletes what is left. Idempotent."""
        await self._background.close()

    def _wait(self, seconds: float = 0.0) -> None:
        """Delete later what is listed, and not before a time has passed."""
        if not self._is_waiting:
            self._is_waiting = True
            self._background.start(self._delete_later(seconds))

    async def _delete_later(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            while await are_deletions_held(self._catalog.documents):  # noqa: ASYNC110 - another process ends it
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._is_waiting = False
        await self.delete_all()
