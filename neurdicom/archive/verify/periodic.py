"""The background check of all files: every few days, gently, by one server, and resumed where it was interrupted."""

import logging
import time
from typing import Any, Final

from neurdicom.archive.verify.rate import RateLimit
from neurdicom.archive.verify.verification import KIND, Verification, VerificationReport
from neurdicom.catalog.documents import Documents
from neurdicom.coordination import LEASE_SECONDS, BackgroundTasks, Leases, Periodic
from neurdicom.errors import Conflict

log = logging.getLogger(__name__)

#: Key of the document with the lease and the place of a check under way.
PLACE: Final = "place"

_DAY = 86400.0

#: Seconds between two writes of the place: as much is checked again after a crash.
SAVE_SECONDS = 2.0

#: Seconds between two looks whether a check is due; a tenth of the time between checks where that is shorter.
_LOOK_SECONDS = 60.0


class PeriodicCheck:
    """Check of all files that begins by itself.

    Parameters
    ----------
    documents : Documents
        Documents of the catalog, which hold its place.
    verification : Verification
        Checks the files.
    server : str
        Name of this server.
    days : float
        Days between the end of a check and the beginning of the next; 0 for none.
    rate : float
        MiB that are read in a second; 0 for no limit.
    """

    def __init__(
        self, documents: Documents, verification: Verification, server: str, *, days: float, rate: float
    ) -> None:
        self._documents = documents
        self._verification = verification
        self._leases = Leases(documents, KIND, server)
        self._seconds = days * _DAY
        self._rate = rate
        self._is_lost = False
        look = min(_LOOK_SECONDS, self._seconds / 10)
        self._background = BackgroundTasks("damaged files could not be checked again")
        self._periodic = Periodic(self._look, look, "the check of stored files can't go on now", at_once=True)

    async def open(self) -> None:
        """Check damaged files again, and begin to look whether a check of all is due, unless there is to be none."""
        self._background.start(self._check_damaged())
        if self._seconds:
            self._periodic.start()

    async def close(self) -> None:
        """Stop; a check under way is resumed by the next start. Idempotent."""
        await self._background.close()
        await self._periodic.stop()

    async def _check_damaged(self) -> None:
        with RateLimit(self._rate) as pace:
            await self._verification.check_damaged(pace)

    async def _look(self) -> None:
        """Run a check if one is due, or was interrupted, and no other server does."""
        if await self._documents.get(KIND, PLACE) is None:
            # A server that is new has checked nothing yet, and has received nothing that is old.
            await self._documents.add(KIND, PLACE, {"owner": None, "until": 0.0, "since": time.time(), "report": None})
        place = await self._documents.get(KIND, PLACE)
        if place is None or not (place["report"] or await self._is_due(place)) or not self._leases.is_free(place):
            return
        held = await self._leases.take(PLACE)
        if held is None:
            return
        report, after = VerificationReport.begin(), ""
        if held["report"]:
            report, after = VerificationReport(**held["report"]), held["after"]
            log.info("the check of stored files is resumed after %d files", report.files)
        elif not await self._is_due(held):  # another server has just ended one
            await self._leases.release(PLACE)
            return
        try:
            await self._run(report, after)
        except BaseException:
            await self._leases.release(PLACE)  # the place stays
            raise

    async def _is_due(self, place: dict[str, Any]) -> bool:
        last = await self._verification.last()
        since = place["since"] if last is None else max(place["since"], last["time"])
        return bool(time.time() >= since + self._seconds)

    async def _run(self, report: VerificationReport, after: str) -> None:
        self._is_lost = False
        renewal = Periodic(self._renew, LEASE_SECONDS / 4, "the lease of the check of stored files was not renewed")
        with RateLimit(self._rate) as pace:
            async with renewal:
                saved = time.monotonic()
                async for series in self._verification.series(after or None):
                    await self._verification.check_series(series["key"], report, pace)
                    after = series["id"]
                    if time.monotonic() >= saved + SAVE_SECONDS:
                        await self._save(report, after)
                        saved = time.monotonic()
                await self._verification.check_trash(report, pace)
                await self._verification.find_unknown(report)
                await self._save(report, after)
        await self._verification.finish(report, "background")
        await self._leases.release(PLACE, report=None, after="", since=time.time())

    async def _renew(self) -> None:
        self._is_lost = await self._leases.renew(PLACE) is None

    async def _save(self, report: VerificationReport, after: str) -> None:
        if self._is_lost:
            raise Conflict("another server has taken the check of stored files over")
        await self._leases.update(PLACE, report=report.to_document(), after=after)
