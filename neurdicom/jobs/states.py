"""The state machine of a job, as a table, without a catalog or a runner."""

from enum import Enum, StrEnum, auto
from typing import Final


class JobState(StrEnum):
    """State of a job, as the API and the catalog name it; `TRANSITIONS` has the allowed changes."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """True if the job has ended, in whatever way."""
        return self in _OVER


class JobStateEvent(Enum):
    """Event in the life of a job."""

    BEGUN = auto()  # a server has begun a pass over its items
    POSTPONED = auto()  # the pass ended early, or with items that are to be tried again
    COMPLETED = auto()  # all items are over, and not all failed
    FAILED = auto()  # all items failed, or the job can't go on
    CANCELLED = auto()  # a user has ended it
    REOPENED = auto()  # a user wants its failed and remaining items to be run again


STATES: Final = tuple(state.value for state in JobState)

_OVER: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})

#: State and event to the next state; any other event is a fault of ours. A running job begins anew after a crash.
TRANSITIONS: Final = {
    (JobState.QUEUED, JobStateEvent.BEGUN): JobState.RUNNING,
    (JobState.QUEUED, JobStateEvent.POSTPONED): JobState.QUEUED,
    (JobState.QUEUED, JobStateEvent.FAILED): JobState.FAILED,
    (JobState.QUEUED, JobStateEvent.CANCELLED): JobState.CANCELLED,
    (JobState.RUNNING, JobStateEvent.BEGUN): JobState.RUNNING,
    (JobState.RUNNING, JobStateEvent.POSTPONED): JobState.QUEUED,
    (JobState.RUNNING, JobStateEvent.COMPLETED): JobState.DONE,
    (JobState.RUNNING, JobStateEvent.FAILED): JobState.FAILED,
    (JobState.RUNNING, JobStateEvent.CANCELLED): JobState.CANCELLED,
    **{(state, JobStateEvent.REOPENED): JobState.QUEUED for state in _OVER},
}


def next_state(state: JobState, event: JobStateEvent) -> JobState:
    """Look up the state after an event.

    Raises
    ------
    ValueError
        The event can't happen in this state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"the event {event.name} can't happen to a job that is {state}") from None
