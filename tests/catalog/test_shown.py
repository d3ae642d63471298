"""An entity shows the first value that its files give, and is found by all of them."""

from itertools import permutations

import pytest

from neurdicom.catalog.records import Edit
from neurdicom.catalog.shown import (
    ShownAttributes,
    carried,
    holder_of,
    is_blank,
    latest_first,
    merged,
    of_latest,
)
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import Value


def edit(level: Level, field: str, value: Value) -> Edit:
    return Edit(level, "key", field, value, "u", "t")


def test_a_study_carries_the_demographics_of_its_files() -> None:
    assert carried(Level.STUDY) == (*AT_LEVEL[Level.PATIENT], *AT_LEVEL[Level.STUDY])
    assert carried(Level.SERIES) == AT_LEVEL[Level.SERIES]
    assert [holder_of(level) for level in Level] == [Level.STUDY, Level.STUDY, Level.SERIES, Level.INSTANCE]
    file: dict[str, Value] = {"patient_name": "ROE", "study_id": "S", "modality": "CT", "rows": 5}
    assert merged(Level.STUDY, [file]) == ShownAttributes({"patient_name": "ROE", "study_id": "S"})
    assert merged(Level.SERIES, [file]) == ShownAttributes({"modality": "CT"})
    assert merged(Level.INSTANCE, [file]) == ShownAttributes({"rows": 5})


def test_the_first_value_is_shown_and_each_other_is_found_once() -> None:
    files = [{"study_id": value} for value in (None, "A", "B", "A", None, "C", "B")]
    assert merged(Level.STUDY, files) == ShownAttributes({"study_id": "A"}, {"study_id": ["B", "C"]})
    ids: list[Value] = [["a", "b"], ["b", "a"], ["a", "b"]]
    lists = [{"other_patient_ids": value} for value in ids]
    assert merged(Level.STUDY, lists).others == {"other_patient_ids": [["b", "a"]]}


def test_an_entity_is_found_by_the_same_values_in_any_order() -> None:
    files: list[dict[str, Value]] = [{"study_id": "A", "study_date": "20240101"}, {"study_id": "B"}, {"study_id": "^ "}]
    for order in permutations(files):
        shown = merged(Level.STUDY, order)
        first = next(file["study_id"] for file in order if file["study_id"] != "^ ")
        assert shown.values == {"study_id": first, "study_date": "20240101"}
        assert sorted([shown.values["study_id"], *shown.others["study_id"]]) == ["A", "B"]  # type: ignore[type-var]


def test_values_that_nobody_searches_have_no_others() -> None:
    shown = merged(Level.STUDY, [{"patient_comments": "a"}, {"patient_comments": "b"}])
    assert shown == ShownAttributes({"patient_comments": "a"})


@pytest.mark.parametrize(
    ("blank", "values"),
    [
        (True, ["", " ", "\0", "^^^", "=", "^ ^=\\", [], ["", "^"]]),
        (False, ["A", "^A", "-", 0, 0.0, ["", "A"]]),
    ],
)
def test_a_blank_value_hides_none(blank: bool, values: list[Value]) -> None:
    for value in values:
        check_blank(value, blank)


def check_blank(value: Value, blank: bool) -> None:
    assert is_blank(value) is blank
    files: list[dict[str, Value]] = [{"patient_name": value}, {"patient_name": "DOE"}]
    shown = merged(Level.STUDY, files)
    assert shown.values["patient_name"] == ("DOE" if blank else value)
    assert shown.others == ({} if blank else {"patient_name": ["DOE"]})
    assert of_latest(files)["patient_name"] == shown.values["patient_name"]


def test_a_blank_value_is_shown_where_there_is_no_other() -> None:
    files: list[dict[str, Value]] = [{"patient_name": None}, {"patient_name": "^^"}, {"patient_name": ""}]
    assert merged(Level.STUDY, files) == ShownAttributes({"patient_name": "^^"})
    assert of_latest(files) == {"patient_name": "^^"}


def test_an_edit_counts_alone() -> None:
    files = [{"study_id": "A", "patient_name": "ROE"}, {"study_id": "B", "patient_name": "DOE"}]
    edits = [edit(Level.PATIENT, "patient_name", "NEW"), edit(Level.STUDY, "study_id", "C")]
    assert merged(Level.STUDY, files, edits) == ShownAttributes({"study_id": "C", "patient_name": "NEW"})
    emptied = [edit(Level.STUDY, "study_id", None), edit(Level.STUDY, "study_description", "")]
    shown = merged(Level.STUDY, files, emptied)
    assert shown == ShownAttributes({"patient_name": "ROE", "study_description": ""}, {"patient_name": ["DOE"]})
    assert merged(Level.SERIES, [{"modality": "CT"}], edits) == ShownAttributes({"modality": "CT"})


def test_a_patient_shows_what_its_latest_studies_give() -> None:
    studies = [{"patient_name": "NEW", "study_id": "S"}, {"patient_name": "OLD", "patient_sex": "F"}]
    assert of_latest(studies) == {"patient_name": "NEW", "patient_sex": "F"}
    edits = [edit(Level.PATIENT, "patient_name", "EDITED"), edit(Level.PATIENT, "patient_sex", None)]
    assert of_latest(studies, edits) == {"patient_name": "EDITED"}
    assert of_latest([]) == {}


def test_studies_are_in_the_order_of_date_and_time() -> None:
    moments = [{}, {"study_time": "1200"}, {"study_date": "2023"}, {"study_date": "20240101"}]
    moments += [{"study_date": "20240101", "study_time": time} for time in ("0900", "1200", "120000.5")]
    mixed = [*moments[4:], *moments[2:4], *moments[:2]]
    assert sorted(mixed, key=latest_first) == moments
