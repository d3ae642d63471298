"""An overview of what a server stores: counts and bytes by kind, the disk, the last check, and damaged files."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.archive.verify.verification import Verification
from neurdicom.blobs.base import BlobStore
from neurdicom.processing.result_store import ResultStore

#: Damaged files that are named; all are counted.
_MOST_DAMAGED = 100

#: Pause between two looks at the sizes of all files, as a multiple of the time that a look takes.
_REST = 20.0


class StorageOverview:
    """Service that counts what is stored, without delaying others.

    Parameters
    ----------
    data : Path
        The data folder.
    blobs : BlobStore
        Has the files of instances.
    verification : Verification
        Counts the instances, and knows the last check.
    damage : DamageRegistry
        Knows damaged files.
    results : ResultStore
        Has the results.
    packages : Mapping[str, callable]
        Number of installed packages by the name of their folder.
    """

    def __init__(
        self,
        data: Path,
        blobs: BlobStore,
        verification: Verification,
        damage: DamageRegistry,
        results: ResultStore,
        packages: Mapping[str, Callable[[], int]],
    ) -> None:
        self._data = data
        self._blobs = blobs
        self._verification = verification
        self._damage = damage
        self._results = results
        self._packages = packages
        self._looking = asyncio.Lock()
        self._bytes = 0
        self._until = 0.0

    @property
    def damaged_files(self) -> int:
        """Number of files that are known to be damaged, as of the last `refresh`."""
        return len(self._damage)

    async def refresh(self) -> None:
        """Take notice of what a command has found."""
        await self._damage.refresh()

    async def last_check(self) -> dict[str, Any] | None:
        """Read the last check of all files, as the API shows it; None if there was none."""
        last = await self._verification.last()
        return None if last is None else {name: value for name, value in last.items() if name != "time"}

    async def describe(self) -> dict[str, Any]:
        """Describe what is stored, as the API shows it.

        Raises
        ------
        Unavailable
            The catalog does not answer.
        """
        await self.refresh()
        _, results = await self._results.page((), limit=1)
        disk = await asyncio.to_thread(shutil.disk_usage, self._data)
        packages = {
            name: {"count": count(), "bytes": await asyncio.to_thread(_bytes_below, self._data / name)}
            for name, count in self._packages.items()
        }
        return {
            "instances": {"count": await self._verification.count(), "bytes": await self._bytes_of_instances()},
            "results": {"count": results, "bytes": self._results.size},
            **packages,
            "disk": {"total": disk.total, "free": disk.free},
            "last_check": await self.last_check(),
            "damaged": {
                "count": self.damaged_files,
                "files": [damage.to_api() for damage in await self._damage.page(_MOST_DAMAGED)],
            },
        }

    async def _bytes_of_instances(self) -> int:
        """Add the sizes of all files; a look at a million takes seconds, and is not repeated at once."""
        async with self._looking:
            began = time.monotonic()
            if began >= self._until:
                self._bytes = sum([ref.size async for ref in self._blobs.walk()])
                now = time.monotonic()
                self._until = now + _REST * (now - began)
        return self._bytes


def _bytes_below(folder: Path) -> int:
    return sum(os.lstat(Path(parent, name)).st_size for parent, _, names in os.walk(folder) for name in names)
