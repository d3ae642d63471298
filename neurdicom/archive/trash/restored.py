"""Times at which studies were last restored from the trash; the quota takes them for arrivals."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import DocumentQuery

#: Kind of the documents; their keys are those of the studies.
KIND: Final = "restored_study"


class RestoredStudies:
    """Store of the times at which studies were restored, whole or in part."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._documents = catalog.documents

    async def note(self, studies: Collection[str]) -> None:
        """Record that files of studies, by their keys, were restored now."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        await self._documents.put(KIND, {study: {"study": study, "time": now} for study in studies})

    async def times(self) -> dict[str, str]:
        """Map the keys of the studies to the times, ISO 8601 in UTC."""
        found = await self._documents.query(KIND, DocumentQuery(counted=False))
        return {document["study"]: document["time"] for document in found.items}

    async def forget(self, *studies: str) -> None:
        """Forget studies that are deleted."""
        if studies:
            await self._documents.delete(KIND, *studies)

    async def forget_gone(self) -> None:
        """Forget all studies that are not there any more."""
        known = await self.times()
        present = {one.study for one in await self._catalog.holdings_of(known)}
        await self.forget(*(study for study in known if study not in present))
