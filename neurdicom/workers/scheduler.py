"""The scheduler of a program's waiting calls: which one a free worker takes next, and how many at once."""

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from neurdicom.fairness import RoundRobin
from neurdicom.workers.call import Priority

#: Seconds that a batch should take: long compared with the cost of a message, short for calls waiting for the worker.
AIM: Final = 0.02

_LARGEST: Final = 16

#: Weight of the latest batch in the moving average of a call's seconds.
_LATEST: Final = 0.3


class Schedulable(Protocol):
    """Fields of a call that the scheduler reads."""

    @property
    def priority(self) -> Priority:
        """Priority; interactive calls go first."""

    @property
    def fairness(self) -> str:
        """Fairness key; calls of different keys take turns."""

    @property
    def is_batchable(self) -> bool:
        """True if it may go to a worker together with others."""


C = TypeVar("C", bound=Schedulable)


class BatchSize:
    """Number of background calls that go to a worker at once, from the time that recent calls took."""

    def __init__(self) -> None:
        self._seconds = AIM

    @property
    def calls(self) -> int:
        """Most calls in a batch."""
        return max(1, min(_LARGEST, int(AIM / max(self._seconds, 1e-9))))

    def slots(self, workers: int) -> int:
        """Compute how many background calls one job should keep under way.

        Short calls fill two batches for every worker, so that results are written while the next are computed; of long
        ones, one waits for the first worker that is free.
        """
        return workers + 1 if self.calls == 1 else 3 * workers * self.calls

    def observe(self, seconds: float) -> None:
        """Add the seconds that a call took to the moving average."""
        self._seconds += _LATEST * (seconds - self._seconds)


class Scheduler(Generic[C]):
    """Queue of one program's calls that wait for a worker; free workers pull from it.

    Parameters
    ----------
    batch : BatchSize
        Number of short background calls that a worker takes at once.

    Attributes
    ----------
    served : float
        When a worker last took a call, or since when calls wait (seconds of the event loop's clock).
    """

    def __init__(self, batch: BatchSize) -> None:
        self.served = 0.0
        self._batch = batch
        self._interactive: RoundRobin[C] = RoundRobin()
        self._background: RoundRobin[C] = RoundRobin()

    def __len__(self) -> int:
        return len(self._interactive) + len(self._background)

    @property
    def has_interactive(self) -> bool:
        """True if an interactive call waits."""
        return len(self._interactive) > 0

    def put(self, call: C, now: float) -> None:
        """Add a call."""
        if not self:
            self.served = now
        self._line(call).append(call.fairness, call)

    def put_back(self, calls: Sequence[C], now: float) -> None:
        """Add calls again that a worker took and did not do; they come first, in their order."""
        if not self:
            self.served = now
        for call in reversed(calls):
            self._line(call).put_back(call.fairness, call)

    def remove(self, call: C) -> bool:
        """Remove a call whose caller has left; return whether it was there."""
        return self._line(call).remove(call.fairness, call)

    def clear(self) -> list[C]:
        """Remove and return all calls."""
        return [line.pop() for line in (self._interactive, self._background) for _ in range(len(line))]

    def take(self, now: float, sharers: int) -> list[C]:
        """Remove the calls that a free worker does next: one, or a batch of short background calls.

        Parameters
        ----------
        now : float
            The time (seconds of the event loop's clock).
        sharers : int
            Workers that background calls may still have, this one included; with none, only an interactive call is
            taken. No worker takes more than its share of the waiting calls.

        Returns
        -------
        list
            Empty where there is nothing for it.
        """
        if self._interactive:
            self.served = now
            return [self._interactive.pop()]
        line = self._background
        if not line or sharers < 1:
            return []
        self.served = now
        most = min(self._batch.calls, -(-len(line) // sharers))
        calls = [line.pop()]
        if calls[0].is_batchable:
            while len(calls) < most and line and line.peek().is_batchable:
                calls.append(line.pop())
        return calls

    def _line(self, call: C) -> RoundRobin[C]:
        return self._interactive if call.priority is Priority.INTERACTIVE else self._background
