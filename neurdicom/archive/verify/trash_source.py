"""Source of bytes for repairs in the archive itself: files in the trash, and earlier versions."""

import asyncio
import logging
from collections import defaultdict

from neurdicom.archive.verify.damage import Damage
from neurdicom.archive.verify.repair import RepairSource, copy_file
from neurdicom.blobs.base import BlobStore, Spool
from neurdicom.blobs.digest import digest_file
from neurdicom.catalog.records import Location
from neurdicom.errors import NotFound

log = logging.getLogger(__name__)


class TrashSource(RepairSource):
    """Source in the trash and the earlier versions of this archive.

    Parameters
    ----------
    blobs : BlobStore
        Has the files; it is searched when the first file is asked for.
    """

    name = "the trash"

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._by_sha256: dict[str, list[tuple[str, str]]] | None = None

    async def fetch(self, damage: Damage, location: Location | None, spool: Spool) -> bool:
        """Copy a file of the SHA-256 that is whole."""
        if self._by_sha256 is None:
            self._by_sha256 = await self._search()
        for place, key in self._by_sha256.get(damage.expected.sha256, []):
            if (place, key) == (damage.place, damage.key):
                continue
            try:
                path = await self._blobs.path_aside(place, key)
                digest = await asyncio.to_thread(digest_file, path)
            except NotFound:  # restored or emptied since
                continue
            except OSError as error:
                log.warning("%s/%s can't be read: %s", place, key, error.strerror)
                continue
            if digest.sha256 == damage.expected.sha256:
                await asyncio.to_thread(copy_file, path, spool)
                return True
        return False

    async def _search(self) -> dict[str, list[tuple[str, str]]]:
        """List the files by their SHA-256."""
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for place in await self._blobs.places():
            for ref in await self._blobs.aside(place):
                found[ref.sha256].append((place, ref.key))
        return found
