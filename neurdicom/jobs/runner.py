"""The port to what does the work of a kind of jobs, and how much of it at a time."""

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
    """A part of a job that is done, or tried again, as a whole.

    Attributes
    ----------
    value : Any
        JSON; what the runner needs to know to do it. An instance's UID, say.
    weight : int or None
        Instances in it, for the job's total; None where that is not known.
    """

    value: Any
    weight: int | None = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why an instance of an item failed, or was changed; `code` is the error's, where there was one."""

    instance: str | None
    reason: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """The outcome of an item.

    Attributes
    ----------
    item : int
        Its place among the items that `run` was given.
    done, failed, warned : int
        Instances of it; it failed when `failed` is not 0.
    total : int or None
        Instances in it, where that became known.
    failures, warnings : tuple of Failure
        Some of them; a failed item has one at least.
    retryable : bool
        Trying the item again may help.
    final : bool
        The item is over; else this tells how far it has come.
    result : Mapping or None
        What came of it, to be kept with the job: small, and JSON.
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
    """Waits that grow with each attempt, with jitter, so that jobs that failed together do not come back together.

    Attributes
    ----------
    first, factor, longest : float
        Seconds of the first wait, by how much the next is longer, and where that ends. As it is: 2, 6, 18, 54, 162.
    attempts : int
        After so many it is given up.
    """

    first: float = 2.0
    factor: float = 3.0
    longest: float = 300.0
    attempts: int = 6

    def delay(
        self, attempt: int, requested: float | None = None, *, jitter: Callable[[], float] = random.random
    ) -> float:
        """Compute seconds to wait after the n-th attempt, from 1; at least what the node `requested`, at most 3600."""
        delay = min(self.longest, self.first * self.factor ** (attempt - 1))
        return max(delay * (0.75 + jitter() / 2), min(requested or 0.0, 3600.0))


@dataclass(frozen=True, slots=True)
class JobClass:
    """Kinds of jobs that share run slots: so many run at a time on one server, and so many of one user's."""

    name: str
    at_once: int
    of_one_user: int


#: Jobs that move files; one slot is left to others.
TRANSFERS = JobClass("transfers", at_once=4, of_one_user=3)


class Runner(ABC):
    """Does the jobs of one kind.

    Attributes
    ----------
    backoff : Backoff or None
        When what failed is tried again, where it is not as usual.
    job_class : JobClass
        Which jobs its own share run slots with.
    keeps_items : bool
        The items stay when a job is over, with what came of each; so what failed can be tried again.
    save_seconds : float
        Between writes of progress: what is over is done again after a crash if it was not written down.
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
        """Do items, some hundreds at most, in any order; the final outcome of each as it comes.

        Once `stop` is set, no further item is begun: the iterator ends soon, after the item under way. Closing it does
        the same. An item without a final outcome is given to a later call.

        Raises
        ------
        PeerFailed
            The node as a whole fails, and so nothing can be said of the items that are left.
        """

    def session(self, job: Job) -> AbstractContextManager[None]:
        """Hold what a job needs for as long as it runs."""
        return nullcontext()

    def describe(self, value: Any, result: Mapping[str, Any] | None) -> dict[str, Any]:
        """Describe an item for the API, with its result once it is done; called where items are kept."""
        return {"item": value}

    def renew(self, job: Job) -> None:  # noqa: B027 (most kinds have nothing to do)
        """Bring the request of a job up to date that is to be run once more. Raises what speaks against it."""
