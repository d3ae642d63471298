"""Conclusion of a pass over a job's items: whether the job is over, and when it is tried again, decided without I/O."""

from dataclasses import dataclass
from enum import Enum, auto

from neurdicom.errors import PeerFailed
from neurdicom.jobs.job import MAX_ERRORS, Job
from neurdicom.jobs.runner import Backoff
from neurdicom.jobs.states import JobStateEvent


class StopRequest(Enum):
    """Request to end a pass after the current item."""

    #: The job is over.
    CANCEL = auto()
    #: The job resumes later, here or at another server.
    HALT = auto()


@dataclass(frozen=True, slots=True)
class PassEnd:
    """End of a pass over the items of a job.

    Attributes
    ----------
    stop : StopRequest or None
        Why it ended early.
    error : PeerFailed or None
        The node failed as a whole.
    is_complete : bool
        Whether all items are over.
    done, failed : int
        Instances of the job, in all passes.
    has_advanced : bool
        Whether any instance was done in this pass.
    attempts : int
        Number of passes in a row, before this one, without progress.
    tried : int
        Largest number of failures of an item that may be tried again.
    """

    stop: StopRequest | None = None
    error: PeerFailed | None = None
    is_complete: bool = False
    done: int = 0
    failed: int = 0
    has_advanced: bool = False
    attempts: int = 0
    tried: int = 0


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Consequence of a pass for its job.

    Attributes
    ----------
    event : JobStateEvent
        The event in the job's life.
    attempts : int
        Number of passes in a row without progress, this one included.
    delay : float or None
        Seconds until it is tried again.
    error : PeerFailed or None
        Why it is tried again, or why the remaining items have failed.
    """

    event: JobStateEvent
    attempts: int
    delay: float | None = None
    error: PeerFailed | None = None

    def apply(self, job: Job, *, left: int, retry_reason: str | None, now: float) -> None:
        """Change a job's record accordingly.

        Parameters
        ----------
        job : Job
            The record of a running job.
        left : int
            Number of items that are not over.
        retry_reason : str or None
            Why an item is tried again, where one is.
        now : float
            The time, in seconds since the epoch.
        """
        job.attempts = self.attempts
        if self.event is JobStateEvent.POSTPONED:
            if self.delay is None:
                job.postpone()
            else:
                job.postpone(now + self.delay, retry_reason or str(self.error))
            return
        if self.error is not None:
            job.failed = max(job.failed + left, (job.total or 0) - job.done, 1)
            error_of_all = {"instance": None, "reason": str(self.error), "attempts": max(1, job.attempts)}
            job.errors = [error_of_all, *job.errors][:MAX_ERRORS]
        elif self.event is not JobStateEvent.CANCELLED:
            job.total = job.done + job.failed
        job.end(self.event)


def conclude(end: PassEnd, backoff: Backoff) -> Conclusion:
    """Decide whether a job is over, and how."""
    if end.stop is StopRequest.CANCEL:
        return Conclusion(JobStateEvent.CANCELLED, end.attempts)
    if end.stop is StopRequest.HALT:
        return Conclusion(JobStateEvent.POSTPONED, end.attempts)
    if end.is_complete and end.error is None:
        event = JobStateEvent.FAILED if end.failed and not end.done else JobStateEvent.COMPLETED
        return Conclusion(event, end.attempts)
    error = end.error or PeerFailed("the node did not confirm some instances")
    attempts = 0 if end.has_advanced else end.attempts + 1
    if error.retryable and attempts < backoff.attempts:
        delay = backoff.delay(max(1, attempts, end.tried), error.retry_after)
        return Conclusion(JobStateEvent.POSTPONED, attempts, delay, error)
    return Conclusion(JobStateEvent.FAILED, attempts, error=error)
