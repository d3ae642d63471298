"""Series that still grow, and what happens once one has been quiet for a while.

While somebody wants to know of stable series, each that begins to grow has a document in the catalog, written before
its first instance is committed: whatever crashes, it is settled once. It costs one document for a series, not for an
instance, and one transaction for all that begin in a group of arrivals. Servers that share a catalog need clocks that
agree within seconds.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.terms import Termed
from neurdicom.errors import NeurdicomError
from neurdicom.jobs.job import new_id

log = logging.getLogger(__name__)

_KIND = "growing_series"

#: Seconds between looks at the documents of other servers, and how long past its time one is left to its own server.
WATCH_SECONDS = 10.0
_GRACE_SECONDS = 60.0

#: Seconds that a server has to deal with a series that is stable, and until it tries again what failed.
_CLAIM_SECONDS = 60.0
_AGAIN_SECONDS = 10.0


#: Seconds that a commit may take.
_COMMIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Growing:
    """The document of a series that is not stable yet.

    Attributes
    ----------
    series : str
        Series Instance UID.
    epoch : str
        Names this time that it grows; another one when it grows again.
    server : str
        Who looks after it.
    until : float
        When it will be stable if nothing more comes; seconds since the epoch.
    claim, claim_until : str, float
        Who deals with it now that it is stable, and until when at most.
    dealt : float
        When it was dealt with, for other servers to which instances of it came before; 0 if it was not.
    """

    series: str
    epoch: str
    server: str
    until: float
    claim: str = ""
    claim_until: float = 0.0
    dealt: float = 0.0

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read one."""
        return cls(**document)


@dataclass(slots=True)
class _Pending:
    """A growing series in memory: the loop's time when it began, and of its last arrival."""

    since: float
    last: float
    changed: bool = False
    growing: Growing | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Stable:
    """A series that is stable.

    Attributes
    ----------
    series : str
        Series Instance UID.
    epoch : str
        Names this time; the same when it is told again.
    again : bool
        It may have been told before, by a server that crashed or could not finish.
    """

    series: str
    epoch: str
    again: bool


@dataclass(slots=True)
class StableService:
    """Tells of each series, once, when it is stable; all methods belong to the event loop.

    Attributes
    ----------
    catalog : Catalog
    seconds : float
        Quiet time after which a series is stable.
    server : str
        Name of this server, the same after a restart.
    wanted : bool
        Somebody wants to know; without that nothing is written.
    is_wanted : callable
        Tells whether somebody wants to know by now, at another server.
    on_stable : callable
        Deals with a stable series. What it raises is logged, and it is told again later.
    """

    catalog: Catalog
    seconds: float
    server: str
    wanted: bool = False
    is_wanted: Callable[[], Awaitable[bool]] | None = None
    on_stable: Callable[[Stable], Awaitable[None]] | None = None
    _pending: dict[str, _Pending] = field(default_factory=dict)
    _settling: set[str] = field(default_factory=set)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Take up what an earlier process of this server has left, and begin."""
        for document in await self.catalog.find_documents(_KIND):
            growing = Growing.from_document(document)
            if self.server in (growing.server, growing.claim) and not growing.dealt:
                self._take_up(growing)
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._watch())]

    async def close(self) -> None:
        """Stop; what is not stable yet is taken up at the next start. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def want(self, wanted: bool) -> None:
        """Somebody wants to know of stable series, or nobody any more; growing ones are written down."""
        self.wanted = wanted
        if wanted:
            await self._write([series for series, pending in self._pending.items() if pending.growing is None])

    def is_stable(self, series: str) -> bool:
        """Whether no instance of a series came to this server for the quiet time."""
        pending = self._pending.get(series)
        return (pending is None or not pending.changed) and series not in self._settling

    # -- arrivals --------------------------------------------------------------------------------------------

    async def expect(self, series: Collection[str]) -> None:
        """Instances of these series are about to be committed."""
        if not self.wanted:
            return
        new = {one for one in series if (known := self._pending.get(one)) is None or known.growing is None}
        if new:
            now = asyncio.get_running_loop().time()
            for one in new:
                self._pending.setdefault(one, _Pending(now, now))
            self._wake.set()
            await self._write(new)

    def note(self, series: str) -> None:
        """An instance of a series was committed: a new one, or other bytes of one that was there."""
        now = asyncio.get_running_loop().time()
        pending = self._pending.pop(series, None)
        if pending is None:
            pending = _Pending(now, now)
            self._wake.set()
        pending.last = now
        pending.changed = True
        self._pending[series] = pending  # at the end: they lie in the order of their last arrivals

    async def _write(self, series: Collection[str]) -> None:
        until = time.time() + self.seconds
        made = [Growing(one, new_id(), self.server, until) for one in series]
        try:
            await self.catalog.put_documents(_KIND, [Termed(one.series, asdict(one), ()) for one in made])
        except Exception as error:  # ingest goes on, whatever it is
            log.warning("%d growing series could not be written down, only remembered: %r", len(made), error)
            return
        for one in made:
            if one.series in self._pending:
                self._pending[one.series].growing = one

    def _take_up(self, growing: Growing) -> None:
        now = asyncio.get_running_loop().time()
        self._pending[growing.series] = _Pending(now, now, changed=True, growing=growing, again=True)
        self._wake.set()

    # -- settling --------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            oldest = next(iter(self._pending.items()), None)
            if oldest is None:
                await self._wake.wait()
                continue
            series, pending = oldest
            wait = pending.last + self.seconds - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            del self._pending[series]
            self._settling.add(series)
            try:
                await self._settle(series, pending)
            except NeurdicomError as error:
                log.warning("the stable series %s is dealt with later: %s", series, error)
                self._retry(series, pending)
            except Exception:  # a fault of ours with one series must not keep the others waiting
                log.exception("the stable series %s could not be dealt with; it is tried again", series)
                self._retry(series, pending)
            finally:
                self._settling.discard(series)

    def _retry(self, series: str, pending: _Pending) -> None:
        """Have a series dealt with later, unless it grows again meanwhile."""

        def take_up() -> None:
            if series not in self._pending:
                self._pending[series] = replace(pending, last=loop.time(), again=True)
                self._wake.set()

        loop = asyncio.get_running_loop()
        loop.call_later(_AGAIN_SECONDS, take_up)

    async def _settle(self, series: str, pending: _Pending) -> None:
        """Claim a series that is quiet, and have it dealt with."""
        if not pending.changed:
            await self._wait_or_drop(series, pending)
            return
        if not self.wanted and not (self.is_wanted is not None and await self.is_wanted()):
            return
        document = await self.catalog.get_document(_KIND, series)
        growing = None if document is None else Growing.from_document(document)
        if growing is not None and self._is_left(growing, pending):
            await self._hand_over(growing)
            return
        now = time.time()
        if growing is None or growing.dealt:
            growing = Growing(series, new_id(), self.server, now)
            await self.catalog.put_document(_KIND, series, asdict(growing))
        claimed = replace(growing, claim=self.server, claim_until=now + _CLAIM_SECONDS)
        if not await self.catalog.swap_document(_KIND, series, asdict(growing), asdict(claimed)):
            self._retry(series, pending)
            return
        pending.growing = claimed
        if self.on_stable is not None:
            await self.on_stable(Stable(series, claimed.epoch, pending.again))
        dealt = replace(claimed, claim="", claim_until=0.0, dealt=now)
        after = None if self.catalog.is_exclusive else asdict(dealt)
        await self.catalog.swap_document(_KIND, series, asdict(claimed), after)

    async def _wait_or_drop(self, series: str, pending: _Pending) -> None:
        """Forget a series to which only duplicates came; the commit of what was expected may take its time."""
        now = asyncio.get_running_loop().time()
        if now - pending.since < _COMMIT_SECONDS:
            pending.last = now
            self._pending.setdefault(series, pending)
        elif pending.growing is not None:
            await self.catalog.swap_document(_KIND, series, asdict(pending.growing), None)

    def _is_left(self, growing: Growing, pending: _Pending) -> bool:
        """Whether a series is another server's: it has dealt with it since the last arrival here, or will."""
        now = time.time()
        if growing.dealt:
            return growing.dealt >= now - (asyncio.get_running_loop().time() - pending.last)
        is_ours = pending.growing is not None and pending.growing.epoch == growing.epoch
        return not is_ours and growing.server != self.server and growing.until + _GRACE_SECONDS > now

    async def _hand_over(self, growing: Growing) -> None:
        """Have the other server wait until it was quiet here, too."""
        until = time.time()
        if growing.until < until and not growing.claim and not growing.dealt:
            waiting = replace(growing, until=until)
            await self.catalog.swap_document(_KIND, growing.series, asdict(growing), asdict(waiting))

    # -- several servers -------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self._extend()
                await self._look()
            except NeurdicomError as error:
                log.warning("growing series can't be looked after now: %s", error)

    async def _extend(self) -> None:
        """Tell other servers that series still grow here, so that none takes them for abandoned."""
        now = time.time()
        for series, pending in list(self._pending.items()):
            growing = pending.growing
            if growing is not None and growing.until < now and not growing.claim:
                extended = replace(growing, until=now + self.seconds)
                if await self.catalog.swap_document(_KIND, series, asdict(growing), asdict(extended)):
                    pending.growing = extended

    async def _look(self) -> None:
        """Take up what other servers have left."""
        if not self.wanted:
            return
        now = time.time()
        for document in await self.catalog.find_documents(_KIND):
            growing = Growing.from_document(document)
            overdue = max(growing.until, growing.claim_until, growing.dealt + self.seconds) + _GRACE_SECONDS < now
            if overdue and growing.dealt:
                await self.catalog.swap_document(_KIND, growing.series, document, None)
            elif overdue and self.is_stable(growing.series):
                log.warning("the growing series %s was left by %s", growing.series, growing.server)
                self._take_up(growing)
