"""What tells at once whether a value meets a schema agrees with what says why it does not."""

import math
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from neurdicom.errors import Invalid
from neurdicom.schema import Declaration
from neurdicom.schema.validator import SchemaValidator, acceptance_of
from neurdicom.web.process import FIELDS

#: The validator as jsonschema has it, but for patterns of ECMA 262 and the types of JSON.
Reference: Any = extend(
    Draft202012Validator,
    {"pattern": SchemaValidator.VALIDATORS["pattern"]},
    type_checker=SchemaValidator.TYPE_CHECKER,
)

_SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 3, 3.0, 2.5, 1e300, "", "a", "ab", "12", "12\n", "１２",
]  # fmt: skip
VALUES = [
    *_SCALARS,
    *([each] for each in _SCALARS),
    *({"a": each} for each in _SCALARS),
    [], [1, 2, 3], [1, "a"], [[1]], {}, {"b": 1}, {"a": 1, "b": 2}, {"a": {"a": 1}}, {"a": [1, "x"]}, {"a": 1, "x1": 2},
    {"x1": "t", "x2": 3}, {"a": 1, "b": 2, "c": 3}, {"ab": None},
]  # fmt: skip

#: What JSON does not have, and integers that its parser makes floats of.
OTHERS = [math.inf, math.nan, 10**30, "\ud800", {"a": "\ud800"}, {"\ud800": 1}, [10**30, "a"]]

SCHEMAS: list[Any] = [
    True,
    False,
    {},
    {"description": "Anything.", "x-chosen-by": "a"},
    *({"type": name} for name in ("string", "number", "integer", "boolean", "object", "array", "null")),
    {"type": ["integer", "null"]},
    {"enum": ["a", None, 1, True]},
    {"enum": [0, "ab"]},
    {"const": False},
    {"const": 3},
    {"minLength": 1, "maxLength": 1},
    {"pattern": r"^\d+$"},
    {"type": "string", "pattern": "^a", "maxLength": 1},
    {"minimum": 1},
    {"maximum": 1},
    {"exclusiveMinimum": 0, "maximum": 3},
    {"items": {"type": "integer"}},
    {"type": "array", "minItems": 1, "maxItems": 2, "items": True},
    {"items": {"items": {"type": "integer"}}},
    {"required": ["a"]},
    {"minProperties": 1, "maxProperties": 2},
    {"type": "object", "additionalProperties": True},
    {"type": "object", "additionalProperties": True, "maxProperties": 1},
    {"properties": {"a": {"type": "integer"}, "b": False}},
    {"properties": {"a": {}}, "additionalProperties": False},
    {"properties": {"a": {}}, "patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False},
    {"patternProperties": {"^x": {"type": "integer"}, "1$": {"type": "number"}}},
    {"properties": {"a": {"type": "integer"}}, "patternProperties": {"a": {"minimum": 1}}},
    {"additionalProperties": {"type": ["integer", "null"]}},
    {"propertyNames": {"maxLength": 1}},
    {"propertyNames": {"format": "dicom-attribute"}},
    {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]},
    {"oneOf": [{"type": "integer"}, {"minimum": 2}]},
    {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {"allOf": [{"type": "number"}, {"maximum": 2}], "not": {"const": 1}},
    {"not": {"type": "null"}},
    {"if": {"required": ["a"]}, "then": {"properties": {"a": {"type": "integer"}}}, "else": {"type": "object"}},
    {"if": {"type": "string"}, "then": {"maxLength": 1}},
    {"if": {"type": "string"}, "else": {"type": "null"}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_agrees_with_the_validator(schema: Any) -> None:
    accepts = acceptance_of(schema)
    for value in VALUES:
        expected = Reference(schema).is_valid(value)
        assert accepts(value) is expected, repr(value)
        assert SchemaValidator(schema).is_valid(value) is expected, repr(value)
    for value in OTHERS:
        expected = Reference(schema).is_valid(value)
        assert not accepts(value) or expected, repr(value)
        assert SchemaValidator(schema).is_valid(value) is expected, repr(value)


def test_members_of_an_object_that_may_hold_anything_are_not_converted() -> None:
    unlike_json = object()  # whatever converts a value to JSON refuses this one
    assert acceptance_of({"type": "object", "additionalProperties": True})({"a": unlike_json})
    accepts = acceptance_of(FIELDS.schema)
    assert accepts({"a": unlike_json})
    assert not accepts(dict.fromkeys(map(str, range(10_001))))
    assert not accepts([])


def test_parts_that_refer_to_others_are_checked() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "items": {"properties": {"a": {"$ref": "#/$defs/n"}}}}
    assert SchemaValidator(schema).is_valid([{"a": 1}, {"a": 2}])
    assert not SchemaValidator(schema).is_valid([{"a": 1}, {"a": "x"}])


def test_the_first_bad_member_of_many_is_reported() -> None:
    keys = {"patternProperties": {"^k": {"anyOf": [{"type": "integer"}, {"enum": [None]}]}}}
    declared = Declaration({"type": "object", "properties": {"query": keys}})
    with pytest.raises(Invalid) as caught:
        declared.read({"query": {f"k{number}": "x" if number % 2 else number for number in range(1000)}})
    assert caught.value.field == "query.k1"


@pytest.mark.parametrize(
    "value",
    [{"a": [{"b": 1}] * 4}, {"a": {"b": {"c": {"d": 1, "e": 2}}}}, {"a": [[[[[[]]]]]]}, {str(n): 1 for n in range(6)}],
    ids=str,
)
def test_members_are_counted_in_all(value: dict[str, Any]) -> None:
    schema = {"type": "object"}
    assert Declaration(schema, most=50).read(value) == value
    assert Declaration(schema, most=5).read({"a": [*range(1000)]}), "scalars of a list do not count"
    with pytest.raises(Invalid, match="more than 4 members in all"):
        Declaration(schema, most=4).read(value)
