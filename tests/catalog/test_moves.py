"""Placements by the moves in force, their edits, and the key of an entity that moves made of several."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations

import orjson
import pytest

from neurdicom.catalog.moves import (
    Move,
    NaturalSeries,
    Placement,
    canonical,
    claims_with,
    demographics_of,
    placement_edits,
    placing,
    study_values,
    subject_of,
)
from neurdicom.catalog.records import Edit
from neurdicom.dicom.identity import Place, key_of
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import Value

SERIES = NaturalSeries("p1", "1.2", "1.2.1")


def of_patient(source: str, target: str, *, later: bool = True, edit: str = "m") -> Move:
    return Move(edit, Level.PATIENT, (source,), target, from_now_on=later)


def of_study(path: tuple[str, str], target: str, edit: str = "m") -> Move:
    return Move(edit, Level.STUDY, path, target)


def of_series(target: tuple[str, str], path: tuple[str, ...] = ("p1", "1.2", "1.2.1"), **more: object) -> Move:
    return Move("m", Level.SERIES, path, *target, **more)  # type: ignore[arg-type]


def place(moves: Iterable[Move], natural: NaturalSeries = SERIES) -> Placement:
    """Place a series by moves in the order in which they were made."""
    known = list(moves)
    asking = placing(natural)
    subject = next(asking)
    while True:
        try:
            subject = asking.send([move for move in known if move.subject == subject])
        except StopIteration as placed:
            found: Placement = placed.value
            return found


def where(moves: Iterable[Move], natural: NaturalSeries = SERIES) -> tuple[str, str, str]:
    placed = place(moves, natural)
    return placed.patient, placed.study, placed.owner


def test_keys_are_those_of_the_place_that_files_name() -> None:
    place = Place.of("p1", "1.2", "1.2.1", "9")
    assert SERIES.key == place.series
    assert f"9~{SERIES.below}" == place.instance
    assert NaturalSeries("p2", "1.2", "1.2.1").below != SERIES.below
    assert Placement("p2", "1.2", "p1").study_key == place.study, "a study keeps its key at another patient"


def test_a_subject_names_one_level_and_path() -> None:
    move = of_study(("p1", "1.2"), "p2")
    assert move.subject == subject_of(Level.STUDY, "p1", "1.2")
    subjects = {subject_of(Level.PATIENT, "p1"), subject_of(Level.STUDY, "p1", "1.2"), of_series(("a", "b")).subject}
    assert len({*subjects, subject_of(Level.STUDY, "p1", "1.2.1"), subject_of(Level.STUDY, "p2", "1.2")}) == 5


@pytest.mark.parametrize(
    "move",
    [
        of_patient("p1", "p2"),
        of_study(("p1", "1.2"), "p2"),
        Move(
            "edit",
            Level.SERIES,
            ("p1", "1.2", "1.2.1"),
            "p2",
            "1.3",
            {"study_id": "S", "study_date": None, "name_of_physicians_reading_study": ["A^B", "Ünal"]},
            before=key_of("1.2", "p1"),
            after=key_of("1.3", "p2"),
            user="u",
            time="2024-01-02T03:04:05Z",
            is_split=True,
        ),
    ],
)
def test_a_document_has_all_of_a_move(move: Move) -> None:
    document = orjson.loads(orjson.dumps(move.to_document()))
    assert Move.from_document(document) == move
    assert Move.from_document(move.to_document()) == move


def test_a_series_lies_where_its_files_say() -> None:
    elsewhere = [
        of_patient("p2", "p3"),
        of_study(("p1", "1.3"), "p3"),
        of_study(("p2", "1.2"), "p3"),
        of_series(("p3", "1.3"), ("p1", "1.2", "1.2.2")),
        of_series(("p3", "1.3"), ("p2", "1.2", "1.2.1")),
        of_series(("p3", "1.3"), ("p1", "1.3", "1.2.1")),
    ]
    for moves in ([], elsewhere):
        assert place(moves) == Placement("p1", "1.2", "p1")


def test_the_latest_move_of_a_study_counts() -> None:
    first, second = of_study(("p1", "1.2"), "p2", "one"), of_study(("p1", "1.2"), "p3", "two")
    assert place([first]) == Placement("p2", "1.2", "p1", (first,))
    assert place([first, second]) == Placement("p3", "1.2", "p1", (second,))
    assert place([second]) == Placement("p3", "1.2", "p1", (second,)), "what is under it may go"
    assert place([second, first]) == Placement("p2", "1.2", "p1", (first,))
    back = of_study(("p1", "1.2"), "p1")
    assert place([first, back]) == Placement("p1", "1.2", "p1", (back,))


def test_a_patient_is_followed_by_what_comes_later_if_it_is_said() -> None:
    assert where([of_patient("p1", "p2", later=False)]) == ("p1", "1.2", "p1")
    assert where([of_patient("p1", "p2")]) == ("p2", "1.2", "p1")
    chain = [of_patient("p1", "p2"), of_patient("p2", "p3"), of_patient("p3", "p4", later=False)]
    assert place(chain) == Placement("p3", "1.2", "p1", tuple(chain[:2]))
    for order in permutations(chain):
        assert where(order) == ("p3", "1.2", "p1")


def test_a_later_merge_of_a_patient_counts_alone() -> None:
    first, then = of_patient("p1", "p2"), of_patient("p1", "p3")
    assert where([first, then]) == ("p3", "1.2", "p1")
    now = of_patient("p1", "p3", later=False)
    assert where([first, now]) == ("p2", "1.2", "p1"), "one that says nothing of what comes later changes nothing of it"


def test_of_merges_in_a_circle_the_latest_counts() -> None:
    there, back = (replace(of_patient(*way), time=time) for *way, time in (("p1", "p2", "1"), ("p2", "p1", "2")))
    assert place([there, back]) == Placement("p1", "1.2", "p1", (there, back))
    other = NaturalSeries("p2", "1.2", "1.2.1")
    assert place([there, back], other) == Placement("p1", "1.2", "p2", (there, back)), "both are one patient"
    chain = (("p1", "p2", "3"), ("p2", "p3", "2"), ("p3", "p4", "4"), ("p4", "p2", "1"))
    of_four = [replace(of_patient(*way), time=time) for *way, time in chain]
    for patient in ("p1", "p2", "p3", "p4"):
        placed = place(of_four, NaturalSeries(patient, "1.2", "1.2.1"))
        assert (placed.patient, placed.owner) == ("p4", patient)
        assert placed.via[-1] == of_four[2]
        assert all(one in placed.via for one in of_four[1:]), "each may be undone"
    assert where([of_patient("p1", "p1")]) == ("p1", "1.2", "p1")


def test_a_move_of_a_study_counts_before_merges() -> None:
    study = of_study(("p1", "1.2"), "p3")
    for moves in ([of_patient("p1", "p2"), study], [study, of_patient("p1", "p2")]):
        assert place(moves) == Placement("p3", "1.2", "p1", (study,))
    assert where([study, of_patient("p3", "p4")]) == ("p3", "1.2", "p1"), (
        "its own move counts, not what p3 is merged into"
    )


def test_a_series_follows_the_study_that_it_was_given_to() -> None:
    series = of_series(("p2", "1.3"))
    assert place([series]) == Placement("p2", "1.3", "p2", (series,))
    own = [of_study(("p1", "1.2"), "p5"), of_patient("p1", "p6")]
    assert place([*own, series]) == Placement("p2", "1.3", "p2", (series,)), "no longer its own study"
    study, patient = of_study(("p2", "1.3"), "p4"), of_patient("p2", "p7")
    for moves in permutations([*own, series, study]):
        assert place(moves) == Placement("p4", "1.3", "p2", (series, study))
    assert place([series, patient]) == Placement("p7", "1.3", "p2", (series, patient))
    assert place([series, patient, study]) == Placement("p4", "1.3", "p2", (series, study))
    later = of_series(("p8", "1.8"))
    assert place([series, study, later]) == Placement("p8", "1.8", "p8", (later,))
    back = of_series(("p1", "1.2"))
    assert place([series, back]) == Placement("p1", "1.2", "p1", (back,))


def test_files_say_where_they_lie() -> None:
    moved = Move("m", Level.STUDY, ("p1", "1.2"), "p2", user="u", time="t")
    demographics: dict[str, Value] = {"patient_id": "P2", "patient_name": "ROE", "issuer_of_patient_id": None}
    edits = placement_edits(SERIES, place([moved]), demographics)
    assert edits == (
        Edit(Level.PATIENT, "p2", "issuer_of_patient_id", None, "u", "t"),
        Edit(Level.PATIENT, "p2", "patient_id", "P2", "u", "t"),
        Edit(Level.PATIENT, "p2", "patient_name", "ROE", "u", "t"),
    )
    assert placement_edits(SERIES, place([]), demographics) == ()
    assert placement_edits(SERIES, place([moved]), None) == (), "nothing is known of the patient there"
    back = of_study(("p1", "1.2"), "p1")
    assert placement_edits(SERIES, place([back]), demographics) == (), "their own patient"


def test_files_say_which_study_they_lie_in() -> None:
    values: dict[str, Value] = {"study_id": "S", "study_date": None}
    series = of_series(("p1", "1.3"), attributes=values, user="u", time="t1")
    assert placement_edits(SERIES, place([series]), {"patient_id": "P"}) == (
        Edit(Level.STUDY, key_of("1.3", "p1"), "study_date", None, "u", "t1"),
        Edit(Level.STUDY, key_of("1.3", "p1"), "study_id", "S", "u", "t1"),
        Edit(Level.STUDY, key_of("1.3", "p1"), "study_instance_uid", "1.3", "u", "t1"),
    )
    study = Move("n", Level.STUDY, ("p1", "1.3"), "p2", user="v", time="t2")
    both = placement_edits(SERIES, place([series, study]), {"patient_id": "P2"})
    assert [(edit.level, edit.entity, edit.user, edit.time) for edit in both] == [
        (Level.PATIENT, "p2", "v", "t2"),
        *[(Level.STUDY, key_of("1.3", "p1"), "u", "t1")] * 3,
    ], "who moved the series says what its study is, who moved the study whose it is"
    other = of_series(("p2", "1.3"), attributes=values)
    assert [edit.entity for edit in placement_edits(SERIES, place([other]), {"patient_id": "P2"})] == [
        "p2",
        *[key_of("1.3", "p2")] * 3,
    ]


def test_claims_are_those_of_the_place() -> None:
    files: dict[str, Value] = {
        "patient_id": "P1",
        "patient_name": "DOE",
        "patient_sex": "F",
        "study_instance_uid": "1.2",
        "study_id": "own",
        "modality": "CT",
    }
    series = of_series(("p2", "1.3"), attributes={"study_id": "S", "study_date": "20240101", "study_time": None})
    edits = placement_edits(SERIES, place([series]), {"patient_id": "P2", "patient_name": None, "patient_sex": "M"})
    assert claims_with(files, edits) == {
        "patient_id": "P2",
        "patient_sex": "M",
        "study_instance_uid": "1.2",
        "study_id": "S",
        "study_date": "20240101",
        "modality": "CT",
    }
    assert claims_with(files, ()) == files
    assert claims_with({"study_id": None}, ()) == {}


def test_a_patient_gives_all_its_attributes_and_a_study_all_but_what_is_the_files_own() -> None:
    given: dict[str, Value] = {each.field: each.field for level in Level for each in AT_LEVEL[level]}
    patient, study = demographics_of(given), study_values(given)
    assert patient == {each.field: each.field for each in AT_LEVEL[Level.PATIENT]}
    assert set(study) == {each.field for each in AT_LEVEL[Level.STUDY]} - {
        "study_instance_uid",
        "timezone_offset_from_utc",
    }
    assert all(name == value for name, value in study.items())
    assert demographics_of({"patient_id": "A"}) == {**dict.fromkeys(patient), "patient_id": "A"}
    assert study_values({}) == dict.fromkeys(study), "what is missing is emptied"


def test_the_key_of_several_is_of_what_was_not_moved() -> None:
    assert canonical([("a", True)]) == "a"
    assert canonical([("a", False)]) == "a"
    assert canonical([("a", False), ("b", True), ("c", True)]) == "b"
    assert canonical(iter([("a", False), ("b", False)])) == "a", "of the earliest, where all were moved"
