"""Filters of lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Condition, Like, matches
from neurdicom.dicom.query.filters import filter_fields, parse_filters
from neurdicom.errors import Invalid

STUDY, SERIES, PATIENT, INSTANCE = Level.STUDY, Level.SERIES, Level.PATIENT, Level.INSTANCE


@pytest.mark.parametrize(
    ("level", "field", "text", "condition"),
    [
        (STUDY, "patient_name", "DOE*", Like("patient_name", "DOE*")),
        (STUDY, "patient_name", "DOE^J", AnyOf("patient_name", ("DOE^J",))),
        (STUDY, "study_description", "a, b", AnyOf("study_description", ("a, b",))),
        (SERIES, "modality", "CT, MR", AnyOf("modality", ("CT", "MR"))),
        (SERIES, "modality", "C?", Like("modality", "C?")),
        (STUDY, "modality", "CT,MR", AnyOf("modalities", ("CT", "MR"))),
        (STUDY, "modalities", "CT,MR", AnyOf("modalities", ("CT", "MR"))),
        (STUDY, "patient", "abc", AnyOf("patient", ("abc",))),
        (PATIENT, "labels", "a, B.2-_,", AnyOf("labels", ("a", "B.2-_"))),
        (INSTANCE, "series", "1.2,1.3", AnyOf("series", ("1.2", "1.3"))),
        (STUDY, "study_instance_uid", "1.2", AnyOf("study_instance_uid", ("1.2",))),
        (STUDY, "study_date", "20240229", AnyOf("study_date", ("20240229",))),
        (STUDY, "study_date", "20240101-20240131", Between("study_date", "20240101", "20240131")),
        (STUDY, "study_date", "20240101-", Between("study_date", "20240101", None)),
        (STUDY, "study_date", "-20240131", Between("study_date", None, "20240131")),
        (STUDY, "study_date", "20240101,20240102", AnyOf("study_date", ("20240101", "20240102"))),
        (STUDY, "study_time", "10-1130", Between("study_time", "10", "113059.999999")),
        (SERIES, "series_number", "3", AnyOf("series_number", (3,))),
        (SERIES, "series_number", "-3", AnyOf("series_number", (-3,))),
        (SERIES, "series_number", "3-", Between("series_number", 3, None)),
        (SERIES, "series_number", "-3--1", Between("series_number", -3, -1)),
        (SERIES, "series_number", "1,2", AnyOf("series_number", (1, 2))),
    ],
)
def test_reads_filters(level: Level, field: str, text: str, condition: Condition) -> None:
    assert parse_filters(level, {field: text}) == (condition,)


def test_a_repeated_filter_means_any_and_different_ones_mean_all() -> None:
    conditions = parse_filters(SERIES, {"modality": ["CT", "MR"], "patient_name": ["DOE*"]})
    assert conditions == (AnyOf("modality", ("CT", "MR")), Like("patient_name", "DOE*"))


def test_an_asterisk_alone_restricts_nothing() -> None:
    assert parse_filters(STUDY, {"patient_name": "*", "accession_number": "**"}) == ()


@pytest.mark.parametrize(
    ("level", "field", "text"),
    [
        (STUDY, "colour", "red"),
        (STUDY, "series_number", "1"),
        (PATIENT, "modalities", "CT"),
        (PATIENT, "patient", "x"),
        (STUDY, "patient_comments", "x"),
        (INSTANCE, "pixel_spacing", "1"),
        (STUDY, "patient_name", " "),
        (SERIES, "modality", ","),
        (INSTANCE, "labels", "a,b c"),
        (STUDY, "labels", "a*"),
        (STUDY, "labels", ".."),
        (SERIES, "modality", "C*,MR"),
        (STUDY, "study_instance_uid", "1.2*"),
        (STUDY, "study_instance_uid", "a/c"),
        (STUDY, "study_date", "20240230"),
        (STUDY, "study_date", "2024-01-01"),
        (STUDY, "study_date", "-"),
        (STUDY, "study_date", "２０２４０１０１"),
        (STUDY, "study_date", "20240101-20240102,20240105"),
        (STUDY, "study_time", "25"),
        (STUDY, "study_time", "10:00"),
        (SERIES, "series_number", "x"),
        (SERIES, "series_number", "1.5"),
        (SERIES, "series_number", "9223372036854775808"),
    ],
)
def test_refuses_wrong_filters_by_name(level: Level, field: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_filters(level, {field: text})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "stored", "found"),
    [
        ("1015", "101530", True),
        ("1015", "1015", True),
        ("1015", "101600", False),
        ("101500", "101500.000000", True),
        ("101500.0-101600", "101500", True),
        ("10-11", "115959.9", True),
        ("10-11", "12", False),
        ("-11", "110000", True),
    ],
)
def test_times_of_any_precision_are_compared(text: str, stored: str, found: bool) -> None:
    (condition,) = parse_filters(STUDY, {"study_time": text})
    assert matches(condition, {"study_time": stored}) is found


@given(level=st.sampled_from(list(Level)), field=st.sampled_from(filter_fields(INSTANCE)), text=st.text(max_size=20))
def test_any_text_gives_conditions_or_invalid(level: Level, field: str, text: str) -> None:
    try:
        conditions = parse_filters(level, {field: text})
    except Invalid as error:
        assert error.field == field
        return
    assert len(conditions) <= 1
