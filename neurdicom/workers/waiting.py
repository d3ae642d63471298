"""The calls that wait for a worker of a program."""

import asyncio
import contextlib
from collections import deque

from neurdicom.workers.process import WorkerProcess


class Line:
    """Calls that wait for a worker: those that somebody waits for before those of the background."""

    def __init__(self) -> None:
        self.urgent: deque[asyncio.Future[WorkerProcess]] = deque()
        self.background: deque[asyncio.Future[WorkerProcess]] = deque()

    def __len__(self) -> int:
        return len(self.urgent) + len(self.background)

    def popleft(self, *, urgent_only: bool = False) -> asyncio.Future[WorkerProcess] | None:
        """Take the next one out of the line, None if there is none."""
        if self.urgent:
            return self.urgent.popleft()
        return self.background.popleft() if self.background and not urgent_only else None

    def leave(self, waiter: asyncio.Future[WorkerProcess]) -> None:
        """Take one out of the line that waits no longer."""
        for line in (self.urgent, self.background):
            with contextlib.suppress(ValueError):
                line.remove(waiter)
