"""A call's priority, and the token that stops it when nobody waits for it any more."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class Priority(StrEnum):
    """Order in which waiting calls of a program get a worker; the first member goes first."""

    INTERACTIVE = "interactive"
    BACKGROUND = "background"


class CancellationToken:
    """Handle that stops abandoned calls.

    Whoever computes something for several requests makes one, hands it to `Executor.run` or `WorkerPool.call`, and
    cancels it when the last request has left. A waiting call then leaves the queue at once. A running call goes on for
    as long as loading its program took, at least `run.GRACE` seconds; if it has a reply by then, the reply is returned
    as usual, otherwise its worker is killed. A call that was stopped, or that begins after the cancellation, raises
    `asyncio.CancelledError`.

    Cancelling the task that awaits a call stops the call in the same way, but drops its reply. The token ends nothing
    but calls: what is done with a reply, such as storing it, is not interrupted.

    Attributes
    ----------
    is_cancelled : bool
        Whether `cancel` was called; there is no way back.
    """

    def __init__(self) -> None:
        self.is_cancelled = False
        self._stops: set[Callable[[], object]] = set()

    def cancel(self) -> None:
        """Stop the calls under way, and every later one. Idempotent."""
        self.is_cancelled = True
        for stop in list(self._stops):
            stop()

    @contextmanager
    def stopping(self, stop: Callable[[], object]) -> Iterator[None]:
        """Register `stop`, which a cancellation within the context calls.

        Raises
        ------
        asyncio.CancelledError
            The token is cancelled already.
        """
        if self.is_cancelled:
            raise asyncio.CancelledError
        self._stops.add(stop)
        try:
            yield
        finally:
            self._stops.discard(stop)
