"""The process in which `neurdicom plugin check --sanitize` runs a native plugin, AddressSanitizer's runtime preloaded.

`python -m neurdicom.plugins.devtools.sanitizer.child` reads one JSON object from standard input,
`{"library", "samples": [{name, path, params}]}`, and calls the plugin with each sample, in memory that ends where the
samples end. The sanitizers write to standard error; lines that begin with `MARK` tell there what is running.
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from neurdicom.errors import PluginFailed
from neurdicom.workers.loaders.native import ALIGNMENT, NativePlugin

MARK: Final = "\x1eneurdicom "

#: Calls of a sample before leaks are checked; memory that was only kept for the next call is freed by then.
_CALLS: Final = 2


def main() -> None:
    """Run the samples; exit without the interpreter's cleanup, whose leaks would be reported, too."""
    request = json.load(sys.stdin)
    _say("load")
    plugin = NativePlugin(Path(request["library"]))
    for sample in request["samples"]:
        _say("sample", sample["name"])
        for _ in range(_CALLS):
            _call(plugin, sample, sample["params"].encode())
        _look_for_leaks()
    _say("unload")
    plugin.close()
    del plugin
    _look_for_leaks()
    _say("end")
    sys.stderr.flush()
    os._exit(0)


def _call(plugin: NativePlugin, sample: dict[str, Any], params: bytes) -> None:
    original = np.load(sample["path"])
    image = _Exact(original.shape, np.float32 if plugin.wants_float32 else np.float64)
    image.array[...] = original
    try:
        if image.array.ndim == 3:
            answer = plugin.process_volume(image.array, params)
            result = None if answer is None else answer[0]
            del answer
        else:
            result = plugin.process(image.array, params)
        plugin.result_json()
        if result is not None:
            result.copy()  # reads every sample of it, as an encoder would
        del result
    except PluginFailed as error:
        _say("failed", str(error))
    finally:
        image.free()


class _Exact:
    """Memory of exactly an image's size, from the sanitizer's own allocator, which knows its end."""

    def __init__(self, shape: tuple[int, ...], dtype: type[np.float32 | np.float64]) -> None:
        self._libc = ctypes.CDLL(None)
        self._address = ctypes.c_void_p()
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self._libc.posix_memalign(ctypes.byref(self._address), ctypes.c_size_t(ALIGNMENT), ctypes.c_size_t(size)):
            raise MemoryError(f"{size} bytes")
        memory = (ctypes.c_uint8 * size).from_address(self._address.value or 0)
        self.array: npt.NDArray[Any] = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def free(self) -> None:
        del self.array
        self._libc.free(self._address)


def _look_for_leaks() -> None:
    look = getattr(ctypes.CDLL(None), "__lsan_do_recoverable_leak_check", None)
    if look is not None and os.environ.get("NEURDICOM_LEAKS") != "no":
        look()


def _say(*words: str) -> None:
    sys.stderr.write(MARK + json.dumps(words) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
