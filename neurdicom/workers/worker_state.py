"""The state machine of a worker process, as its server sees it.

Both enums are numbers, which are hashed in a tenth of the time: each call looks up two transitions.
"""

from enum import IntEnum, auto
from typing import Final


class WorkerState(IntEnum):
    """State of a worker process."""

    STARTING = auto()  # it was asked for, with its program; there is no process yet
    LOADING = auto()
    IDLE = auto()
    BUSY = auto()
    UNLOADING = auto()
    DYING = auto()  # it takes no more calls, and ends by itself or is killed
    ENDED = auto()

    @property
    def is_usable(self) -> bool:
        """True if it takes calls, now or later."""
        return self in _USABLE

    @property
    def is_loaded(self) -> bool:
        """True if it has loaded its program and takes calls."""
        return self in (WorkerState.IDLE, WorkerState.BUSY)


class WorkerEvent(IntEnum):
    """Event in the life of a worker process."""

    BORN = auto()  # there is a process
    CALLED = auto()  # it was given a call, or a batch
    ANSWERED = auto()  # it has answered its last request, and goes on
    LAST_ANSWERED = auto()  # it has answered, and takes no more calls: its program failed to load, or is spent
    UNLOADED = auto()  # it was asked to unload its program and to end
    LOST = auto()  # it was killed, or its connection is gone
    EXITED = auto()  # its process is gone


_USABLE: Final = frozenset({WorkerState.STARTING, WorkerState.LOADING, WorkerState.IDLE, WorkerState.BUSY})

#: The next state. BORN is reported on another socket than answers, and so may arrive after the first of those.
_TRANSITIONS: Final[dict[tuple[WorkerState, WorkerEvent], WorkerState]] = {
    (WorkerState.STARTING, WorkerEvent.BORN): WorkerState.LOADING,
    (WorkerState.STARTING, WorkerEvent.ANSWERED): WorkerState.IDLE,
    (WorkerState.LOADING, WorkerEvent.ANSWERED): WorkerState.IDLE,
    (WorkerState.IDLE, WorkerEvent.CALLED): WorkerState.BUSY,
    (WorkerState.BUSY, WorkerEvent.ANSWERED): WorkerState.IDLE,
    (WorkerState.IDLE, WorkerEvent.UNLOADED): WorkerState.UNLOADING,
    (WorkerState.UNLOADING, WorkerEvent.ANSWERED): WorkerState.DYING,
    (WorkerState.DYING, WorkerEvent.ANSWERED): WorkerState.DYING,
    **{
        (state, WorkerEvent.BORN): state
        for state in WorkerState
        if state not in (WorkerState.STARTING, WorkerState.ENDED)
    },
    **{
        (state, WorkerEvent.LAST_ANSWERED): WorkerState.DYING
        for state in WorkerState
        if state not in (WorkerState.IDLE, WorkerState.ENDED)
    },
    **{(state, WorkerEvent.LOST): WorkerState.DYING for state in WorkerState if state is not WorkerState.ENDED},
    (WorkerState.ENDED, WorkerEvent.LOST): WorkerState.ENDED,
    **{(state, WorkerEvent.EXITED): WorkerState.ENDED for state in WorkerState if state is not WorkerState.ENDED},
}


def next_state(state: WorkerState, event: WorkerEvent) -> WorkerState:
    """Compute the state that follows an event.

    Raises
    ------
    ValueError
        The event can't happen in this state.
    """
    try:
        return _TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"the event {event.name} can't happen to a worker in the state {state.name}") from None
