"""Conversion of JSON Schema's errors to ours, which say what was found, what is expected, and where."""

import re
from collections.abc import Callable, Collection
from itertools import takewhile
from typing import Any, cast

from jsonschema import ValidationError

from neurdicom.errors import Invalid, shown
from neurdicom.schema.texts import CHOSEN_BY, NAMED, UNSHOWN, Schema
from neurdicom.schema.validator import BRANCHING, rank

_SECRET = re.compile("password|token|secret", re.IGNORECASE)
_LONGEST_NAME = 64
#: Items of a list that an error shows as they are.
_FEW = 8

_TYPES = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def invalid_of(
    error: ValidationError,
    *,
    prefix: str = "",
    places: bool = False,
    alone: Collection[str] = (),
    refusal: Callable[[str], str] | None = None,
) -> Invalid:
    """Make our error of one of JSON Schema.

    Parameters
    ----------
    error : ValidationError
        The error of the value as a whole; of a choice between branches, the branch that was chosen is looked into.
    prefix : str
        Path of the value itself, where it is a part of something.
    places : bool
        `field` has the places in lists, too, and what lies below them.
    alone : Collection of str
        Members of the value whose own members are named without them.
    refusal : callable, optional
        Says why a member of this name is refused, where the schema knows none.

    Returns
    -------
    Invalid
        Its `field` is the dotted path of the member; unless `places` is set it ends at a list, and the message has the
        place in it.
    """
    error = _innermost(error)
    head = [prefix] if prefix else []
    path = [*error.absolute_path]
    message, member = _message(error, ".".join([*head, *map(_name, path)]))
    if refusal is not None and error.validator == "additionalProperties" and len(path) == 1:
        message = refusal(_name(path[0]))
    names = [_name(part) for part in takewhile(lambda part: places or isinstance(part, str), path)]
    if member and len(names) == len(path):
        names.append(member)
    if len(names) > 1 and names[0] in alone:
        names = names[1:]
    return Invalid(message, field=".".join([*head, *names]) if head or names else None)


def _innermost(error: ValidationError) -> ValidationError:
    """Descend from an error of oneOf or anyOf to that of the branch that the value is meant for, if there is one."""
    while error.validator in BRANCHING and error.context:
        schema = cast(dict[str, Any], error.schema)
        if NAMED in schema:
            return error
        branches: dict[Any, list[ValidationError]] = {}
        for each in error.context:
            branches.setdefault(each.relative_schema_path[0], []).append(each)
        chosen = [errors for errors in branches.values() if not any(_rules_out(each, schema) for each in errors)]
        if not chosen:
            return error
        error = min(chosen[0], key=rank)
    return error


def _rules_out(error: ValidationError, schema: Schema) -> bool:
    """Tell whether an error shows that a value is not meant for its branch: by its type, or by the selecting member."""
    key = schema.get(CHOSEN_BY)
    if key is None:
        return error.validator in ("type", "enum", "const") and not error.path
    if error.validator == "required":
        return not error.path and key == _missing(error)
    return [*error.path] == [key]


def _message(error: ValidationError, where: str) -> tuple[str, str]:
    """Write the text of an error, and the member of the value that it is about; empty for the value itself."""
    keyword, value, schema = error.validator, cast(Any, error.instance), cast(dict[str, Any], error.schema)
    place = f"{where}: " if where else ""
    if keyword == "required":
        name = _missing(error)
        return f"{where}.{name} is missing" if where else f"{name} is missing", name
    if keyword == "additionalProperties":
        return f"unknown field {where[-200:]!r}; known are {_known(schema)}", ""
    if NAMED in schema:
        given = ", ".join(_name(name) for name in value) or "nothing"
        return f"{place}expected: {_described(error)}; given: {given}", schema[NAMED]
    if keyword == "minProperties":
        return f"{place}nothing is given; expected: at least {error.validator_value} of {_known(schema)}", ""
    if keyword in ("maxProperties", "minItems", "maxItems"):
        bound = "at least" if keyword == "minItems" else "at most"
        what = "members" if keyword == "maxProperties" else "items"
        return f"{where or 'it'} has {len(value)} {what}; expected: {bound} {error.validator_value}", ""
    found = "does not fit" if _is_unshown(error) else f"is {_shown(value)}"
    if keyword == "maxLength" and not _is_unshown(error):
        return f"{where} has {len(value)} characters; expected: at most {error.validator_value}", ""
    return f"{where or 'it'} {found}; expected: {_expected(error)}", ""


def _expected(error: ValidationError) -> str:
    schema = cast(dict[str, Any], error.schema)
    if error.validator in ("enum", "const"):
        choices = schema["enum"] if error.validator == "enum" else [schema["const"]]
        return " or ".join("null" if each is None else str(each) or "empty text" for each in choices)
    if error.validator == "type" and "string" not in schema["type"]:
        return _type(schema)
    return _described(error)


def _type(schema: Schema) -> str:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return _bounded(schema, " or ".join(_TYPES[each] for each in types))


def _bounded(schema: Schema, what: str) -> str:
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is None:
        return what if high is None else f"{what} up to {high}"
    above = "above" if "exclusiveMinimum" in schema else "from"
    return f"{what} {above} {low}" + ("" if high is None else f" to {high}")


def _described(error: ValidationError) -> str:
    """Describe the values that a schema expects: its bounds, or its description, or that of its choice."""
    schema = cast(dict[str, Any], error.schema)
    if "description" not in schema and schema.keys() & {"minimum", "exclusiveMinimum", "maximum"}:
        return _type(schema)
    each: ValidationError | None = error
    while each is not None:
        description = cast(dict[str, Any], each.schema).get("description")
        if description:
            text = str(description).rstrip(".")
            return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
        each = cast("ValidationError | None", each.parent)
    if "type" in schema and error.validator == "type":
        return _type(schema)
    if error.validator in BRANCHING:
        branches = cast(list[Schema], error.validator_value)
        return " or ".join(dict.fromkeys(_type(branch) for branch in branches if "type" in branch)) or "another value"
    if error.validator == "minLength":
        return f"text of at least {error.validator_value} characters"
    return f"{error.validator} {error.validator_value}"


def _missing(error: ValidationError) -> str:
    given = cast(dict[str, Any], error.instance)
    # The message names one of those that are missing; each has an error of its own.
    names = [name for name in cast(list[str], error.validator_value) if name not in given]
    return next((name for name in names if error.message.startswith(repr(name))), names[0])


def _is_unshown(error: ValidationError) -> bool:
    schema = cast(dict[str, Any], error.schema)
    name = next((part for part in reversed(error.absolute_path) if isinstance(part, str)), "")
    return schema.get("format") == "password" or UNSHOWN in schema or bool(_SECRET.search(name))


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list) and (len(value) > _FEW or any(isinstance(each, dict | list) for each in value)):
        return f"a list of {len(value)}"
    return shown(value)


def _known(schema: Schema) -> str:
    return ", ".join(schema.get("properties", ()))


def _name(part: object) -> str:
    return str(part)[:_LONGEST_NAME]
