"""Keys follow from files alone; the patient of a file that does not name one follows from the others of its study."""

import hashlib
from collections.abc import Iterable
from itertools import permutations

import pytest

from neurdicom.dicom.identity import (
    Belonging,
    PatientClaim,
    Place,
    belonging,
    earlier_keys,
    is_key,
    key_of,
    uid_of,
)
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.uids import patient_key

NONE = PatientClaim("none")
A, A_X, A_Y = PatientClaim("a", "A"), PatientClaim("ax", "A", "X"), PatientClaim("ay", "A", "Y")
B, B_X = PatientClaim("b", "B"), PatientClaim("bx", "B", "X")


def arrive(known: dict[PatientClaim, str], claim: PatientClaim) -> Belonging:
    """Enter a claim, as a catalog does."""
    found = belonging(claim, known)
    for each, owner in known.items():
        if owner == found.moved_from:
            known[each] = found.patient
    known.setdefault(claim, found.patient)
    return found


def owners_of(claims: Iterable[PatientClaim]) -> dict[PatientClaim, str]:
    """Enter claims in order; the patient of each in the end."""
    known: dict[PatientClaim, str] = {}
    for claim in claims:
        arrive(known, claim)
    return known


def test_a_key_is_the_uid_and_a_digest_of_the_ids_above() -> None:
    assert key_of("1.2", "p") == "1.2~" + hashlib.sha256(b"p").hexdigest()[:8]
    assert key_of("1.4", "p", "1.2", "1.3") == "1.4~" + hashlib.sha256(rb"p\1.2\1.3").hexdigest()[:8]
    assert key_of("1.2", "p", "1.3") != key_of("1.2", "p", "1.30")
    odd = patient_key("\ud800", None, "1.2")  # what a damaged file has
    assert key_of("1.2", odd) == "1.2~" + hashlib.sha256(odd.encode()).hexdigest()[:8]
    assert key_of("1.2", "\ud800").startswith("1.2~")


def test_ids_and_keys_are_told_apart() -> None:
    key = key_of("1.2", "p")
    assert (is_key(key), is_key("1.2")) == (True, False)
    assert (uid_of(key), uid_of("1.2"), uid_of("no uid~at all~")) == ("1.2", "1.2", "no uid")


def test_a_place_has_the_keys_of_all_levels() -> None:
    place = Place.of("p", "1.2", "1.3", "1.4", [Level.STUDY, Level.INSTANCE])
    study, instance = key_of("1.2", "p"), key_of("1.4", "p", "1.2", "1.3")
    assert [place.key(level) for level in Level] == ["p", study, key_of("1.3", "p", "1.2"), instance]
    assert [place.id(level) for level in Level] == ["p", study, "1.3", instance]


@pytest.mark.parametrize(
    ("attributes", "patient_id", "issuer"),
    [
        ({}, "", ""),
        ({"patient_id": None, "issuer_of_patient_id": "X"}, "", ""),
        ({"patient_id": " \0", "issuer_of_patient_id": "X"}, "", ""),
        ({"patient_id": " A \0", "issuer_of_patient_id": " "}, "A", ""),
        ({"patient_id": "A", "issuer_of_patient_id": "X "}, "A", "X"),
    ],
)
def test_blanks_and_an_issuer_alone_name_nobody(attributes: dict[str, object], patient_id: str, issuer: str) -> None:
    claim = PatientClaim.read("key", attributes)
    assert (claim.key, claim.patient_id, claim.issuer) == ("key", patient_id, issuer)


@pytest.mark.parametrize(
    ("claims", "patient"),
    [
        ([NONE, A], "a"),
        ([NONE, A_X], "ax"),
        ([A, A_X], "ax"),
        ([NONE, A, A_X], "ax"),
        ([NONE, B], "b"),
        ([NONE, B, B_X], "bx"),
    ],
)
def test_one_patient_is_named_in_any_order(claims: list[PatientClaim], patient: str) -> None:
    for order in permutations(claims):
        assert set(owners_of(order).values()) == {patient}, order


@pytest.mark.parametrize("count", range(1, 6))
def test_only_the_order_of_those_who_are_named_matters(count: int) -> None:
    """A file without Patient ID is of the first who is named, one without issuer of the first of its Patient ID."""
    for order in permutations([NONE, A, A_X, A_Y, B], count):
        known = owners_of(order)
        named = [claim for claim in order if claim.patient_id]
        issuers = [claim.key for claim in order if claim.issuer]
        of_a = issuers[0] if issuers else "a"
        expected = {A_X: "ax", A_Y: "ay", B: "b", A: of_a}
        expected[NONE] = expected[named[0]] if named else "none"
        assert known == {claim: expected[claim] for claim in order}, order


def test_nothing_moves_that_is_named_whole_and_nothing_merges() -> None:
    for order in permutations([NONE, A, A_X, A_Y, B, B_X]):
        known: dict[PatientClaim, str] = {}
        used: set[str] = set()
        for claim in order:
            before = dict(known)
            found = arrive(known, claim)
            if found.moved_from is not None:
                assert found.patient not in used, "the place that a study goes to is new"
                assert found.moved_from in used
            moved = [each for each, owner in before.items() if known[each] != owner]
            assert not any(each.issuer for each in moved), "who is named with an issuer stays"
            assert all(before[each] == found.moved_from for each in moved)
            used |= set(known.values())
            for owner in set(known.values()):
                own = [each for each, of in known.items() if of == owner]
                assert len({each.patient_id for each in own} - {""}) < 2, "two Patient IDs are two patients"
                assert len({each.issuer for each in own} - {""}) < 2, "two issuers are two patients"


def test_a_claim_that_is_known_changes_nothing() -> None:
    for order in permutations([NONE, A, A_X, B]):
        known = owners_of(order)
        for claim in order:
            assert belonging(claim, known) == Belonging(known[claim])


def test_what_another_patient_of_the_study_says_changes_nothing() -> None:
    known = owners_of([A, B_X])
    assert belonging(PatientClaim("c", "C", "X"), known) == Belonging("c")
    assert belonging(A_X, known) == Belonging("ax", "a")
    assert belonging(B, known) == Belonging("bx")
    assert belonging(NONE, known) == Belonging("a")


def test_earlier_keys_are_those_by_each_claim() -> None:
    assert earlier_keys("1.2", [NONE, A]) == (key_of("1.2", "none"), key_of("1.2", "a"))
    assert earlier_keys("1.3", [A], "1.2") == (key_of("1.3", "a", "1.2"),)
