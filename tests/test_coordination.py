"""Leases, periodic tasks and background tasks."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.coordination import BackgroundTasks, Lease, Leases, Periodic, RetryQueue, SerialThread
from neurdicom.errors import NotFound, Unavailable


def run(tmp_path: Path, test: Callable[[Catalog], Awaitable[None]]) -> None:
    async def go() -> None:
        catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
        await catalog.open()
        try:
            await test(catalog)
        finally:
            await catalog.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("lease", "free"),
    [
        (Lease(None, 0.0), True),
        (Lease("", 0.0), True),
        (Lease("me", 200.0), True),
        (Lease("other", 200.0), False),
        (Lease("other", 99.0), True),
    ],
)
def test_whether_a_lease_is_free(lease: Lease, free: bool) -> None:
    assert lease.is_free("me", 100.0) is free


def test_one_of_many_servers_takes_a_lease(tmp_path: Path) -> None:
    async def test(catalog: Catalog) -> None:
        await catalog.documents.put("thing", {"a": {"owner": None, "until": 0.0, "more": 1}})
        servers = [Leases(catalog.documents, "thing", str(number)) for number in range(8)]
        taken = await asyncio.gather(*(leases.take("a") for leases in servers))
        (winner,) = [number for number, document in enumerate(taken) if document is not None]
        assert (await catalog.documents.get("thing", "a") or {})["owner"] == str(winner)
        loser = servers[winner - 1]
        assert await loser.renew("a") is None
        assert await loser.release("a") is None
        assert (await servers[winner].release("a", more=2)) == {"owner": None, "until": 0.0, "more": 2}
        assert await loser.take("a") is not None
        assert (await servers[winner].update("a", more=3) or {})["owner"] == str((winner - 1) % 8)
        for verb in (loser.take, loser.renew, loser.release, loser.update):
            assert await verb("nothing") is None

    run(tmp_path, test)


def test_a_lease_that_is_not_renewed_runs_out(tmp_path: Path) -> None:
    async def test(catalog: Catalog) -> None:
        await catalog.documents.put("thing", {"a": {"owner": None, "until": 0.0}})
        one, two = (Leases(catalog.documents, "thing", name, seconds=0.1) for name in ("one", "two"))
        first = await one.take("a")
        assert await two.take("a") is None
        await asyncio.sleep(0.15)
        assert await two.take("a") is not None
        assert await one.renew("a") is None
        assert await one.claim("a", first or {}) is None, "the document is another one by now"

    run(tmp_path, test)


def test_leases_in_documents_that_name_their_members_otherwise(tmp_path: Path) -> None:
    async def test(catalog: Catalog) -> None:
        document = {"series": "1.2", "claim": "", "claim_until": 0.0}
        await catalog.documents.put("series", {"1.2": document})
        leases = Leases(catalog.documents, "series", "me", members=("claim", "claim_until"), nobody="")
        claimed = await leases.claim("1.2", document)
        assert claimed is not None
        assert (claimed["claim"], leases.of(claimed).owner) == ("me", "me")
        assert await leases.release("1.2") == document

    run(tmp_path, test)


def test_periodic_work_survives_errors(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[int] = []

    async def work() -> None:
        begun.append(len(begun))
        if len(begun) == 1:
            raise Unavailable("the catalog is away")
        if len(begun) == 2:
            raise ZeroDivisionError

    async def go() -> None:
        periodic = Periodic(work, 0.01, "it can't be looked after now")
        periodic.start()
        periodic.start()
        assert not begun
        while len(begun) < 4:
            await asyncio.sleep(0.01)
        await periodic.stop()
        await periodic.stop()
        count = len(begun)
        await asyncio.sleep(0.05)
        assert len(begun) == count

    asyncio.run(go())
    lines = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert lines == [
        (logging.WARNING, "it can't be looked after now: the catalog is away"),
        (logging.ERROR, "it can't be looked after now"),
    ]


def test_periodic_work_begins_at_once_and_rests() -> None:
    async def go() -> None:
        loop, begun = asyncio.get_running_loop(), []

        async def work() -> None:
            begun.append(loop.time())
            await asyncio.sleep(0.02)

        start = loop.time()
        async with Periodic(work, 0.001, "no", at_once=True, rest=5.0):
            while len(begun) < 2:
                await asyncio.sleep(0.01)
        assert begun[0] - start < 0.05
        assert begun[1] - begun[0] >= 0.1

    asyncio.run(go())


def test_background_tasks_are_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        tasks, done = BackgroundTasks("it failed"), []

        async def work(number: int) -> None:
            await asyncio.sleep(0.01)
            done.append(number)
            if number < 3:
                tasks.start(work(number + 1))
            else:
                await tasks.drain()
                raise ZeroDivisionError

        tasks.start(work(0))
        await tasks.drain()
        assert (done, len(tasks)) == ([0, 1, 2, 3], 0)

    asyncio.run(go())
    assert [record.getMessage() for record in caplog.records] == ["it failed"]


def test_background_tasks_are_cancelled() -> None:
    async def go() -> None:
        tasks, ends = BackgroundTasks(), []

        async def work(seconds: float) -> None:
            try:
                await asyncio.sleep(seconds)
                ends.append("done")
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        tasks.start(work(0.01))
        tasks.start(work(60))
        await tasks.close(grace=0.1)
        assert ends == ["done", "cancelled"]
        tasks.start(work(60))
        await asyncio.sleep(0)
        await tasks.close()
        assert ends[2:] == ["cancelled"]

    asyncio.run(go())


def test_functions_run_one_at_a_time() -> None:
    running, most, begun = 0, 0, []
    begins, may_end = threading.Event(), threading.Event()

    def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        begun.append(number)
        begins.set()
        assert may_end.wait(30)
        running -= 1
        if number == 3:
            raise ValueError("three")
        return number

    async def go() -> None:
        serial = SerialThread()
        tasks = [asyncio.create_task(serial.run(work, number)) for number in range(5)]
        assert await asyncio.to_thread(begins.wait, 30)
        tasks[0].cancel()  # goes on in its thread
        tasks[2].cancel()  # is never begun
        await asyncio.wait(tasks, timeout=0.05)
        assert begun == [0]
        may_end.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(results[number]) for number in (0, 2, 3)] == [asyncio.CancelledError] * 2 + [ValueError]
        assert (results[1], results[4]) == (1, 4)

    asyncio.run(go())
    assert (begun, most) == ([0, 1, 3, 4], 1)


class Refusals:
    """Work that is refused some times, and then done."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.is_done = False

    async def __call__(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.is_done = True


def test_refused_work_is_tried_again_until_it_is_done(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        queue = RetryQueue(0.01)
        now, later = Refusals(), Refusals(OSError(28, "no space"), Unavailable("away"), OSError(28, "no space"))
        assert await queue.attempt("now", now)
        assert now.is_done
        assert not await queue.attempt("it is not done", later)
        async with asyncio.timeout(10):
            while not later.is_done:
                await asyncio.sleep(0.01)
        again = Refusals(Unavailable("away"))
        assert not await queue.attempt("another is not done", again)
        async with asyncio.timeout(10):
            while not again.is_done:
                await asyncio.sleep(0.01)
        await queue.close()

    asyncio.run(test())
    assert "it is not done, which is tried again: [Errno 28] no space" in caplog.messages


def test_work_that_has_become_impossible_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        queue = RetryQueue(60.0)
        gone, broken = Refusals(Unavailable("away"), NotFound("gone")), Refusals(Unavailable("away"), ValueError("x"))
        last = Refusals(Unavailable("away"), Unavailable("still away"))
        for work in (gone, broken, last):
            assert not await queue.attempt("it is not done", work)
        with pytest.raises(Unavailable, match="still away"):
            await queue.catch_up()
        assert not gone.is_done
        await queue.catch_up()
        assert last.is_done
        assert not gone.is_done
        assert not broken.is_done
        await queue.close()
        await queue.close()

    asyncio.run(test())
    assert "it is not done, which is not tried again: gone" in caplog.messages


def test_work_that_others_want_is_done_in_the_order_of_its_arrival() -> None:
    async def test() -> None:
        queue, done = RetryQueue(60.0), list[int]()

        def numbered(number: int) -> Callable[[], Awaitable[None]]:
            async def work() -> None:
                if number not in begun:
                    begun.add(number)
                    raise Unavailable("away")
                done.append(number)

            return work

        begun = set[int]()
        for number in range(3):
            await queue.attempt(f"{number}", numbered(number))
        await queue.catch_up()
        assert done == [0, 1, 2]
        await queue.close()

    asyncio.run(test())
