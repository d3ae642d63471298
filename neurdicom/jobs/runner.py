"""The runner port: the work of one kind of jobs, and how many jobs run at a time."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from neurdicom.jobs.job import Job


@dataclass(frozen=True, slots=True)
class Item:
    """Part of a job that is done, or tried again, as a whole.

    Attributes
    ----------
    value : Any
        JSON; all that the runner needs to do it, such as an instance's UID.
    weight : int or None
        Instances in it, for the job's total; None where unknown.
    """

    value: Any
    weight: int | None = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """Reason why an instance of an item failed, or was changed.

    Attributes
    ----------
    instance : str or None
        The instance; None where all of the series, the study or the node failed.
    reason : str
        What went wrong, or what was changed.
    code : str
        That of the error, where there was one.
    series, study : str or None
        Where the instance belongs, as far as it is known.
    """

    instance: str | None
    reason: str
    code: str = ""
    series: str | None = None
    study: str | None = None

    def to_api(self) -> dict[str, Any]:
        """Return the failure as the record of a job has it; what is not known is left out."""
        known = {"study": self.study, "series": self.series, "code": self.code}
        named = {"instance": self.instance, "reason": self.reason}
        return named | {name: value for name, value in known.items() if value}


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """Outcome of an item.

    Attributes
    ----------
    item : int
        Index among the items that `run` was given.
    done, failed, warned : int
        Instances of it; the item failed when `failed` is not 0.
    total : int or None
        Instances in it, where that became known.
    failures, warnings : tuple of Failure
        Some of them; a failed item has at least one.
    retryable : bool
        Whether trying the item again may help.
    final : bool
        Whether the item is over; otherwise this is its progress.
    result : Mapping or None
        Result to be kept with the job: small, and JSON.
    """

    item: int
    done: int = 0
    failed: int = 0
    warned: int = 0
    total: int | None = None
    failures: tuple[Failure, ...] = ()
    warnings: tuple[Failure, ...] = ()
    retryable: bool = False
    final: bool = True
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow with each attempt, with jitter, so that jobs that failed together do not resume together.

    Attributes
    ----------
    first, factor, longest : float
        Seconds of the first wait, factor of each further one, and longest wait. By default: 2, 6, 18, 54, 162.
    attempts : int
        Most attempts.
    """

    first: float = 2.0
    factor: float = 3.0
    longest: float = 300.0
    attempts: int = 6

    def delay(
        self, attempt: int, requested: float | None = None, *, jitter: Callable[[], float] = random.random
    ) -> float:
        """Compute the seconds to wait after the n-th attempt.

        Parameters
        ----------
        attempt : int
            Number of the attempt, from 1.
        requested : float, optional
            Seconds that the node asked for (Retry-After); at most an hour is honoured.
        jitter : callable
            Returns a random number from 0 to 1.
        """
        delay = min(self.longest, self.first * self.factor ** (attempt - 1))
        return max(delay * (0.75 + jitter() / 2), min(requested or 0.0, 3600.0))


@dataclass(frozen=True, slots=True)
class JobClass:
    """Class of jobs that share run slots: at most `at_once` on one server, and `of_one_user` of one user."""

    name: str
    at_once: int
    of_one_user: int


#: Jobs that move files; one slot is left to other users.
TRANSFERS = JobClass("transfers", at_once=4, of_one_user=3)


class Runner(ABC):
    """Port that does the jobs of one kind.

    Attributes
    ----------
    backoff : Backoff or None
        Waits between attempts; None: the usual ones.
    job_class : JobClass
        Class whose run slots its jobs share.
    keeps_items : bool
        Whether the items stay when a job is over, with their outcomes, so that failed ones can be tried again.
    save_seconds : float
        Seconds between writes of progress; items that finished after the last write are done again after a crash.
    """

    backoff: Backoff | None = None
    job_class: JobClass = TRANSFERS
    keeps_items: bool = False
    save_seconds: float = 1.0

    @abstractmethod
    def expand(self, job: Job) -> AsyncIterator[Item]:
        """Yield the job's items; called once, before any runs. May set `job.summary`.

        Raises
        ------
        PeerFailed
            The items can't be listed; the job fails, or is tried again later.
        """

    @abstractmethod
    def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        """Do items in any order, and yield the final outcome of each as it comes.

        Once `stop` is set, no further item is begun, and the iterator ends soon, after the current item. Closing the
        iterator does the same. An item without a final outcome is given to a later call.

        Parameters
        ----------
        job : Job
            The job.
        items : sequence
            Values of `Item`, some hundreds at most.
        stop : Event
            Set when the pass is to end.

        Yields
        ------
        ItemOutcome
            The outcome of an item, or its progress.

        Raises
        ------
        PeerFailed
            The node as a whole fails, so that the remaining items can't be tried now.
        """

    def session(self, job: Job) -> AbstractContextManager[None]:
        """Hold the resources that a job needs for as long as it runs."""
        return nullcontext()

    def describe(self, value: Any, result: Mapping[str, Any] | None) -> dict[str, Any]:
        """Describe an item for the API, with its result once it is done; called for kinds that store items."""
        return {"item": value}

    def renew(self, job: Job) -> None:  # noqa: B027 (most kinds have nothing to do)
        """Update the request of a job that is to run once more. Raises an error where it can't run."""
