"""Checks of stored files: each is read and compared with the SHA-256 that the catalog has of it."""

from collections.abc import AsyncIterator
from typing import Protocol

from neurdicom.archive.lookup import location_of
from neurdicom.archive.verify.damage import Damage
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.blobs.base import BlobDigest, BlobStore, Pace
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Location
from neurdicom.errors import NeurdicomError, NotFound


class FileChecker:
    """Checker of the files of instances, which records what is damaged, and what is not any more.

    Parameters
    ----------
    catalog : Catalog
        Says which file an instance has, and what bytes were received.
    blobs : BlobStore
        Has the files.
    registry : DamageRegistry
        Gets the damage.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, registry: DamageRegistry) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._registry = registry

    async def check(self, location: Location, pace: Pace | None = None, *, from_disk: bool = False) -> Damage | None:
        """Read the file of an instance, and compare it with what was received.

        What looks damaged is looked at twice: the instance may have been deleted or replaced meanwhile, or its file
        been put back.

        Parameters
        ----------
        location : Location
            Of the instance.
        pace : callable, optional
            Slows the reading down, or stops it.
        from_disk : bool
            Read what the disk has rather than what is cached of it.

        Returns
        -------
        Damage or None
            The damage, which is recorded; None if the file is whole, or no instance has it any more.

        Raises
        ------
        Unavailable
            The blob store or the catalog is not there.
        """
        damage = await self._compare(location, pace, from_disk=from_disk)
        key = location.blob.key
        if damage is None:
            if key in self._registry:
                await self._registry.clear(key, "its bytes are those that were received")
            return None
        if not await self.is_current(location):
            await self._registry.clear(key, "its instance was deleted, or has another file now")
            return None
        damage = await self._compare(location, pace, from_disk=from_disk)
        if damage is None:
            await self._registry.clear(key, "its bytes are those that were received")
            return None
        return await self._registry.record(damage)

    async def is_current(self, location: Location) -> bool:
        """Tell whether an instance still has the file that it had when it was located."""
        return await location_of(self._catalog, location.instance, location.blob.key) is not None

    async def _compare(self, location: Location, pace: Pace | None, *, from_disk: bool) -> Damage | None:
        found: BlobDigest | None = None
        detail = ""
        try:
            await self._blobs.size(location.blob.key)  # tells a store that is away from a file that is missing
            found = await self._blobs.digest(location.blob.key, pace, from_disk=from_disk)
        except NotFound:
            pass
        except NeurdicomError:
            raise
        except OSError as error:
            detail = error.strerror or type(error).__name__
        return Damage.of(location, found, detail)


class SetAsideChecks(Protocol):
    """Checker of the files that are set aside, which the trash implements."""

    def check_all(self, pace: Pace | None = None) -> AsyncIterator[tuple[int, Damage | None]]:
        """Check all files that are set aside on the disk; yield the bytes of each, and its damage, now recorded."""

    async def check_again(self, damage: Damage, pace: Pace | None = None) -> None:
        """Check a file that is known to be damaged, and forget it if it is whole, or is not there any more."""

    async def is_there(self, damage: Damage) -> bool:
        """Tell whether a damaged file still is there."""
