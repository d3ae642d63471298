"""Range headers (RFC 9110 section 14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurdicom.http.ranges import Span, parse_range


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-5", Span(2, 4)),
        ("bytes=2-", Span(2, 8)),
        ("bytes=-3", Span(7, 3)),
        ("bytes=-30", Span(0, 10)),
        ("bytes=9-99999999999999999", Span(9, 1)),
        ("Bytes= 1-2 ", Span(1, 2)),
        ("bytes=10-", Span(10, 0)),
        ("bytes=-0", Span(10, 0)),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=--1", None),
        ("items=0-1", None),
        ("", None),
        (None, None),
    ],
)
def test_range_of_ten_bytes(header: str | None, span: Span | None) -> None:
    assert parse_range(header, 10) == span


@given(st.text(alphabet="bytes=-0123456789, ") | st.from_regex(r"bytes=\d*-\d*", fullmatch=True), st.integers(0, 50))
def test_a_span_lies_within_the_file(header: str, size: int) -> None:
    span = parse_range(header, size)
    if span is not None and span.length:
        assert 0 <= span.start < span.start + span.length <= size
