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


def map_doubles(descriptor: int, shape: tuple[int, ...], first: int = 0) -> Doubles:
    """Map a part of such a memory file: writable doubles, from the `first` one on.

    What is written is seen by all that map it. From 0 on they are aligned to a page, and so to 64 bytes. They stay
    mapped for as long as the array lives; the descriptor stays the caller's.
    """
    start = first * _DOUBLE
    offset = start - start % mmap.ALLOCATIONGRANULARITY
    size = size_of(shape)
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE  # one walk through the pages instead of a fault for each
    mapped: Any = mmap.mmap(descriptor, start - offset + size, flags, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)
    return np.frombuffer(mapped, np.float64, size // _DOUBLE, start - offset).reshape(shape)
