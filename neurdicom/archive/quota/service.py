"""The quota: a task that keeps the archive within its limits, by one server at a time."""

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from neurdicom.archive.hold import are_deletions_held
from neurdicom.archive.quota.enforcer import RECENT_SECONDS, QuotaEnforcer, QuotaOutcome
from neurdicom.archive.quota.limits import MIB, QuotaAlert, QuotaLimits, QuotaUse
from neurdicom.archive.quota.meter import QuotaMeter
from neurdicom.archive.trash.entry import to_iso
from neurdicom.catalog.documents import Documents
from neurdicom.coordination import LEASE_SECONDS, Leases, Periodic
from neurdicom.errors import Conflict

log = logging.getLogger(__name__)

#: Kind and key of the document with the lease and the alert.
KIND: Final = "quota"
STATE: Final = "state"

#: Seconds between two checks, and between two looks whether uploads went over the limit meanwhile.
CHECK_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 2.0

#: Least seconds between two checks while there is an alert; taking labels away or emptying the trash may end it.
AGAIN_SECONDS: Final = 10.0

#: Pause between two checks, as a multiple of the time that one takes; that while there is an alert.
_REST: Final = 1.0
_REST_AFTER_ALERT: Final = 10.0

_WHY: Final = {
    QuotaOutcome.PROTECTED: "everything that is left is protected",
    QuotaOutcome.ARRIVING: "everything that is left is protected, or still arriving",
}


class QuotaService:
    """Service that keeps the archive within its limits, and measures their use.

    Parameters
    ----------
    documents : Documents
        Documents of the catalog, which hold the lease and the alert.
    limits : QuotaLimits
        The limits.
    meter : QuotaMeter
        Measures what is used.
    enforcer : QuotaEnforcer
        Deletes what is over the limits.
    server : str
        Name of this server.

    Attributes
    ----------
    limits : QuotaLimits
        The limits.
    """

    def __init__(
        self, documents: Documents, limits: QuotaLimits, meter: QuotaMeter, enforcer: QuotaEnforcer, server: str
    ) -> None:
        self.limits = limits
        self._documents = documents
        self._meter = meter
        self._enforcer = enforcer
        self._leases = Leases(documents, KIND, server)
        # Fractions of a day are for tests, too.
        self._seconds = min(CHECK_SECONDS, max(limits.seconds / 10, 1.0)) if limits.seconds else CHECK_SECONDS
        self._next = 0.0
        self._over_since: float | None = None
        self._is_stuck = False
        look = min(LOOK_SECONDS, self._seconds)
        self._periodic = Periodic(self._look, look, "the quota can't be enforced now", at_once=True, rest=_REST)

    async def open(self) -> None:
        """Begin to check the limits from time to time, if there are any."""
        if self.limits.bytes or self.limits.seconds:
            self._periodic.start()

    async def close(self) -> None:
        """Stop the checks; a deletion under way is finished. Idempotent."""
        await self._periodic.stop()
        await self._enforcer.close()

    async def alert(self) -> QuotaAlert | None:
        """Read the alert that the archive is over `max_storage` and nothing may be deleted; None if there is none."""
        state = await self._documents.get(KIND, STATE) if self.limits.bytes else None
        return None if state is None else QuotaAlert.from_document(state["alert"])

    async def measure(self) -> QuotaUse:
        """Measure the use of the limits."""
        return replace(await self._meter.measure(), alert=await self.alert())

    async def _look(self) -> None:
        """Check all limits if a check is due, or if uploads went over `max_storage` meanwhile."""
        now = time.monotonic()
        waits = now < self._next
        if waits and (not self.limits.bytes or await self._meter.estimate() <= self.limits.bytes):
            return
        if waits and self._is_stuck:
            return
        self._next = now + self._seconds
        self._is_stuck = False
        if await self._documents.get(KIND, STATE) is None:
            await self._documents.add(KIND, STATE, {"owner": None, "until": 0.0, "alert": None})
        held = await self._leases.take(STATE)
        if held is None:  # another server does it
            return
        alert = QuotaAlert.from_document(held["alert"])
        try:
            alert = await self._check(alert)
        finally:
            await self._leases.release(STATE, alert=None if alert is None else alert.to_document())

    async def _check(self, alert: QuotaAlert | None) -> QuotaAlert | None:
        """Run a pass while the lease is renewed; return the alert after it."""
        lost = asyncio.Event()

        async def renew() -> None:
            if await self._leases.renew(STATE) is None:
                lost.set()

        async def may_go_on() -> bool:
            if lost.is_set():
                raise Conflict("another server has taken the quota over")
            return not await are_deletions_held(self._documents)

        began = time.monotonic()
        async with Periodic(renew, LEASE_SECONDS / 4, "the lease of the quota was not renewed"):
            outcome = await self._enforcer.run(may_go_on)
        if outcome is QuotaOutcome.DELAYED:
            return alert
        if outcome is QuotaOutcome.WITHIN:
            self._over_since = None
            if alert is not None:
                log.info("the archive is within max_storage again, over which it was since %s", alert.since)
            return None
        now = time.monotonic()
        self._over_since = self._over_since or now
        if outcome is QuotaOutcome.ARRIVING and now - self._over_since < RECENT_SECONDS:
            return alert  # what has arrived is looked at again in a moment
        self._is_stuck = True
        self._next = now + max(AGAIN_SECONDS, _REST_AFTER_ALERT * (now - began))
        return await self._raise(alert, _WHY[outcome])

    async def _raise(self, alert: QuotaAlert | None, why: str) -> QuotaAlert:
        used = await self._meter.used()
        detail = (
            f"the archive takes {used / MIB:.1f} MiB, max_storage is {self.limits.max_storage:g} MiB, and {why}; "
            "uploads go on"
        )
        if alert is None:
            log.error("nothing can be deleted: %s", detail)
        return QuotaAlert(to_iso(datetime.now(UTC)) if alert is None else alert.since, used, detail)
