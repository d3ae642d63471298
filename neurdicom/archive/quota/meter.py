"""Measurement of the use of the limits."""

import asyncio
import time
from typing import Final

from neurdicom.archive.quota.candidates import ProtectedStudies
from neurdicom.archive.quota.limits import QuotaUse
from neurdicom.archive.trash.service import TrashService
from neurdicom.catalog.base import Catalog

#: Pause between two counts of the protected studies, or of the trash, as a multiple of the time that one takes.
_REST: Final = 20.0

#: Studies that are looked up at once.
_AT_ONCE: Final = 1000


class QuotaMeter:
    """Meter of the bytes that count for the quota.

    Parameters
    ----------
    catalog : Catalog
        Counts the bytes of instances.
    trash : TrashService
        Counts its own.
    labels : ProtectedStudies
        Lists the protected studies.
    """

    def __init__(self, catalog: Catalog, trash: TrashService, labels: ProtectedStudies) -> None:
        self._catalog = catalog
        self._trash = trash
        self._labels = labels
        self._counting = asyncio.Lock()
        self._protected = (0, 0)
        self._protected_until = 0.0
        self._trash_bytes = 0
        self._trash_until = 0.0

    async def used(self) -> int:
        """Add up the bytes of all instances and of the trash."""
        self._trash_bytes = await self._trash.size()
        return await self._catalog.stored_bytes() + self._trash_bytes

    async def estimate(self) -> int:
        """Add up the bytes of all instances and of the trash; the sum of a large trash may be a moment old."""
        began = time.monotonic()
        if began >= self._trash_until:
            self._trash_bytes = await self._trash.size()
            now = time.monotonic()
            self._trash_until = now + _REST * (now - began)
        return await self._catalog.stored_bytes() + self._trash_bytes

    async def measure(self) -> QuotaUse:
        """Measure everything; the sum of many protected studies may be a moment old."""
        instances = await self._catalog.stored_bytes()
        entries, trash = await self._trash.usage()
        studies, protected = await self._count_protected()
        return QuotaUse(instances, entries, trash, studies, protected)

    async def _count_protected(self) -> tuple[int, int]:
        async with self._counting:
            began = time.monotonic()
            if began >= self._protected_until:
                keys, count, size = await self._labels.protected_studies(), 0, 0
                for start in range(0, len(keys), _AT_ONCE):
                    found = await self._catalog.holdings_of(keys[start : start + _AT_ONCE])
                    count, size = count + len(found), size + sum(study.bytes for study in found)
                self._protected = count, size
                now = time.monotonic()
                self._protected_until = now + _REST * (now - began)
        return self._protected
