"""New values of edits: what each value representation takes, and that every refusal names its field."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.valuerep import DS

from neurdicom.dicom.edits.values import check_changes, check_value, editable_fields
from neurdicom.dicom.query.attributes import ATTRIBUTES, BY_FIELD, Level
from neurdicom.errors import Invalid

EDITABLE = [attribute for attribute in ATTRIBUTES if attribute.editable]


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("patient_name", "Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("patient_name", "  DOE^JOHN ", "DOE^JOHN"),
        ("patient_name", "", None),
        ("patient_name", None, None),
        ("patient_birth_date", "20000229", "20000229"),
        ("patient_sex", "O", "O"),
        ("patient_age", "042Y", "042Y"),
        ("study_time", "07", "07"),
        ("study_time", "235960.123456", "235960.123456"),
        ("patient_comments", " two\r\nlines \\ \t", " two\r\nlines \\"),
        ("other_patient_ids", ["A", " B "], ["A", "B"]),
        ("other_patient_ids", "A", ["A"]),
        ("other_patient_ids", [], None),
        ("other_patient_ids", [""], None),
        ("series_number", -(2**31), -(2**31)),
        ("patient_weight", 70, 70.0),
        ("window_center", [40, 1 / 3], [40.0, 0.33333333333333]),
        ("body_part_examined", "HEAD_NECK 2", "HEAD_NECK 2"),
        ("accession_number", "16 characters..!", "16 characters..!"),
    ],
)
def test_takes(field: str, value: object, kept: object) -> None:
    assert check_value(BY_FIELD[field], value) == kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patient_name", 5),
        ("patient_name", ["A"]),
        ("patient_name", "A=B=C=D"),
        ("patient_name", "A^B^C^D^E^F"),
        ("patient_name", "x" * 65),
        ("patient_name", "A\\B"),
        ("patient_name", "A\x00B"),
        ("patient_name", "\ud800"),
        ("patient_comments", "bell \x07"),
        ("patient_comments", "x" * 10241),
        ("patient_birth_date", "20230229"),
        ("patient_birth_date", "2023-02-01"),
        ("patient_birth_date", "00000101"),
        ("patient_birth_date", "２０２３０１０１"),
        ("patient_sex", "X"),
        ("patient_sex", "m"),
        ("patient_age", "42Y"),
        ("study_time", "24"),
        ("study_time", "1200.5"),
        ("accession_number", "17 characters...!"),
        ("modality", "ct"),
        ("modality", None),
        ("modality", ""),
        ("series_number", True),
        ("series_number", 2**31),
        ("series_number", 1.5),
        ("series_number", "5"),
        ("patient_weight", "70"),
        ("patient_weight", math.nan),
        ("patient_weight", math.inf),
        ("patient_weight", 1.7976931348623157e308),
        ("patient_weight", 10**400),
        ("window_width", [0]),
        ("window_width", [400, None]),
        ("other_patient_ids", ["A", ""]),
        ("other_patient_ids", ["A"] * 1001),
        ("other_patient_ids", {"a": 1}),
    ],
)
def test_refuses(field: str, value: object) -> None:
    with pytest.raises(Invalid) as caught:
        check_value(BY_FIELD[field], value)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("shoe_size", "unknown"),
        ("modality", "attribute of the series"),
        ("study_instance_uid", "can't be changed"),
        ("", "unknown"),
    ],
)
def test_refuses_fields(field: str, says: str) -> None:
    with pytest.raises(Invalid, match=says) as caught:
        check_changes(Level.STUDY, {"study_id": "1", field: "1"})
    assert caught.value.field == field


def test_refuses_no_change() -> None:
    with pytest.raises(Invalid, match="study_description"):
        check_changes(Level.STUDY, {})


def test_no_identifier_is_editable() -> None:
    for level in Level:
        assert not [field for field in editable_fields(level) if field.endswith("_uid")]
    assert "patient_id" not in editable_fields(Level.PATIENT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=8,
)


@given(st.sampled_from(EDITABLE), JSON)
def test_any_json_is_kept_or_refused_by_name(attribute, value) -> None:
    try:
        kept = check_value(attribute, value)
    except Invalid as error:
        assert error.field == attribute.field
    else:
        assert check_value(attribute, kept) == kept


@given(st.floats(-1e300, 1e300))
def test_a_number_is_kept_as_a_file_can_carry_it(value: float) -> None:
    kept = check_value(BY_FIELD["patient_weight"], value)
    assert isinstance(kept, float)
    written = DS(kept, auto_format=True)
    assert isinstance(written, float)
    assert float(written) == kept
