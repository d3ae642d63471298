"""The ledger of crash tests: what may be there after requests that ran at the same time, or were not acknowledged."""

import random

import pytest

from neurdicom.testing.crash.ledger import Expectation, Ledger, SampleInstance

ONE = SampleInstance("Writer-1", "1.2", "1.2.1", "1.2.1.1", b"one")
OTHER = SampleInstance("Writer-1", "1.2", "1.2.1", "1.2.1.1", b"other")


def test_what_was_not_acknowledged_may_be_there() -> None:
    ledger = Ledger()
    ledger.begin_store([ONE])
    assert ledger.expectation("1.2.1.1") == Expectation(frozenset({ONE.digest}), may_be_absent=True)
    assert ledger.choose(random.Random(1)) is None


def test_what_was_acknowledged_is_there() -> None:
    ledger = Ledger()
    ledger.acknowledge(ledger.begin_store([ONE]), ["1.2.1.1"])
    assert ledger.expectation("1.2.1.1") == Expectation(frozenset({ONE.digest}), may_be_absent=False)
    assert ledger.choose(random.Random(1), "Writer") == ONE
    assert ledger.choose(random.Random(1), but=["Writer"]) is None


def test_an_answer_that_names_some() -> None:
    second = SampleInstance("Writer-1", "1.2", "1.2.1", "1.2.1.2", b"second")
    ledger = Ledger()
    ledger.acknowledge(ledger.begin_store([ONE, second]), ["1.2.1.2"])
    assert [each.may_be_absent for each in ledger.expectations().values()] == [True, False]


@pytest.mark.parametrize(("level", "uid"), [("instance", "1.2.1.1"), ("series", "1.2.1"), ("study", "1.2")])
def test_deletions(level: str, uid: str) -> None:
    ledger = Ledger()
    ledger.acknowledge(ledger.begin_store([ONE]))
    deleting = ledger.begin_delete(level, uid)
    assert ledger.expectation("1.2.1.1") == Expectation(frozenset({ONE.digest}), may_be_absent=True)
    storing = ledger.begin_store([OTHER])
    ledger.acknowledge(deleting)
    assert ledger.expectation("1.2.1.1") == Expectation(frozenset({OTHER.digest}), may_be_absent=True)
    ledger.acknowledge(storing)  # before or after the deletion, which ran at the same time
    assert ledger.expectation("1.2.1.1") == Expectation(frozenset({OTHER.digest}), may_be_absent=True)
    ledger.acknowledge(ledger.begin_store([ONE]))
    assert ledger.expectation("1.2.1.1") == Expectation(frozenset({ONE.digest}), may_be_absent=False)
    ledger.acknowledge(ledger.begin_delete(level, uid))
    assert ledger.expectation("1.2.1.1") == Expectation(frozenset(), may_be_absent=True)


def test_two_versions_at_the_same_time() -> None:
    ledger = Ledger()
    first, second = ledger.begin_store([ONE]), ledger.begin_store([OTHER])
    ledger.acknowledge(first)
    assert ledger.expectation("1.2.1.1") == Expectation(frozenset({ONE.digest, OTHER.digest}), may_be_absent=False)
    ledger.acknowledge(second)
    assert ledger.expectation("1.2.1.1") == Expectation(frozenset({ONE.digest, OTHER.digest}), may_be_absent=False)


def test_edits() -> None:
    ledger = Ledger()
    first = ledger.begin_edit("1.2", "first")
    assert ledger.descriptions() == {"1.2": {"", "first"}}
    ledger.acknowledge(first)
    ledger.begin_edit("1.2", "second")
    assert ledger.descriptions() == {"1.2": {"first", "second"}}


def test_moves() -> None:
    ledger = Ledger()
    first = ledger.begin_move("1.2", "A")
    assert ledger.patients() == {"1.2": {"", "A"}}, "the empty one is that of the files"
    ledger.acknowledge(first)
    second = ledger.begin_move("1.2", "B")
    assert ledger.patients() == {"1.2": {"A", "B"}}
    ledger.acknowledge(second)
    assert ledger.patients() == {"1.2": {"B"}}
    ledger.restart({}, {}, {}, {"1.2": "A"})
    assert ledger.patients() == {"1.2": {"A"}}


def test_what_a_check_found_is_where_the_next_round_begins() -> None:
    ledger = Ledger()
    ledger.begin_store([ONE])
    ledger.begin_edit("1.2", "edited")
    ledger.begin_delete("study", "1.2")
    ledger.restart({"1.2.1.1": "found", "1.9": "nobody sent it"}, {"1.2": ""}, {"1.2": ["a"]}, {})
    assert ledger.labels() == {"1.2": {"a": {True}}}
    assert ledger.expectations() == {"1.2.1.1": Expectation(frozenset({"found"}), may_be_absent=False)}
    assert ledger.descriptions() == {"1.2": {""}}
