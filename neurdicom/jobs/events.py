"""News of jobs as they come: one look at the catalog a second for each job, however many follow it."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from neurdicom.coordination import Periodic
from neurdicom.errors import NotFound, Unavailable
from neurdicom.jobs.job import Job
from neurdicom.jobs.results import ResultReader
from neurdicom.jobs.store import JobStore

#: Seconds between looks at a job, which another server may run.
LOOK_SECONDS = 1.0

#: Seconds after which followers hear of a job that does not move.
BEAT_SECONDS = 10.0

#: Followers at a time, of all jobs together.
MAX_FOLLOWERS = 1000

#: Items that are told of at a time.
_PAGE = 100

#: Pages that are kept, for followers that are equally far.
_KEPT = 64


@dataclass(frozen=True, slots=True)
class News:
    """How a job stands, and items that were over since the last news, each with its position.

    `position` is how much of the job's log has been told by now.
    """

    job: Job
    items: list[tuple[int, dict[str, Any]]]
    position: int


@dataclass(slots=True)
class _Watched:
    """A job that somebody follows."""

    job: Job | None
    followers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    looker: Periodic | None = None

    def put(self, job: Job | None) -> None:
        self.job = job
        self.changed.set()
        self.changed = asyncio.Event()


class Feed:
    """Tells followers of jobs what happens, from what is written down; so it does not matter which server runs one."""

    def __init__(self, store: JobStore, results: ResultReader) -> None:
        self._store = store
        self._results = results
        self._watched: dict[str, _Watched] = {}
        self._pages: OrderedDict[tuple[str, int, int], asyncio.Task[list[tuple[int, dict[str, Any]]]]] = OrderedDict()

    def publish(self, record: Mapping[str, Any]) -> None:
        """A job's document was written down here."""
        watched = self._watched.get(record["id"])
        if watched is not None:
            watched.put(Job.from_document(record))

    async def close(self) -> None:
        """Let all followers go. Idempotent."""
        watched = list(self._watched.values())
        for each in watched:
            each.put(None)
            if each.looker is not None:
                await each.looker.stop()

    async def follow(self, job: str, position: int = 0, *, items: bool = True) -> AsyncIterator[News]:
        """News of a job until it is over, forgotten, or the feed is closed; the first at once.

        Parameters
        ----------
        job : str
        position : int
            So much of its log is known already.
        items : bool
            Whether to tell of items at all.

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
            position = min(position, watched.job.settled) if watched.job is not None else 0
            told: Job | None = None
            told_at = 0.0
            while (now := watched.job) is not None:
                changed = watched.changed
                if not items:
                    position = now.settled
                if position < now.settled:
                    end = min(now.settled, (position // _PAGE + 1) * _PAGE)
                    try:
                        page = await self._page(now, position, end)
                    except Unavailable:
                        await asyncio.sleep(LOOK_SECONDS)
                        continue
                    position = end
                    if page:
                        yield News(now, page, position)
                    told, told_at = None, loop.time()
                    continue
                if now is not told or loop.time() - told_at >= BEAT_SECONDS:
                    yield News(now, [], position)
                    told, told_at = now, loop.time()
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
            raise Unavailable(f"{MAX_FOLLOWERS} clients follow jobs already; ask for the job from time to time")
        watched = self._watched.get(job)
        if watched is None:
            found = await self._store.get(job)
            watched = self._watched.setdefault(job, _Watched(found))
        watched.followers += 1
        if watched.looker is None:
            failure = f"the job {job} can't be looked at"
            watched.looker = Periodic(lambda: self._look(job, watched), LOOK_SECONDS, failure)
            watched.looker.start()
        return watched

    def _leave(self, job: str, watched: _Watched) -> None:
        watched.followers -= 1
        if not watched.followers and watched.looker is not None:
            watched.looker.cancel()
            self._watched.pop(job, None)

    async def _look(self, job: str, watched: _Watched) -> None:
        found = await self._store.find(job)
        now = watched.job
        is_older = found is not None and now is not None and found.settled < now.settled  # published meanwhile
        if found != now and not is_older:
            watched.put(found)

    async def _page(self, job: Job, start: int, end: int) -> list[tuple[int, dict[str, Any]]]:
        key = (job.id, start, end)
        task = self._pages.get(key)
        if task is None:
            task = self._pages[key] = asyncio.create_task(self._results.settled(job, start, end))
            while len(self._pages) > _KEPT:
                self._pages.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except NotFound:  # the job was forgotten meanwhile
            return []
        except Unavailable:
            self._pages.pop(key, None)
            raise
