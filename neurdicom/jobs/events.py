"""Events of jobs: the log of finished items, and the streams of events for followers.

One read of the catalog a second serves all followers of a job.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from neurdicom.coordination import Periodic
from neurdicom.errors import NotFound, Unavailable
from neurdicom.jobs.job import Job
from neurdicom.jobs.results import ResultReader
from neurdicom.jobs.store import LOG_PAGE, JobStore

#: Seconds between reads of a job's record, since another server may run it.
LOOK_SECONDS = 1.0

#: Seconds after which followers get an event of an unchanged job.
BEAT_SECONDS = 10.0

#: Most followers at a time, of all jobs together.
MAX_FOLLOWERS = 1000

#: Most items of one event.
_PAGE = 100

#: Pages that are cached, for followers at the same position.
_KEPT = 64


class EventLog:
    """Log of a running job: the numbers of its items, in the order in which they finished.

    An item that was run again occurs again. Entries are written before the chunks of their items, so after a crash some
    may name items that are not over: readers skip them.
    """

    def __init__(self, store: JobStore, job: str) -> None:
        self._store = store
        self._job = job
        self._full = 0
        self._page: list[int] = []
        self._dirty = False

    @property
    def length(self) -> int:
        """Number of entries."""
        return self._full * LOG_PAGE + len(self._page)

    async def open(self, count: int) -> None:
        """Continue a log of at least `count` entries."""
        self._full = count // LOG_PAGE
        self._page = await self._store.log_page(self._job, self._full)
        while len(self._page) >= LOG_PAGE:
            self._full += 1
            self._page = await self._store.log_page(self._job, self._full)

    def append(self, item: int) -> None:
        """Add an item that is over."""
        self._page.append(item)
        self._dirty = True

    async def save(self) -> None:
        """Write the new entries."""
        if not self._dirty:
            return
        self._dirty = False
        try:
            while len(self._page) >= LOG_PAGE:
                await self._store.save_log_page(self._job, self._full, self._page[:LOG_PAGE])
                self._full, self._page = self._full + 1, self._page[LOG_PAGE:]
            await self._store.save_log_page(self._job, self._full, list(self._page))
        except BaseException:
            self._dirty = True
            raise


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Record of a job, and the items that finished since the last event, each with its position.

    `position` is the number of entries of the job's log up to here.
    """

    job: Job
    items: list[tuple[int, dict[str, Any]]]
    position: int


@dataclass(slots=True)
class _Watched:
    """Job that has followers."""

    job: Job | None
    looker: Periodic
    followers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, job: Job | None) -> None:
        self.job = job
        self.changed.set()
        self.changed = asyncio.Event()


class JobEvents:
    """Source of job events, read from the catalog, so that it does not matter which server runs a job."""

    def __init__(self, store: JobStore, results: ResultReader) -> None:
        self._store = store
        self._results = results
        self._watched: dict[str, _Watched] = {}
        self._pages: OrderedDict[tuple[str, int, int], asyncio.Task[list[tuple[int, dict[str, Any]]]]] = OrderedDict()

    def publish(self, record: Mapping[str, Any]) -> None:
        """Deliver a job's document that this server has just written."""
        watched = self._watched.get(record["id"])
        if watched is not None:
            watched.put(Job.from_document(record))

    async def close(self) -> None:
        """End the events of all followers. Idempotent."""
        watched = list(self._watched.values())
        for each in watched:
            each.put(None)
            each.looker.cancel()
        for each in watched:
            await each.looker.stop()

    async def follow(self, job: str, position: int = 0, *, items: bool = True) -> AsyncIterator[JobEvent]:
        """Yield the events of a job until it is over, forgotten, or this object is closed; the first at once.

        Parameters
        ----------
        job : str
            Id of the job.
        position : int
            Number of entries of its log that the follower has already.
        items : bool
            Whether items are wanted.

        Raises
        ------
        NotFound
            There is no such job.
        Unavailable
            There are too many followers.
        """
        watched = await self._watch(job)
        try:
            loop = asyncio.get_running_loop()
            position = min(position, watched.job.finished_count) if watched.job is not None else 0
            sent: Job | None = None
            sent_at = 0.0
            while (now := watched.job) is not None:
                changed = watched.changed
                if not items:
                    position = now.finished_count
                if position < now.finished_count:
                    end = min(now.finished_count, (position // _PAGE + 1) * _PAGE)
                    try:
                        page = await self._page(now, position, end)
                    except Unavailable:
                        await asyncio.sleep(LOOK_SECONDS)
                        continue
                    position = end
                    if page:
                        yield JobEvent(now, page, position)
                    sent, sent_at = None, loop.time()
                    continue
                if now is not sent or loop.time() - sent_at >= BEAT_SECONDS:
                    yield JobEvent(now, [], position)
                    sent, sent_at = now, loop.time()
                if now.is_over:
                    return
                try:
                    async with asyncio.timeout(BEAT_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    continue
        finally:
            self._leave(job, watched)

    async def _watch(self, job: str) -> _Watched:
        if sum(each.followers for each in self._watched.values()) >= MAX_FOLLOWERS:
            raise Unavailable(
                f"{MAX_FOLLOWERS} clients follow jobs, the most there may be; poll GET /api/jobs/{job} instead"
            )
        if job not in self._watched:
            found = await self._store.get(job)
            if job not in self._watched:
                failure = f"the record of the job {job} can't be read"
                looker = Periodic(partial(self._look, job), LOOK_SECONDS, failure)
                self._watched[job] = _Watched(found, looker)
                looker.start()
        watched = self._watched[job]
        watched.followers += 1
        return watched

    def _leave(self, job: str, watched: _Watched) -> None:
        watched.followers -= 1
        if not watched.followers:
            watched.looker.cancel()
            self._watched.pop(job, None)

    async def _look(self, job: str) -> None:
        found = await self._store.find(job)
        watched = self._watched[job]
        now = watched.job
        # A record that was published meanwhile is newer.
        is_older = found is not None and now is not None and found.finished_count < now.finished_count
        if found != now and not is_older:
            watched.put(found)

    async def _page(self, job: Job, start: int, end: int) -> list[tuple[int, dict[str, Any]]]:
        key = (job.id, start, end)
        task = self._pages.get(key)
        if task is None:
            task = self._pages[key] = asyncio.create_task(self._results.finished(job, start, end))
            while len(self._pages) > _KEPT:
                self._pages.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except NotFound:  # the job was forgotten meanwhile
            return []
        except Unavailable:
            self._pages.pop(key, None)
            raise
