"""Jobs that keep their items: results, logs, retries and followers, on both catalogs, without a server."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from neurdicom.catalog.base import Catalog
from neurdicom.errors import Conflict, Forbidden, NotFound
from neurdicom.jobs import ItemOutcome, Job
from neurdicom.jobs import service as service_module
from neurdicom.jobs.items import CHUNK
from neurdicom.jobs.progress import Pace
from neurdicom.jobs.runner import JobClass
from neurdicom.jobs.scheduler import RunSlots
from neurdicom.jobs.store import LOG_PAGE, JobStore
from tests.support.catalogs import Opener, opened, run
from tests.support.job_service import ANN, BOB, Worker, ended, job_leases, leftovers, service, until_no, when


class KeepingWorker(Worker):
    """Keeps its items, and a result of each; it waits while it may not run."""

    keeps_items = True
    save_seconds = 0.05

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.may_run = asyncio.Event()
        self.may_run.set()

    def describe(self, value: Any, result: Any) -> dict[str, Any]:
        return {"item": value, "result": result}

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        await self.may_run.wait()
        async for outcome in super().run(job, items, stop):
            result = {"square": int(items[outcome.item]) ** 2} if outcome.done else None
            yield ItemOutcome(
                outcome.item,
                done=outcome.done,
                failed=outcome.failed,
                failures=outcome.failures,
                retryable=outcome.retryable,
                result=result,
            )


def test_results_of_a_large_job(opener: Opener) -> None:
    total = LOG_PAGE + CHUNK + 7

    async def test(catalog: Catalog) -> None:
        worker = KeepingWorker(lambda item, attempt: ("odd", False) if int(item) % 1000 == 1 else None)
        async with service(catalog, worker) as jobs:
            job = await ended(jobs, await jobs.submit("work", {"count": total}, by=ANN))
            assert (job.done, job.failed, job.finished_count) == (total - 3, 3, total)
            page, count = await jobs.results.page(job.id, limit=4, offset=CHUNK - 2)
            assert ([each["item"] for each in page], count) == ([str(n) for n in range(CHUNK - 2, CHUNK + 2)], total)
            assert page[0]["result"] == {"square": (CHUNK - 2) ** 2}
            for offset, found in ((0, ["1", "1001", "2001"]), (1, ["1001", "2001"]), (3, [])):
                page, count = await jobs.results.page(job.id, limit=10, offset=offset, state="failed")
                assert ([each["item"] for each in page], count) == (found, 3)
            assert page == []
            page, count = await jobs.results.page(job.id, limit=2, offset=CHUNK, state="done")
            assert ([each["item"] for each in page], count) == ([str(CHUNK + 1), str(CHUNK + 2)], total - 3)
            assert await jobs.results.page(job.id, limit=10, state="pending") == ([], 0)
            told = [one async for news in jobs.events.follow(job.id, LOG_PAGE - 5) for one in news.items]
            assert [position for position, _ in told] == list(range(LOG_PAGE - 4, total + 1))
            await jobs.cancel_or_remove(job.id, by=ANN)
            assert await leftovers(catalog) == []
            assert (await catalog.documents.query("job_log")).items == []

    run(opener, test)


def test_what_failed_is_run_again(opener: Opener) -> None:
    bad = {"3", "700"}

    async def test(catalog: Catalog) -> None:
        worker = KeepingWorker(lambda item, attempt: ("bad", False) if item in bad else None)
        async with service(catalog, worker) as jobs:
            job = await ended(jobs, await jobs.submit("work", {"count": 800}, by=ANN))
            assert (job.done, job.failed) == (798, 2)
            with pytest.raises(Forbidden):
                await jobs.retry(job.id, by=BOB)
            with pytest.raises(NotFound):
                await jobs.retry("nothing", by=ANN)
            bad.discard("700")
            worker.may_run.clear()
            tries = await asyncio.gather(*(jobs.retry(job.id, by=ANN) for _ in range(3)), return_exceptions=True)
            worker.may_run.set()
            assert sorted(type(each).__name__ for each in tries) == ["Conflict", "Conflict", "Job"]
            job = await ended(jobs, job)
            assert (job.done, job.failed, job.total, job.finished_count) == (799, 1, 800, 802)
            assert [error["instance"] for error in job.errors] == ["3"]
            assert set(worker.attempts.values()) == {1, 2}
            assert sum(worker.attempts.values()) == 802
            bad.clear()
            job = await ended(jobs, await jobs.retry(job.id, by=ANN))
            assert (job.done, job.failed, job.errors) == (800, 0, [])
            with pytest.raises(Conflict):
                await jobs.retry(job.id, by=ANN)
            await until_no(catalog, job_leases)

    run(opener, test)


def test_a_retry_that_a_crash_interrupts(opener: Opener) -> None:
    """The lease is there, and the record says nothing yet; or the record does, and nothing has run."""

    async def test(catalog: Catalog) -> None:
        worker = KeepingWorker(lambda item, attempt: ("bad", False) if attempt == 1 else None)
        async with service(catalog, worker, owner="me") as jobs:
            job = await ended(jobs, await jobs.submit("work", {"count": 3}, by=ANN))
            await until_no(catalog, job_leases)
            await jobs._leases.add(job.id, ANN.id, "work")
        async with service(catalog, worker, owner="me") as jobs:
            await until_no(catalog, job_leases)
            found = await jobs.get(job.id)
            assert (found.state, found.failed) == ("failed", 3)
            assert len((await jobs.results.page(job.id, limit=10))[0]) == 3, "its items stay"
            await jobs._leases.add(job.id, ANN.id, "work")
            found.reopen()
            await JobStore(catalog.documents).save(found)
        async with service(catalog, worker, owner="me") as jobs:
            assert (await ended(jobs, job)).done == 3

    run(opener, test)


def test_cancelled_and_gone_on_with(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = KeepingWorker(seconds=0.005)
        async with service(catalog, worker) as jobs:
            job = await jobs.submit("work", {"count": 300}, by=ANN)
            await when(jobs, job, lambda now: now.done > 5)
            await jobs.cancel_or_remove(job.id, by=ANN)
            cancelled = await ended(jobs, job)
            assert cancelled.state == "cancelled"
            worker.seconds = 0.0
            over = await ended(jobs, await jobs.retry(job.id, by=ANN))
            assert (over.state, over.done) == ("done", 300)
            assert set(worker.attempts.values()) == {1}

    run(opener, test)


def test_a_job_that_another_server_runs_is_followed(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "WATCH_SECONDS", 0.05)

    async def test(catalog: Catalog) -> None:
        async with opened(opener) as other, service(catalog, KeepingWorker(seconds=0.002)) as one:
            idle = KeepingWorker()
            idle.gate.clear()
            async with service(other, idle) as two:
                job = await one.submit("work", {"count": 400}, by=ANN)
                followers = [asyncio.create_task(_follow(jobs, job.id)) for jobs in (one, two, two)]
                for told, last in await asyncio.gather(*followers):
                    assert sorted(told, key=int) == [str(n) for n in range(400)]
                    assert (last.state, last.done) == ("done", 400)
                assert not idle.order

    run(opener, test)


async def _follow(jobs: Any, job: str) -> tuple[list[str], Job]:
    told, last = [], None
    async for news in jobs.events.follow(job):
        told += [item["item"] for _, item in news.items]
        last = news.job
    assert last is not None
    return told, last


def test_rate_and_time_left(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        async with service(catalog, KeepingWorker(seconds=0.01)) as jobs:
            job = await jobs.submit("work", {"count": 5000}, by=ANN)
            going = await when(jobs, job, lambda now: bool(now.rate))
            assert going.rate is not None
            assert 1 < going.rate < 110
            assert going.time_left is not None
            assert going.time_left == pytest.approx((5000 - going.done) / going.rate, rel=0.05)
            await jobs.cancel_or_remove(job.id, by=ANN)
            over = await ended(jobs, job)
            assert (over.rate, over.time_left) == (None, None)

    run(opener, test)


def test_the_pace_of_the_last_seconds() -> None:
    pace = Pace(0.0, 100)
    assert pace.rate(1.0) == 0
    for second in range(1, 31):
        pace.note(float(second), 100 + 4 * second)
    assert pace.rate(30.0) == 4
    assert pace.rate(35.0) == 2
    assert pace.rate(60.0) == 0


def test_job_classes_do_not_wait_for_each_other() -> None:
    narrow, wide = JobClass("narrow", at_once=2, of_one_user=1), JobClass("wide", at_once=3, of_one_user=2)
    slots = RunSlots()
    for number in range(3):
        slots.put(narrow, "ann", f"n{number}")
        slots.put(wide, "ann", f"w{number}")
    slots.put(wide, "bob", "b")
    taken = []
    while (turn := slots.take()) is not None:
        taken.append(turn[1])
    assert taken == ["n0", "w0", "b", "w1"]
    assert "n0" in slots
    assert "n1" in slots
    slots.free("n0")
    assert slots.take() == ("ann", "n1")
    assert slots.take() is None


def test_a_follower_of_a_job_that_goes(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        async with service(catalog, KeepingWorker()) as jobs:
            with pytest.raises(NotFound):
                await anext(aiter(jobs.events.follow("nothing")))
            job = await ended(jobs, await jobs.submit("work", {"count": 1}, by=ANN))
            states = [news.job.state async for news in jobs.events.follow(job.id)]
            assert states[-1] == "done"

    run(opener, test)
