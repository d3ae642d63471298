"""ProcessVolume: what it gets, and what is taken for a volume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurdicom.errors import PluginFailed
from neurdicom.workers.loaders.native import NativePlugin
from neurdicom.workers.shared_memory import map_doubles, shared_memory, size_of, write_doubles

Make = Callable[..., Path]

IN_PLACE = """
    double* ProcessVolume(Plugin* p, double* v, int w, int h, int d, const char* s) {
        v[0] = w; v[1] = h; v[2] = d; return v; }
"""


def volume(depth: int = 2, height: int = 3, width: int = 5) -> Any:
    with shared_memory(size_of((depth, height, width))) as descriptor:
        write_doubles(descriptor, np.arange(float(height * width)).reshape(height, width), (depth - 1) * height * width)
        return map_doubles(descriptor, (depth, height, width))


def test_in_place(library: Make) -> None:
    plugin = NativePlugin(library(IN_PLACE))
    assert (plugin.takes_volumes, plugin.takes_images) == (True, False)
    given = volume()
    assert given[1, 2, 4] == 14
    result, is_stack = plugin.process_volume(given, b"{}") or (None, None)
    assert is_stack
    assert result is not None
    assert (result.shape, result[0, 0, :3].tolist()) == ((2, 3, 5), [5, 3, 2])
    assert result.ctypes.data == given.ctypes.data
    assert not result.flags.writeable
    with pytest.raises(BufferError):
        plugin.close()
    del result
    plugin.close()


def test_what_can_throw_may(library: Make) -> None:
    source = """
        #include <new>
        #include <stdexcept>
        struct Plugin {};
        extern "C" {
        Plugin* InitPlugin() { return new Plugin; }
        void DestroyPlugin(Plugin* plugin) { delete plugin; }
        double* ProcessVolume(Plugin*, double* v, int, int, int, const char* s) {
            if (s[0] == 'm') throw std::bad_alloc();
            if (s[0] == 'r') throw std::runtime_error("thrown");
            return v;
        }
        void ResultDepth(Plugin*, int* depth) { if (*depth == 3) throw std::runtime_error("in ResultDepth"); }
        }
    """
    plugin = NativePlugin(library(source, frame=False, name="plugin.cpp"))
    with pytest.raises(PluginFailed, match="thrown"):
        plugin.process_volume(volume(), b"r")
    with pytest.raises(MemoryError):
        plugin.process_volume(volume(), b"m")
    with pytest.raises(PluginFailed, match="in ResultDepth"):
        plugin.process_volume(volume(3), b"{}")
    plugin.close()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4)),
        np.zeros((2, 4, 4), "f4"),
        np.zeros((2, 4, 8))[:, :, ::2],
        np.zeros((0, 4, 4)),
        np.frombuffer(bytes(256), "f8").reshape(2, 4, 4),
        None,
    ],
)
def test_an_array_that_is_no_volume(library: Make, wrong: Any) -> None:
    plugin = NativePlugin(library(IN_PLACE))
    with pytest.raises((ValueError, BufferError, TypeError)):
        plugin._library.process_volume(wrong, b"{}")
    plugin.close()


def test_the_size_of_shared_memory_is_fixed() -> None:
    """Refuse to cut or extend shared memory, which would kill the processes that have it mapped."""
    with shared_memory(4096) as descriptor, Path(f"/proc/self/fd/{descriptor}").open("r+b") as file:
        for size in (0, 8192):
            with pytest.raises(PermissionError):
                file.truncate(size)
