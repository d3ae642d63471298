"""Equal runs are computed once, and what nobody waits for any more is stopped."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from neurdicom.errors import PluginFailed
from neurdicom.plugins.tools import Running, Tool
from neurdicom.processing.resolve import Resolver
from neurdicom.processing.result import KeptResult
from neurdicom.processing.result_records import PendingResult
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.run import ResolvedRun, RunRequest
from neurdicom.processing.run_cache import RunCache
from neurdicom.workers.call import CancellationToken, Priority
from neurdicom.workers.executor import Executor, Input, Task
from neurdicom.workers.program import Program, Reply

TOOL = Tool(type="plugin", id="p", name="P", version="1", author="", digest="d" * 64)


class Store:
    """Keeps what it is offered, at once."""

    def __init__(self) -> None:
        self.kept: list[KeptResult] = []
        self.counts: dict[str, int] = dict.fromkeys(("misses", "shared"), 0)

    async def find(self, result: str, format: str, frame: int | None) -> KeptResult | None:
        return None

    def epoch(self, tool_type: str, tool: str) -> int:
        return 0

    async def tag_of(self, result: str, names: Sequence[str]) -> str | None:
        return None

    async def settle(self, result: str) -> None:
        pass

    def offer(self, pending: PendingResult) -> bool:
        self.kept.append(pending.result)
        return True

    async def keep(self, pending: PendingResult) -> bool:
        return self.offer(pending)


class Tools:
    """A registry with one tool, of either type."""

    def tools(self, tool_type: str) -> "Tools":
        return self

    @asynccontextmanager
    async def use(self, id: str, digest: str) -> AsyncIterator[Running]:
        yield Running(TOOL, Program("python", "/p"))


class GatedWorker:
    """Computes until it is let go; one that is `quick` ends in the moment that it is given when it is to stop."""

    def __init__(self, *, quick: bool = False) -> None:
        self.calls = 0
        self.stopped = 0
        self.quick = quick
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def run(self, task: Task, token: CancellationToken) -> Reply:
        self.calls += 1
        going = asyncio.ensure_future(self.go.wait())

        def stop() -> None:
            self.stopped += not self.quick
            going.cancel()

        with token.stopping(stop):
            try:
                await going
            except asyncio.CancelledError:
                if not self.quick:
                    raise
        if self.error is not None:
            raise self.error
        return Reply({"kind": "bytes"}, b"result")


def cache(store: Store, worker: GatedWorker) -> RunCache:
    return RunCache(cast(ResultStore, store), cast(Resolver, Tools()), cast(Executor, worker))


def resolved(**fields: Any) -> ResolvedRun:
    request = RunRequest(tool_type="plugin", tool="p", entity="1.2", **fields)
    return ResolvedRun(request, TOOL, (Input("1.2", "/file", "a" * 64, {}),))


async def begun(worker: GatedWorker, calls: int = 1) -> None:
    while worker.calls < calls:
        await asyncio.sleep(0)


async def dropped(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


def test_equal_runs_are_computed_once() -> None:
    async def scenario() -> None:
        store, worker = Store(), GatedWorker()
        runs = cache(store, worker)
        waiting = [asyncio.create_task(runs.run(resolved(), "png")) for _ in range(3)]
        other = asyncio.create_task(runs.run(resolved(params={"x": 1}), "png"))
        await begun(worker, 2)
        worker.go.set()
        results = await asyncio.gather(*waiting, other)
        assert worker.calls == 2
        assert [one.is_cached for one in results] == [False, True, True, False]
        assert store.counts == {"misses": 2, "shared": 2}
        assert len(store.kept) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "fields", [{}, {"job": "j", "priority": Priority.BACKGROUND}, {"store": True}, {"cache": False}]
)
def test_what_nobody_waits_for_is_stopped(fields: dict[str, Any]) -> None:
    async def scenario() -> None:
        store, worker = Store(), GatedWorker()
        runs, anew = cache(store, worker), not fields.get("cache", True)
        waiting = [asyncio.create_task(runs.run(resolved(**fields), "png", anew=anew)) for _ in range(2)]
        await begun(worker, 2 if anew else 1)
        await dropped(waiting[0])
        assert worker.stopped == (1 if anew else 0)
        await dropped(waiting[1])
        assert worker.stopped == worker.calls
        assert store.kept == []
        worker.go.set()
        result = await runs.run(resolved(**fields), "png", anew=anew)  # anew: it does not wait for what is stopped
        assert bytes(result.reply.body) == b"result"
        assert len(store.kept) == 1

    asyncio.run(scenario())


def test_what_ends_all_the_same_is_kept() -> None:
    async def scenario() -> None:
        store, worker = Store(), GatedWorker(quick=True)
        waiting = asyncio.create_task(cache(store, worker).run(resolved(), "png"))
        await begun(worker)
        await dropped(waiting)
        while not store.kept:
            await asyncio.sleep(0)
        assert (worker.calls, worker.stopped) == (1, 0)

    asyncio.run(scenario())


def test_a_failure_is_told_to_all_and_kept_by_nobody() -> None:
    async def scenario() -> None:
        store, worker = Store(), GatedWorker()
        worker.error = PluginFailed("no")
        runs = cache(store, worker)
        waiting = [asyncio.create_task(runs.run(resolved(), "png")) for _ in range(2)]
        await begun(worker)
        worker.go.set()
        assert all(isinstance(one, PluginFailed) for one in await asyncio.gather(*waiting, return_exceptions=True))
        assert store.kept == []
        worker.error = None
        assert not (await runs.run(resolved(), "png")).is_cached

    asyncio.run(scenario())
