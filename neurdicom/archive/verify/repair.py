"""Repairs: the bytes that were received are put into the place of a damaged file, wherever they are found again."""

import asyncio
import hashlib
import logging
import os
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from neurdicom.archive.hold import DeletionHold
from neurdicom.archive.lookup import location_of
from neurdicom.archive.verify.check import FileChecker
from neurdicom.archive.verify.damage import Damage
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.blobs.base import BlobStore, Spool
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Location
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Invalid, NeurdicomError, NotFound

log = logging.getLogger(__name__)

_PIECE = 1024 * 1024
_SHA256 = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class RepairSource(ABC):
    """Port of a place that may have the bytes of damaged files.

    Attributes
    ----------
    name : str
        Name of the place, for reports.
    """

    name: str

    @abstractmethod
    async def fetch(self, damage: Damage, location: Location | None, spool: Spool) -> bool:
        """Write the presumed bytes of a file to a spool; the caller compares them with its SHA-256.

        Parameters
        ----------
        damage : Damage
            The damaged file.
        location : Location or None
            Of its instance; None for a file that is set aside.
        spool : Spool
            Empty.

        Returns
        -------
        bool
            False if the place does not have them.

        Raises
        ------
        NeurdicomError, OSError
            The place can't be reached, or the spool can't be written.
        """


class FolderSource(RepairSource):
    """Source in a folder: one of backups, whose files are named by their SHA-256, or any folder of DICOM files.

    Parameters
    ----------
    folder : Path
        The folder; it is searched when the first file is asked for.

    Raises
    ------
    Invalid
        It is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise Invalid(f"{folder} is no folder; a folder of backups, or of DICOM files, is expected", field="from")
        self.name = str(folder)
        self._folder = folder
        self._named: dict[str, list[Path]] | None = None
        self._by_size: dict[int, list[Path]] = defaultdict(list)
        self._digests: dict[Path, str] = {}

    async def fetch(self, damage: Damage, location: Location | None, spool: Spool) -> bool:
        """Copy the file that has the SHA-256."""
        return await asyncio.to_thread(self._fetch, damage.expected.size, damage.expected.sha256, spool)

    def find(self, size: int, sha256: str) -> Path | None:
        """Find a file by size and SHA-256; blocks."""
        if self._named is None:
            self._named = self._search()
        candidates: list[Path] = [*self._named.get(sha256, []), *self._by_size.get(size, [])]
        for path in candidates:
            if path not in self._digests:
                self._digests[path] = _sha256_of(path)
            if self._digests[path] == sha256:
                return path
        return None

    def _fetch(self, size: int, sha256: str, spool: Spool) -> bool:
        path = self.find(size, sha256)
        if path is None:
            return False
        copy_file(path, spool)
        return True

    def _search(self) -> dict[str, list[Path]]:
        """List the files by the SHA-256 in their names, and the others by size."""
        named: dict[str, list[Path]] = defaultdict(list)
        for parent, _, names in os.walk(self._folder):
            for name in names:
                path = Path(parent, name)
                if found := _SHA256.search(name):
                    named[found[0]].append(path)
                elif path.is_file() and not path.is_symlink():
                    self._by_size[path.stat().st_size].append(path)
        return named


class Repairer:
    """Service that puts received bytes back into the place of damaged files.

    Parameters
    ----------
    catalog : Catalog
        Says which file an instance has.
    blobs : BlobStore
        Has the files.
    registry : DamageRegistry
        Knows the damage.
    checker : FileChecker
        Tells whether an instance still has its file.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, registry: DamageRegistry, checker: FileChecker) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._registry = registry
        self._checker = checker

    async def repair(self, damage: Damage, sources: Sequence[RepairSource]) -> str | None:
        """Put a file back from the first source that has its bytes.

        Parameters
        ----------
        damage : Damage
            The damaged file.
        sources : sequence of RepairSource
            In the order in which they are asked.

        Returns
        -------
        str or None
            Name of the source; None if none of them has bytes of the SHA-256.
        """
        location = None if damage.place else await location_of(self._catalog, damage.instance, damage.key)
        if not damage.key or (not damage.place and location is None):
            return None
        for source in sources:
            spool = await asyncio.to_thread(self._blobs.new_spool)
            try:
                if await source.fetch(damage, location, spool):
                    reason = f"repaired from {source.name}"
                    if spool.sha256 != damage.expected.sha256:
                        log.warning(
                            "%s gave other bytes for the file %s than were received: SHA-256 %s, expected %s",
                            *(source.name, damage.file, spool.sha256, damage.expected.sha256),
                        )
                    elif location is None:
                        if await self._put_back_aside(damage, spool, reason):
                            return source.name
                    elif await self.put_back(location, spool, reason):
                        return source.name
            except (NeurdicomError, OSError) as error:
                log.warning("the file %s can't be repaired from %s: %s", damage.file, source.name, error)
            finally:
                await asyncio.to_thread(spool.discard)
        return None

    async def put_back(self, location: Location, spool: Spool, reason: str) -> bool:
        """Move a spool with the received bytes into the place of an instance's file, durably.

        Parameters
        ----------
        location : Location
            Of the instance.
        spool : Spool
            The bytes, compared with the SHA-256 of the file.
        reason : str
            Where they are from, for the log.

        Returns
        -------
        bool
            False if the instance was deleted, or has another file now.

        Raises
        ------
        OSError
            The disk fails; whatever is there is whole.
        """
        # Without the hold, a file could come back that a deletion has just removed.
        async with DeletionHold(self._registry.documents):
            if not await self._checker.is_current(location):
                return False
            entity = await self._catalog.get(Level.INSTANCE, location.instance)
            if entity is not None:  # a reindex takes the time of arrival from the file
                received = datetime.fromisoformat(entity["received"]).timestamp()
                os.utime(spool.path, (received, received))
            await asyncio.to_thread(self._blobs.restore, location.blob.key, spool)
            await self._registry.clear(location.blob.key, reason)
        return True

    async def _put_back_aside(self, damage: Damage, spool: Spool, reason: str) -> bool:
        """Move a spool into the place of a file that is set aside, durably; False if it is not there any more."""
        # With the hold, the file is not deleted meanwhile.
        async with DeletionHold(self._registry.documents):
            try:
                path = await self._blobs.path_aside(damage.place, damage.key)
            except NotFound:
                return False
            status = await asyncio.to_thread(path.stat)  # a restored instance takes its time of arrival from the file
            os.utime(spool.path, ns=(status.st_atime_ns, status.st_mtime_ns))
            await asyncio.to_thread(self._blobs.restore_aside, damage.place, damage.key, spool)
            await self._registry.clear(damage.file, reason)
        return True


def copy_file(path: Path, spool: Spool) -> None:
    """Copy a file to a spool; blocks."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            spool.write(piece)


def _sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        log.warning("%s can't be read, and is left out: %s", path, error.strerror)
        return ""
