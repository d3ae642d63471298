"""Recovery of ingest at the start of a server, after a crash."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import KEEP_ALL, StorePolicy
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.header import BlobRef, Header
from neurdicom.dicom.part10 import read_header
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import NeurdicomError

log = logging.getLogger(__name__)

#: More files than can have been in the blob store but not in the catalog when a server died, since commit groups are
#: smaller. Beyond it, the catalog does not belong to the files.
MOST_UNKNOWN = 1024


class Recovery:
    """Recovery, which makes the blob store and the catalog agree again.

    A file that reached the blob store and not the catalog is complete and durable, and was not acknowledged; it is
    entered now. It is never deleted only because the catalog does not know it: with a lost or a wrong catalog, that
    would be every file. For the same reason none is refused as a conflict.

    Parameters
    ----------
    catalog : Catalog
        Open.
    blobs : BlobStore
        Open.
    garbage : GarbageCollector
        Deletes the files that no instance refers to any more.
    policy : StorePolicy
        What is done with arrivals that meet others; `conflicts` is always `keep` here.
    """

    def __init__(
        self, catalog: Catalog, blobs: BlobStore, garbage: GarbageCollector, policy: StorePolicy = KEEP_ALL
    ) -> None:
        self._catalog = catalog
        self._policy = replace(policy, conflicts="keep")
        self._blobs = blobs
        self._garbage = garbage

    async def run(self) -> None:
        """Delete garbage, and enter files into the catalog that a crash left out."""
        await self._garbage.collect_all()
        recent = await self._blobs.recent()
        known = await self._catalog.known_blobs([ref.key for ref in recent]) if recent else set()
        known.update(await self._catalog.garbage())  # what could not be deleted, or a backup holds, does not come back
        unknown = [ref for ref in recent if ref.key not in known]
        if len(unknown) > MOST_UNKNOWN:
            log.warning(
                "the catalog does not know %d of the latest %d files, too many to enter; if it is the right catalog, "
                "`neurdicom reindex` enters them",
                len(unknown),
                len(recent),
            )
            return
        for ref in unknown:
            await self._enter(ref)

    async def _enter(self, ref: BlobRef) -> None:
        try:
            arrival = await read_instance(self._blobs, ref)
        except (NeurdicomError, OSError) as error:
            log.warning("file %s could not be entered into the catalog, and stays: %s", ref.key, error)
            return
        policy = self._policy
        if policy.same_instance == "version" and await self._is_overtaken(arrival):
            policy = replace(policy, same_instance="earlier")
        [outcome] = await self._catalog.store([arrival], policy)
        log.info(
            "instance %s, which arrived when the last server died, was entered into the catalog: %s",
            arrival.instance,
            outcome.status,
        )
        await self._garbage.collect_all()

    async def _is_overtaken(self, arrival: NewInstance) -> bool:
        """Tell whether a later arrival with these UIDs, of any patient, was acknowledged."""
        uids = {"series": arrival.series, "instance": arrival.instance}  # the series may have gone to another study
        conditions = tuple(AnyOf(level, (uid,)) for level, uid in uids.items())
        page = await self._catalog.find(Query(Level.INSTANCE, conditions, limit=None, counted=False))
        locations = [await self._catalog.locate(entity["key"]) for entity in page.items]
        return any(location.blob.key > arrival.blob.key for location in locations if location is not None)


async def read_instance(blobs: BlobStore, ref: BlobRef) -> NewInstance:
    """Parse a stored file for the catalog. Raises our errors if it is no instance, `OSError` if it can't be read."""
    return await read_file(await blobs.path(ref.key), ref)


async def read_file(path: Path, ref: BlobRef) -> NewInstance:
    """Parse a file of the blob store at the path where it lies, as `read_instance`."""
    header = await asyncio.to_thread(read_header, path)
    status = await asyncio.to_thread(path.stat)
    return new_instance(header, ref, datetime.fromtimestamp(status.st_mtime, UTC))


def new_instance(header: Header, ref: BlobRef, received: datetime) -> NewInstance:
    """Make the catalog's entry of a file.

    Parameters
    ----------
    header : Header
        The parsed header.
    ref : BlobRef
        The stored file.
    received : datetime
        Time of arrival.
    """
    patient, study, series, instance = header.ids
    return NewInstance(
        patient,
        study,
        series,
        instance,
        header.attributes,
        header.json,
        ref,
        received.isoformat(timespec="microseconds"),
        header.layout.to_document(),
    )
