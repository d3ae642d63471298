"""Waiting: `wait_for` in a thread, `until` in an event loop, `wait_for_port` for a server to listen."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

_PAUSE = 0.02


def wait_for(read: Callable[[], T], what: str = "", seconds: float = 30.0, *, holds: Callable[[T], object] = bool) -> T:
    """Read something again and again until a condition holds of it.

    Parameters
    ----------
    read : callable
        What is waited for, or what is looked at.
    what : str
        What is waited for, as the failure tells it.
    seconds : float
        After which the test fails.
    holds : callable
        The condition; by default, that what was read is true.

    Returns
    -------
    object
        What was read last.
    """
    end = time.monotonic() + seconds
    while not holds(value := read()):
        _check(end, what, seconds, value)
        time.sleep(_PAUSE)
    return value


async def until(
    read: Callable[[], Any], what: str = "", seconds: float = 30.0, *, holds: Callable[[Any], object] = bool
) -> Any:
    """Read something until a condition holds of it, as `wait_for`; what is read may be awaitable."""
    end = time.monotonic() + seconds
    while not holds(value := await _value(read())):
        _check(end, what, seconds, value)
        await asyncio.sleep(_PAUSE)
    return value


def wait_for_port(port: int, seconds: float = 30.0) -> None:
    """Wait until somebody listens on a port of this machine."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listens, f"a server on port {port}", seconds)


async def _value(answer: Any) -> Any:
    return await answer if isinstance(answer, Awaitable) else answer


def _check(end: float, what: str, seconds: float, value: object) -> None:
    assert time.monotonic() < end, f"not within {seconds:g} s: {what or 'the condition'}; it is {value!r}"
