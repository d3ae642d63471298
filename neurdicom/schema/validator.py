"""The validator of JSON Schema, draft 2020-12, with ECMA 262's patterns; quick to refuse values far too large."""

import math
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from neurdicom.schema.texts import Schema, compiled

#: Keywords whose error has those of their branches inside.
BRANCHING = ("anyOf", "oneOf")


def first_error(validator: Any, value: Any) -> ValidationError | None:
    """Find the error that says most of what is wrong with a value; None when nothing is.

    One of the value itself goes before one of what it holds, and any before those of choices between branches, of
    which the innermost says most.
    """
    return min(validator.iter_errors(value), key=rank, default=None)


def rank(error: ValidationError) -> tuple[bool, int]:
    """Return the sort key of an error of a value; the error with the least key is reported."""
    is_choice = error.validator in BRANCHING
    return is_choice, -len(error.path) if is_choice else len(error.path)


def _is_text(_: object, value: object) -> bool:
    """Tell whether a value is text that UTF-8 can hold, as all text in JSON is."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _is_number(_: object, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _is_integer(checker: object, value: object) -> bool:
    """Tell whether a value is an integer, which 3.0 is to JSON Schema."""
    return _is_number(checker, value) and (not isinstance(value, float) or value.is_integer())


def _pattern(validator: Any, pattern: str, value: Any, schema: Schema) -> Iterator[ValidationError]:
    if not isinstance(value, str) or len(value) > schema.get("maxLength", len(value)):
        return
    if not compiled(pattern).search(value):
        yield ValidationError("does not match")


def _items(validator: Any, items: Schema, value: Any, schema: Schema) -> Iterator[ValidationError]:
    """Report the first bad item, and none where there are too many, which `maxItems` tells."""
    if not isinstance(value, list) or len(value) > schema.get("maxItems", len(value)):
        return
    each = validator.evolve(schema=items)
    types = items.get("type") if items.keys() == {"type"} else None  # of long lists, and quick to check
    types = [types] if isinstance(types, str) else types
    for place, item in enumerate(value):
        if not (each.is_valid(item) if types is None else any(validator.is_type(item, name) for name in types)):
            yield from validator.descend(item, items, path=place)
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
        for error in validator.descend(member, additional, path=name):
            yield error
            return


#: Draft 2020-12 of JSON Schema.
SchemaValidator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"pattern": _pattern, "items": _items, "additionalProperties": _additional},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"string": _is_text, "number": _is_number, "integer": _is_integer}
    ),
)
