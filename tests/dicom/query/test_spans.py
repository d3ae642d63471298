"""Dates, times and numbers of keys, as peers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurdicom.dicom.query.attributes import Kind
from neurdicom.dicom.query.spans import read_datetimes, read_span


@pytest.mark.parametrize(
    ("kind", "text", "low", "high", "is_remarked"),
    [
        (Kind.DATE, "20240229", "20240229", "20240229", False),
        (Kind.DATE, " 2024.02.29 ", "20240229", "20240229", False),
        (Kind.DATE, "2024-02-29", "20240229", "20240229", False),
        (Kind.DATE, "20230229", "202302", "20230231", True),
        (Kind.DATE, "20241301", "2024", "20241231", True),
        (Kind.DATE, "2024", "2024", "20241231", True),
        (Kind.DATE, "20240201-20240231", "20240201", "20240231", False),
        (Kind.DATE, "2024.02.01 - 2024.02.29", "20240201", "20240229", False),
        (Kind.DATE, "-202402", None, "20240299", False),
        (Kind.DATE, "2024-", "2024", None, False),
        (Kind.DATE, "-", None, None, True),
        (Kind.DATE, " - ", None, None, True),
        (Kind.TIME, "10", "10", "105959.999999", False),
        (Kind.TIME, "10:15:00", "1015", "101500.999999", False),
        (Kind.TIME, "101500.50", "101500.5", "101500.509999", False),
        (Kind.TIME, "235960", "235960", "235960.999999", False),
        (Kind.TIME, "1075", "10", "105959.999999", True),
        (Kind.TIME, "10:15-", "1015", None, False),
        (Kind.TIME, "-2400", None, "240059.999999", False),
        (Kind.TIME, "000000-0100", None, "010059.999999", False),
        (Kind.INTEGER, "+7", 7, 7, False),
        (Kind.INTEGER, "7.0", 7, 7, False),
        (Kind.INTEGER, "-7", -7, -7, False),
        (Kind.INTEGER, "1 - 7", 1, 7, False),
        (Kind.INTEGER, "1-", 1, None, False),
    ],
)
def test_spans(kind: Kind, text: str, low: str | int | None, high: str | int | None, is_remarked: bool) -> None:
    span = read_span(kind, text)
    assert span is not None
    assert (span.low, span.high, bool(span.remark)) == (low, high, is_remarked)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.DATE, "today"),
        (Kind.DATE, "00000000"),
        (Kind.DATE, "20240101-x"),
        (Kind.DATE, "２０２４"),
        (Kind.TIME, "2400"),
        (Kind.TIME, "noon"),
        (Kind.TIME, "10-x"),
        (Kind.INTEGER, "x"),
        (Kind.INTEGER, "1.5"),
        (Kind.INTEGER, "9223372036854775808"),
    ],
)
def test_what_means_nothing(kind: Kind, text: str) -> None:
    assert read_span(kind, text) is None


@given(kind=st.sampled_from([Kind.DATE, Kind.TIME, Kind.INTEGER]), text=st.text(max_size=24))
def test_any_text_is_a_span_or_nothing(kind: Kind, text: str) -> None:
    read_span(kind, text)
    read_datetimes(text)


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("2024", "20241231235959.5", True),
        ("202401", "20240201", False),
        ("20240101120000+0100", "20240101110000+0000", True),
        ("20240101120000+0100", "20240101120000+0000", False),
        ("20240101120000+0100", "20240101120000", True),
        ("20240101120000", "20240101120000+0530", True),
        ("20240101-20240102", "20240102235959", True),
        ("20240101120000-0500", "20240101180000+0100", True),
        ("20240101110000+0000-20240101130000+0000", "20240101133000+0100", True),
        ("20240101110000+0000 - 20240101130000+0000", "20240101143000+0100", False),
        ("20240101120000-", "20240101115959", False),
        ("-20240101120000", "20240101115959", True),
        ("20240101233000+0000", "20240102003000+0100", True),
        ("2024", "soon", False),
    ],
)
def test_dates_with_times_and_offsets(text: str, value: str, holds: bool) -> None:
    span = read_datetimes(text)
    assert span is not None
    assert span.holds(value) is holds


@pytest.mark.parametrize("text", ["-", "", "soon", "20240101-soon", "20240101120000+9900"])
def test_no_date_and_time(text: str) -> None:
    assert read_datetimes(text) is None
