"""Conclusion of a pass over a job's items: whether the job is over, and when it is tried again, decided without I/O."""

from dataclasses import dataclass
from enum import Enum, auto

from neurdicom.errors import PeerFailed
from neurdicom.jobs.job import JobState
from neurdicom.jobs.runner import Backoff


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
    """State of a job after a pass.

    Attributes
    ----------
    state : JobState
        The new state.
    attempts : int
        Number of passes in a row without progress, this one included.
    delay : float or None
        Seconds until it is tried again.
    error : PeerFailed or None
        Why it is tried again, or why the remaining items have failed.
    """

    state: JobState
    attempts: int
    delay: float | None = None
    error: PeerFailed | None = None


def conclude(end: PassEnd, backoff: Backoff) -> Conclusion:
    """Decide whether a job is over, and in which state."""
    if end.stop is StopRequest.CANCEL:
        return Conclusion(JobState.CANCELLED, end.attempts)
    if end.stop is StopRequest.HALT:
        return Conclusion(JobState.QUEUED, end.attempts)
    if end.is_complete and end.error is None:
        return Conclusion(JobState.FAILED if end.failed and not end.done else JobState.DONE, end.attempts)
    error = end.error or PeerFailed("the node did not confirm some instances")
    attempts = 0 if end.has_advanced else end.attempts + 1
    if error.retryable and attempts < backoff.attempts:
        delay = backoff.delay(max(1, attempts, end.tried), error.retry_after)
        return Conclusion(JobState.QUEUED, attempts, delay, error)
    return Conclusion(JobState.FAILED, attempts, error=error)
