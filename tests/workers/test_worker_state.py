"""The states of a worker process. No processes."""

import pytest

from neurdicom.workers.worker_state import WorkerEvent, WorkerState, next_state

LIFE = [
    (WorkerEvent.BORN, WorkerState.LOADING),
    (WorkerEvent.ANSWERED, WorkerState.IDLE),
    (WorkerEvent.CALLED, WorkerState.BUSY),
    (WorkerEvent.ANSWERED, WorkerState.IDLE),
    (WorkerEvent.UNLOADED, WorkerState.UNLOADING),
    (WorkerEvent.ANSWERED, WorkerState.DYING),
    (WorkerEvent.EXITED, WorkerState.ENDED),
]


def test_a_whole_life() -> None:
    state = WorkerState.STARTING
    for event, expected in LIFE:
        state = next_state(state, event)
        assert state is expected


@pytest.mark.parametrize("state", [each for each in WorkerState if each is not WorkerState.ENDED])
def test_death_comes_at_any_time(state: WorkerState) -> None:
    assert next_state(state, WorkerEvent.LOST) is WorkerState.DYING
    assert next_state(state, WorkerEvent.EXITED) is WorkerState.ENDED
    assert not next_state(state, WorkerEvent.LOST).is_usable


def test_nothing_follows_the_end() -> None:
    assert next_state(WorkerState.ENDED, WorkerEvent.LOST) is WorkerState.ENDED
    for event in set(WorkerEvent) - {WorkerEvent.LOST}:
        with pytest.raises(ValueError, match="ENDED"):
            next_state(WorkerState.ENDED, event)


def test_birth_may_be_heard_of_after_the_first_answer() -> None:
    assert next_state(WorkerState.STARTING, WorkerEvent.ANSWERED) is WorkerState.IDLE
    for state in (WorkerState.IDLE, WorkerState.BUSY, WorkerState.DYING):
        assert next_state(state, WorkerEvent.BORN) is state


@pytest.mark.parametrize("state", [WorkerState.STARTING, WorkerState.LOADING, WorkerState.BUSY, WorkerState.UNLOADING])
def test_an_answer_may_be_the_last(state: WorkerState) -> None:
    assert next_state(state, WorkerEvent.LAST_ANSWERED) is WorkerState.DYING


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (WorkerState.STARTING, WorkerEvent.CALLED),
        (WorkerState.BUSY, WorkerEvent.CALLED),
        (WorkerState.DYING, WorkerEvent.CALLED),
        (WorkerState.BUSY, WorkerEvent.UNLOADED),
        (WorkerState.DYING, WorkerEvent.UNLOADED),
        (WorkerState.IDLE, WorkerEvent.ANSWERED),
    ],
)
def test_what_cannot_happen(state: WorkerState, event: WorkerEvent) -> None:
    with pytest.raises(ValueError, match=f"{event.name}.*{state.name}"):
        next_state(state, event)


def test_what_takes_calls() -> None:
    usable = {state for state in WorkerState if state.is_usable}
    assert usable == {WorkerState.STARTING, WorkerState.LOADING, WorkerState.IDLE, WorkerState.BUSY}
    assert {state for state in WorkerState if state.is_loaded} == {WorkerState.IDLE, WorkerState.BUSY}
