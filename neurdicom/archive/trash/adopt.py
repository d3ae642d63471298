"""Records of the trash made anew from the files, where they were lost with the catalog."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from neurdicom.archive.ingest.recovery import read_file
from neurdicom.archive.trash.entry import SECONDS_A_DAY, TrashEntry, TrashState, to_iso, uids_of
from neurdicom.archive.trash.records import TrashRecords
from neurdicom.archive.trash.versions import VersionService
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.identity import Place
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NeurdicomError

log = logging.getLogger(__name__)


class Adopter:
    """Finder of files that are set aside without a record.

    Parameters
    ----------
    blobs : BlobStore
        Has the files.
    records : TrashRecords
        Records of the trash.
    versions : VersionService
        Records earlier versions.
    days : float
        Days that something lies in the trash.
    """

    def __init__(self, blobs: BlobStore, records: TrashRecords, versions: VersionService, days: float) -> None:
        self._blobs = blobs
        self._records = records
        self._versions = versions
        self._days = days

    async def run(self) -> None:
        """Record all such files; those that can't be read are named in the log, and stay."""
        known = await self._records.ids()
        for place in await self._blobs.places():
            if place.partition("/")[2] in known:
                continue
            try:
                await self._adopt(place)
            except (NeurdicomError, OSError) as error:
                log.warning("the files in %s are of the trash, and can't be listed there: %s", place, error)

    async def _adopt(self, place: str) -> None:
        """Record files that are set aside and have no record, as after the catalog was lost."""
        refs = await self._blobs.aside(place)
        if not refs:
            return
        arrivals = [await read_file(await self._blobs.path_aside(place, ref.key), ref) for ref in refs]
        first = arrivals[0]
        claimed = Place.of(first.patient, first.study, first.series, first.instance)
        if place.startswith("versions/"):
            await self._versions.adopt(place, claimed)
            return
        level = _common_level(arrivals)
        now = datetime.now(UTC)
        await self._records.put(
            TrashEntry(
                id=place.partition("/")[2],
                kind=level.value,
                state=TrashState.KEPT,
                entity=claimed.key(level),
                uids=_uids(level, first),
                patient=first.patient,
                patient_id=_text(first.attributes.get("patient_id")),
                patient_name=_text(first.attributes.get("patient_name")),
                instances=len(refs),
                bytes=sum(ref.size for ref in refs),
                time=to_iso(now),
                reason="its record was lost, and made anew from the files",
                until=now.timestamp() + self._days * SECONDS_A_DAY,
            )
        )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _common_level(arrivals: Sequence[NewInstance]) -> Level:
    """Find the lowest level at which all arrivals are of one entity."""
    paths = {(one.patient, one.study, one.series, one.instance) for one in arrivals}
    shared = [level for depth, level in enumerate(Level, 1) if len({path[:depth] for path in paths}) == 1]
    return shared[-1] if shared else Level.PATIENT


def _uids(level: Level, one: NewInstance) -> dict[str, str]:
    return uids_of(level, *(one.study, one.series, one.instance)[: tuple(Level).index(level)])
