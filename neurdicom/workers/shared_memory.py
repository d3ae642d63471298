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

#: No process can shrink the file while another has it mapped, which would kill that one.
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_DOUBLE: Final = 8


def size_of(shape: tuple[int, ...]) -> int:
    """Compute the bytes that float64 values of a shape take."""
    size = _DOUBLE
    for length in shape:
        size *= length
    return size


@contextmanager
def shared_memory(size: int) -> Iterator[int]:
    """Make a nameless memory file of `size` zero bytes, and give its descriptor.

    The memory is freed when this process and all workers have closed or unmapped it, however they end.
    """
    descriptor = os.memfd_create("volume", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        yield descriptor
    finally:
        os.close(descriptor)


def write_doubles(descriptor: int, samples: Doubles, first: int) -> None:
    """Write doubles into the memory file.

    Parameters
    ----------
    descriptor : int
        Of a file made by `shared_memory`.
    samples : ndarray of float64
        C-contiguous, of any shape.
    first : int
        Index of the double in the file that `samples` begin at.
    """
    view = samples.data.cast("B")
    offset = first * _DOUBLE
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def map_doubles(descriptor: int, shape: tuple[int, ...]) -> Doubles:
    """Map the memory file as a writable float64 array, aligned to a page, and so to 64 bytes.

    Parameters
    ----------
    descriptor : int
        Of a file made by `shared_memory`; it stays the caller's.
    shape : tuple of int
        The array's shape.

    Returns
    -------
    ndarray of float64
        With the given shape; the memory stays mapped for as long as the array lives.
    """
    size = size_of(shape)
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE  # one walk through the pages instead of a fault for each
    mapped: Any = mmap.mmap(descriptor, size, flags, mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(mapped, np.float64).reshape(shape)
