"""Assignment of calls to workers: starting, waiting, sharing, retiring, ending."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from neurdicom.errors import Invalid, PluginCrashed, PluginError, PluginFailed, PluginTimeout, Unavailable
from neurdicom.workers.call import Priority
from neurdicom.workers.pool import Program, Reply, WorkerPool
from tests.support.pools import running

PID = (
    "import os, time\nclass Plugin:\n    def process(self, ds, seconds=0.0): time.sleep(seconds); return [os.getpid()]"
)


async def pid_of(pool: WorkerPool, program: Program, instance: dict[str, Any], seconds: float = 0.0) -> int:
    reply = await pool.call(program, "process", instance | {"params": {"seconds": seconds}})
    return orjson.loads(bytes(reply.body))[0]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_builtin_program(instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running() as pool:
            pixels = Program("builtin", "neurdicom.pixels.tasks")
            reply = await pool.call(pixels, "image", instance | {"frame": 1, "format": "png"})
            assert bytes(reply.body[:4]) == b"\x89PNG"
            with pytest.raises(Invalid, match="frame"):
                await pool.call(pixels, "image", instance | {"frame": 99, "format": "png"})

    asyncio.run(scenario())


def test_one_call_after_another_stays_in_one_worker(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(4) as pool:
            program = python(PID)
            assert len({await pid_of(pool, program, instance) for _ in range(10)}) == 1

    asyncio.run(scenario())


def test_calls_that_somebody_waits_for_go_before_those_of_the_background(
    python: Callable[..., Program], instance: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with running(2) as pool:
            program = python(PID)
            ended: list[Priority] = []
            pids: dict[Priority, set[int]] = {each: set() for each in Priority}

            async def call(priority: Priority, seconds: float) -> None:
                arguments = instance | {"params": {"seconds": seconds}}
                reply = await pool.call(program, "process", arguments, priority=priority)
                pids[priority].add(orjson.loads(bytes(reply.body))[0])
                ended.append(priority)

            background = [asyncio.create_task(call(Priority.BACKGROUND, 0.4)) for _ in range(6)]
            await asyncio.sleep(0)
            while pool.statistics()[0]["waiting"] > 4:
                await asyncio.sleep(0.01)
            dropped = asyncio.create_task(call(Priority.BACKGROUND, 0.4))
            await asyncio.sleep(0)
            dropped.cancel()
            await call(Priority.INTERACTIVE, 0.0)
            assert ended == [Priority.INTERACTIVE], "it has a worker of its own where the background keeps all of them"
            await asyncio.gather(*background)
            assert len(ended) == 7
            assert len(pids[Priority.BACKGROUND]) <= 3
            assert pool.statistics()[0]["workers"] == 3
            await asyncio.gather(*(call(Priority.INTERACTIVE, 0.1) for _ in range(9)))

    asyncio.run(scenario())


def test_calls_at_once_have_workers_up_to_the_limit(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(3) as pool:
            program = python(PID)
            pids = await asyncio.gather(*(pid_of(pool, program, instance, 0.2) for _ in range(9)))
            assert len(set(pids)) == 3
            assert len(pool.statistics()[0]["pids"]) == 3

    asyncio.run(scenario())


def test_programs_share_the_total(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    """Six plugins with room for two processes: each is served, and idle workers of others make room."""

    async def scenario() -> None:
        async with running(2, total=2) as pool:
            programs = [python(PID) for _ in range(6)]
            for program in programs:
                await pid_of(pool, program, instance)
                assert sum(each["workers"] for each in pool.statistics()) <= 2
            calls = [pid_of(pool, program, instance, 0.05) for program in programs * 3]
            assert all(await asyncio.gather(*calls))

    asyncio.run(scenario())


def test_a_busy_program_starves_no_other(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    """Serve another plugin beside one that is called without a pause, with one process in all."""

    async def scenario() -> None:
        async with running(1, total=1) as pool:
            busy, other = python(PID), python(PID)

            async def keep_busy() -> None:
                while True:
                    await pid_of(pool, busy, instance)

            callers = [asyncio.create_task(keep_busy()) for _ in range(3)]
            await asyncio.sleep(0.5)
            await asyncio.wait_for(pid_of(pool, other, instance), 20)
            await pid_of(pool, busy, instance)
            assert not any(each.done() for each in callers)
            for each in callers:
                each.cancel()
            await asyncio.wait(callers)

    asyncio.run(scenario())


def test_what_is_not_called_ends(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(2, idle=0.2) as pool:
            pid = await pid_of(pool, python(PID), instance)
            while pool.statistics():
                await asyncio.sleep(0.02)
            assert not is_alive(pid)

    asyncio.run(scenario())


def test_retiring_lets_calls_under_way_finish(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(1) as pool:
            old, new = python(PID), python(PID)
            first = asyncio.create_task(pid_of(pool, old, instance, 0.3))
            waiting = asyncio.create_task(pid_of(pool, old, instance))
            while not pool.statistics() or not pool.statistics()[0]["pids"]:
                await asyncio.sleep(0.01)
            retiring = asyncio.create_task(pool.retire(old.digest))
            await pid_of(pool, new, instance)
            assert await first == await waiting
            await retiring
            assert not is_alive(first.result())
            assert [each["digest"] for each in pool.statistics()] == [new.digest]
            await pool.retire("unknown")

    asyncio.run(scenario())


def test_retiring_waits_for_no_worker_that_has_nothing_to_do(
    python: Callable[..., Program], instance: dict[str, Any]
) -> None:
    """The worker that was started for an interactive call beside the background's must not rest until it is reaped."""

    async def scenario() -> None:
        async with running(1) as pool:
            old = python(PID)

            def call(seconds: float, priority: Priority) -> "asyncio.Task[Reply]":
                given = instance | {"params": {"seconds": seconds}}
                one_by_one = pool.call(old, "process", given, priority=priority, timeout=20.0)
                return asyncio.create_task(one_by_one)

            background = [call(1.5, Priority.BACKGROUND) for _ in range(2)]
            while not (pool.statistics() and pool.statistics()[0]["busy"]):
                await asyncio.sleep(0.01)
            asking = call(0.1, Priority.INTERACTIVE)
            await asyncio.sleep(0.3)
            retiring = asyncio.create_task(pool.retire(old.digest))
            await asyncio.gather(asking, *background)
            await asyncio.wait_for(retiring, 5)

    asyncio.run(scenario())


def test_a_call_cancelled_while_its_worker_starts(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(1) as pool:
            program = python(PID)
            for _ in range(5):
                call = asyncio.create_task(pid_of(pool, program, instance))
                await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait([call])
            assert await pid_of(pool, program, instance)
            assert len(pool.statistics()[0]["pids"]) == 1

    asyncio.run(scenario())


def test_a_call_has_its_own_time(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(1) as pool:
            program = python(PID)
            await pid_of(pool, program, instance)
            with pytest.raises(PluginTimeout):
                await pool.call(program, "process", instance | {"params": {"seconds": 5}}, timeout=0.1)

    asyncio.run(scenario())


def test_arguments_that_json_cannot_carry(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(1) as pool:
            program = python(PID)
            for wrong in (1 << 70, "\ud800"):
                with pytest.raises(Invalid):
                    await pool.call(program, "process", instance | {"params": {"seconds": wrong}})
            assert await pid_of(pool, program, instance)

    asyncio.run(scenario())


def test_a_large_request_arrives(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(1) as pool:
            program = python("def process(self, ds, text): return [len(text)]")
            for length in (1, 70_000, 5_000_000):
                reply = await pool.call(program, "process", instance | {"params": {"text": "x" * length}})
                assert reply.body == f"[{length}]".encode()

    asyncio.run(scenario())


def test_probe(python: Callable[..., Program], tmp_path: Any) -> None:
    trace = tmp_path / "trace"
    note = f"open({str(trace)!r}, 'a').write"
    good = python(f"def init(self): {note}('init ')\ndef process(self, ds): pass\ndef destroy(self): {note}('destroy')")
    bad = [
        (python("def process(self, ds): return [", name="broken"), PluginFailed, "SyntaxError"),
        (python("import nowhere_to_be_found\nclass Plugin: pass"), PluginFailed, "nowhere_to_be_found"),
        (python("class Other: pass  # class Plugin"), PluginFailed, "no class Plugin"),
        (python("class Plugin: pass"), PluginFailed, "no method process"),
        (python("def init(self): raise KeyError('x')\ndef process(self, ds): pass"), PluginFailed, "KeyError"),
        (python("def __init__(self, needed): pass\ndef process(self, ds): pass"), PluginFailed, "needed"),
        (python("import os\nos._exit(4)\nclass Plugin: pass"), PluginCrashed, "status 4 while it was loaded"),
        (python("import os\nos.abort()\nclass Plugin: pass"), PluginCrashed, "SIGABRT"),
        (python("while True: pass\nclass Plugin: pass", timeout=0.3), PluginTimeout, "while it was loaded"),
        (python("def process(self, ds): pass\ndef destroy(self): 1 / 0"), PluginFailed, "ZeroDivisionError"),
        (
            python("import os\nclass Plugin:\n    def process(self, ds): pass\n    def destroy(self): os.abort()"),
            PluginCrashed,
            "SIGABRT",
        ),
        (
            python("def process(self, ds): pass\ndef destroy(self):\n    while True: pass", timeout=0.3),
            PluginTimeout,
            "while it was unloaded",
        ),
    ]

    async def scenario() -> None:
        async with running() as pool:
            await pool.probe(good)
            assert trace.read_text() == "init destroy"
            for program, kind, says in bad:
                with pytest.raises(PluginError) as caught:
                    await pool.probe(program)
                assert type(caught.value) is kind, caught.value
                assert says in str(caught.value)
                assert caught.value.loading
            assert pool.statistics() == []

    asyncio.run(scenario())


def test_a_load_that_fails_fails_the_calls_that_wait(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(2) as pool:
            program = python("def init(self): raise OSError('no weights')\ndef process(self, ds): pass")
            calls = [pool.call(program, "process", instance) for _ in range(6)]
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, PluginFailed)
                assert error.loading
                assert "no weights" in str(error)

    asyncio.run(scenario())


def test_a_second_worker_that_fails_to_load_costs_no_call(
    python: Callable[..., Program], instance: dict[str, Any], tmp_path: Any
) -> None:
    """The first worker is up: it serves all, though no other comes up."""
    lock = str(tmp_path / "lock")
    source = f"""
    import os, time
    class Plugin:
        def init(self): os.mkdir({lock!r})
        def process(self, ds): time.sleep(0.05); return [1]
    """

    async def scenario() -> None:
        async with running(3) as pool:
            program = python(source)
            await pool.call(program, "process", instance)
            replies = await asyncio.gather(*(pool.call(program, "process", instance) for _ in range(8)))
            assert [each.body for each in replies] == [b"[1]"] * 8

    asyncio.run(scenario())


def test_destroy_runs_at_the_end_of_the_pool(
    python: Callable[..., Program], instance: dict[str, Any], tmp_path: Any
) -> None:
    trace = tmp_path / "trace"
    program = python(f"def process(self, ds): return []\ndef destroy(self): open({str(trace)!r}, 'w').write('done')")

    async def scenario() -> None:
        async with running() as pool:
            await pool.call(program, "process", instance)

    asyncio.run(scenario())
    assert trace.read_text() == "done"


def test_closing_fails_what_is_under_way(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with running(1) as pool:
            program = python(PID)
            await pid_of(pool, program, instance)
            calls = [asyncio.create_task(pid_of(pool, program, instance, 30.0)) for _ in range(2)]
            await asyncio.sleep(0.1)
            begun = time.monotonic()
            await pool.close()
            assert time.monotonic() - begun < 4
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, Unavailable)
            with pytest.raises(Unavailable):
                await pid_of(pool, program, instance)
            await pool.close()

    asyncio.run(scenario())


def test_many_calls_with_faults_among_them(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    """Three hundred calls at once, of three plugins, a tenth of them deadly: each gets its own answer."""
    source = """
    import os
    class Plugin:
        def process(self, ds, number): return [number] if number % 10 else os._exit(9)
    """

    async def scenario() -> None:
        async with running(2, total=4) as pool:
            programs = [python(source) for _ in range(3)]
            calls = [
                pool.call(programs[number % 3], "process", instance | {"params": {"number": number}})
                for number in range(150)
            ]
            for number, result in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
                if number % 10:
                    assert not isinstance(result, BaseException), result
                    assert result.body == f"[{number}]".encode()
                else:
                    assert isinstance(result, PluginCrashed)

    asyncio.run(scenario())


def test_workers_killed_at_rest_cost_no_call(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    """However close the death is to the next call, that one gets a living worker, or the error of its own."""

    async def scenario() -> None:
        async with running(1) as pool:
            program = python(PID)
            for pause in (0.0, 0.001, 0.002, 0.005, 0.02, 0.05):
                pid = await pid_of(pool, program, instance)
                os.kill(pid, 9)
                await asyncio.sleep(pause)
                try:
                    assert await asyncio.wait_for(pid_of(pool, program, instance), 10) != pid
                except PluginCrashed:
                    assert pause < 0.05

    asyncio.run(scenario())
