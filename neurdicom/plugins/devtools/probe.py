"""The probe of `neurdicom plugin check` in a worker process: calls under observation, their times, and leaks.

A builtin program of the worker pool; each function `verb(arguments) -> (meta, body)` is a verb. `arguments["program"]`
is the plugin, which is loaded once; the others are those of the verb `process` of a plugin.
"""

import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from pydicom import dcmread

from neurdicom.errors import PluginFailed
from neurdicom.plugins.devtools import resources
from neurdicom.plugins.devtools.guard_page import GuardedImage
from neurdicom.plugins.devtools.heap import block_size
from neurdicom.workers.loaders import loaders, native, results
from neurdicom.workers.program import Program

Answer = tuple[dict[str, Any], bytes]

#: Seconds that the repetitions of one sample may take, and bounds of their number.
_BUDGET: Final = 0.1
_FEWEST: Final = 3
_MOST: Final = 50

#: Rounds of calls between which memory is measured; the first is for warming up.
_ROUNDS: Final = 6


class _Native:
    """Shared library that is called directly."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.plugin = native.NativePlugin(Path(program.target))
        self._images = native.ImageBuffer()

    def prepare(self, arguments: Mapping[str, Any]) -> tuple[npt.NDArray[Any], bytes]:
        """Read the pixels of a call, float64 or float32 of shape (rows, columns), and encode its parameters."""
        single = self.plugin.wants_float32
        pixels = results.pixels_of(arguments, self._program, self._images, single=single)
        return pixels, orjson.dumps(arguments.get("params", {}))


@lru_cache(maxsize=1)
def _loaded(program: bytes) -> tuple[Any, list[str]]:
    """Load the plugin; return it and the settings of the process that loading it has changed."""
    read = Program.from_wire(orjson.loads(program))
    before = resources.settings()
    plugin = _Native(read) if read.kind == "native" else loaders.PythonPlugin(read)
    after = resources.settings()
    after["the working folder"] = before["the working folder"]  # the worker changes that by itself
    return plugin, resources.changes(before, after)


@lru_cache(maxsize=1)
def _plain(path: str) -> native.NativePlugin:
    return native.NativePlugin(Path(path))


def _plugin(arguments: Mapping[str, Any]) -> tuple[Any, list[str]]:
    return _loaded(orjson.dumps(arguments["program"]))


def run(arguments: dict[str, Any]) -> Answer:
    """Call the plugin once, with its image between guards.

    Parameters
    ----------
    arguments : dict
        As the module says.

    Returns
    -------
    meta : dict
        `failure` (None, or {message, stated}: `stated` when the plugin's own code refused), `changed` settings,
        `loading` changes, `sound` (nothing was written around the image), `short` (None, or the bytes of the result's
        memory and those that its shape needs) and `memory` (bytes that the call took at its peak).
    body : bytes
        Empty.
    """
    plugin, by_loading = _plugin(arguments)
    if isinstance(plugin, _Native):
        seen = _run_native(plugin, arguments)
    else:
        target = Path(arguments["program"]["target"])
        seen = _watched(lambda: _failure_of(lambda: plugin.call("process", arguments), target))
    return seen | {"loading": by_loading}, b""


def _run_native(plugin: _Native, arguments: Mapping[str, Any]) -> dict[str, Any]:
    pixels, params = plugin.prepare(arguments)
    guarded = GuardedImage(pixels.shape, pixels.dtype)
    guarded.image[...] = pixels
    short: list[int] = []

    def call() -> None:
        result = plugin.plugin.process(guarded.image, params)
        if result is not None and not np.may_share_memory(result, guarded.image):
            held = block_size(result.ctypes.data)
            if held is not None and held < result.nbytes:
                short.extend((held, result.nbytes))

    seen = _watched(lambda: _failure_of(call, None))
    return seen | {"sound": guarded.is_sound, "short": short or None}


def _watched(call: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    """Make a call, and report its failure, the settings that it changed, and the memory that it took."""
    before = resources.settings()
    resources.reset_peak()
    base = resources.resident()
    failure = call()
    memory = max(0, resources.peak() - base)
    changed = resources.changes(before, resources.settings())
    return {"failure": failure, "changed": changed, "memory": memory, "sound": True, "short": None}


def _failure_of(call: Callable[[], Any], folder: Path | None) -> dict[str, Any] | None:
    """Make a call, and describe its failure; `folder` is that of a Python plugin."""
    try:
        call()
    except PluginFailed as error:
        return {"message": str(error), "stated": folder is None and str(error) != "Process returned NULL"}
    except Exception as error:
        message = f"{type(error).__name__}: {error}"[:1000]
        return {"message": message, "stated": folder is not None and _is_stated(error, folder)}
    return None


def _is_stated(error: Exception, folder: Path) -> bool:
    """Tell whether the plugin raised the error itself: the innermost line is a `raise` in its own folder."""
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    is_own = Path(innermost.filename).is_relative_to(folder)
    return is_own and (innermost.line or "").lstrip().startswith("raise ")


def measure(arguments: dict[str, Any]) -> Answer:
    """Time the plugin: the median `seconds` of a call, and of the plain pass (`baseline`) over the same samples."""
    plugin, _ = _plugin(arguments)
    if isinstance(plugin, _Native):
        call, baseline = _native_calls(plugin, arguments)
    else:
        call, baseline = _python_calls(plugin, arguments)
    seconds, calls = _time(call)
    plain, _ = _time(baseline)
    return {"seconds": seconds, "baseline": plain, "calls": calls}, b""


def _native_calls(plugin: _Native, arguments: Mapping[str, Any]) -> tuple[Callable[[], float], Callable[[], float]]:
    pixels, params = plugin.prepare(arguments)
    original = pixels.copy()
    plain = arguments.get("plain")

    def call() -> float:
        pixels[...] = original
        start = time.perf_counter()
        plugin.plugin.process(pixels, params)
        return time.perf_counter() - start

    image = native.aligned((pixels.shape[0], pixels.shape[1]), single=False)

    def baseline() -> float:
        image[...] = original
        start = time.perf_counter()
        if plain is None:
            np.subtract(4095.0, image, out=image)
        else:
            _plain(plain).process(image, b"{}")
        return time.perf_counter() - start

    return call, baseline


def _python_calls(plugin: Any, arguments: Mapping[str, Any]) -> tuple[Callable[[], float], Callable[[], float]]:
    def call() -> float:
        start = time.perf_counter()
        plugin.call("process", arguments)
        return time.perf_counter() - start

    def baseline() -> float:
        start = time.perf_counter()
        np.subtract(4095.0, dcmread(arguments["path"]).pixel_array)
        return time.perf_counter() - start

    return call, baseline


def _time(call: Callable[[], float]) -> tuple[float, int]:
    """Time several calls, after one for warming up unless that took long; return the median and their number."""
    first = call()
    if first > _BUDGET:
        return first, 1
    taken: list[float] = []
    while len(taken) < _FEWEST or (sum(taken) < _BUDGET and len(taken) < _MOST):
        taken.append(call())
    return statistics.median(taken), len(taken)


def grow(arguments: dict[str, Any]) -> Answer:
    """Call the plugin many times; return the resources held after each of several `rounds` of `calls`, and `unfreed`.

    `unfreed` is the number of results in the plugin's own memory if none of them was freed, else 0.
    """
    plugin, _ = _plugin(arguments)
    if isinstance(plugin, _Native):
        pixels, params = plugin.prepare(arguments)
        original = pixels.copy()
    held, seen, foreign = [], set(), 0
    for _ in range(_ROUNDS):
        for _ in range(arguments["calls"]):
            if isinstance(plugin, _Native):
                pixels[...] = original
                result = plugin.plugin.process(pixels, params)
                plugin.plugin.result_json()
                if result is not None and result.ctypes.data != pixels.ctypes.data:
                    seen.add(result.ctypes.data)
                    foreign += 1
                del result
            else:
                plugin.call("process", arguments)
        held.append(resources.holdings().to_wire())
    # An address that never occurs again belongs to memory that was never freed.
    unfreed = foreign if foreign > 1 and len(seen) == foreign else 0
    return {"rounds": held, "calls": arguments["calls"], "unfreed": unfreed}, b""
