"""A pass over all stored files: those of instances by series, those in the trash, and those that no instance has."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from neurdicom.archive.lookup import location_of, locations_in
from neurdicom.archive.verify.check import FileChecker, SetAsideChecks
from neurdicom.archive.verify.damage import Damage
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.archive.verify.repair import Repairer, RepairSource
from neurdicom.blobs.base import BlobStore, Pace
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Entity, Location
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.errors import NotFound

log = logging.getLogger(__name__)

#: Kind of the documents of checks; the key of that of the last complete one.
KIND: Final = "verification"
LAST: Final = "last"

#: Findings that a report names; all are counted, and in the log.
MOST_FINDINGS: Final = 1000

#: Files of a series that are read at a time.
_AT_ONCE = 2
_SERIES = 500
_BLOBS = 1000

#: Seconds for which a file may be in the store before its instance is in the catalog.
ARRIVAL_SECONDS = 5.0


@dataclass(slots=True)
class VerificationReport:
    """Counts and findings of a check.

    Attributes
    ----------
    began : str
        When it began, ISO 8601 in UTC.
    files, bytes : int
        Files that were read, also in the trash, and their bytes.
    damaged, repaired, unknown : int
        Damaged files, those of them that were repaired, and files that no instance has.
    findings : list of dict
        The first of them: `file`, `instance`, `entry`, `problem`, `expected`, `found`, `since`, `detail`, `repaired`.
    """

    began: str
    files: int = 0
    bytes: int = 0
    damaged: int = 0
    repaired: int = 0
    unknown: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def begin(cls) -> Self:
        """Make the report of a check that begins now."""
        return cls(_now())

    @property
    def is_clean(self) -> bool:
        """True if nothing was found, or all that was found was repaired."""
        return self.damaged == self.repaired and not self.unknown

    def add(self, finding: dict[str, Any]) -> None:
        """Count a finding, and keep it while there are not too many."""
        if finding["problem"] == "unknown":
            self.unknown += 1
        else:
            self.damaged += 1
            self.repaired += finding["repaired"] is not None
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)

    def to_document(self) -> dict[str, Any]:
        """Return the counts as a document of the catalog, and as the API shows them."""
        names = ("began", "files", "bytes", "damaged", "repaired", "unknown")
        return {name: getattr(self, name) for name in names}

    def to_api(self) -> dict[str, Any]:
        """Return the counts with the findings."""
        return {**self.to_document(), "findings": self.findings}


class Verification:
    """Service that checks all files, and repairs those that are damaged where sources are given.

    Parameters
    ----------
    catalog : Catalog
        Has the instances.
    blobs : BlobStore
        Has the files.
    registry : DamageRegistry
        Knows the damage.
    checker : FileChecker
        Reads a file.
    aside : SetAsideChecks
        Reads a file of the trash.
    repairer : Repairer
        Puts bytes back.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: BlobStore,
        registry: DamageRegistry,
        checker: FileChecker,
        aside: SetAsideChecks,
        repairer: Repairer,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._registry = registry
        self._checker = checker
        self._aside = aside
        self._repairer = repairer

    async def count(self) -> int:
        """Count the instances."""
        return (await self._catalog.find(Query(Level.INSTANCE, limit=1))).total

    async def series(self, after: str | None = None) -> AsyncIterator[Entity]:
        """Yield all series by id, those after one where it is given."""
        while True:
            query = Query(Level.SERIES, limit=_SERIES, after=after, counted=False)
            page = (await self._catalog.find(query)).items
            for series in page:
                yield series
            if len(page) < _SERIES:
                return
            after = page[-1]["id"]

    async def check_series(
        self, series: str, report: VerificationReport, pace: Pace | None = None, sources: Sequence[RepairSource] = ()
    ) -> list[dict[str, Any]]:
        """Check the files of a series, as the disk has them.

        Parameters
        ----------
        series : str
            Key of the series; of one that is gone there are no files.
        report : VerificationReport
            Gets the counts and the findings.
        pace : callable, optional
            Slows the reading down.
        sources : sequence of RepairSource
            Where the bytes of damaged files may be.

        Returns
        -------
        list of dict
            The findings.

        Raises
        ------
        Unavailable
            The blob store or the catalog is not there.
        """
        found: list[dict[str, Any]] = []
        locations = iter(await locations_in(self._catalog, series))

        async def check_some() -> None:
            for location in locations:
                damage = await self._checker.check(location, pace, from_disk=True)
                report.files += 1
                report.bytes += location.blob.size
                if damage is not None:
                    found.append(await self._repaired(damage, report, sources))

        tasks = [asyncio.create_task(check_some()) for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return found

    async def check_trash(
        self, report: VerificationReport, pace: Pace | None = None, sources: Sequence[RepairSource] = ()
    ) -> list[dict[str, Any]]:
        """Check the files in the trash and earlier versions, as the disk has them.

        Parameters
        ----------
        report : VerificationReport
            Gets the counts and the findings.
        pace : callable, optional
            Slows the reading down.
        sources : sequence of RepairSource
            Where the bytes of damaged files may be.

        Returns
        -------
        list of dict
            The findings.
        """
        found = []
        async for size, damage in self._aside.check_all(pace):
            report.files += size > 0
            report.bytes += size
            if damage is not None:
                found.append(await self._repaired(damage, report, sources))
        return found

    async def _repaired(
        self, damage: Damage, report: VerificationReport, sources: Sequence[RepairSource]
    ) -> dict[str, Any]:
        """Repair a damaged file if there are sources, and report it."""
        repaired = await self._repairer.repair(damage, sources) if sources else None
        finding = {**damage.to_api(), "repaired": repaired}
        report.add(finding)
        return finding

    async def find_unknown(self, report: VerificationReport) -> list[dict[str, Any]]:
        """Name the files that no instance has, and that are not about to be deleted; they stay.

        Parameters
        ----------
        report : VerificationReport
            Gets the findings.

        Returns
        -------
        list of dict
            The findings.
        """
        began = time.monotonic()
        candidates: list[BlobRef] = []
        batch: list[BlobRef] = []
        async for ref in self._blobs.walk():
            batch.append(ref)
            if len(batch) == _BLOBS:
                candidates += await self._unknown(batch)
                batch = []
        candidates += await self._unknown(batch)
        if candidates:
            # What has just arrived is not in the catalog yet, and what is being deleted is gone from it already.
            await asyncio.sleep(max(0.0, began + ARRIVAL_SECONDS - time.monotonic()))
            candidates = [ref for ref in await self._unknown(candidates) if await self._is_there(ref.key)]
        found = [_finding_of_unknown(ref.key, {"sha256": ref.sha256, "size": ref.size}) for ref in candidates]
        found += [_finding_of_unknown(name, None) for name in await self._blobs.foreign_files()]
        for finding in found:
            log.warning("the file %s is in the store, and no instance has it; it stays", finding["file"])
            report.add(finding)
        return found

    async def forget_deleted(self) -> None:
        """Remove files from the registry of damage that no instance has any more."""
        after: str | None = None
        while page := await self._registry.page(_BLOBS, after):
            for damage in page:
                if not await self._has_file(damage):
                    await self._registry.clear(damage.file, "its instance was deleted, or has another file now")
            after = page[-1].file

    async def check_damaged(self, pace: Pace | None = None) -> None:
        """Check the files that are known to be damaged, which may have been put back: by hand, or by a restore."""
        after: str | None = None
        while page := await self._registry.page(_BLOBS, after):
            for damage in page:
                if damage.place:
                    await self._aside.check_again(damage, pace)
                elif (location := await self._location(damage)) is not None:
                    await self._checker.check(location, pace)
            after = page[-1].file
        await self.forget_deleted()

    async def _location(self, damage: Damage) -> Location | None:
        """Find the location of a damaged file, if an instance still has it."""
        return await location_of(self._catalog, damage.instance, damage.key)

    async def _has_file(self, damage: Damage) -> bool:
        return await self._aside.is_there(damage) if damage.place else await self._location(damage) is not None

    async def finish(self, report: VerificationReport, by: str) -> None:
        """Record the end of a check of all files.

        Parameters
        ----------
        report : VerificationReport
            Its counts.
        by : str
            What made it: `background`, `job` or `command`.
        """
        await self.forget_deleted()
        document = report.to_document() | {"ended": _now(), "time": time.time(), "by": by}
        await self._registry.documents.put(KIND, {LAST: document})
        level = logging.INFO if report.is_clean else logging.ERROR
        log.log(
            level,
            "all %d stored files were checked (%d bytes): %d damaged, %d of them repaired, %d that no instance has",
            *(report.files, report.bytes, report.damaged, report.repaired, report.unknown),
        )

    async def last(self) -> dict[str, Any] | None:
        """Read the counts of the last check of all files, with `ended`, `time` and `by`; None if there was none."""
        return await self._registry.documents.get(KIND, LAST)

    async def _unknown(self, refs: list[BlobRef]) -> list[BlobRef]:
        if not refs:
            return []
        known = await self._catalog.known_blobs([ref.key for ref in refs])
        unknown = [ref for ref in refs if ref.key not in known]
        if unknown:
            known.update(await self._catalog.garbage())
        return [ref for ref in unknown if ref.key not in known]

    async def _is_there(self, key: str) -> bool:
        try:
            await self._blobs.size(key)
        except NotFound:
            return False
        return True


def _finding_of_unknown(file: str, found: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "file": file,
        "instance": None,
        "entry": None,
        "problem": "unknown",
        "expected": None,
        "found": found,
        "since": None,
        "detail": "no instance has it",
        "repaired": None,
    }


def describe_finding(finding: dict[str, Any]) -> str:
    """Describe a finding of a check in a line."""
    expected, found = finding["expected"], finding["found"]
    parts = [f"{finding['file']}: {finding['problem']}"]
    if finding["instance"]:
        parts.append(f"instance {finding['instance']}")
    if expected:
        parts.append(f"expected SHA-256 {expected['sha256']}, {expected['size']} bytes")
        parts.append(f"found SHA-256 {found['sha256']}, {found['size']} bytes" if found else finding["detail"])
    else:
        parts.append(finding["detail"])
    if finding["repaired"]:
        parts.append(f"repaired from {finding['repaired']}")
    return "; ".join(parts)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
