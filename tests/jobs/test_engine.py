"""The job engine: counts, retries, cancelling, fairness, restarts, and servers that share a catalog."""

import asyncio
import time

import pytest

from neurdicom.catalog.base import Catalog
from neurdicom.errors import Forbidden, NotFound, PeerFailed
from neurdicom.jobs import service as service_module
from neurdicom.jobs import store as store_module
from neurdicom.jobs.items import CHUNK
from neurdicom.jobs.job import Job, made_at, new_id, now
from neurdicom.jobs.lease import JobLeases
from neurdicom.jobs.queue import JobQueue
from neurdicom.jobs.runner import TRANSFERS, Backoff, JobClass
from neurdicom.jobs.scheduler import RunSlots
from neurdicom.jobs.states import JobStateEvent
from neurdicom.jobs.store import JobStore
from tests.support.catalogs import Opener, opened, run
from tests.support.job_service import (
    ANN,
    BOB,
    QUICK,
    ROOT,
    Worker,
    WorkService,
    ended,
    leftovers,
    service,
    until_no,
    when,
)
from tests.support.waiting import until


def test_a_job_over_several_documents_of_items(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = Worker(lambda item, attempt: ("no such thing", False) if item == "7" else None)
        async with service(catalog, worker) as jobs:
            job = await ended(jobs, await jobs.submit("work", {"count": 2 * CHUNK + 3}, by=ANN))
            assert (job.state, job.done, job.failed, job.total) == ("done", 2 * CHUNK + 2, 1, 2 * CHUNK + 3)
            assert job.errors == [{"instance": "7", "reason": "no such thing", "attempts": 1}]
            assert job.started is not None
            assert set(worker.attempts.values()) == {1}
            await until_no(catalog, leftovers)

    run(opener, test)


def test_what_may_pass_is_tried_again_and_given_up_in_the_end(opener: Opener) -> None:
    fates = {"1": 3, "3": 99}

    async def test(catalog: Catalog) -> None:
        worker = Worker(lambda item, attempt: ("busy", True) if attempt < fates.get(item, 1) else None)
        async with service(catalog, worker) as jobs:
            job = await ended(jobs, await jobs.submit("work", {"count": 5}, by=ANN))
            assert (job.state, job.done, job.failed, job.total) == ("done", 4, 1, 5)
            assert job.errors == [{"instance": "3", "reason": "busy", "attempts": QUICK.attempts}]
            assert worker.attempts == {"0": 1, "1": 3, "2": 1, "3": QUICK.attempts, "4": 1}

    run(opener, test)


def test_all_failed(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        async with service(catalog, Worker(lambda item, attempt: ("x" * 9999, False))) as jobs:
            job = await ended(jobs, await jobs.submit("work", {"count": 300}, by=ANN))
            assert (job.state, job.done, job.failed, len(job.errors)) == ("failed", 0, 300, 100)
            assert len(job.errors[0]["reason"]) == 500
            nothing = await ended(jobs, await jobs.submit("work", {"count": 0}, by=ANN))
            assert (nothing.state, nothing.total) == ("done", 0)

    run(opener, test)


def test_a_node_that_fails_as_a_whole(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = Worker()
        async with service(catalog, worker) as jobs:
            worker.broken = PeerFailed("connection refused")
            job = await ended(jobs, await jobs.submit("work", {"count": 5}, by=ANN))
            assert (job.state, job.done, job.failed) == ("failed", 0, 5)
            assert job.errors == [{"instance": None, "reason": "connection refused", "attempts": QUICK.attempts}]
            worker.broken = PeerFailed("wrong password", retryable=False)
            job = await ended(jobs, await jobs.submit("work", {"count": 5}, by=ANN))
            assert (job.state, job.errors[0]["attempts"]) == ("failed", 1)
            worker.broken = PeerFailed("down", retry_after=0.3)
            job = await jobs.submit("work", {"count": 5}, by=ANN)
            waiting = await when(jobs, job, lambda now: now.retry_at is not None)
            assert waiting.state == "queued"
            worker.broken = None
            assert (await ended(jobs, job)).done == 5

    run(opener, test)


def test_a_fault_of_ours_ends_one_job_alone(opener: Opener, caplog: pytest.LogCaptureFixture) -> None:
    def fate(item: str, attempt: int) -> tuple[str, bool] | None:
        raise ZeroDivisionError("secret")

    async def test(catalog: Catalog) -> None:
        worker = Worker(fate)
        async with service(catalog, worker) as jobs:
            job = await ended(jobs, await jobs.submit("work", {"count": 1}, by=ANN))
            assert job.state == "failed"
            assert "secret" not in job.errors[0]["reason"]
            worker.fate = lambda item, attempt: None
            assert (await ended(jobs, await jobs.submit("work", {"count": 1}, by=ANN))).state == "done"
            await until_no(catalog, leftovers)

    run(opener, test)


def test_cancelling(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = Worker(seconds=0.01)
        async with service(catalog, worker) as jobs:
            job = await jobs.submit("work", {"count": 20_000}, by=ANN)
            await when(jobs, job, lambda now: now.done > 0)
            with pytest.raises(Forbidden):
                await jobs.cancel_or_remove(job.id, by=BOB)
            assert await jobs.cancel_or_remove(job.id, by=ANN) is not None
            cancelled = await ended(jobs, job)
            assert (cancelled.state, cancelled.failed, cancelled.total) == ("cancelled", 0, 20_000)
            assert cancelled.done == sum(worker.done.values())
            await until_no(catalog, leftovers)
            worker.gate.clear()
            queue = [await jobs.submit("work", {"count": 1}, by=ANN) for _ in range(6)]
            last = await jobs.cancel_or_remove(queue[-1].id, by=ROOT)
            assert last is not None
            assert (last.state, last.done) == ("cancelled", 0)
            worker.gate.set()
            for job in queue[:-1]:
                assert (await ended(jobs, job)).state == "done"
            assert await jobs.cancel_or_remove(queue[0].id, by=ANN) is None
            with pytest.raises(NotFound):
                await jobs.get(queue[0].id)

    run(opener, test)


def test_cancelling_while_it_waits_to_try_again(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = Worker()
        worker.broken = PeerFailed("down")
        async with service(catalog, worker, backoff=Backoff(first=60)) as jobs:
            job = await jobs.submit("work", {"count": 5}, by=ANN)
            await when(jobs, job, lambda now: now.retry_at is not None)
            await asyncio.sleep(0.1)
            found = await jobs.cancel_or_remove(job.id, by=ANN)
            assert found is not None
            assert found.state == "cancelled"
            await until_no(catalog, leftovers)

    run(opener, test)


def test_users_take_turns(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = Worker()
        worker.gate.clear()
        async with service(catalog, worker) as jobs:
            ann = [await jobs.submit("work", {"count": 1}, by=ANN) for _ in range(8)]
            await asyncio.sleep(0.1)
            bob = [await jobs.submit("work", {"count": 1}, by=BOB) for _ in range(2)]
            worker.gate.set()
            for job in (*ann, *bob):
                await ended(jobs, job)
            assert worker.order.index(bob[0].id) == TRANSFERS.at_once - 1, "one place is left for others"
            assert worker.order.index(bob[1].id) <= TRANSFERS.at_once + 2

    run(opener, test)


def test_a_stopped_service_goes_on_where_it_was(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = Worker(seconds=0.002)
        async with service(catalog, worker, owner="me") as jobs:
            job = await jobs.submit("work", {"count": 2 * CHUNK}, by=ANN)
            await when(jobs, job, lambda now: now.done > 0)
        stopped = await JobStore(catalog.documents).get(job.id)
        assert (stopped.state, stopped.done) == ("queued", sum(worker.done.values()))
        assert 0 < stopped.done < 2 * CHUNK
        async with service(catalog, worker, owner="other") as jobs:
            assert (await ended(jobs, job)).done == 2 * CHUNK
        assert set(worker.done.values()) == {1}, "nothing was done twice"

    run(opener, test)


def test_waits_survive_a_restart(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = Worker()
        worker.broken = PeerFailed("down", retry_after=1.0)
        async with service(catalog, worker) as jobs:
            job = await jobs.submit("work", {"count": 1}, by=ANN)
            waiting = await when(jobs, job, lambda now: now.retry_at is not None)
            await asyncio.sleep(0.1)
        worker.broken = None
        async with service(catalog, worker) as jobs:
            assert (await jobs.get(job.id)).retry_at == waiting.retry_at
            assert not worker.order
            assert (await ended(jobs, job)).state == "done"

    run(opener, test)


def test_two_servers_share_the_jobs(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "WATCH_SECONDS", 0.05)

    async def test(catalog: Catalog) -> None:
        workers = (Worker(seconds=0.001), Worker(seconds=0.001))
        async with opened(opener) as other, service(catalog, workers[0]) as one, service(other, workers[1]) as two:
            workers[0].gate.clear()
            made = [await one.submit("work", {"count": 20}, by=ANN) for _ in range(12)]
            await until(lambda: workers[1].done, "the other one's share")
            workers[0].gate.set()
            for job in made:
                assert (await ended(two, job)).done == 20
            assert workers[0].done + workers[1].done == {str(n): 12 for n in range(20)}
            workers[0].gate.clear()
            workers[1].gate.clear()
            job = await one.submit("work", {"count": 5}, by=ANN)
            await when(one, job, lambda now: now.state == "running")
            for jobs in (one, two):
                assert await jobs.cancel_or_remove(job.id, by=ANN) is not None
            await asyncio.sleep(0.3)
            workers[0].gate.set()
            workers[1].gate.set()
            assert (await ended(two, job)).state == "cancelled", "whichever server runs it"

    run(opener, test)


def test_a_lease_that_is_not_renewed_falls_to_others(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        one, two = JobLeases(catalog.documents, "one", seconds=0.2), JobLeases(catalog.documents, "two", seconds=0.2)
        await one.add("job", "ann", "work")
        takers = await asyncio.gather(*(leases.take("job") for leases in (one, two)))
        assert sum(lease is not None for lease in takers) == 1
        holder, waiter = (one, two) if takers[0] else (two, one)
        assert await holder.renew("job") is not None
        assert await waiter.take("job") is None
        await asyncio.sleep(0.3)
        assert await waiter.take("job") is not None
        assert await holder.renew("job") is None
        await holder.release("job")
        assert (await waiter.renew("job")) is not None

    run(opener, test)


def test_a_job_with_its_item(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = Worker()
        worker.gate.clear()
        async with service(catalog, worker) as jobs:
            begun = time.time()
            job = await jobs.submit("work", {}, by=ANN, total=1, subject="it", item="only", delay=0.3)
            for subject, found in (("it", job.id), ("other", None)):
                same = await jobs.find_open("work", subject)
                assert (same and same.id) == found
            await when(jobs, job, lambda now: now.state == "running")
            assert time.time() - begun >= 0.3
            assert (await jobs.find_open("work", "it")) is not None
            worker.gate.set()
            over = await ended(jobs, job)
            assert (over.state, over.done, over.total) == ("done", 1, 1)
            assert worker.done == {"only": 1}
            assert await jobs.find_open("work", "it") is None
        assert await leftovers(catalog) == []

    run(opener, test)


def test_what_was_submitted_before_the_service_opens_runs_once(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        queue, worker = JobQueue(catalog.documents, "me"), Worker()
        early = await queue.submit("work", {"count": 3}, by=ANN)
        jobs = WorkService(queue, worker, QUICK)
        await jobs.open()  # finds the job in the catalog, and its announcement in the queue
        try:
            assert (await ended(jobs, early)).done == 3
            late = await queue.submit("work", {"count": 1}, by=ANN)
            assert (await ended(jobs, late)).state == "done"
            await until_no(catalog, leftovers)
        finally:
            await jobs.close()
        assert worker.done == {"0": 2, "1": 1, "2": 1}

    run(opener, test)


def test_a_runner_may_be_more_patient(opener: Opener) -> None:
    async def test(catalog: Catalog) -> None:
        worker = Worker(lambda item, attempt: ("busy", True) if attempt < 7 else None)
        worker.backoff = Backoff(first=0.01, factor=1.0, attempts=8)
        async with service(catalog, worker) as jobs:
            over = await ended(jobs, await jobs.submit("work", {"count": 1}, by=ANN))
            assert over.done == 1

    run(opener, test)


def test_old_records_are_forgotten(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(catalog: Catalog) -> None:
        store = JobStore(catalog.documents)
        ids = sorted(new_id() for _ in range(130))
        old = f"{int((made_at(ids[0]) - 31 * 86400) * 1000):012x}" + "0" * 20
        for each in (old, *ids):
            job = Job(id=each, kind="work", user="", user_id="", request={}, created=now())
            job.begin()
            job.end(JobStateEvent.COMPLETED)
            await store.save(job)
        async with service(catalog, Worker()) as jobs:
            for _ in range(200):
                if (await jobs.list({}, limit=1))[1] == 130:
                    break
                await asyncio.sleep(0.02)
            assert [job.id for job in (await jobs.list({}, limit=200, newest_first=False))[0]] == ids
        monkeypatch.setattr(store_module, "KEEP_RECORDS", 20)
        async with service(catalog, Worker()) as jobs:
            for _ in range(200):
                if (await jobs.list({}, limit=1))[1] <= 20:
                    break
                await asyncio.sleep(0.02)
            assert [job.id for job in (await jobs.list({}, limit=200, newest_first=False))[0]] == ids[-20:]

    run(opener, test)


def test_the_queue_is_fair() -> None:
    slots, jobs = RunSlots(), JobClass("work", at_once=9, of_one_user=9)
    for user, job in (("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("c", "5"), ("b", "6"), ("a", "1")):
        slots.put(jobs, user, job)
    taken = []
    while (turn := slots.take()) is not None:
        taken.append(turn[1])
    assert taken == ["1", "4", "5", "2", "6", "3"]


def test_a_user_takes_no_more_slots_than_there_are_for_one() -> None:
    slots, jobs = RunSlots(), JobClass("work", at_once=9, of_one_user=1)
    slots.put(jobs, "a", "0")
    assert slots.take() == ("a", "0")
    slots.put(jobs, "a", "1")
    slots.put(jobs, "b", "2")
    assert slots.take() == ("b", "2")
    assert slots.take() is None
    slots.free("0")
    assert slots.take() == ("a", "1")


def test_waits_grow_and_are_bounded() -> None:
    backoff = Backoff()
    assert [backoff.delay(n, jitter=lambda: 0.5) for n in range(1, 8)] == [2, 6, 18, 54, 162, 300, 300]
    assert backoff.delay(1, jitter=lambda: 0.0) == 1.5
    assert backoff.delay(1, 100.0) == 100
    assert backoff.delay(1, 1e9) == 3600
