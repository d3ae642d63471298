"""Group commit: arrivals that wait at the same time enter the catalog in one transaction."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.lookup import place_of
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import KEEP_ALL, StoreOutcome, StorePolicy
from neurdicom.catalog.records import NewInstance
from neurdicom.coordination import BackgroundTasks
from neurdicom.dicom.identity import Place
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import StorageFull, Unavailable

log = logging.getLogger(__name__)

#: Most arrivals in one group; more would only delay the first of them.
GROUP = 128

#: Seconds that a group waits for arrivals that are just being written to disk: a transaction costs more than an arrival
#: in it.
DELAY_SECONDS = 0.001

#: Seconds after which a transaction of unknown outcome has certainly ended.
UNKNOWN_SECONDS = 120.0


@dataclass(slots=True)
class _Waiting:
    arrival: NewInstance
    outcome: "asyncio.Future[StoreOutcome]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_healed: bool = False

    def settle(self, outcome: StoreOutcome) -> None:
        if not self.outcome.done():  # the caller may have been cancelled
            self.outcome.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # retrieved, since nobody may be waiting any more


class SenderOrder:
    """Order of one sender's arrivals, written in parallel: of two files of one instance, the later one stays."""

    def __init__(self) -> None:
        self._last: asyncio.Future[None] | None = None

    def begin(self) -> "SequenceToken":
        """Make the token of the next arrival."""
        token = SequenceToken(self._last)
        self._last = token.over
        return token


class SequenceToken:
    """Place of an arrival in its sender's order; every token must be ended."""

    def __init__(self, before: "asyncio.Future[None] | None") -> None:
        self._before = before
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        """Wait for all earlier arrivals to end."""
        if self._before is not None and not self._before.done():
            await asyncio.wait([self._before])

    def end(self) -> None:
        """Let the next arrival proceed, once the earlier ones have ended."""
        if self._before is None or self._before.done():
            self.over.set_result(None)
        else:
            self._before.add_done_callback(lambda _: self.over.set_result(None))


class SeriesActivity(Protocol):
    """Observer of growing series."""

    async def expect(self, series: Collection[str]) -> None:
        """Note that instances of these series are about to be committed.

        These are the keys by what each file says of its patient; of a file that does not say it, the one that is noted
        may be another.
        """

    def note(self, series: str) -> None:
        """Note by the series' key that an instance was committed: a new one, or other bytes of an existing one."""


class ComingArrivals:
    """Arrivals that are just being written to disk, for which a group waits a little.

    Attributes
    ----------
    count : int
        Number of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self._wanted = 0
        self._enough = asyncio.Event()

    def end(self, waiting: int) -> None:
        """Count one that came or failed, when so many wait."""
        self.count -= 1
        if not self.count or waiting >= self._wanted:
            self._enough.set()

    async def gather(self, waiting: int) -> None:
        """Wait a little for those that are about to join the waiting ones."""
        self._wanted = min(waiting + self.count, GROUP)
        self._enough.clear()
        timer = asyncio.get_running_loop().call_later(DELAY_SECONDS, self._enough.set)
        await self._enough.wait()
        timer.cancel()


class CommitQueue:
    """Queue that enters durable arrivals into the catalog, in groups and in order.

    Parameters
    ----------
    catalog : Catalog
        Open.
    garbage : GarbageCollector
        Removes the files that no instance refers to any more, those of duplicates after they were compared with the
        stored ones.
    activity : SeriesActivity, optional
        Observer of growing series.
    policy : StorePolicy
        What is done with arrivals that meet others.
    """

    def __init__(
        self,
        catalog: Catalog,
        garbage: GarbageCollector,
        activity: SeriesActivity | None = None,
        policy: StorePolicy = KEEP_ALL,
    ) -> None:
        self._catalog = catalog
        self._policy = policy
        self._garbage = garbage
        self._activity = activity
        self._waiting: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None
        self._coming = ComingArrivals()
        self._background = BackgroundTasks("cleaning up after a commit failed; the next start does it")
        self._unknown: dict[str, float] = {}

    async def put(self, landing: Awaitable[NewInstance], order: SenderOrder) -> tuple[StoreOutcome, bool]:
        """Enter one arrival once its file is in the blob store. Cancelling the caller does not undo it.

        Parameters
        ----------
        landing : awaitable of NewInstance
            Moves the file into the blob store.
        order : SenderOrder
            Order of the sender's arrivals.

        Returns
        -------
        outcome : StoreOutcome
            With a place, unless it is a conflict.
        is_healed : bool
            True for a duplicate whose stored file was damaged, and was replaced by it.

        Raises
        ------
        Unavailable
            The catalog failed; the arrival is not stored.
        Exception
            The error of `landing`, or the catalog's error for this arrival alone.
        """
        self._coming.count += 1
        token = order.begin()
        try:
            arrival = await landing
            await token.wait()
            waiting = _Waiting(arrival)
            self._waiting.append(waiting)
        finally:
            token.end()
            self._coming.end(len(self._waiting))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return await waiting.outcome, waiting.is_healed

    async def drain(self) -> None:
        """Wait until the queue is empty."""
        while self._runner is not None or self._background:
            if self._runner is not None:
                await asyncio.wait([self._runner])
            await self._background.drain()

    async def _run(self) -> None:
        try:
            while self._waiting:
                if self._coming.count:
                    await self._coming.gather(len(self._waiting))
                group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                await self._enter(group)
        finally:
            self._runner = None

    async def _enter(self, group: list[_Waiting]) -> None:
        """Enter a group, and acknowledge it."""
        if self._activity is not None:
            await self._activity.expect({_claimed(waiting.arrival).series for waiting in group})
        try:
            outcomes = await self._catalog.store([waiting.arrival for waiting in group], self._policy)
        except Exception as error:  # whatever it is, the waiting callers must get an error
            await self._after_failure(group, error)
            return
        await self._acknowledge(group, outcomes)

    async def _acknowledge(self, group: Sequence[_Waiting], outcomes: Sequence[StoreOutcome]) -> None:
        ended: list[tuple[_Waiting, StoreOutcome]] = []
        for waiting, outcome in zip(group, outcomes, strict=True):
            if outcome.status == "duplicate" and outcome.unused is not None and self._garbage.heals:
                # Others do not wait until the stored files of duplicates are read.
                self._background.start(self._compare(waiting, outcome))
            else:
                ended.append((waiting, outcome))
        unused = {outcome.unused: outcome.aside for _, outcome in ended if outcome.unused is not None}
        if unused:
            await self._collect(unused)
        for waiting, outcome in ended:
            self._settle(waiting, outcome)
        if self._unknown:
            self._background.start(self._settle_unknown())

    async def _compare(self, waiting: _Waiting, outcome: StoreOutcome) -> None:
        """Compare a duplicate with what is stored, then delete its file and acknowledge it."""
        try:
            if outcome.place is not None:
                waiting.is_healed = await self._garbage.heal(waiting.arrival, outcome.place.instance)
            if outcome.unused is not None:
                await self._collect({outcome.unused: outcome.aside})
        finally:
            self._settle(waiting, outcome)

    def _settle(self, waiting: _Waiting, outcome: StoreOutcome) -> None:
        if self._activity is not None and outcome.status in ("stored", "replaced") and outcome.place is not None:
            self._activity.note(outcome.place.series)
        waiting.settle(outcome)

    async def _collect(self, unused: Mapping[str, str]) -> None:
        """Remove blobs that the catalog lists as garbage; those that fail stay listed, for the next start."""
        try:
            await self._garbage.collect(unused)
        except (OSError, Unavailable) as error:
            log.warning("%d replaced files could not be removed, which is tried again: %s", len(unused), error)

    # -- when the catalog fails ------------------------------------------------------------------------------

    async def _after_failure(self, group: list[_Waiting], error: Exception) -> None:
        """Find the cause of a failure: the backend, or one arrival of the group.

        Nothing is tried twice before the catalog has confirmed that the first attempt left nothing.
        """
        log.error("%d arrivals could not be entered into the catalog together: %r", len(group), error)
        if isinstance(error, Unavailable) and not isinstance(error, StorageFull):
            self._give_up(group, error)
            return
        try:
            known = await self._catalog.known_blobs([waiting.arrival.blob.key for waiting in group])
            places = {key: await self._place(each.arrival) for each in group if (key := each.arrival.blob.key) in known}
        except Exception as second:  # whatever it is, the waiting callers must get an error
            log.exception(
                "the catalog could not tell which of %d arrivals it has entered; their senders get an error", len(group)
            )
            self._give_up(group, second)
            return
        for waiting in group:
            key = waiting.arrival.blob.key
            if key in places:
                self._settle(waiting, StoreOutcome("stored", place=places[key]))
            elif len(group) == 1:
                await self._garbage.discard(key)
                waiting.fail(error)
            else:
                await self._enter([waiting])

    async def _place(self, arrival: NewInstance) -> Place:
        """Look up where an arrival lies that was entered, though the catalog failed."""
        claimed = _claimed(arrival)
        entity = await self._catalog.get(Level.INSTANCE, claimed.instance)
        return claimed if entity is None else await place_of(self._catalog, entity)

    def _give_up(self, group: list[_Waiting], error: Exception) -> None:
        now = time.monotonic()
        self._unknown |= {waiting.arrival.blob.key: now for waiting in group}
        failure = (
            error if isinstance(error, Unavailable) else Unavailable("the catalog failed; the server's log says why")
        )
        for waiting in group:
            waiting.fail(failure)

    async def _settle_unknown(self) -> None:
        """Delete the files of old transactions of unknown outcome that turned out not to have happened."""
        now = time.monotonic()
        due = [key for key, since in self._unknown.items() if now - since > UNKNOWN_SECONDS]
        known = await self._catalog.known_blobs(due) if due else set()
        for key in due:
            if key not in known:
                await self._garbage.discard(key)
            self._unknown.pop(key, None)


def _claimed(arrival: NewInstance) -> Place:
    """Compute where an arrival lies by what its file says of its patient."""
    return Place.of(arrival.patient, arrival.study, arrival.series, arrival.instance)
