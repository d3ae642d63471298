"""Stable series: each is claimed by one of several servers, and handed over once."""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import Final, Protocol

from neurdicom.catalog.documents import Documents
from neurdicom.coordination import BackgroundTasks, Leases, Periodic
from neurdicom.errors import NeurdicomError
from neurdicom.jobs.job import new_id
from neurdicom.rules.growing import GrowingSeries, Growth, GrowthEvent, GrowthState, Step, is_overdue, next_step
from neurdicom.rules.tracker import KIND, SeriesTracker

log = logging.getLogger(__name__)

#: Seconds between reads of the documents of other servers.
WATCH_SECONDS: Final = 10.0

#: Seconds that a server has to run the rules on a stable series.
_CLAIM_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class StableSeries:
    """Series that is stable.

    Attributes
    ----------
    series : str
        Key of the series.
    epoch : str
        Id of the period in which it grew; the same when it is handed over again.
    is_repeated : bool
        Whether the rules may have been run before, by a server that crashed or could not finish.
    """

    series: str
    epoch: str
    is_repeated: bool


class StableObserver(Protocol):
    """Receiver of stable series."""

    async def is_wanted(self) -> bool:
        """Tell whether stable series are to be handed over, by the current state of the catalog."""

    async def present_key(self, series: str) -> str:
        """Look up the present key of a series that has, or had, a key; that key where the series is gone."""

    async def on_stable(self, stable: StableSeries) -> None:
        """Handle a stable series. An exception is logged, and the series is handed over again later."""


class StableService:
    """Service that hands each series over to an observer, once, when it is stable.

    Parameters
    ----------
    documents : Documents
        Stores the documents of growing series.
    tracker : SeriesTracker
        Knows which series grow here.
    observer : StableObserver
        Receives stable series.
    """

    def __init__(self, documents: Documents, tracker: SeriesTracker, observer: StableObserver) -> None:
        self._documents = documents
        self._tracker = tracker
        self._observer = observer
        members = ("claim", "claim_until")
        self._leases = Leases(documents, KIND, tracker.server, seconds=_CLAIM_SECONDS, members=members, nobody="")
        self._settler = BackgroundTasks("the task that runs rules on stable series has ended")
        self._watcher = Periodic(self._watch, WATCH_SECONDS, "the documents of growing series can't be checked now")

    async def open(self) -> None:
        """Resume the series that an earlier process of this server has left, and start."""
        server = self._tracker.server
        for document in (await self._documents.query(KIND)).items:
            found = GrowingSeries.from_document(document)
            if server in (found.server, found.claim) and not found.dealt:
                self._tracker.take_up(found)
        self._settler.start(self._run())
        self._watcher.start()

    async def close(self) -> None:
        """Stop; series that are not stable yet are resumed at the next start. Idempotent."""
        await self._settler.close()
        await self._watcher.stop()

    async def _run(self) -> None:
        while True:
            growth = await self._tracker.next_quiet()
            try:
                await self._settle(growth)
            except NeurdicomError as error:
                log.warning(
                    "the rules could not be run on series %s, which is stable, and are tried again: %s",
                    growth.series,
                    error,
                )
                self._tracker.try_again(growth)
            except Exception:  # a fault of ours with one series must not delay the others
                log.exception(
                    "the rules could not be run on series %s, which is stable, and are tried again: internal error",
                    growth.series,
                )
                self._tracker.try_again(growth)
            finally:
                self._tracker.finish(growth)

    async def _settle(self, growth: Growth) -> None:
        """Take the step that `next_step` decides for a series that was quiet for its time."""
        found, present = None, growth.series
        if growth.state is not GrowthState.EXPECTED:
            if not (self._tracker.is_enabled or await self._observer.is_wanted()):
                return
            present = await self._observer.present_key(growth.series)
            document = await self._documents.get(KIND, growth.series)
            found = None if document is None else GrowingSeries.from_document(document)
        loop = asyncio.get_running_loop().time()
        step = next_step(growth, found, self._tracker.server, wall=time.time(), loop=loop)
        if step is not Step.WAIT and present != growth.series and not self._tracker.is_stable(present):
            step = Step.DROP  # it grows on under the key that it has since its patient became known
        if step is Step.WAIT:
            self._tracker.wait_on(growth)
            return
        if step is Step.DROP:
            if growth.document is not None:
                await self._swap(growth.document, None)
        elif step is Step.LEAVE:
            await self._leave(found)
        elif not await self._deal(growth, found if step is Step.CLAIM else None, present):
            self._tracker.try_again(growth)
            return
        growth.on(GrowthEvent.END)

    async def _leave(self, found: GrowingSeries | None) -> None:
        """Make the other server wait until the series was quiet here, too."""
        now = time.time()
        if found is not None and found.until < now and not found.claim and not found.dealt:
            await self._swap(found, replace(found, until=now))

    async def _deal(self, growth: Growth, found: GrowingSeries | None, present: str) -> bool:
        """Claim a series and hand it to the observer by its present key; return False if another server was faster."""
        series, now = growth.series, time.time()
        if found is None:
            found = GrowingSeries(series, new_id(), self._tracker.server, now)
            await self._documents.put(KIND, {series: found.to_document()})
        document = await self._leases.claim(series, found.to_document())
        if document is None:
            return False
        growth.on(GrowthEvent.CLAIM)
        growth.document = claimed = GrowingSeries.from_document(document)
        await self._observer.on_stable(StableSeries(present, claimed.epoch, growth.is_repeated))
        if self._documents.is_exclusive:
            await self._swap(claimed, None)
        else:
            await self._leases.release(series, dealt=now)
        return True

    async def _swap(self, before: GrowingSeries, after: GrowingSeries | None) -> None:
        document = None if after is None else after.to_document()
        await self._documents.swap(KIND, before.series, before.to_document(), document)

    async def _watch(self) -> None:
        await self._tracker.extend()
        if self._tracker.is_enabled:
            await self._take_up_abandoned()

    async def _take_up_abandoned(self) -> None:
        """Take over series that other servers have abandoned."""
        now = time.time()
        for document in (await self._documents.query(KIND)).items:
            found = GrowingSeries.from_document(document)
            if not is_overdue(found, seconds=self._tracker.seconds, wall=now):
                continue
            if found.dealt:
                await self._swap(found, None)
            elif self._tracker.is_stable(found.series):
                log.warning(
                    "series %s, which grows, was abandoned by server %s, and is taken over", found.series, found.server
                )
                self._tracker.take_up(found)
