"""Calls that nobody waits for any more: those that wait leave the queue, those that run have a moment to end."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from neurdicom.workers.arguments import encoded
from neurdicom.workers.call import CancellationToken, Priority
from neurdicom.workers.executor import Input, Task
from neurdicom.workers.pool import Program, WorkerPool
from neurdicom.workers.pool_executor import PoolExecutor
from tests.support.pools import running
from tests.support.waiting import until

#: Notes what it begins and what it ends; loads as slowly as it is told.
NOTING = """
import os, time
time.sleep(%s)

class Plugin:
    def process(self, ds, log="", seconds=0.0, name="x"):
        if log:
            with open(log, "a") as file:
                file.write(f"begin {name}\\n")
        time.sleep(seconds)
        if log:
            with open(log, "a") as file:
                file.write(f"end {name}\\n")
        return {"pid": os.getpid(), "name": name}
"""


def start(
    pool: WorkerPool, program: Program, arguments: dict[str, Any], token: CancellationToken | None = None, **more: Any
) -> "asyncio.Task[Any]":
    """Call it, and read what it answers."""
    priority = more.pop("priority", Priority.INTERACTIVE)

    async def call() -> Any:
        given = arguments | {"params": more}
        reply = await pool.call(program, "process", given, priority=priority, token=token)
        return orjson.loads(bytes(reply.body))

    return asyncio.create_task(call())


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize("priority", list(Priority))
@pytest.mark.parametrize("how", ["cancelled", "stopped"])
def test_eight_that_are_abandoned_hold_the_next_for_a_moment(
    priority: Priority,
    how: str,
    python: Callable[..., Program],
    instance: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    program, log = python(NOTING % 0), tmp_path / "log"

    async def scenario() -> None:
        async with running(1) as pool:
            first = await start(pool, program, instance)
            token = CancellationToken()
            told: dict[str, Any] = {"log": str(log), "seconds": 1.0, "priority": priority}
            calls = [start(pool, program, instance, token, **told, name=str(n)) for n in range(8)]
            await until(lambda: len(lines(log)) == 1)
            for call in calls:
                call.cancel() if how == "cancelled" else token.cancel()
            await asyncio.wait(calls[1:])
            assert pool.statistics()[0]["waiting"] == 0, "they leave the queue at once"
            begun = time.monotonic()
            last = await start(pool, program, instance, priority=priority, log=str(log), name="last")
            assert time.monotonic() - begun < 5
            assert last["pid"] != first["pid"]
            await asyncio.wait(calls)
            assert all(call.cancelled() for call in calls)

    with caplog.at_level(logging.INFO, "neurdicom"):
        asyncio.run(scenario())
    assert lines(log) == ["begin 0", "begin last", "end last"], "one was begun, and stopped"
    assert {record.levelname for record in caplog.records} == {"INFO"}, "that is no fault of the plugin's"


@pytest.mark.parametrize("priority", list(Priority))
def test_what_ends_soon_has_its_reply(
    priority: Priority, python: Callable[..., Program], instance: dict[str, Any], tmp_path: Path
) -> None:
    """Soon is as long as the load took: that is what a new worker would cost."""
    program, log = python(NOTING % 1.5), tmp_path / "log"

    async def scenario() -> None:
        async with running(1) as pool:
            token = CancellationToken()
            call = start(pool, program, instance, token, log=str(log), seconds=0.5, name="kept", priority=priority)
            await until(lambda: lines(log) == ["begin kept"])
            token.cancel()
            kept = await call
            assert kept["name"] == "kept"
            assert (await start(pool, program, instance))["pid"] == kept["pid"]
            with pytest.raises(asyncio.CancelledError):
                await start(pool, program, instance, token, log=str(log), name="late")

    asyncio.run(scenario())
    assert lines(log) == ["begin kept", "end kept"]


def test_one_that_is_cancelled_and_ends_soon_leaves_its_worker(
    python: Callable[..., Program], instance: dict[str, Any], tmp_path: Path
) -> None:
    program, log = python(NOTING % 1.5), tmp_path / "log"

    async def scenario() -> None:
        async with running(1) as pool:
            pid = (await start(pool, program, instance))["pid"]
            call = start(pool, program, instance, log=str(log), seconds=0.5)
            await until(lambda: len(lines(log)) == 1)
            call.cancel()
            await asyncio.wait([call])
            assert len(lines(log)) == 1, "its caller does not wait for it"
            assert (await start(pool, program, instance))["pid"] == pid

    asyncio.run(scenario())
    assert len(lines(log)) == 2


def test_a_batch_goes_on_for_those_who_stay(
    python: Callable[..., Program], instance: dict[str, Any], tmp_path: Path
) -> None:
    program, log = python(NOTING % 0), tmp_path / "log"

    async def scenario() -> None:
        async with running(1) as pool:
            for _ in range(30):
                pool._batch.observe(1e-4)
            await start(pool, program, instance)
            token = CancellationToken()
            told: dict[str, Any] = {"log": str(log), "seconds": 0.7, "priority": Priority.BACKGROUND}
            leave = [start(pool, program, instance, token, **told, name=f"leaves {n}") for n in range(3)]
            stays = start(pool, program, instance, **told, name="stays")
            await until(lambda: len(lines(log)) == 1)
            token.cancel()
            assert (await stays)["name"] == "stays"
            results: list[Any] = await asyncio.gather(*leave, return_exceptions=True)
            assert results[0]["name"] == "leaves 0", "it was done"
            assert [type(each) for each in results[1:]] == [asyncio.CancelledError] * 2

    asyncio.run(scenario())
    assert lines(log) == ["begin leaves 0", "end leaves 0", "begin stays", "end stays"]


def test_a_load_goes_on_for_the_next(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    program = python(NOTING % 0.3)

    async def scenario() -> None:
        async with running(1) as pool:
            calls = [start(pool, program, instance) for _ in range(4)]
            await asyncio.sleep(0.1)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            assert pool.statistics()[0]["waiting"] == 0
            assert await start(pool, program, instance)
            assert len(pool.statistics()[0]["pids"]) == 1

    asyncio.run(scenario())


def test_large_parameters_of_a_stopped_call_are_not_encoded(
    python: Callable[..., Program], instance: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    may_end = threading.Event()

    def encode(params: dict[str, Any]) -> orjson.Fragment:
        begun.append(params["name"][0])
        may_end.wait(20)
        return encoded(params)

    monkeypatch.setattr("neurdicom.workers.pool_executor.encoded", encode)
    image = Input("1.2.3", instance["path"], "", instance["layout"])
    program, token = python(NOTING % 0), CancellationToken()

    async def scenario() -> None:
        async with running(1) as pool:
            executor = PoolExecutor(pool)
            first = asyncio.create_task(executor.run(Task(program, (image,), {"name": "a" * 20_000})))
            second = asyncio.create_task(executor.run(Task(program, (image,), {"name": "b" * 20_000}), token))
            await until(lambda: begun == ["a"])
            token.cancel()
            await asyncio.wait([second], timeout=10)
            assert second.cancelled()
            may_end.set()
            assert orjson.loads(bytes((await first).body))["name"] == "a" * 20_000
            assert begun == ["a"]

    try:
        asyncio.run(scenario())
    finally:
        may_end.set()
