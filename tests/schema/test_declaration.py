"""Declarations of JSON: what a schema refuses names the field that is wrong, what was found and what is expected."""

from typing import Any

import pytest

from neurdicom.errors import Invalid
from neurdicom.schema import CHOSEN_BY, NAMED, UNSHOWN, Declaration
from neurdicom.schema.texts import whole_text, word_text

BODY = Declaration(
    {
        "type": "object",
        "required": ["email"],
        "additionalProperties": False,
        "properties": {
            "email": {"type": "string"},
            "rights": {"type": "object", "required": ["level"], "properties": {"level": {"type": "integer"}}},
        },
    }
)
SHAPES = Declaration(
    {
        "type": "object",
        "required": ["shape"],
        "properties": {"shape": word_text(["disc", "box"])},
        "oneOf": [
            {
                "required": ["radius"],
                "additionalProperties": False,
                "properties": {"shape": word_text(["disc"]), "radius": {"type": "number", "exclusiveMinimum": 0}},
            },
            {
                "required": ["sides"],
                "additionalProperties": False,
                "properties": {
                    "shape": word_text(["box"]),
                    "sides": {
                        "description": "A length, or a list of lengths.",
                        "anyOf": [
                            {"type": "integer", "minimum": 1},
                            {"type": "array", "maxItems": 3, "items": {"type": "integer", "minimum": 1}},
                        ],
                    },
                },
            },
        ],
        CHOSEN_BY: "shape",
    }
)
EITHER = Declaration(
    {
        "type": "object",
        "allOf": [
            {
                "description": "plugin or model",
                "oneOf": [{"required": ["plugin"]}, {"required": ["model"]}],
                NAMED: "plugin",
            }
        ],
    }
)


def refusal(declaration: Declaration, body: dict[str, Any]) -> Invalid:
    with pytest.raises(Invalid) as caught:
        declaration.check(body)
    return caught.value


def test_gives_a_body_that_meets_the_schema() -> None:
    body = {"email": "a@b", "rights": {"level": 1}}
    checked = BODY.check(body)
    assert dict(checked) == body
    assert BODY.check(checked) is checked, "it is checked once"
    with pytest.raises(Invalid):
        SHAPES.check(checked)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": 1}, "email"),
        ({"email": "a@b", "colour": "red"}, "colour"),
        ({"email": "a@b", "rights": {}}, "rights.level"),
        ({"email": "a@b", "rights": {"level": "x" * 10_000}}, "rights.level"),
    ],
)
def test_refuses_a_body_and_names_the_field(body: dict[str, Any], field: str) -> None:
    error = refusal(BODY, body)
    assert error.field == field
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "shape", "shape is missing"),
        ({"shape": "ball"}, "shape", "shape is 'ball'; expected: disc or box, in upper or lower case"),
        ({"shape": "DISC"}, "radius", "radius is missing"),
        ({"shape": "disc", "radius": 0}, "radius", "radius is 0; expected: a number above 0"),
        ({"shape": "disc", "radius": 1, "sides": 2}, "sides", "unknown field 'sides'; known are shape, radius"),
        ({"shape": "Box", "sides": "x"}, "sides", "sides is 'x'; expected: a length, or a list of lengths"),
        ({"shape": "box", "sides": [1, 0]}, "sides", "sides.1 is 0; expected: an integer from 1"),
        ({"shape": "box", "sides": [1] * 4}, "sides", "sides has 4 items; expected: at most 3"),
    ],
)
def test_a_choice_names_what_is_wrong_in_the_branch_that_was_chosen(
    body: dict[str, Any], field: str, message: str
) -> None:
    error = refusal(SHAPES, body)
    assert (error.field, str(error)) == (field, message)


@pytest.mark.parametrize("body", [{}, {"plugin": "a", "model": "b"}])
def test_of_two_members_exactly_one(body: dict[str, Any]) -> None:
    error = refusal(EITHER, body)
    assert error.field == "plugin"
    assert str(error) == f"expected: plugin or model; given: {', '.join(body) or 'nothing'}"


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("password", {"type": "string"}),
        ("hidden", {"type": "string", "format": "password"}),
        ("url", {"type": "string", UNSHOWN: True}),
    ],
)
def test_a_value_of_another_type_is_not_repeated(name: str, schema: dict[str, Any]) -> None:
    """Leave the value out of the error: it may be a secret."""
    body = Declaration({"type": "object", "properties": {name: schema}})
    error = refusal(body, {name: 12345678})
    assert str(error) == f"{name} does not fit; expected: text"
    assert error.field == name


def test_whole_numbers_become_integers_where_these_are_asked_for() -> None:
    checked = SHAPES.check({"shape": "box", "sides": [1.0, 2]})
    assert [type(each) for each in checked["sides"]] == [int, int]
    assert type(SHAPES.check({"shape": "disc", "radius": 2.0})["radius"]) is float
    assert refusal(SHAPES, {"shape": "box", "sides": 1.5}).field == "sides"


def test_what_the_schema_says_nothing_of_may_lie_deep() -> None:
    deep: dict[str, Any] = {}
    for _ in range(1000):  # orjson reads up to 1024
        deep = {"a": deep}
    declared = Declaration({"type": "object", "properties": {"params": {"type": "object"}, "n": {"type": "integer"}}})
    checked = declared.check({"params": deep, "n": 3.0, "more": deep})
    assert checked["params"] is checked["more"] is deep
    assert type(checked["n"]) is int


@pytest.mark.parametrize("value", ["12\n", "１２", "1\ud800"])
def test_patterns_are_those_of_ecma(value: str) -> None:
    declared = Declaration({"type": "object", "properties": {"a": whole_text(r"\d+"), "b": {"type": "string"}}})
    assert refusal(declared, {"a": value}).field == "a"
    assert declared.check({"b": "１２\n"})
    assert refusal(declared, {"b": "\ud800"}).field == "b"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True])
def test_what_is_no_number_of_json_is_none(value: object) -> None:
    assert refusal(SHAPES, {"shape": "disc", "radius": value}).field == "radius"


def test_a_list_that_is_too_long_is_not_walked_through() -> None:
    declared = Declaration({"type": "array", "maxItems": 2, "items": {"type": "integer"}})
    with pytest.raises(Invalid, match="a has 1000000 items; expected: at most 2"):
        declared.read(["x"] * 1_000_000, field="a")
