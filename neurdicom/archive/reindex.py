"""Reindex: rebuilds the catalog's DICOM part from the files."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.hold import are_deletions_held
from neurdicom.archive.ingest.recovery import read_instance
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog, NewInstance
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import Conflict, NeurdicomError

log = logging.getLogger(__name__)

_BATCH = 256
_AT_ONCE = 4


@dataclass(slots=True)
class ReindexReport:
    """Counts of files: seen, entered, superseded by a later file of the same instance, and unreadable."""

    files: int = 0
    instances: int = 0
    superseded: int = 0
    unreadable: int = 0

    def __str__(self) -> str:
        return (
            f"{self.files} files: {self.instances} instances, {self.superseded} older versions removed, "
            f"{self.unreadable} not readable (the log names them)"
        )


async def reindex(
    catalog: Catalog, blobs: BlobStore, progress: Callable[[ReindexReport], None] | None = None
) -> ReindexReport:
    """Rebuild the catalog from all stored files, in the order of their arrival.

    Nothing else may use the two meanwhile. Edits and documents stay. A file that can't be read is left in place and
    logged.

    Parameters
    ----------
    catalog : Catalog
        Open.
    blobs : BlobStore
        Open.
    progress : callable, optional
        Called with the counts so far after every batch.

    Returns
    -------
    ReindexReport
        The final counts.

    Raises
    ------
    Conflict
        A backup holds deletions: what was deleted would come back.
    """
    report = ReindexReport()
    if await are_deletions_held(catalog.documents):
        raise Conflict(
            "a backup of this data folder is under way, or was killed within the last minute; reindex when it has ended"
        )
    garbage = GarbageCollector(catalog, blobs)
    await garbage.collect_all()  # otherwise deleted instances would come back
    await catalog.clear()
    batch: list[BlobRef] = []
    async for ref in blobs.walk():
        batch.append(ref)
        if len(batch) == _BATCH:
            await _enter(catalog, blobs, batch, report)
            batch.clear()
            if progress:
                progress(report)
    await _enter(catalog, blobs, batch, report)
    await garbage.collect_all()
    await garbage.close()
    return report


async def _enter(catalog: Catalog, blobs: BlobStore, refs: list[BlobRef], report: ReindexReport) -> None:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def read(ref: BlobRef) -> NewInstance | None:
        try:
            async with limit:
                return await read_instance(blobs, ref)
        except (NeurdicomError, OSError) as error:
            log.warning("file %s can't be read, and is not entered into the catalog: %s", ref.key, error)
            return None

    arrivals = [arrival for arrival in await asyncio.gather(*map(read, refs)) if arrival is not None]
    outcomes = await catalog.store(arrivals) if arrivals else []
    superseded = sum(outcome.unused is not None for outcome in outcomes)
    report.files += len(refs)
    report.unreadable += len(refs) - len(arrivals)
    report.superseded += superseded
    report.instances += len(arrivals) - superseded
