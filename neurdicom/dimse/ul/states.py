"""The state machine of an association for its service user (PS3.8 7), as a table, without threads or sockets.

The provider's states Sta1 to Sta13 (PS3.8 9.2) are pynetdicom's. The states here replace its flags, and tell who uses
an established association: the peer, whose requests are served, or this side, which invokes operations.
"""

from enum import Enum, auto
from typing import Final


class AssociationState(Enum):
    """A state of an association."""

    __hash__ = object.__hash__  # members are singletons; Enum's own hash, by name, takes three times as long

    ASSOCIATING = auto()  # during A-ASSOCIATE, in either direction
    ESTABLISHED = auto()  # without a running operation
    SERVING = auto()  # an operation that the peer invoked, with its sub-operations
    INVOKING = auto()  # an operation that we invoked, with its sub-operations
    RELEASING = auto()  # during A-RELEASE, in either direction
    RELEASED = auto()
    REJECTED = auto()
    ABORTED = auto()  # by A-ABORT or A-P-ABORT, or its connection is lost


class AssociationEvent(Enum):
    """An event of the state machine."""

    __hash__ = object.__hash__

    ACCEPT = auto()
    REJECT = auto()
    SERVE = auto()
    SERVED = auto()
    INVOKE = auto()
    INVOKED = auto()
    RELEASE = auto()
    RELEASED = auto()
    ABORT = auto()


class ForbiddenTransition(RuntimeError):
    """An event is not possible in the current state."""


#: States that an association does not leave.
OVER: Final = frozenset({AssociationState.RELEASED, AssociationState.REJECTED, AssociationState.ABORTED})

#: States in which messages may be exchanged.
OPEN: Final = frozenset({AssociationState.ESTABLISHED, AssociationState.SERVING, AssociationState.INVOKING})

#: State and event to the next state; `ABORT` leads from every state that is not over to ABORTED.
TRANSITIONS: Final = {
    (AssociationState.ASSOCIATING, AssociationEvent.ACCEPT): AssociationState.ESTABLISHED,
    (AssociationState.ASSOCIATING, AssociationEvent.REJECT): AssociationState.REJECTED,
    (AssociationState.ESTABLISHED, AssociationEvent.SERVE): AssociationState.SERVING,
    (AssociationState.SERVING, AssociationEvent.SERVED): AssociationState.ESTABLISHED,
    (AssociationState.ESTABLISHED, AssociationEvent.INVOKE): AssociationState.INVOKING,
    (AssociationState.INVOKING, AssociationEvent.INVOKED): AssociationState.ESTABLISHED,
    # Sub-operations of C-GET (PS3.7 9.1.3) have the opposite direction.
    (AssociationState.SERVING, AssociationEvent.INVOKE): AssociationState.SERVING,
    (AssociationState.SERVING, AssociationEvent.INVOKED): AssociationState.SERVING,
    (AssociationState.INVOKING, AssociationEvent.SERVE): AssociationState.INVOKING,
    (AssociationState.INVOKING, AssociationEvent.SERVED): AssociationState.INVOKING,
    (AssociationState.ESTABLISHED, AssociationEvent.RELEASE): AssociationState.RELEASING,
    (AssociationState.RELEASING, AssociationEvent.RELEASED): AssociationState.RELEASED,
}


def next_state(state: AssociationState, event: AssociationEvent) -> AssociationState:
    """Look up the state after an event.

    Raises
    ------
    ForbiddenTransition
        The event is not possible in this state.
    """
    if state in OVER:
        return state
    if event is AssociationEvent.ABORT:
        return AssociationState.ABORTED
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ForbiddenTransition(f"the event {event.name} is not possible in the state {state.name}") from None
