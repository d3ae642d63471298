"""Calls that nobody waits for go to workers in batches; what becomes of each is as if it had gone alone."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurdicom.errors import NeurdicomError, PluginCrashed, PluginFailed, PluginMemory, PluginTimeout
from neurdicom.workers.arena import SIZE
from neurdicom.workers.batch import answers_in, progress
from neurdicom.workers.call import Priority
from neurdicom.workers.pool import Program, WorkerPool
from tests.support.pools import running

NOTING = """
import ctypes, os, time

class Plugin:
    def process(self, ds, number=0, log="", fault="", size=0):
        if log:
            with open(log, "a") as file:
                file.write(f"{number}\\n")
        if fault:
            getattr(self, fault)()
        return bytes([number % 256]) * size if size else {"number": number, "pid": os.getpid()}

    def raises(self):
        raise ValueError("bad")

    def crashes(self):
        ctypes.string_at(0)

    def hangs(self):
        time.sleep(100)

    def dawdles(self):
        time.sleep(0.4)

    def grows(self):
        self.kept = b"x" * (400 << 20)

    def scribbles(self):
        import mmap, gc
        for each in gc.get_objects():
            if isinstance(each, mmap.mmap) and len(each) == 4 << 20:
                each[:] = b"\\xff" * len(each)
"""


#: Its results stay its own, without FreeResult; the first sample counts the calls.
OWN_MEMORY = """
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
struct Plugin { double *own; double calls; };
Plugin *InitPlugin(void) { return calloc(1, sizeof(Plugin)); }
double *Process(Plugin *plugin, double *img, int width, int height, const char *params) {
    if (!plugin->own) plugin->own = calloc((size_t)width * height, sizeof(double));
    plugin->own[0] = ++plugin->calls;
    if (strstr(params, "fork")) fork();
    return plugin->own;
}
void DestroyPlugin(Plugin *plugin) { free(plugin->own); free(plugin); }
"""


async def settle(pool: WorkerPool, program: Program, arguments: list[dict[str, Any]]) -> list[Any]:
    calls = (pool.call(program, "process", each, priority=Priority.BACKGROUND) for each in arguments)
    return await asyncio.gather(*calls, return_exceptions=True)


def warm(pool: WorkerPool) -> None:
    """Make the next calls go in large batches, as after many short ones."""
    for _ in range(30):
        pool._batch.observe(1e-4)
    assert pool._batch.calls == 16


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("raises", PluginFailed, "bad"),
        ("crashes", PluginCrashed, "SIGSEGV"),
        ("hangs", PluginTimeout, "after 1 s"),
        ("grows", PluginMemory, "100 MiB"),
    ],
)
def test_one_fails_and_the_others_are_done_once(
    python: Callable[..., Program],
    instance: dict[str, Any],
    tmp_path: Path,
    fault: str,
    error: type[NeurdicomError],
    message: str,
) -> None:
    seconds = 1.0 if fault == "hangs" else 60.0  # on a busy machine the others may take longer
    program, log = python(NOTING, timeout=seconds, memory=100), tmp_path / "log"

    async def run() -> list[Any]:
        async with running(2) as pool:
            warm(pool)
            params = [{"number": n, "log": str(log), "fault": fault if n == 5 else ""} for n in range(40)]
            found = await settle(pool, program, [instance | {"params": each} for each in params])
            assert pool.statistics()[0]["waiting"] == 0
            return found

    found = asyncio.run(run())
    assert isinstance(found[5], error)
    assert message in str(found[5])
    for number, reply in enumerate(found):
        if number != 5:
            assert reply.body.startswith(f'{{"number":{number},'.encode()), reply
    assert Counter(log.read_text().split()) == {str(n): 1 for n in range(40)}


def test_each_call_of_a_batch_has_the_whole_time(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    program = python(NOTING, timeout=1.0)

    async def run() -> list[Any]:
        async with running(1) as pool:
            warm(pool)
            return await settle(pool, program, [instance | {"params": {"fault": "dawdles"}}] * 6)

    assert not [each for each in asyncio.run(run()) if isinstance(each, Exception)]


def test_bodies_of_all_sizes(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    program = python(NOTING)
    sizes = [1, 70_000, SIZE - 100, SIZE, SIZE + 1, 5, 900_000, 900_000, 3_000_000, 2_000_000, 7]

    async def run() -> list[Any]:
        async with running(1) as pool:
            warm(pool)
            params = [{"number": n, "size": size} for n, size in enumerate(sizes)]
            return await settle(pool, program, [instance | {"params": each} for each in params])

    found = asyncio.run(run())
    assert [bytes(each.body) for each in found] == [bytes([n]) * size for n, size in enumerate(sizes)]


@pytest.mark.parametrize("params", [{}, {"what": "fork"}])
def test_results_that_stay_the_plugins_and_children_that_would_answer(
    native: Callable[..., Program], instance: dict[str, Any], params: dict[str, Any]
) -> None:
    """The server lets go of a result before the next call; a child of the plugin's takes and answers no calls."""
    program = native(OWN_MEMORY)

    async def run() -> list[Any]:
        async with running(1) as pool:
            warm(pool)
            return await settle(pool, program, [instance | {"format": "f64", "params": params}] * 30)

    found = asyncio.run(run())
    assert [np.frombuffer(each.body)[0] for each in found] == list(range(1, 31))


def test_a_plugin_that_scribbles_over_the_answers_harms_only_its_own(
    python: Callable[..., Program], instance: dict[str, Any]
) -> None:
    program = python(NOTING)

    async def run() -> list[Any]:
        async with running(1) as pool:
            warm(pool)
            params = [{"number": n, "fault": "scribbles" if n == 3 else ""} for n in range(8)]
            async with asyncio.timeout(30):
                return await settle(pool, program, [instance | {"params": each} for each in params])

    assert all(isinstance(each, NeurdicomError) or each.body for each in asyncio.run(run()))


def test_callers_that_leave(python: Callable[..., Program], instance: dict[str, Any], tmp_path: Path) -> None:
    program, log = python(NOTING), tmp_path / "log"

    async def run() -> None:
        async with running(1) as pool:
            warm(pool)
            params = [{"number": n, "log": str(log), "fault": "dawdles"} for n in range(20)]
            tasks = [asyncio.create_task(settle(pool, program, [instance | {"params": each}])) for each in params]
            while not log.exists():
                await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            [reply] = await settle(pool, program, [instance | {"params": {"number": 99}}])
            assert b'"number":99' in bytes(reply.body)

    asyncio.run(run())
    assert len(log.read_text().split()) <= 16, "what waits for a batch is dropped with its caller"


def test_a_program_that_cannot_be_loaded(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    program = python("def init(self): raise ValueError('no')\ndef process(self, ds): pass")

    async def run() -> list[Any]:
        async with running(2) as pool:
            return await settle(pool, program, [instance] * 5)

    assert all(isinstance(each, PluginFailed) and each.loading for each in asyncio.run(run()))


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, bytes(15), (7).to_bytes(8, "little") + b"\xff" * 64])
def test_answers_that_make_no_sense(data: bytes) -> None:
    assert answers_in(data, 7) == []
    assert progress(data[:16], 8) == 0
