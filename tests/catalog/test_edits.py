"""Histories of edits, without a catalog."""

from dataclasses import replace

from neurdicom.catalog.edits import effective, joined, moved_to, with_changes, without
from neurdicom.catalog.records import Edit
from neurdicom.dicom.query.attributes import Level


def edit(id: str, value: str, before: str | None, time: str = "t1", field: str = "study_id") -> Edit:
    return Edit(Level.STUDY, "key", field, value, "u", time, before, id)


def facts(history: list[Edit] | None) -> list[tuple[str, object, object]]:
    return [(one.id, one.before, one.value) for one in history or ()]


STACK = [edit("1", "A", None), edit("x", "X", "W", field="study_description"), edit("2", "B", "A"), edit("3", "A", "B")]


def test_the_last_of_each_field_counts() -> None:
    assert [one.id for one in effective(STACK)] == ["x", "3"]
    assert effective([]) == []


def test_changes_lie_above() -> None:
    shown = {"study_id": "A", "study_description": "X"}
    made = with_changes(STACK, (Level.STUDY, "key"), {"study_id": "C", "study_date": None}, shown, user="me", time="t2")
    assert made[:4] == STACK
    assert [(one.field, one.before, one.value, one.user) for one in made[4:]] == [
        ("study_id", "A", "C", "me"),
        ("study_date", None, None, "me"),
    ]
    assert len({one.id for one in made}) == 6


def test_an_edit_is_taken_out_from_anywhere() -> None:
    assert facts(without(STACK, "1")) == [("x", "W", "X"), ("2", None, "B"), ("3", "B", "A")]
    assert facts(without(STACK, "2")) == [("1", None, "A"), ("x", "W", "X"), ("3", "A", "A")]
    assert facts(without(STACK, "3")) == facts(STACK[:3])
    assert facts(without(STACK, "x")) == facts([STACK[0], *STACK[2:]])
    assert without(STACK, "") is None


def test_of_two_that_are_equal_the_right_one_goes() -> None:
    twice = [edit("1", "A", None), edit("2", "A", "A"), edit("3", "A", "A")]
    assert twice[1] == twice[2]
    assert facts(without(twice, "3")) == facts(twice[:2])


def test_histories_are_joined_by_time() -> None:
    back = [edit("1", "A", "file", "t1"), edit("2", "B", "A", "t3")]
    since = [edit("8", "S", "file", "t2"), edit("9", "T", "S", "t4")]
    expected = [("1", "file", "A"), ("8", "A", "S"), ("2", "S", "B"), ("9", "B", "T")]
    assert facts(joined(since, back)) == expected
    assert facts(joined(joined(since, back), back)) == expected
    assert facts(joined([], back)) == facts(back)
    assert facts(joined(since, [])) == facts(since)


def test_a_clock_that_was_set_back_leaves_the_order_of_each() -> None:
    back = [edit("1", "A", None, "t5"), edit("2", "B", "A", "t1")]
    since = [edit("9", "C", None, "t3")]
    assert [one.id for one in joined(since, back)] == ["9", "1", "2"]
    assert [one.id for one in joined(back, since)] == ["9", "1", "2"]


def test_a_history_goes_to_another_key() -> None:
    moved = moved_to(STACK, "other")
    assert moved == [replace(one, entity="other") for one in STACK]
    assert facts(moved) == facts(STACK)


def test_documents_of_before_have_neither_id_nor_what_was_before() -> None:
    made = edit("1", "A", "B")
    assert facts([Edit.from_document(made.to_document())]) == facts([made])
    earlier = [Edit.from_document(one.to_wire()) for one in (made, made, edit("1", "A", "B", "t2"))]
    assert [one.before for one in earlier] == [None] * 3
    assert earlier[0].id == earlier[1].id
    assert len({one.id for one in earlier} - {""}) == 2
