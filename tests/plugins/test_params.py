"""Parameters: conversion from text and JSON, and what refuses them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurdicom.errors import Invalid
from neurdicom.plugins.params import Param, convert_arguments


def param(**described: Any) -> Param:
    return Param.from_meta("p", described)


@pytest.mark.parametrize(
    ("described", "texts", "expected"),
    [
        ({"type": "text"}, ["5"], "5"),
        ({"type": "text"}, [""], ""),
        ({"type": "int"}, [" 5 "], 5),
        ({"type": "int"}, ["-7"], -7),
        ({"type": "double"}, ["5"], 5.0),
        ({"type": "double"}, ["1e-3"], 0.001),
        ({"type": "float"}, [".5"], 0.5),
        ({"type": "bool"}, ["TRUE"], True),
        ({"type": "bool"}, ["0"], False),
        ({"type": "int", "isnull": True}, [""], None),
        ({"type": "int", "isarray": True}, ["1,2, 3"], [1, 2, 3]),
        ({"type": "int", "isarray": True}, ["1", "2"], [1, 2]),
        ({"type": "int", "isarray": True}, ["[1,2]"], [1, 2]),
        ({"type": "int", "isarray": True}, ["4"], [4]),
        ({"type": "int", "isarray": True}, [""], []),
        ({"type": "text", "isarray": True}, ["a,b"], ["a", "b"]),
        ({"type": "text", "isarray": True}, ["a,b", "c"], ["a,b", "c"]),
        ({"type": "text", "isarray": True}, ['["a,b"]'], ["a,b"]),
        ({"type": "text", "isarray": None, "isnull": None}, ["x"], "x"),
        ({"type": "int", "range": [1, None]}, ["1"], 1),
        ({"type": "double", "values": [1, 2.5]}, ["2.50"], 2.5),
    ],
)
def test_text_is_converted(described: dict[str, Any], texts: list[str], expected: Any) -> None:
    value = param(**described).from_texts(texts)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("described", "value", "expected"),
    [
        ({"type": "int"}, 5, 5),
        ({"type": "int"}, 5.0, 5),
        ({"type": "int"}, "5", 5),
        ({"type": "double"}, 5, 5.0),
        ({"type": "bool"}, True, True),
        ({"type": "text"}, "x", "x"),
        ({"type": "text", "isnull": True}, None, None),
        ({"type": "double", "isarray": True}, [1, 2.5], [1.0, 2.5]),
        ({"type": "double", "isarray": True}, 1, [1.0]),
    ],
)
def test_json_is_converted(described: dict[str, Any], value: Any, expected: Any) -> None:
    converted = param(**described).from_json(value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("described", "value"),
    [
        ({"type": "int"}, "5.5"),
        ({"type": "int"}, "1_000"),
        ({"type": "int"}, "٣"),
        ({"type": "int"}, str(1 << 63)),
        ({"type": "int"}, True),
        ({"type": "int"}, 5.5),
        ({"type": "int"}, [5]),
        ({"type": "int"}, None),
        ({"type": "double"}, "nan"),
        ({"type": "double"}, "1e999"),
        ({"type": "double"}, ""),
        ({"type": "double"}, False),
        ({"type": "bool"}, "maybe"),
        ({"type": "bool"}, 2),
        ({"type": "text"}, 5),
        ({"type": "text", "values": ["a", "b"]}, "c"),
        ({"type": "int", "range": [1, 3]}, 4),
        ({"type": "int", "isarray": True, "range": [1, 3]}, [1, 4]),
        ({"type": "int", "isarray": True}, [1, None]),
        ({"type": "int", "isarray": True}, "[1,"),
        ({"type": "int", "isarray": True}, "[" * 1000 + "]" * 1000),
    ],
)
def test_a_wrong_value_names_the_parameter_and_what_it_takes(described: dict[str, Any], value: Any) -> None:
    with pytest.raises(Invalid, match="it takes") as caught:
        param(**described).from_json(value)
    assert caught.value.field == "p"


def test_one_value_is_not_taken_twice() -> None:
    with pytest.raises(Invalid, match="given 2 times"):
        param(type="int").from_texts(["1", "2"])


@pytest.mark.parametrize(
    ("described", "required"),
    [
        ({"type": "int"}, True),
        ({"type": "int", "is_required": True}, True),
        ({"type": "int", "isnull": False, "default": None}, True),
        ({"type": "int", "isnull": True}, False),
        ({"type": "int", "default": 0}, False),
        ({"type": "int", "is_required": False}, False),
    ],
)
def test_what_is_required(described: dict[str, Any], required: bool) -> None:
    assert param(**described).required is required


def test_arguments_take_defaults_and_leave_out_what_has_none() -> None:
    described: dict[str, dict[str, Any]] = {
        "a": {"type": "int"},
        "b": {"type": "double", "default": 2},
        "c": {"type": "text", "isnull": True},
        "d": {"type": "int", "isarray": True, "default": [1, 2]},
    }
    params = {name: Param.from_meta(name, each) for name, each in described.items()}
    assert convert_arguments(params, {"a": ["1"]}, {}) == {"a": 1, "b": 2.0, "d": [1, 2]}
    assert convert_arguments(params, {}, {"a": 1, "c": None}) == {"a": 1, "b": 2.0, "c": None, "d": [1, 2]}
    for texts, values, field in [
        ({}, {}, "a"),
        ({"a": ["1"], "z": ["1"]}, {}, "z"),
        ({"a": ["1"]}, {"a": 1}, "a"),
        ({"a": ["x"]}, {}, "a"),
    ]:
        with pytest.raises(Invalid) as caught:
            convert_arguments(params, texts, values)
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("described", "field"),
    [
        ({"type": "int", "default": "x"}, "params.p.default"),
        ({"type": "int", "default": 5, "range": [0, 1]}, "params.p.default"),
        ({"type": "int", "values": [1, "x"]}, "params.p.values"),
        ({"type": "int", "range": [2, 1]}, "params.p.range"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(described: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        param(**described)
    assert caught.value.field == field


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=5
)


@given(
    st.sampled_from(["text", "int", "double", "float", "bool"]),
    st.booleans(),
    st.booleans(),
    st.lists(st.text()),
    json_values,
)
def test_any_input_converts_or_is_invalid(kind: str, isarray: bool, isnull: bool, texts: list[str], value: Any) -> None:
    described = param(type=kind, isarray=isarray, isnull=isnull)
    for convert, given_value in ((described.from_texts, texts or [""]), (described.from_json, value)):
        try:
            convert(given_value)
        except Invalid as error:
            assert error.field == "p"
