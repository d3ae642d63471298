"""Guarded images: memory with an inaccessible page behind it."""

import ctypes
import mmap
import os
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from neurdicom.workers.loaders.native import ALIGNMENT

_MARK: Final = 0xA5


class GuardedImage:
    """Image that ends, as far as its alignment allows, where mapped memory ends.

    A plugin that reads or writes far behind it crashes at once. Writes just behind it, up to the page, or before it,
    are detected by `is_sound`.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        page = mmap.PAGESIZE
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        padded = -(-size // ALIGNMENT) * ALIGNMENT
        inside = -(-(padded + ALIGNMENT) // page) * page
        self._memory = mmap.mmap(-1, inside + page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        whole = np.frombuffer(self._memory, "u1")
        whole[:inside] = _MARK
        start = inside - padded
        self._around = (whole[max(0, start - page) : start], whole[start + size : inside])
        self.image: npt.NDArray[Any] = whole[start : start + size].view(dtype).reshape(shape)
        self._protect(whole.ctypes.data + inside, page)

    @property
    def is_sound(self) -> bool:
        """True if nothing was written around the image."""
        return all(bool((part == _MARK).all()) for part in self._around)

    @staticmethod
    def _protect(address: int, length: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(length), ctypes.c_int(0)):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
