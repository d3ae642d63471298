"""Healing: an instance that arrives again with the same bytes replaces its stored file where that is damaged."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from neurdicom.archive.verify.check import FileChecker
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.archive.verify.repair import Repairer, copy_file
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import NewInstance
from neurdicom.errors import NeurdicomError

log = logging.getLogger(__name__)

#: Stored files that are read at a time, so that the blob store has threads for others.
_AT_ONCE = 4


class Healer:
    """Service that compares duplicates with what is stored, and puts them in its place where that is damaged.

    Parameters
    ----------
    catalog : Catalog
        Says which file an instance has.
    blobs : BlobStore
        Has the files.
    registry : DamageRegistry
        Knows the damage.
    checker : FileChecker
        Reads the stored file.
    repairer : Repairer
        Puts the bytes back.
    """

    def __init__(
        self, catalog: Catalog, blobs: BlobStore, registry: DamageRegistry, checker: FileChecker, repairer: Repairer
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._registry = registry
        self._checker = checker
        self._repairer = repairer
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def heal(self, arrival: NewInstance, instance: str) -> bool:
        """Compare the file of a duplicate with the stored one, and put it in its place where that is damaged.

        Parameters
        ----------
        arrival : NewInstance
            The duplicate, whose own file is still in the blob store.
        instance : str
            Key of the instance that it is a duplicate of.

        Returns
        -------
        bool
            True if the stored file was damaged, and is whole now.
        """
        try:
            location = await self._catalog.locate(instance)
            if location is None or location.blob.sha256 != arrival.blob.sha256 or location.blob.key == arrival.blob.key:
                return False
            async with self._limit:
                damage = await self._checker.check(location)
            if damage is None:
                return False
            path = await self._blobs.path(arrival.blob.key)
            spool = await asyncio.to_thread(self._blobs.new_spool)
            try:
                await asyncio.to_thread(copy_file, path, spool)
                if spool.sha256 != location.blob.sha256:
                    log.error("the file of instance %s can't be healed: what arrived is damaged, too", arrival.instance)
                    return False
                return await self._repairer.put_back(location, spool, "it was uploaded again")
            finally:
                await asyncio.to_thread(spool.discard)
        except (NeurdicomError, OSError) as error:
            log.warning("the stored file of instance %s could not be compared or healed: %s", arrival.instance, error)
            return False

    async def forget(self, files: Mapping[str, str]) -> None:
        """Remove deleted files from the registry of damage; if that fails, the next check of all files does it.

        Parameters
        ----------
        files : mapping of str to str
            The files, with the places that they were set aside to, where they are still damaged; empty where they were
            deleted.
        """
        try:
            await self._registry.refresh()
            for file, place in files.items():
                if file not in self._registry:
                    continue
                damage = await self._registry.find(file)
                await self._registry.clear(file, "its instance was deleted, or has another file now")
                if damage is not None and place:
                    await self._registry.record(replace(damage, place=place, origin="deleted or replaced since"))
        except NeurdicomError as error:
            log.warning("deleted files stay among the damaged ones until the next check of all files: %s", error)
