"""The validator of JSON Schema, draft 2020-12, with ECMA 262's patterns; quick to refuse values far too large."""

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from neurdicom.schema.acceptance import acceptance_of, is_integer, is_number, is_text
from neurdicom.schema.texts import Schema, compiled

#: Keywords whose error has those of their branches inside.
BRANCHING = ("anyOf", "oneOf")


def first_error(validator: Any, value: Any) -> ValidationError | None:
    """Find the most telling error of a value; None when the value is right.

    One of the value itself goes before one of what it holds, and any before those of choices between branches, of
    which the innermost says most.
    """
    accepts = acceptance_of(validator.schema)
    if accepts is not None and accepts(value):
        return None
    return min(validator.iter_errors(value), key=rank, default=None)


def rank(error: ValidationError) -> tuple[bool, int]:
    """Return the sort key of an error of a value; the error with the least key is reported."""
    is_choice = error.validator in BRANCHING
    return is_choice, -len(error.path) if is_choice else len(error.path)


def _accepts(validator: Any, schema: Any, value: Any) -> bool:
    accepts = acceptance_of(schema)
    return bool(validator.evolve(schema=schema).is_valid(value) if accepts is None else accepts(value))


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
        if not _accepts(validator, items, item):
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
        if not _accepts(validator, additional, member):
            yield from validator.descend(member, additional, path=name)
            return


def _properties(validator: Any, properties: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for name, each in properties.items():
            if name in value and not _accepts(validator, each, value[name]):
                yield from validator.descend(value[name], each, path=name, schema_path=name)


def _patterns(validator: Any, patterns: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    """Report the first bad member of each pattern, and none where there are too many."""
    if not isinstance(value, dict) or len(value) > schema.get("maxProperties", len(value)):
        return
    for pattern, each in patterns.items():
        for name, member in value.items():
            if compiled(pattern).search(name) and not _accepts(validator, each, member):
                yield from validator.descend(member, each, path=name, schema_path=pattern)
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
            "string": lambda _, value: is_text(value),
            "number": lambda _, value: is_number(value),
            "integer": lambda _, value: is_integer(value),
        }
    ),
)
