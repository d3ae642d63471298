"""Renewed arrival of a version where moves have put several files of one instance in one place.

The one that arrived last is shown there, and arrival is told by the files alone. So the bytes of a version that is to
be current arrive once more, as a file of its own, as if they had been uploaded again.
"""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.ingest.recovery import new_instance
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import StoreOutcome, StorePolicy
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Conflict, Malformed, disk_failure

_PIECE: Final = 1 << 20

#: A version that a user asks for is current, whatever the settings say of arrivals.
CURRENT: Final = StorePolicy(same_instance="version", keep_versions=True)


class VersionRenewer:
    """Lets the bytes of a version arrive once more.

    Parameters
    ----------
    catalog : Catalog
        Has the current versions.
    blobs : BlobStore
        Gets the file.
    garbage : GarbageCollector
        Removes the file that the arrival takes the place of.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, garbage: GarbageCollector) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._garbage = garbage

    async def renew(self, file: Path, sha256: str, shown: str) -> StoreOutcome:
        """Let the bytes of a file arrive as the latest of an instance.

        A server that dies before the catalog has them enters them at its next start as any other arrival.

        Parameters
        ----------
        file : Path
            Local file with the bytes.
        sha256 : str
            Their SHA-256.
        shown : str
            Time of arrival of the file that is shown now, ISO 8601 in UTC.

        Returns
        -------
        StoreOutcome

        Raises
        ------
        Malformed
            The file has other bytes.
        Conflict
            Something else arrived at the same moment.
        Unavailable
            The disk fails.
        """
        # Also where the clock was set back since.
        received = max(datetime.now(UTC), datetime.fromisoformat(shown) + timedelta(microseconds=1))
        try:
            arrival = await asyncio.to_thread(self._copy, file, sha256, received)
        except OSError as error:
            raise disk_failure(error, "the version can't be stored again") from error
        [outcome] = await self._catalog.store([arrival], CURRENT)
        if outcome.unused is not None:
            await self._garbage.collect({outcome.unused: outcome.aside})
        if outcome.status != "replaced":
            raise Conflict(f"the version {sha256} could not be made current: another file arrived; try again")
        return outcome

    def _copy(self, file: Path, sha256: str, received: datetime) -> NewInstance:
        """Copy a file into the blob store, in a thread; its own time is that of the arrival, which a reindex reads."""
        spool = self._blobs.new_spool()
        try:
            with file.open("rb") as source:
                while piece := source.read(_PIECE):
                    spool.write(piece)
            if spool.sha256 != sha256:
                raise Malformed(f"the file of the version {sha256} has other bytes: their SHA-256 is {spool.sha256}")
            header = read_header(spool.descriptor, spool.head, spool.size)
            time = int(received.timestamp()) * 10**9 + received.microsecond * 1000
            os.utime(spool.descriptor, ns=(time, time))
            return new_instance(header, self._blobs.commit(spool), received)
        finally:
            spool.discard()
