"""Sizes of the memory blocks that plugins return, from the headers of glibc's malloc."""

import ctypes
import mmap
import platform
from pathlib import Path
from typing import Final

_HEADER: Final = 16
_IN_USE: Final = 1
_MAPPED: Final = 2
_FLAGS: Final = 7


def block_size(address: int) -> int | None:
    """Read the bytes from an address to the end of its block; None where it does not look like the start of one.

    A pointer into the middle of a plugin's own pool has samples where a block has its size, so a block has to be
    plausible in every respect.
    """
    if platform.libc_ver()[0] != "glibc" or ctypes.sizeof(ctypes.c_size_t) != 8 or address % _HEADER:
        return None
    if not _is_mapped(address - _HEADER, _HEADER):
        return None
    noted = _word(address - 8)
    size = noted & ~_FLAGS
    if noted & _MAPPED:
        before = _word(address - _HEADER)
        whole = before + size
        return size - _HEADER if size >= mmap.PAGESIZE and whole % mmap.PAGESIZE == 0 else None
    if size < 2 * _HEADER or size % _HEADER or not _is_mapped(address - _HEADER, size + _HEADER):
        return None
    following = _word(address - 8 + size)
    if not following & _IN_USE or following & ~_FLAGS < 2 * _HEADER:
        return None
    return size - 8  # the next block's first word belongs to this one while it is in use


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def _is_mapped(address: int, length: int) -> bool:
    """Tell whether memory can be read."""
    at = address
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        bounds, access = line.split()[:2]
        low, high = (int(each, 16) for each in bounds.split("-"))
        if low <= at < high and access.startswith("r"):
            at = high
            if at >= address + length:
                return True
    return False
