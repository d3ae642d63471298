"""Progress of a job while it runs: its counts, and its rate."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from neurdicom.jobs.items import CHUNK, Chunk
from neurdicom.jobs.job import MAX_ERRORS, Job
from neurdicom.jobs.runner import ItemOutcome

#: Seconds over which the rate is measured.
WINDOW = 10.0


class Pace:
    """Instance counts of the last seconds, from which the rate follows. Times are those of any one clock."""

    def __init__(self, began: float, count: int) -> None:
        self._counts: deque[tuple[float, int]] = deque([(began, count)])

    def note(self, when: float, count: int) -> None:
        """Record the total number of finished instances at a time."""
        self._counts.append((when, count))
        self._forget(when)

    def rate(self, when: float) -> float:
        """Compute instances per second, over the window or since the beginning."""
        self._forget(when)
        (start, before), (_, count) = self._counts[0], self._counts[-1]
        return round((count - before) / max(when - start, 0.1), 2)

    def _forget(self, when: float) -> None:
        """Drop the counts before the window, except the last of them."""
        while len(self._counts) > 1 and self._counts[1][0] <= when - WINDOW:
            self._counts.popleft()


class InstanceCounts(NamedTuple):
    """Numbers of instances of items that are over; `warned` ones count as done too."""

    done: int = 0
    failed: int = 0
    warned: int = 0

    def plus(self, done: int, failed: int, warned: int) -> "InstanceCounts":
        """Add numbers to the counts.

        Parameters
        ----------
        done, failed, warned : int
            Numbers of instances.

        Returns
        -------
        InstanceCounts
            The sums.
        """
        return InstanceCounts(self.done + done, self.failed + failed, self.warned + warned)


@dataclass(slots=True)
class PassProgress:
    """Progress of one pass over the items of a job; keeps the job's counts and errors up to date.

    Attributes
    ----------
    job : Job
        The job.
    attempts : int
        Failures after which an item is given up.
    counts : InstanceCounts
        Counts of items that are over.
    left : int
        Number of items that are not.
    has_advanced : bool
        Whether any instance was done in this pass.
    tried : int
        Largest number of failures of an item that is tried again.
    retry_reason : str or None
        Why one is.
    """

    job: Job
    attempts: int
    counts: InstanceCounts = field(default_factory=InstanceCounts)
    left: int = 0
    has_advanced: bool = False
    tried: int = 0
    retry_reason: str | None = None
    _live: ItemOutcome | None = None
    _pace: Pace | None = None

    def begin(self) -> None:
        """Start the measurement of the rate."""
        self._pace = Pace(time.monotonic(), self.job.done + self.job.failed)

    def take(self, chunk: Chunk, index: int, outcome: ItemOutcome) -> bool:
        """Add an outcome of an item; return whether the item is over.

        Parameters
        ----------
        chunk : Chunk
            The chunk of the item.
        index : int
            Index of the item in it.
        outcome : ItemOutcome
            Its outcome, or its progress.
        """
        self.has_advanced = self.has_advanced or outcome.done > 0
        if not outcome.final:
            self._live = outcome
            if self.left == 1 and outcome.total is not None:
                self.job.total = self.counts.done + self.counts.failed + outcome.total
            self.show()
            return False
        self._live = None
        is_over = chunk.settle(index, outcome, attempts=self.attempts)
        if is_over:
            self.left -= 1
            self.counts = self.counts.plus(outcome.done, outcome.failed, outcome.warned)
            if outcome.failed:
                self.job.errors += chunk.errors(index)[: MAX_ERRORS - len(self.job.errors)]
            warnings = [{"instance": one.instance, "reason": one.reason} for one in outcome.warnings]
            self.job.warnings += warnings[: MAX_ERRORS - len(self.job.warnings)]
        else:
            self.tried = max(self.tried, chunk.attempts[index])
            self.retry_reason = str(chunk.errors(index)[0]["reason"])
        self.show()
        return is_over

    def drop_live(self) -> None:
        """Discard the progress of the current item."""
        self._live = None
        self.show()

    def show(self) -> None:
        """Set the job's counts, including the progress of the current item."""
        live = self._live or ItemOutcome(0)
        job = self.job
        job.done, job.failed, job.warned = self.counts.plus(live.done, live.failed, live.warned)
        if self._pace is not None:
            self._pace.note(time.monotonic(), job.done + job.failed)

    def update_rate(self) -> bool:
        """Set the job's rate; return whether it has changed."""
        before = self.job.rate
        if self._pace is not None:
            self.job.rate = self._pace.rate(time.monotonic())
        return self.job.rate != before


def number_of(chunk: Chunk, index: int) -> int:
    """Compute the number of an item among all of the job's."""
    return chunk.number * CHUNK + index
