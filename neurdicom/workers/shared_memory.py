"""Memory that processes share for one call: made by the server, filled by some workers, mapped by another."""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

#: None can cut the file while another has it mapped, which would kill that one.
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_DOUBLE: Final = 8


def size_of(shape: tuple[int, ...]) -> int:
    """Bytes that doubles of a shape take."""
    size = _DOUBLE
    for length in shape:
        size *= length
    return size


@contextmanager
def shared_memory(size: int) -> Iterator[int]:
    """Give the descriptor of a memory file of so many zeros, which has no name.

    The memory is gone when this and all workers have closed or unmapped it, however they end.
    """
    descriptor = os.memfd_create("volume", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        yield descriptor
    finally:
        os.close(descriptor)


def write_doubles(descriptor: int, samples: Doubles, first: int) -> None:
    """Put contiguous doubles into such a memory file, as those from the `first` one on."""
    view = samples.data.cast("B")
    offset = first * _DOUBLE
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def map_doubles(descriptor: int, shape: tuple[int, ...]) -> Doubles:
    """Map such a memory file: writable doubles, aligned to a page, and so to 64 bytes.

    They stay mapped for as long as the array lives; the descriptor stays the caller's.
    """
    size = size_of(shape)
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE  # one walk through the pages instead of a fault for each
    mapped: Any = mmap.mmap(descriptor, size, flags, mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(mapped, np.float64).reshape(shape)
