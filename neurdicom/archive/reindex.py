"""Reindex: rebuilds the catalog's DICOM part from the files."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.hold import are_deletions_held
from neurdicom.archive.ingest.recovery import read_instance
from neurdicom.archive.lookup import location_of, locations_in
from neurdicom.archive.verify.damage import Damage, DamageKind
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.blobs.base import BlobDigest, BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import KEEP_ALL, StorePolicy
from neurdicom.catalog.records import Location, NewInstance
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.identity import Place, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.errors import Conflict, NeurdicomError, NotFound, Unavailable

log = logging.getLogger(__name__)

_BATCH = 256
_AT_ONCE = 4
_SERIES = 500
_DAMAGED = 1000


@dataclass(slots=True)
class ReindexReport:
    """Counts of files, and what is missing or changed.

    Attributes
    ----------
    files, instances, superseded, unreadable : int
        Files that were seen, those that were entered, those of which a later one has the instance, and those that can't
        be read.
    missing : list of str
        A line for each instance that was in the catalog before, and whose file is gone.
    changed : list of str
        A line for each file whose bytes are not those that were received.
    """

    files: int = 0
    instances: int = 0
    superseded: int = 0
    unreadable: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.files} files: {self.instances} instances, {self.superseded} older versions removed, "
            f"{self.unreadable} not readable (the log names them), {len(self.missing)} missing, "
            f"{len(self.changed)} changed"
        )


async def reindex(
    catalog: Catalog,
    blobs: BlobStore,
    progress: Callable[[ReindexReport], None] | None = None,
    *,
    registry: DamageRegistry | None = None,
    quick: bool = False,
    policy: StorePolicy = KEEP_ALL,
) -> ReindexReport:
    """Rebuild the catalog from all stored files, in the order of their arrival.

    Nothing else may use the two meanwhile. Edits and documents stay. A file that can't be read is left in place and
    logged. One whose bytes have changed is entered, since nothing else tells of its instance, and recorded as damaged.

    Parameters
    ----------
    catalog : Catalog
        Open.
    blobs : BlobStore
        Open.
    progress : callable, optional
        Called with the counts so far after every batch.
    registry : DamageRegistry, optional
        Gets the damage; without one, it is only named.
    quick : bool
        Read the headers alone: files that have changed are not found.
    policy : StorePolicy
        Whether files that later ones took the place of are set aside.

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
    run = _Reindex(catalog, blobs, report, quick=quick, policy=policy)
    await run.look_back()
    await catalog.clear()
    batch: list[BlobRef] = []
    async for ref in blobs.walk():
        batch.append(ref)
        if len(batch) == _BATCH:
            await run.enter(batch)
            batch.clear()
            if progress:
                progress(report)
    await run.enter(batch)
    await garbage.collect_all()
    await garbage.close()
    if registry is not None:
        await run.update(registry)
    return report


class _Reindex:
    """A reindex under way."""

    def __init__(
        self, catalog: Catalog, blobs: BlobStore, report: ReindexReport, *, quick: bool, policy: StorePolicy
    ) -> None:
        self._policy = policy
        self._catalog = catalog
        self._blobs = blobs
        self._report = report
        self._quick = quick
        self._sizes: dict[str, int] = {}  # as received, of files that have another size now
        self._damaged: dict[str, Damage] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def look_back(self) -> None:
        """Name the instances of the earlier catalog whose files are gone, as far as it can be read."""
        after: str | None = None
        try:
            while page := (
                await self._catalog.find(Query(Level.SERIES, limit=_SERIES, after=after, counted=False))
            ).items:
                for series in page:
                    for location in await locations_in(self._catalog, series["key"]):
                        await self._compare(location)
                after = page[-1]["id"]
        except Unavailable:
            raise
        except Exception:  # whatever is wrong with the earlier catalog, a new one is made
            log.exception("the earlier catalog can't be read to its end: not all that is missing can be named")

    async def _compare(self, location: Location) -> None:
        blob = location.blob
        try:
            size: int | None = await self._blobs.size(blob.key)
        except NotFound:
            size = None
        if size is None:
            uid = uid_of(location.instance)
            line = f"{blob.key}: missing; instance {uid}, SHA-256 {blob.sha256}, {blob.size} bytes"
            log.error("a file of the earlier catalog is gone: %s", line)
            self._report.missing.append(line)
        elif size != blob.size:
            self._sizes[blob.key] = blob.size

    async def enter(self, refs: list[BlobRef]) -> None:
        """Enter files into the catalog."""
        found = await asyncio.gather(*map(self._read, refs))
        arrivals = [arrival for arrival in found if arrival is not None]
        outcomes = await self._catalog.store(arrivals, self._policy) if arrivals else []
        superseded = sum(outcome.unused is not None for outcome in outcomes)
        report = self._report
        report.files += len(refs)
        report.unreadable += len(refs) - len(arrivals)
        report.superseded += superseded
        report.instances += len(arrivals) - superseded

    async def _read(self, ref: BlobRef) -> NewInstance | None:
        async with self._limit:
            digest = await self._changed(ref)
            if digest is not None:
                ref = replace(ref, size=self._sizes.get(ref.key, ref.size))
            try:
                arrival = await read_instance(self._blobs, ref)
            except (NeurdicomError, OSError) as error:
                log.warning("file %s can't be read, and is not entered into the catalog: %s", ref.key, error)
                if digest is not None:
                    self._name_changed(ref, digest, "not entered, since it can't be read any more")
                return None
            if digest is not None:
                self._name_changed(ref, digest, f"instance {arrival.instance}, entered as damaged")
                expected = BlobDigest(ref.size, ref.sha256)
                kind = DamageKind.BYTES if digest.size == ref.size else DamageKind.SIZE
                since = datetime.now(UTC).isoformat(timespec="milliseconds")
                self._damaged[ref.key] = Damage(ref.key, _claimed(arrival), kind, expected, digest, since)
            return arrival

    async def _changed(self, ref: BlobRef) -> BlobDigest | None:
        """Compare the bytes of a file with those that were committed; None if they are the same, or were not read."""
        if self._quick:
            return None
        try:
            digest = await self._blobs.digest(ref.key, from_disk=True)
        except (NeurdicomError, OSError):
            return None  # reading its header says why
        return None if digest.sha256 == ref.sha256 else digest

    def _name_changed(self, ref: BlobRef, digest: BlobDigest, outcome: str) -> None:
        line = f"{ref.key}: changed; {outcome}; expected SHA-256 {ref.sha256}, found {digest.sha256}"
        log.error("a stored file has changed: %s", line)
        self._report.changed.append(line)

    async def update(self, registry: DamageRegistry) -> None:
        """Record the files that have changed, and remove those that are whole, or that no instance has."""
        for damage in self._damaged.values():
            await registry.record(damage)
        after: str | None = None
        while page := await registry.page(_DAMAGED, after):
            for damage in page:
                if damage.place:
                    continue  # the trash is not read
                if await location_of(self._catalog, damage.instance, damage.key) is None:
                    await registry.clear(damage.key, "no instance has it any more")
                elif damage.key not in self._damaged and not self._quick:
                    await registry.clear(damage.key, "its bytes are those that were received")
            after = page[-1].file


def _claimed(arrival: NewInstance) -> str:
    """Compute the key of an instance by what its file says of its patient."""
    return Place.of(arrival.patient, arrival.study, arrival.series, arrival.instance).instance
