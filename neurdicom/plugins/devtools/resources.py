"""Resources of a process that a plugin may leave changed: memory, descriptors, threads, and process-wide settings."""

import contextlib
import ctypes
import gc
import locale
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

#: Control bits of MXCSR: denormals are zeros, results that would be denormal are zeros, the rounding mode.
_CONTROL: Final = {0x0040: "denormals-are-zero", 0x8000: "flush-to-zero", 0x6000: "rounding"}
_MXCSR_OFFSET: Final = 28


class _Mallinfo(ctypes.Structure):
    """Struct `mallinfo2` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
        )
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holdings:
    """Resources that the process holds at one moment.

    Attributes
    ----------
    heap : int or None
        Bytes that malloc has allocated and that are not freed; None where the C library does not report it.
    blocks : int
        Memory blocks of the Python interpreter.
    resident : int
        Bytes of anonymous memory.
    descriptors, threads : int
        Number of open descriptors and of threads.
    """

    heap: int | None
    blocks: int
    resident: int
    descriptors: int
    threads: int

    def to_wire(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def holdings() -> Holdings:
    """Measure the resources, after a collection of Python's garbage."""
    gc.collect()
    status = _status()
    return Holdings(
        _heap(),
        sys.getallocatedblocks(),
        int(status.get("RssAnon", "0 kB").split()[0]) << 10,
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        int(status.get("Threads", "1")),
    )


def reset_peak() -> None:
    """Restart the kernel's measurement of peak resident memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """Read the peak of resident memory since `reset_peak`, or at all, in bytes."""
    return int(_status().get("VmHWM", "0 kB").split()[0]) << 10


def resident() -> int:
    """Read the resident memory in bytes."""
    return int(_status().get("VmRSS", "0 kB").split()[0]) << 10


def settings() -> dict[str, str]:
    """Read the settings that all code in the process shares and that a call should not change."""
    status = _status()
    return {
        "the working folder": _working_folder(),
        "the locale": locale.setlocale(locale.LC_ALL),
        "the rounding or denormal mode of floating point": _floating_point(),
        "the environment": repr(_environment()),
        "the handlers of signals": " ".join(status.get(name, "") for name in ("SigBlk", "SigIgn", "SigCgt")),
        "the umask": status.get("Umask", ""),
        "the standard streams": repr([_identity(descriptor) for descriptor in range(3)]),
        "numpy's error handling": repr(sorted(np.geterr().items())),
    }


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Name the settings that differ."""
    return [name for name, value in before.items() if after.get(name) != value]


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _heap() -> int | None:
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None
    mallinfo2.restype = _Mallinfo
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "(deleted)"


def _floating_point() -> str:
    libm = ctypes.CDLL(None)
    rounding = str(libm.fegetround()) if hasattr(libm, "fegetround") else ""
    if platform.machine() != "x86_64" or not hasattr(libm, "fegetenv"):
        return rounding
    environment = (ctypes.c_uint8 * 64)()
    libm.fegetenv(environment)
    mxcsr = int.from_bytes(bytes(environment[_MXCSR_OFFSET : _MXCSR_OFFSET + 4]), "little")
    return " ".join([rounding, *(f"{name}={mxcsr & bits:#x}" for bits, name in _CONTROL.items())])


def _environment() -> list[bytes]:
    """Read the environment as C sees it: Python does not notice a library's changes."""
    pointer = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    found: list[bytes] = []
    while pointer and (entry := pointer[len(found)]) is not None:
        found.append(entry)
    return sorted(found)


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
