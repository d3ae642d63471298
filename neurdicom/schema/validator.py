"""The validator of JSON Schema, draft 2020-12, with ECMA 262's patterns; quick to refuse values far too large."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import orjson
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from neurdicom.schema.texts import Schema, compiled

#: Keywords whose error has those of their branches inside.
BRANCHING = ("anyOf", "oneOf")


def first_error(validator: Any, value: Any) -> ValidationError | None:
    """Find the most telling error of a value; None when the value is right.

    One of the value itself goes before one of what it holds, and any before those of choices between branches, of
    which the innermost says most.
    """
    if acceptance_of(validator.schema)(value):
        return None
    return min(validator.iter_errors(value), key=rank, default=None)


def rank(error: ValidationError) -> tuple[bool, int]:
    """Return the sort key of an error of a value; the error with the least key is reported."""
    is_choice = error.validator in BRANCHING
    return is_choice, -len(error.path) if is_choice else len(error.path)


#: Schema of an object that may hold anything, such as megabytes of a tool's parameters: jsonschema-rs would copy them
#: all, which holds the event loop. It may limit their number.
_OPEN = {"type": "object", "additionalProperties": True}

#: Functions of schemas by the schemas' identity, with these, so that no other one gets it.
_ACCEPTANCE: dict[int, tuple[object, Callable[[Any], bool]]] = {}


def acceptance_of(schema: Any) -> Callable[[Any], bool]:
    """Return the function that tells in no time that a value meets a schema; what it refuses may do so still.

    It accepts nothing that is not JSON, but does not look at the members of an object that may hold anything.

    Parameters
    ----------
    schema : Mapping or bool
        A schema or a part of one, which lasts as long as the program.
    """
    if id(schema) not in _ACCEPTANCE:
        _ACCEPTANCE[id(schema)] = schema, _acceptance(schema)
    return _ACCEPTANCE[id(schema)][1]


def _acceptance(schema: Any) -> Callable[[Any], bool]:
    if (
        isinstance(schema, dict)
        and schema.keys() <= _OPEN.keys() | {"maxProperties"}
        and schema.items() >= _OPEN.items()
    ):
        most = schema.get("maxProperties", math.inf)
        return lambda value: isinstance(value, dict) and len(value) <= most
    try:
        is_valid = jsonschema_rs.Draft202012Validator(schema).is_valid
    except jsonschema_rs.ValidationError:  # a part that refers to another one, which only the whole can find
        return lambda _: False

    def accepts(value: Any) -> bool:
        try:
            orjson.dumps(value)  # jsonschema-rs would accept some text that UTF-8 can't hold
            return is_valid(value)
        except (TypeError, ValueError):
            return False

    return accepts


def _is_text(value: object) -> bool:
    """Tell whether a value is text that UTF-8 can hold, as all text in JSON is."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _is_number(value: object) -> bool:
    """Tell whether a value is a number of JSON, which knows no infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _is_integer(value: object) -> bool:
    """Tell whether a value is an integer, which 3.0 is to JSON Schema."""
    return _is_number(value) and (not isinstance(value, float) or value.is_integer())


def _errors(validator: Any, schema: Any, value: Any, **place: Any) -> list[ValidationError]:
    """List the errors of a part of a value, `place` being its names for the validator."""
    return [] if acceptance_of(schema)(value) else [*validator.descend(value, schema, **place)]


def _pattern(validator: Any, pattern: str, value: Any, schema: Schema) -> Iterator[ValidationError]:
    if not isinstance(value, str) or len(value) > schema.get("maxLength", len(value)):
        return
    if not compiled(pattern).search(value):
        yield ValidationError("does not match")


def _items(validator: Any, items: Schema, value: Any, schema: Schema) -> Iterator[ValidationError]:
    """Report the first bad item, and none where there are too many, which `maxItems` tells."""
    if not isinstance(value, list) or len(value) > schema.get("maxItems", len(value)):
        return
    for place, item in enumerate(value):
        if errors := _errors(validator, items, item, path=place):
            yield from errors
            return


def _additional(validator: Any, additional: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    """Report the first member that is unknown or bad, and none where there are too many."""
    if not isinstance(value, dict) or len(value) > schema.get("maxProperties", len(value)):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, member in value.items():
        if name in known or any(compiled(pattern).search(name) for pattern in patterns):
            continue
        if additional is False:
            yield ValidationError("unknown", path=[name])
            return
        if errors := _errors(validator, additional, member, path=name):
            yield from errors
            return


def _properties(validator: Any, properties: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for name, each in properties.items():
            if name in value:
                yield from _errors(validator, each, value[name], path=name, schema_path=name)


def _patterns(validator: Any, patterns: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    """Report the first bad member of each pattern, and none where there are too many."""
    if not isinstance(value, dict) or len(value) > schema.get("maxProperties", len(value)):
        return
    for pattern, each in patterns.items():
        for name, member in value.items():
            if compiled(pattern).search(name) and (
                errors := _errors(validator, each, member, path=name, schema_path=pattern)
            ):
                yield from errors
                break


#: Draft 2020-12 of JSON Schema.
SchemaValidator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "pattern": _pattern,
        "items": _items,
        "properties": _properties,
        "patternProperties": _patterns,
        "additionalProperties": _additional,
    },
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "string": lambda _, value: _is_text(value),
            "number": lambda _, value: _is_number(value),
            "integer": lambda _, value: _is_integer(value),
        }
    ),
)
