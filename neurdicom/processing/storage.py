"""An overview of what a server stores: counts and bytes by kind, the disk, the last check, and damaged files."""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neurdicom.archive.quota.limits import QuotaUse
from neurdicom.archive.quota.service import QuotaService
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.archive.verify.verification import Verification
from neurdicom.processing.result_store import ResultStore

#: Damaged files that are named; all are counted.
_MOST_DAMAGED = 100


class StorageOverview:
    """Service that counts what is stored, without delaying others.

    Parameters
    ----------
    data : Path
        The data folder.
    verification : Verification
        Counts the instances, and knows the last check.
    damage : DamageRegistry
        Knows damaged files.
    quota : QuotaService
        Measures what instances and the trash take.
    results : ResultStore
        Has the results.
    packages : Mapping[str, callable]
        Number of installed packages by the name of their folder.

    Attributes
    ----------
    use : QuotaUse
        What instances and the trash take, as of the last `measure`.
    """

    def __init__(
        self,
        data: Path,
        verification: Verification,
        damage: DamageRegistry,
        quota: QuotaService,
        results: ResultStore,
        packages: Mapping[str, Callable[[], int]],
    ) -> None:
        self._data = data
        self._verification = verification
        self._damage = damage
        self._quota = quota
        self._results = results
        self._packages = packages
        self.use = QuotaUse()

    @property
    def damaged_files(self) -> int:
        """Number of files in use that are known to be damaged, as of the last `refresh`."""
        return self._damage.in_use

    async def refresh(self) -> None:
        """Take notice of what a command has found."""
        await self._damage.refresh()

    @property
    def max_bytes(self) -> int:
        """`max_storage` in bytes; 0 for no limit."""
        return self._quota.limits.bytes

    async def measure(self) -> QuotaUse:
        """Measure the bytes of instances and of the trash."""
        self.use = await self._quota.measure()
        return self.use

    async def alerts(self) -> list[dict[str, Any]]:
        """List the alerts for administrators, as the API shows them."""
        alert = await self._quota.alert()
        found: list[dict[str, Any]] = []
        if self.damaged_files:
            found.append({"code": "damaged_files", "detail": f"{self.damaged_files} stored files are damaged"})
        if alert is not None:
            found.append({"code": "over_max_storage", "detail": alert.detail, "since": alert.since})
        return found

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
        use, limits = await self.measure(), self._quota.limits
        return {
            "instances": {"count": await self._verification.count(), "bytes": use.instances},
            "trash": {"count": use.trash_entries, "bytes": use.trash},
            "quota": {
                "max_storage": limits.bytes,
                "used": use.bytes,
                "max_age_days": limits.max_age_days,
                "protected": {"count": use.protected_studies, "bytes": use.protected},
                "alert": None if use.alert is None else {"since": use.alert.since, "detail": use.alert.detail},
            },
            "results": {"count": results, "bytes": self._results.size},
            **packages,
            "disk": {"total": disk.total, "free": disk.free},
            "last_check": await self.last_check(),
            "damaged": {
                "count": len(self._damage),
                "files": [damage.to_api() for damage in await self._damage.page(_MOST_DAMAGED)],
            },
        }


def _bytes_below(folder: Path) -> int:
    return sum(os.lstat(Path(parent, name)).st_size for parent, _, names in os.walk(folder) for name in names)
