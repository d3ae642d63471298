"""System calls that Python's standard library lacks; since Linux 5.1 each has one number on every architecture."""

import ctypes
import os
from typing import Any


def system_call(number: int, *arguments: Any) -> int:
    """Make a system call.

    Parameters
    ----------
    number : int
        Its number.
    *arguments : int, bytes, None or ctypes object
        Passed on; whole numbers as 64 bits.

    Returns
    -------
    int
        What it returns.

    Raises
    ------
    OSError
        It failed.
    """
    passed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return checked(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *passed))


def checked(outcome: int) -> int:
    """Return what a function of the C library returned. Raises `OSError` where that is -1."""
    if outcome == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return outcome
