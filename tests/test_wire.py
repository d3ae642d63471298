"""The form of messages between processes: what was packed is read again, and anything else is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurdicom import wire

CONTROLS = st.dictionaries(st.text(max_size=5), st.integers(-9, 9) | st.text(max_size=5) | st.none(), max_size=3)


@given(st.lists(st.tuples(CONTROLS, st.binary(max_size=40)), max_size=4), st.binary(max_size=9))
def test_messages_one_after_the_other(messages: list[tuple[dict[str, object], bytes]], before: bytes) -> None:
    data, start = before + b"".join(wire.pack(*each) for each in messages), len(before)
    for control, body in messages:
        found, begin, start = wire.unpack(data, start)
        assert (found, data[begin:start]) == (control, body)
    assert start == len(data)


def test_numbers_of_numpy_are_json_numbers() -> None:
    control, _, _ = wire.unpack(wire.pack({"x": np.float64(1.5), "y": np.arange(2)}))
    assert control == {"x": 1.5, "y": [0, 1]}


@given(st.integers(0, 30))
def test_a_message_that_is_cut_off(left: int) -> None:
    data = wire.pack({"a": 1}, b"123456789012")
    with pytest.raises(ValueError, match="message"):
        wire.unpack(data[: min(left, len(data) - 1)])


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff"])
def test_a_control_part_that_is_no_object(text: bytes) -> None:
    with pytest.raises(ValueError):
        wire.unpack(wire.HEAD.pack(len(text), 0) + text)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        _, body, end = wire.unpack(data)
    except ValueError:
        return
    assert wire.HEAD.size <= body <= end <= len(data)
