"""The states of an association as its service user knows them (PS3.8 7), without threads or sockets.

The provider's states Sta1 to Sta13 (PS3.8 9.2) are those of pynetdicom. Here is what it keeps in flags, and who may use
an established association: the peer, whose requests are served, or we, who invoke operations.
"""

from enum import Enum, auto
from typing import Final


class AssociationState(Enum):
    """A state of an association."""

    __hash__ = object.__hash__  # members are singletons; by name, in Python, it takes three times as long

    ASSOCIATING = auto()  # A-ASSOCIATE is under way, in either direction
    ESTABLISHED = auto()  # nothing is under way
    SERVING = auto()  # an operation that the peer invoked, with its sub-operations
    INVOKING = auto()  # an operation that we invoked, with its sub-operations
    RELEASING = auto()  # A-RELEASE is under way, in either direction
    RELEASED = auto()
    REJECTED = auto()
    ABORTED = auto()  # by A-ABORT or A-P-ABORT, or its connection is lost


class AssociationEvent(Enum):
    """Something that happens to an association."""

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
    """An event that can't happen in a state."""


#: States that an association does not leave.
OVER: Final = frozenset({AssociationState.RELEASED, AssociationState.REJECTED, AssociationState.ABORTED})

#: States in which messages may pass.
OPEN: Final = frozenset({AssociationState.ESTABLISHED, AssociationState.SERVING, AssociationState.INVOKING})

#: State after an event in a state; `ABORT` ends all that are not over, and what is over stays as it is.
TRANSITIONS: Final = {
    (AssociationState.ASSOCIATING, AssociationEvent.ACCEPT): AssociationState.ESTABLISHED,
    (AssociationState.ASSOCIATING, AssociationEvent.REJECT): AssociationState.REJECTED,
    (AssociationState.ESTABLISHED, AssociationEvent.SERVE): AssociationState.SERVING,
    (AssociationState.SERVING, AssociationEvent.SERVED): AssociationState.ESTABLISHED,
    (AssociationState.ESTABLISHED, AssociationEvent.INVOKE): AssociationState.INVOKING,
    (AssociationState.INVOKING, AssociationEvent.INVOKED): AssociationState.ESTABLISHED,
    # Sub-operations of C-GET (PS3.7 9.1.3) go the other way.
    (AssociationState.SERVING, AssociationEvent.INVOKE): AssociationState.SERVING,
    (AssociationState.SERVING, AssociationEvent.INVOKED): AssociationState.SERVING,
    (AssociationState.INVOKING, AssociationEvent.SERVE): AssociationState.INVOKING,
    (AssociationState.INVOKING, AssociationEvent.SERVED): AssociationState.INVOKING,
    (AssociationState.ESTABLISHED, AssociationEvent.RELEASE): AssociationState.RELEASING,
    (AssociationState.RELEASING, AssociationEvent.RELEASED): AssociationState.RELEASED,
}


def next_state(state: AssociationState, event: AssociationEvent) -> AssociationState:
    """Give the state after an event.

    Raises
    ------
    ForbiddenTransition
        The event can't happen in this state.
    """
    if state in OVER:
        return state
    if event is AssociationEvent.ABORT:
        return AssociationState.ABORTED
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ForbiddenTransition(f"{event.name} of an association that is {state.name}") from None
