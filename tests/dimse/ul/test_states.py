"""The states of an association: every event in every state, without threads or sockets."""

from itertools import product

import pytest

from neurdicom.dimse.ul.states import (
    OPEN,
    OVER,
    TRANSITIONS,
    AssociationEvent,
    AssociationState,
    ForbiddenTransition,
    next_state,
)

State, Event = AssociationState, AssociationEvent


def after(*events: AssociationEvent) -> AssociationState:
    state = State.ASSOCIATING
    for event in events:
        state = next_state(state, event)
    return state


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_event_in_every_state(state: AssociationState, event: AssociationEvent) -> None:
    if state in OVER:
        assert next_state(state, event) is state, "what is over stays so, whatever comes late"
    elif event is Event.ABORT:
        assert next_state(state, event) is State.ABORTED
    elif (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(ForbiddenTransition, match=f"{event.name} .* {state.name}"):
            next_state(state, event)


def test_the_table_leaves_nothing_that_is_over_and_reaches_every_state() -> None:
    assert not {state for state, _ in TRANSITIONS} & OVER
    assert set(TRANSITIONS.values()) | {State.ASSOCIATING, State.ABORTED} == set(State)
    assert not OPEN & OVER


def test_an_acceptor_serves_and_is_released() -> None:
    assert after(Event.ACCEPT, Event.SERVE) is State.SERVING
    assert after(Event.ACCEPT, Event.SERVE, Event.SERVED, Event.RELEASE) is State.RELEASING
    assert after(Event.ACCEPT, Event.SERVE, Event.SERVED, Event.RELEASE, Event.RELEASED) is State.RELEASED


def test_a_requestor_invokes_and_is_aborted() -> None:
    assert after(Event.ACCEPT, Event.INVOKE) is State.INVOKING
    assert after(Event.ACCEPT, Event.INVOKE, Event.ABORT, Event.INVOKED) is State.ABORTED
    assert after(Event.REJECT, Event.ABORT) is State.REJECTED


def test_sub_operations_of_c_get_leave_the_operation_under_way() -> None:
    assert after(Event.ACCEPT, Event.SERVE, Event.INVOKE, Event.INVOKED) is State.SERVING
    assert after(Event.ACCEPT, Event.INVOKE, Event.SERVE, Event.SERVED) is State.INVOKING


def test_nothing_is_released_while_an_operation_is_under_way() -> None:
    for begin in (Event.SERVE, Event.INVOKE):
        with pytest.raises(ForbiddenTransition):
            after(Event.ACCEPT, begin, Event.RELEASE)
