"""Limits of a worker process: it ends with its parent, and its memory is bounded."""

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: Exit status of a worker that ended itself because it was past its memory limit.
MEMORY_STATUS: Final = 213

#: Exit status of a worker whose connection the program has closed.
CONNECTION_STATUS: Final = 214

#: Memory that may be reserved above the limit before allocations fail. Touched memory past the limit ends the worker,
#: with a clear error; this only stops what would be too fast for that. It is wide because C code seldom survives a
#: failed allocation, and would then seem to have crashed for no reason.
RESERVE: Final = 1 << 30

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent dies, so that none survives unnoticed."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends; exit at once if the parent is gone already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def confine() -> None:
    """Forbid core dumps and new privileges; let the kernel kill this process first when memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def limit_memory(mebibytes: int, watch: Callable[[int, int], None]) -> None:
    """Limit the memory that this process adds from here on.

    Parameters
    ----------
    mebibytes : int
        Most memory that may be added, in MiB.
    watch : callable
        Starts the watch over touched memory: takes the limit in bytes and the exit status.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    ceiling = _private_bytes() + (mebibytes << 20) + RESERVE
    if hard == resource.RLIM_INFINITY or ceiling < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (ceiling, ceiling))
    watch(mebibytes << 20, MEMORY_STATUS)


def _private_bytes() -> int:
    """Measure the private writable memory of this process in bytes, which RLIMIT_DATA limits."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0
