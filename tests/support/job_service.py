"""A job service without a server, and a runner that a test tells what to do."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from neurdicom.catalog.base import Catalog
from neurdicom.errors import PeerFailed
from neurdicom.jobs import Failure, Item, ItemOutcome, Job, JobQueue, JobService, Runner
from neurdicom.jobs.runner import Backoff
from neurdicom.security.access import Principal
from tests.support.waiting import until

ANN = Principal("ann", "ann@example.org")
BOB = Principal("bob", "bob@example.org")
ROOT = Principal("root", "root@example.org", is_admin=True)

QUICK = Backoff(first=0.02, factor=1.5, attempts=4)

#: What becomes of an item at its n-th attempt: None when it is done, else the reason and whether it may pass.
Fate = Callable[[str, int], tuple[str, bool] | None]


class Worker(Runner):
    """Does items named `0`, `1` ... as many as the request's `count`.

    Attributes
    ----------
    done : Counter
        How often each item was done.
    order : list of str
        Job ids, one for each item in the order in which they were begun.
    gate : asyncio.Event
        Items wait for it.
    """

    def __init__(self, fate: Fate = lambda item, attempt: None, *, seconds: float = 0.0) -> None:
        self.fate = fate
        self.seconds = seconds
        self.done: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.order: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken: PeerFailed | None = None

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        for number in range(job.request["count"]):
            yield Item(str(number))

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        for place, item in enumerate(items):
            if stop.is_set():
                return
            if self.broken is not None:
                raise self.broken
            self.order.append(job.id)
            await asyncio.sleep(self.seconds)
            await self.gate.wait()
            self.attempts[item] += 1
            fate = self.fate(item, self.attempts[item])
            if fate is None:
                self.done[item] += 1
                yield ItemOutcome(place, done=1)
            else:
                yield ItemOutcome(place, failed=1, failures=(Failure(item, fate[0]),), retryable=fate[1])


class WorkService(JobService):
    """A service that runs jobs of the kind `work`, and submits them too."""

    def __init__(self, queue: JobQueue, worker: Runner, backoff: Backoff) -> None:
        super().__init__(queue, {"work": worker}, backoff=backoff)
        self.find_open = queue.find_open
        self.submit = partial(queue.submit, keeps_items=worker.keeps_items)


@asynccontextmanager
async def service(
    catalog: Catalog, worker: Runner, *, owner: str | None = None, backoff: Backoff = QUICK
) -> AsyncIterator[WorkService]:
    """A service that runs jobs of the kind `work`."""
    jobs = WorkService(JobQueue(catalog.documents, owner or uuid.uuid4().hex), worker, backoff)
    await jobs.open()
    try:
        yield jobs
    finally:
        await jobs.close()


async def ended(jobs: JobService, job: Job, *, seconds: float = 30.0) -> Job:
    """Wait until a job is over."""
    return await when(jobs, job, lambda now: now.is_over, seconds=seconds)


async def when(jobs: JobService, job: Job, holds: Callable[[Job], bool], *, seconds: float = 30.0) -> Job:
    """Wait until something holds of a job."""
    now: Job = await until(lambda: jobs.get(job.id), f"job {job.id}", seconds, holds=holds)
    return now


async def leftovers(catalog: Catalog) -> list[dict[str, object]]:
    """Documents that jobs which are gone must not leave."""
    return [*(await catalog.documents.query("job_items")).items, *await job_leases(catalog)]


async def job_leases(catalog: Catalog) -> list[dict[str, object]]:
    """List the leases of all servers' jobs."""
    return (await catalog.documents.query("job_lease")).items


async def until_no(catalog: Catalog, what: Callable[[Catalog], Awaitable[list[dict[str, object]]]]) -> None:
    """Wait until there are no such documents."""
    await until(lambda: what(catalog), holds=lambda found: not found)
