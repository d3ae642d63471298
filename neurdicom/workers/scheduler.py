"""Which of the waiting calls a free worker takes, and how many at once."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from neurdicom.workers.call import Priority

#: Seconds that a batch should take: long beside what a message costs, short for others who wait for the worker.
AIM: Final = 0.02

_LARGEST: Final = 16

#: Weight of the latest batch in what is known of the time of a call.
_LATEST: Final = 0.3


class Schedulable(Protocol):
    """What the scheduler looks at in a call."""

    @property
    def priority(self) -> Priority:
        """Interactive calls go first."""

    @property
    def fairness(self) -> str:
        """Calls of different keys take turns."""

    @property
    def is_batchable(self) -> bool:
        """Whether it may go to a worker together with others."""


C = TypeVar("C", bound=Schedulable)


class RoundRobin(Generic[C]):
    """Calls by fairness key: keys take turns, each with its calls in order. Every method takes constant time."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[str, OrderedDict[C, None]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, call: C) -> None:
        """Let a call wait behind those of its key."""
        self._by_key.setdefault(call.fairness, OrderedDict())[call] = None
        self._count += 1

    def put_back(self, call: C) -> None:
        """Let a call wait in front of all others."""
        self.append(call)
        self._by_key[call.fairness].move_to_end(call, last=False)
        self._by_key.move_to_end(call.fairness, last=False)

    def peek(self) -> C:
        """Name the call whose turn it is."""
        return next(iter(next(iter(self._by_key.values()))))

    def pop(self) -> C:
        """Take the call whose turn it is; its key goes to the end of the line."""
        key, calls = next(iter(self._by_key.items()))
        call, _ = calls.popitem(last=False)
        self._count -= 1
        if calls:
            self._by_key.move_to_end(key)
        else:
            del self._by_key[key]
        return call

    def remove(self, call: C) -> bool:
        """Take a call out, wherever it stands; whether it was there."""
        calls = self._by_key.get(call.fairness)
        if calls is None or call not in calls:
            return False
        del calls[call]
        self._count -= 1
        if not calls:
            del self._by_key[call.fairness]
        return True


class BatchSize:
    """How many calls of the background go to a worker at once, by how long those of late took."""

    def __init__(self) -> None:
        self._seconds = AIM

    @property
    def calls(self) -> int:
        """Most calls in a batch."""
        return max(1, min(_LARGEST, int(AIM / max(self._seconds, 1e-9))))

    def slots(self, workers: int) -> int:
        """How many calls of the background a job should have under way: of short ones, results are written meanwhile.

        Short calls make batches for all workers, twice over; of long ones something waits for the first that is free.
        """
        return workers + 1 if self.calls == 1 else 3 * workers * self.calls

    def observe(self, seconds: float) -> None:
        """Take note of how long a call took."""
        self._seconds += _LATEST * (seconds - self._seconds)


class Scheduler(Generic[C]):
    """Calls of one program that wait for a worker; workers that are free pull from it.

    Parameters
    ----------
    batch : BatchSize
        How many short calls of the background a worker takes at once.

    Attributes
    ----------
    served : float
        When a worker last took one, or since when they wait.
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
        """Whether an interactive call waits."""
        return len(self._interactive) > 0

    def put(self, call: C, now: float) -> None:
        """Let a call wait."""
        if not self:
            self.served = now
        self._line(call).append(call)

    def put_back(self, calls: Sequence[C], now: float) -> None:
        """Let calls wait again that a worker took and did not do; they are the next, in their order."""
        if not self:
            self.served = now
        for call in reversed(calls):
            self._line(call).put_back(call)

    def remove(self, call: C) -> bool:
        """Take a call out whose caller has left; whether it was there."""
        return self._line(call).remove(call)

    def clear(self) -> list[C]:
        """Take out all."""
        return [line.pop() for line in (self._interactive, self._background) for _ in range(len(line))]

    def take(self, now: float, sharers: int) -> list[C]:
        """Take what a free worker is to do: one call, or a batch of short ones of the background.

        Parameters
        ----------
        now : float
            The time.
        sharers : int
            Workers that calls of the background may still have, this one among them; with none, only an interactive
            call is taken. Of what waits, no worker takes more than its share.

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
