"""Checks of the files that lie in the trash, and of earlier versions."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from neurdicom.archive.trash.entry import VERSION, TrashEntry, TrashState
from neurdicom.archive.trash.files import SetAsideFile, SetAsideFiles
from neurdicom.archive.trash.records import TrashRecords
from neurdicom.archive.verify.damage import Damage, DamageKind
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.blobs.base import BlobDigest, BlobStore, Pace
from neurdicom.blobs.digest import digest_file
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NeurdicomError, NotFound


@dataclass(frozen=True, slots=True)
class _Found:
    digest: BlobDigest | None
    detail: str = ""


class SetAsideChecker:
    """Checker of the files that are set aside, which keeps the record of their damage.

    Parameters
    ----------
    catalog : Catalog
        Has the records of the trash.
    blobs : BlobStore
        Has the files.
    registry : DamageRegistry
        Gets the damage.

    Attributes
    ----------
    files : SetAsideFiles
        Finds the files.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, registry: DamageRegistry) -> None:
        self._blobs = blobs
        self._registry = registry
        self._records = TrashRecords(catalog.documents)
        self.files = SetAsideFiles(catalog, blobs)

    async def check_all(self, pace: Pace | None = None) -> AsyncIterator[tuple[int, Damage | None]]:
        """Check the files of all entries, as the disk has them.

        Parameters
        ----------
        pace : callable, optional
            Slows the reading down, or stops it.

        Yields
        ------
        bytes : int
            Bytes that were read.
        damage : Damage or None
            Damage of the file, or that files of an entry are missing.
        """
        for id in sorted(await self._records.ids()):
            entry = await self._kept(id)
            if entry is None:
                continue
            for file in await self._list(entry):
                yield file.ref.size, await self.check(entry, file, pace, from_disk=True)
            if (damage := await self._check_number(entry)) is not None:
                yield 0, damage

    async def check(
        self, entry: TrashEntry, file: SetAsideFile, pace: Pace | None = None, *, from_disk: bool = False
    ) -> Damage | None:
        """Read a file, and compare it with its SHA-256; one that looks damaged is read twice.

        Parameters
        ----------
        entry : TrashEntry
            The entry.
        file : SetAsideFile
            One of its files.
        pace : callable, optional
            Slows the reading down, or stops it.
        from_disk : bool
            Read what the disk has rather than what is cached of it.

        Returns
        -------
        Damage or None
            The damage, which is recorded; None if the file is whole, or is not there any more.
        """
        for _ in range(2):
            found = await self._read(file, pace, from_disk=from_disk)
            if found is None or (found.digest is not None and found.digest.sha256 == file.ref.sha256):
                await self._clear(f"{file.place}/{file.ref.key}")
                return None
        assert found is not None
        return await self._registry.record(_damage(entry, file, found))

    async def require_whole(self, entry: TrashEntry) -> None:
        """Refuse to restore an entry of which a file is damaged or missing.

        Raises
        ------
        Damaged
            The first of them.
        """
        if (damage := await self._check_number(entry)) is not None:
            raise damage.to_error()
        for file in await self.files.of(entry.place):
            if (damage := await self.check(entry, file)) is not None:
                raise damage.to_error()

    async def path(self, entry: TrashEntry) -> Path:
        """Find a local file with the bytes of a version, for reading only.

        Raises
        ------
        Damaged
            It is known to be damaged, or has another size.
        NotFound
            It is not there any more.
        """
        files = await self.files.of(entry.place)
        if not files:
            raise NotFound(f"the file of the entry {entry.id} of the trash is gone")
        if (damage := await self._registry.find(f"{entry.place}/{files[0].ref.key}")) is not None:
            raise damage.to_error()
        if files[0].ref.size != entry.bytes and (damage := await self.check(entry, files[0])) is not None:
            raise damage.to_error()
        return await self.files.path(files[0])

    async def check_again(self, damage: Damage, pace: Pace | None = None) -> None:
        """Check a file that is known to be damaged, and forget it if it is whole, or its entry is gone.

        Parameters
        ----------
        damage : Damage
            The damage.
        pace : callable, optional
            Slows the reading down, or stops it.
        """
        entry = await self._kept(damage.place.partition("/")[2])
        if entry is not None and not damage.key:
            await self._check_number(entry)
            return
        files = await self.files.of(entry.place) if entry is not None else []
        file = next((each for each in files if each.ref.key == damage.key), None)
        if entry is None or file is None:
            await self._registry.clear(damage.file, "it does not lie in the trash any more")
        else:
            await self.check(entry, file, pace)

    async def is_there(self, damage: Damage) -> bool:
        """Tell whether the entry of a damaged file still is in the trash."""
        return await self._kept(damage.place.partition("/")[2]) is not None

    async def _kept(self, id: str) -> TrashEntry | None:
        """Return an entry that is neither being restored nor deleted."""
        try:
            entry = await self._records.get(id)
        except NotFound:
            return None
        return entry if entry.state is TrashState.KEPT else None

    async def _list(self, entry: TrashEntry) -> list[SetAsideFile]:
        """List the files of an entry; those that still lie in the store are looked up only if some are missing."""
        files = [SetAsideFile(ref, entry.place) for ref in await self._blobs.aside(entry.place)]
        return files if len(files) >= entry.instances else await self.files.of(entry.place)

    async def _check_number(self, entry: TrashEntry) -> Damage | None:
        """Compare the number of an entry's files with the number of files that were deleted."""
        count = len(await self._list(entry))
        if count >= entry.instances or await self._kept(entry.id) is None:
            await self._clear(entry.place)
            return None
        text = f"{entry.instances - count} of its {entry.instances} files are missing"
        return await self._registry.record(_damage(entry, None, _Found(None, text)))

    async def _clear(self, name: str) -> None:
        if name in self._registry:
            await self._registry.clear(name, "its bytes are those that were received")

    async def _read(self, file: SetAsideFile, pace: Pace | None, *, from_disk: bool) -> _Found | None:
        """Read a file; None if it is not there."""
        try:
            path = await self.files.path(file)
            return _Found(await asyncio.to_thread(digest_file, path, pace, from_disk=from_disk))
        except NotFound:
            return None
        except NeurdicomError:
            raise
        except OSError as error:
            return _Found(None, error.strerror or type(error).__name__)


def _damage(entry: TrashEntry, file: SetAsideFile | None, found: _Found) -> Damage:
    size = entry.bytes if entry.instances == 1 else 0
    expected = BlobDigest(size, file.ref.sha256 if file is not None else "")
    if file is None:
        kind = DamageKind.MISSING
    elif found.digest is None:
        kind = DamageKind.UNREADABLE
    else:
        kind = DamageKind.SIZE if size and found.digest.size != size else DamageKind.BYTES
    uid = [entry.patient_id, *entry.uids.values()][-1]
    what = "an earlier version of instance" if entry.kind == VERSION else f"in the trash with {entry.kind}"
    return Damage(
        key=file.ref.key if file is not None else "",
        instance=entry.entity if entry.kind in (VERSION, Level.INSTANCE) else "",
        kind=kind,
        expected=expected,
        found=found.digest,
        since=datetime.now(UTC).isoformat(timespec="milliseconds"),
        detail=found.detail,
        place=entry.place,
        origin=f"{what} {uid}, entry {entry.id}",
    )
