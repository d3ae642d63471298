"""Memory that a worker and the server share for as long as the worker lives; replies of usual size pass through it.

The worker writes a reply's body, and the server copies it out before it asks for the next: making, sealing and mapping
a memory file for each reply took longer than both copies. The file is sealed against shrinking, which would kill the
process that reads it; that the worker can still write into it harms nobody.
"""

import fcntl
import mmap
import os
from typing import Final

#: Size of an arena in bytes. Memory is taken only as far as bodies have reached.
SIZE: Final = 4 << 20

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Arena:
    """Worker's end of the shared memory.

    Attributes
    ----------
    descriptor : int or None
        To be passed to the server with the first message; None once that was done.
    """

    def __init__(self) -> None:
        descriptor = os.memfd_create("results", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, SIZE)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
            self._memory = mmap.mmap(descriptor, SIZE)
        except BaseException:
            os.close(descriptor)
            raise
        self.descriptor: int | None = descriptor

    def write(self, data: bytes | memoryview, start: int = 0) -> None:
        """Copy bytes into the arena at an offset; the caller makes sure that they fit."""
        self._memory[start : start + len(data)] = data

    def passed_on(self) -> None:
        """Close the descriptor, which the server now has. Idempotent."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class ArenaView:
    """Server's end of the shared memory, read-only.

    Parameters
    ----------
    descriptor : int
        Received from the worker, and not to be trusted; it stays the caller's to close.

    Raises
    ------
    ValueError
        The descriptor is not a sealed memory file of `SIZE` bytes.
    """

    def __init__(self, descriptor: int) -> None:
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        except OSError:
            raise ValueError("the shared memory's descriptor is not a memory file") from None
        if seals & _SEALS != _SEALS or os.fstat(descriptor).st_size != SIZE:
            raise ValueError(f"the shared memory is not a sealed file of {SIZE} bytes")
        self._memory = mmap.mmap(descriptor, SIZE, mmap.MAP_SHARED, mmap.PROT_READ)

    def read(self, size: int) -> bytes:
        """Copy the first `size` bytes; at most `SIZE`."""
        return self._memory[:size]

    def close(self) -> None:
        """Unmap the memory. Idempotent."""
        self._memory.close()
