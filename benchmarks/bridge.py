"""The cost of a call: of the bridge alone beside ctypes, and of the way through a worker process.

    python -m benchmarks.bridge

The plugin does nothing, so what is timed is ours. The goal is under 1 µs for the bridge.
"""

import asyncio
import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import record
from neurdicom import _bridge
from neurdicom.workers.loaders.native import aligned
from neurdicom.workers.pool import Program, WorkerPool

GOAL = 1e-6
ROOT = Path(__file__).parents[1]
SOURCE = """
#include <stdlib.h>
#include "neurdicom_plugin.h"
Plugin* InitPlugin(void) { return malloc(1); }
double* Process(Plugin* plugin, double* img, int width, int height, const char* params) { return img; }
void DestroyPlugin(Plugin* plugin) { free(plugin); }
"""


def echo(arguments: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Verb of a builtin program: answers as many bytes as it is asked for."""
    return {}, bytes(arguments["size"])


def build(folder: Path) -> Path:
    """Compile the plugin that does nothing."""
    source, library = folder / "empty.c", folder / "empty.so"
    source.write_text(SOURCE)
    include = ROOT / "bridge" / "include"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", f"-I{include}", "-o", library, source], check=True)
    return library


def best(call: Callable[[], object], count: int = 10_000, rounds: int = 15) -> float:
    """Seconds of one call: the quickest of several rounds, so that other processes don't count."""
    quickest = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(count):
            call()
        quickest = min(quickest, (time.perf_counter() - begun) / count)
    return quickest


def bridge(library: Path) -> float:
    """Seconds of an empty `Process` of 512 x 512 doubles through the bridge; also prints ctypes' time."""
    plugin = _bridge.Library(str(library))
    pixels = aligned((512, 512), single=False)
    seconds = best(lambda: plugin.process(pixels, b"{}"))
    foreign = ctypes.CDLL(str(library))
    foreign.InitPlugin.restype = foreign.Process.restype = ctypes.c_void_p
    state, pointer = (
        ctypes.c_void_p(foreign.InitPlugin()),
        np.ctypeslib.ndpointer(np.float64, 2, flags=["C", "W", "A"]),
    )
    foreign.Process.argtypes = [ctypes.c_void_p, pointer, ctypes.c_int, ctypes.c_int, ctypes.c_char_p]
    other = best(lambda: foreign.Process(state, pixels, 512, 512, b"{}"))
    record("bridge: a call", seconds * 1e6, "µs")
    print(f"bridge {seconds * 1e6:6.2f} µs a call   ctypes {other * 1e6:6.2f} µs   (goal: under {GOAL * 1e6:g} µs)")
    plugin.close()
    return seconds


async def pool() -> None:
    """Print the time of a call through a worker process, for bodies of several sizes."""
    program = Program("builtin", "benchmarks.bridge")
    workers = WorkerPool(2)
    await workers.open()
    try:
        for size in (0, 1 << 10, 64 << 10, 200_000, 2 << 20):
            quickest = float("inf")
            for _ in range(10):
                begun = time.perf_counter()
                for _ in range(200):
                    await workers.call(program, "echo", {"size": size})
                quickest = min(quickest, (time.perf_counter() - begun) / 200)
            record(f"pool: a call with a body of {size} bytes", quickest * 1e6, "µs")
            print(f"pool   {quickest * 1e6:6.0f} µs a call with a body of {size} bytes")
        begun = time.perf_counter()
        await asyncio.gather(*(workers.call(program, "echo", {"size": 0}) for _ in range(10_000)))
        pace = 10_000 / (time.perf_counter() - begun)
        record("pool: all at once", pace, "calls/s")
        print(f"pool   {pace:6.0f} calls a second, all at once, 2 workers")
    finally:
        await workers.close()


def main() -> None:
    """Run both."""
    with tempfile.TemporaryDirectory() as folder:
        bridge(build(Path(folder)))
    os.environ["PYTHONPATH"] = str(ROOT)  # workers import this module
    asyncio.run(pool())


if __name__ == "__main__":
    main()
