"""Native plugins through the bridge: checks of the library's file, and calls into it. Worker processes only."""

import contextlib
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from neurdicom import _bridge
from neurdicom.errors import PluginFailed

Image = npt.NDArray[Any]

#: Alignment in bytes of a buffer's first byte, as the plugin interface promises.
ALIGNMENT: Final = 64

#: Largest image whose memory is kept for the next one, in bytes.
_MOST_KEPT: Final = 32 << 20

_SHARED_OBJECT: Final = 3
_LOADED: Final = 1
_MACHINES: Final = {
    3: "32-bit x86",
    8: "MIPS",
    20: "PowerPC",
    21: "64-bit PowerPC",
    22: "IBM S/390",
    40: "32-bit ARM",
    62: "x86-64",
    183: "64-bit ARM (AArch64)",
    243: "RISC-V",
    258: "LoongArch",
}


class NativePlugin:
    """A loaded shared library, between `InitPlugin` and `DestroyPlugin`.

    Parameters
    ----------
    path : Path
        The library.

    Raises
    ------
    PluginFailed
        It is of another architecture, can't be loaded, or lacks required symbols; the message names them.
    """

    def __init__(self, path: Path) -> None:
        check_library(path)
        self._name = path.name
        try:
            self._library = _bridge.Library(str(path))
        except _bridge.LoadFailed as error:
            raise PluginFailed(f"{path.name}: {error}{_mangling_hint(path)}") from None
        except _bridge.CallFailed as error:
            raise PluginFailed(f"{path.name}: InitPlugin failed: {error}") from None

    @property
    def wants_float32(self) -> bool:
        """True if the library has `ProcessF32`, which is used instead of `Process`."""
        return bool(self._library.wants_float32)

    @property
    def takes_images(self) -> bool:
        """True if the library has `Process` or `ProcessF32`."""
        return bool(self._library.takes_images)

    @property
    def takes_volumes(self) -> bool:
        """True if the library has `ProcessVolume`."""
        return bool(self._library.takes_volumes)

    def process(self, image: Image, params: bytes) -> npt.NDArray[Any] | None:
        """Process one image.

        Parameters
        ----------
        image : ndarray of float64, or of float32 if `wants_float32`
            Shape (rows, columns), C-contiguous, writable, 64-byte aligned; the plugin may overwrite it.
        params : bytes
            JSON object in UTF-8.

        Returns
        -------
        ndarray of float64, or of float32 if `wants_float32`; or None
            A read-only view of the result where the plugin left it, shape (rows, columns) or (rows, columns,
            channels); freed with its last view. None: the plugin gave no image, but may have JSON.

        Raises
        ------
        PluginFailed
            `Process` returned NULL or threw; the message ends in the plugin's own.
        MemoryError
            It threw std::bad_alloc.
        """
        call: Callable[[Any, bytes], Any] = self._library.process_f32 if self.wants_float32 else self._library.process
        try:
            result = call(image, params)
        except _bridge.CallFailed as error:
            raise PluginFailed(str(error)) from None
        return None if result is None else np.asarray(result)

    def process_volume(self, volume: Image, params: bytes) -> tuple[npt.NDArray[Any], bool] | None:
        """Process a volume: as `process`, for float64 of shape (depth, rows, columns).

        Parameters
        ----------
        volume : ndarray of float64
            Shape (depth, rows, columns), C-contiguous, writable, 64-byte aligned; the plugin may overwrite it.
        params : bytes
            JSON object in UTF-8.

        Returns
        -------
        (ndarray of float64, bool) or None
            The result, shape (depth, rows, columns) or (depth, rows, columns, channels), and whether its first axis is
            that of slices: where the plugin's `ResultDepth` says 1 it is an image as of `process`. None: no image.

        Raises
        ------
        PluginFailed
            `ProcessVolume` returned NULL or threw; the message ends in the plugin's own.
        MemoryError
            It threw std::bad_alloc.
        """
        try:
            result = self._library.process_volume(volume, params)
        except _bridge.CallFailed as error:
            raise PluginFailed(str(error)) from None
        return None if result is None else (np.asarray(result), bool(result.is_stack))

    def result_json(self) -> str | None:
        """Call `ResultJson` for the last image; None where the plugin has no such function or it returns NULL."""
        try:
            text: str | None = self._library.result_json()
        except _bridge.CallFailed as error:
            raise PluginFailed(f"ResultJson failed: {error}") from None
        return text

    def close(self) -> None:
        """Call `DestroyPlugin`. Idempotent."""
        try:
            self._library.close()
        except _bridge.CallFailed as error:
            raise PluginFailed(f"DestroyPlugin failed: {error}") from None


def check_library(path: Path) -> None:
    """Check the head of a shared library, and refuse one that can't run in this process. Raises `PluginFailed`."""
    own, found = _elf(Path("/proc/self/exe")), _elf(path)
    if found is None:
        raise PluginFailed(f"{path.name} is not a shared library: it has no ELF header")
    assert own is not None
    if found[:3] != own[:3]:
        raise PluginFailed(f"{path.name} is made for {_describe(found)}; this server runs on {_describe(own)}")
    if found[3] != _SHARED_OBJECT:
        raise PluginFailed(f"{path.name} is not a shared library; compile it with -shared -fPIC")
    size, needed = path.stat().st_size, _mapped_size(path, own)
    if size < needed:  # the loader would map beyond the end of the file, and crash
        raise PluginFailed(f"{path.name} is cut off: it has {size} bytes, and its segments reach to {needed}")


def _mapped_size(path: Path, elf: tuple[int, int, int, int]) -> int:
    """Find the end of the last segment that the loader maps, in bytes from the start of the file."""
    order = "<" if elf[1] == 1 else ">"
    table, entry = (32, 54) if elf[0] == 2 else (28, 42)
    with path.open("rb") as file:
        head = file.read(64).ljust(64, b"\0")
        (start,) = struct.unpack_from(order + ("Q" if elf[0] == 2 else "I"), head, table)
        length, count = struct.unpack_from(order + "HH", head, entry)
        file.seek(min(start, path.stat().st_size))
        segments = file.read(length * count)
    end: int = start + length * count
    for at in range(0, len(segments) - 55 if elf[0] == 2 else len(segments) - 31, max(1, length)):
        if elf[0] == 2:
            kind, _, offset, _, _, filled = struct.unpack_from(order + "IIQQQQ", segments, at)
        else:
            kind, offset, _, _, filled = struct.unpack_from(order + "IIIII", segments, at)
        if kind == _LOADED:
            end = max(end, offset + filled)
    return end


def _elf(path: Path) -> tuple[int, int, int, int] | None:
    """Read class (1: 32 bit), byte order (1: little), machine and type of an ELF file; None for any other."""
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF" or head[5] not in (1, 2):
        return None
    kind, machine = struct.unpack_from("<HH" if head[5] == 1 else ">HH", head, 16)
    return head[4], head[5], machine, kind


def _describe(elf: tuple[int, int, int, int]) -> str:
    name = _MACHINES.get(elf[2], f"machine {elf[2]}")
    return f"{name}, {'big' if elf[1] == 2 else 'little'}-endian, {'64' if elf[0] == 2 else '32'} bit"


def _mangling_hint(path: Path) -> str:
    """Suggest extern "C" where the functions exist under C++ names."""
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with mapped as code:
            if code.find(b"10InitPlugin") >= 0 or code.find(b"Z7Process") >= 0:
                return '; it has them under C++ names: declare them extern "C"'
    return ""


def aligned(shape: tuple[int, int], *, single: bool) -> Image:
    """Make an uninitialised image of a shape, float32 if `single` else float64, that is 64-byte aligned."""
    dtype = np.dtype("f4" if single else "f8")
    size = shape[0] * shape[1] * dtype.itemsize
    buffer = np.empty(size + ALIGNMENT, "u1")
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)


class ImageBuffer:
    """Pool of one image, whose memory is used again from call to call, since it is warm."""

    def __init__(self) -> None:
        self._kept: Image | None = None

    def take(self, shape: tuple[int, int], *, single: bool) -> Image:
        """Give an image of shape and dtype as `aligned` does. The one given before must not be in use any more."""
        kept = self._kept
        if kept is None or kept.shape != shape or kept.dtype != (np.float32 if single else np.float64):
            kept = aligned(shape, single=single)
            self._kept = kept if kept.nbytes <= _MOST_KEPT else None
        return kept


def watch_memory(limit: int, status: int) -> None:
    """End this process with an exit status once it holds `limit` bytes more than now. At most once in a process."""
    _bridge.start_watch(limit, status)


def set_working(working: bool) -> None:
    """Tell the memory watch whether the program is at work; while it rests, it is checked less often."""
    _bridge.set_working(working)


def print_by_line() -> None:
    """Set C's stdout to line buffering, as Python's has."""
    _bridge.print_by_line()
