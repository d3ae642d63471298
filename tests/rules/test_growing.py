"""The life of a growing series: transitions and decisions, without a catalog."""

from dataclasses import replace
from itertools import product

import pytest

from neurdicom.rules.growing import (
    COMMIT_SECONDS,
    GRACE_SECONDS,
    TRANSITIONS,
    GrowingSeries,
    Growth,
    GrowthEvent,
    GrowthState,
    Step,
    is_overdue,
    next_step,
)

WALL, LOOP = 1_000_000.0, 5_000.0
QUIET = Growth("1.2", LOOP - 30, LOOP - 10, GrowthState.GROWING)
OURS = GrowingSeries("1.2", "epoch", "me", WALL - 1)
THEIRS = replace(OURS, server="other", epoch="theirs")


def test_a_growth_to_its_end() -> None:
    growth = Growth("1.2", LOOP, LOOP)
    states = []
    for event in ("ARRIVAL", "ARRIVAL", "CLAIM", "FAILURE", "CLAIM", "END"):
        growth.on(GrowthEvent[event])
        states.append(growth.state.name)
    assert states == ["GROWING", "GROWING", "STABLE", "GROWING", "STABLE", "DEALT"]


def test_what_may_not_happen() -> None:
    refused = {(state.name, event.name) for state, event in product(GrowthState, GrowthEvent)} - {
        (state.name, event.name) for state, event in TRANSITIONS
    }
    assert refused == {
        ("EXPECTED", "CLAIM"),
        ("STABLE", "ARRIVAL"),
        ("STABLE", "CLAIM"),
        *(("DEALT", event.name) for event in GrowthEvent),
    }


@pytest.mark.parametrize(
    ("growth", "found", "step"),
    [
        (replace(QUIET, state=GrowthState.EXPECTED), OURS, Step.WAIT),
        (replace(QUIET, state=GrowthState.EXPECTED, since=LOOP - COMMIT_SECONDS), OURS, Step.DROP),
        (QUIET, None, Step.CLAIM_ANEW),
        (QUIET, OURS, Step.CLAIM),
        (QUIET, replace(OURS, claim="me", claim_until=WALL + 9), Step.CLAIM),
        (QUIET, THEIRS, Step.LEAVE),
        (QUIET, replace(THEIRS, until=WALL - GRACE_SECONDS), Step.CLAIM),
        (replace(QUIET, document=replace(THEIRS, until=WALL - 99)), THEIRS, Step.CLAIM),
        (QUIET, replace(THEIRS, dealt=WALL - 9), Step.LEAVE),
        (QUIET, replace(THEIRS, dealt=WALL - 11), Step.CLAIM_ANEW),
        (QUIET, replace(OURS, dealt=WALL - 11), Step.CLAIM_ANEW),
    ],
)
def test_a_quiet_series(growth: Growth, found: GrowingSeries | None, step: Step) -> None:
    assert next_step(growth, found, "me", wall=WALL, loop=LOOP) is step


def test_what_another_server_has_left() -> None:
    seconds, past = 5.0, WALL - GRACE_SECONDS - 1
    assert is_overdue(replace(THEIRS, until=past), seconds=seconds, wall=WALL)
    assert not is_overdue(THEIRS, seconds=seconds, wall=WALL)
    assert not is_overdue(replace(THEIRS, until=past, claim="x", claim_until=WALL), seconds=seconds, wall=WALL)
    assert not is_overdue(replace(THEIRS, until=past, dealt=past), seconds=seconds, wall=WALL)
    assert is_overdue(replace(THEIRS, until=past, dealt=past - seconds), seconds=seconds, wall=WALL)


def test_documents_keep_their_form() -> None:
    document = {"series": "1.2", "epoch": "epoch", "server": "me", "until": WALL - 1}
    assert GrowingSeries.from_document(document) == OURS
    assert OURS.to_document() == {**document, "claim": "", "claim_until": 0.0, "dealt": 0.0}
