"""What does the work of a kind of jobs."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from neurdicom.services.jobs.record import Job
from neurdicom.services.jobs.retry import Backoff


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
    """Why an instance of an item failed, or was changed."""

    instance: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of an item.

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


class Runner(ABC):
    """Does the jobs of one kind.

    Attributes
    ----------
    backoff : Backoff or None
        When what failed is tried again, where it is not as usual.
    """

    backoff: Backoff | None = None

    @abstractmethod
    def expand(self, job: Job) -> AsyncIterator[Item]:
        """Give the items of a job, once, before the first of them is run.

        Raises
        ------
        PeerFailed
            They can't be told; the job fails, or is tried again later.
        """

    @abstractmethod
    def run(self, job: Job, items: Sequence[Any]) -> AsyncIterator[Outcome]:
        """Do items, some hundreds at most, in any order; the final outcome of each as it comes.

        Closing the iterator ends the work after the item, or the instance, under way. An item without a final
        outcome is given to a later call.

        Raises
        ------
        PeerFailed
            The node as a whole fails, and so nothing can be said of the items that are left.
        """
