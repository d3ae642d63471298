"""The rate at which a check reads, so that it leaves the disk to others, and its end at once."""

import threading
import time
from types import TracebackType
from typing import Self

MIB = 1024 * 1024


class CheckStopped(Exception):
    """A check that was stopped while it read a file."""


class RateLimit:
    """Limit on the bytes that are read in a second; a `Pace` of the blob store, for any number of threads.

    Leaving the context stops the threads that wait in it, or come to it.

    Parameters
    ----------
    mib_per_second : float
        MiB a second; 0 for no limit.
    """

    def __init__(self, mib_per_second: float = 0.0) -> None:
        self._rate = mib_per_second * MIB
        self._lock = threading.Lock()
        self._free = 0.0  # time at which all that was read so far is paid for
        self._stopped = threading.Event()

    def __call__(self, size: int) -> None:
        """Wait until the bytes may have been read. Raises `CheckStopped` once the check was stopped."""
        pause = 0.0
        if self._rate:
            with self._lock:
                now = time.monotonic()
                self._free = max(self._free, now) + size / self._rate
                pause = self._free - now
        if self._stopped.wait(pause) if pause else self._stopped.is_set():
            raise CheckStopped

    def stop(self) -> None:
        """Stop the threads that wait, or come to it."""
        self._stopped.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
