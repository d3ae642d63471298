"""The tracker of series that grow at this server, as ingest reports them.

A series is written down before its first instance is committed, so that the rules are run once, whatever crashes. It
costs one document for a series, not for an instance, and one transaction for all series that begin in a group of
arrivals.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from neurdicom.catalog.documents import Documents, IndexedDocument
from neurdicom.jobs.job import new_id
from neurdicom.rules.growing import GrowingSeries, Growth, GrowthEvent, GrowthState

log = logging.getLogger(__name__)

#: Kind of the documents of growing series.
KIND: Final = "growing_series"

#: Seconds until a failed series is tried again.
_AGAIN_SECONDS: Final = 10.0


class SeriesTracker:
    """Tracker of growing series, the `SeriesActivity` of ingest; all methods belong to the event loop.

    Parameters
    ----------
    documents : Documents
        Stores the documents of growing series.
    seconds : float
        Quiet time after which a series is stable.
    server : str
        Name of this server, the same after a restart.

    Attributes
    ----------
    is_enabled : bool
        Whether growing series are written down.
    """

    def __init__(self, documents: Documents, seconds: float, server: str) -> None:
        self.seconds = seconds
        self.server = server
        self.is_enabled = False
        self._documents = documents
        self._growing: dict[str, Growth] = {}  # in the order of their last arrivals
        self._settling: set[str] = set()
        self._wake = asyncio.Event()

    async def enable(self, enabled: bool) -> None:
        """Enable or disable tracking; enabling persists the series that are growing."""
        self.is_enabled = enabled
        if enabled:
            await self._write([series for series, growth in self._growing.items() if growth.document is None])

    def is_stable(self, series: str) -> bool:
        """Tell whether no instance of a series arrived at this server for the quiet time."""
        growth = self._growing.get(series)
        return (growth is None or growth.state is GrowthState.EXPECTED) and series not in self._settling

    # -- arrivals --------------------------------------------------------------------------------------------

    async def expect(self, series: Collection[str]) -> None:
        """Note that instances of these series are about to be committed."""
        if not self.is_enabled:
            return
        new = {one for one in series if (known := self._growing.get(one)) is None or known.document is None}
        if new:
            now = asyncio.get_running_loop().time()
            for one in new:
                self._growing.setdefault(one, Growth(one, now, now))
            self._wake.set()
            await self._write(new)

    def note(self, series: str) -> None:
        """Note that an instance was committed: a new one, or other bytes of an existing one."""
        now = asyncio.get_running_loop().time()
        growth = self._growing.pop(series, None)
        if growth is None:
            growth = Growth(series, now, now)
            self._wake.set()
        growth.last = now
        growth.on(GrowthEvent.ARRIVAL)
        self._growing[series] = growth

    def take_up(self, document: GrowingSeries) -> None:
        """Take over a series that another server, or an earlier process of this one, has left."""
        now = asyncio.get_running_loop().time()
        state = GrowthState.GROWING
        self._growing[document.series] = Growth(document.series, now, now, state, document, is_repeated=True)
        self._wake.set()

    async def _write(self, series: Collection[str]) -> None:
        until = time.time() + self.seconds
        made = [GrowingSeries(one, new_id(), self.server, until) for one in series]
        try:
            await self._documents.put(KIND, {one.series: IndexedDocument(one.to_document()) for one in made})
        except Exception as error:  # ingest must go on, whatever it is
            log.warning(
                "%d growing series could not be written to the catalog, only kept in memory: %r", len(made), error
            )
            return
        for one in made:
            if one.series in self._growing:
                self._growing[one.series].document = one

    # -- quiet series ----------------------------------------------------------------------------------------

    async def next_quiet(self) -> Growth:
        """Wait for a series to be quiet for its time, and hand it over; `finish` ends that."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            oldest = next(iter(self._growing.values()), None)
            if oldest is None:
                await self._wake.wait()
            elif (wait := oldest.last + self.seconds - loop.time()) > 0:
                await asyncio.sleep(wait)
            else:
                del self._growing[oldest.series]
                self._settling.add(oldest.series)
                return oldest

    def finish(self, growth: Growth) -> None:
        """Note that a series that was handed over is finished, or will be tried again."""
        self._settling.discard(growth.series)

    def wait_on(self, growth: Growth) -> None:
        """Wait for another quiet time of a series, unless it grows again already."""
        growth.last = asyncio.get_running_loop().time()
        self._growing.setdefault(growth.series, growth)

    def try_again(self, growth: Growth) -> None:
        """Hand a series that failed over again later, unless it grows again meanwhile."""
        growth.on(GrowthEvent.FAILURE)

        def wait_on() -> None:
            if growth.series not in self._growing:
                self.wait_on(replace(growth, is_repeated=True))
                self._wake.set()

        asyncio.get_running_loop().call_later(_AGAIN_SECONDS, wait_on)

    # -- several servers -------------------------------------------------------------------------------------

    async def extend(self) -> None:
        """Extend the documents of series that still grow here, so that no other server takes them for abandoned."""
        now = time.time()
        for series, growth in list(self._growing.items()):
            document = growth.document
            if document is not None and document.until < now and not document.claim:
                extended = replace(document, until=now + self.seconds)
                if await self._documents.swap(KIND, series, document.to_document(), extended.to_document()):
                    growth.document = extended
