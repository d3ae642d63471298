"""Schemas as nested functions that tell at once whether a value meets them.

They take a tenth of the time of jsonschema's validator, which then says why a value does not.
"""

import math
from collections.abc import Callable
from typing import Any

from neurdicom.schema.texts import compiled

Acceptance = Callable[[Any], bool]

#: Keywords that allow everything.
_NOTES = frozenset({"$id", "$schema", "default", "description", "examples", "format", "readOnly", "title", "writeOnly"})


def is_text(value: object) -> bool:
    """Tell whether a value is text that UTF-8 can hold, as all text in JSON is."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def is_number(value: object) -> bool:
    """Tell whether a value is a number of JSON, which knows no infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def is_integer(value: object) -> bool:
    """Tell whether a value is an integer, which 3.0 is to JSON Schema."""
    return is_number(value) and (not isinstance(value, float) or value.is_integer())


_TYPES: dict[str, Acceptance] = {
    "string": is_text,
    "number": is_number,
    "integer": is_integer,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}

#: Functions of schemas by the schemas' identity, with these, so that no other one gets it.
_MADE: dict[int, tuple[object, Acceptance | None]] = {}


def acceptance_of(schema: Any) -> Acceptance | None:
    """Return the function of a schema, made once; None where it has a keyword that is not known here.

    Parameters
    ----------
    schema : Mapping or bool
        Its part of a declaration, which lasts as long as the program.
    """
    if id(schema) not in _MADE:
        try:
            made = _acceptance(schema)
        except LookupError:
            made = None
        _MADE[id(schema)] = schema, made
    return _MADE[id(schema)][1]


def _acceptance(schema: Any) -> Acceptance:
    if isinstance(schema, bool):
        return lambda _: schema
    unknown = {name for name in schema.keys() - _NOTES - _KNOWN if not name.startswith("x-")}
    if unknown:
        raise LookupError(f"unknown keywords {sorted(unknown)}")
    rules = [make(schema) for names, make in _RULES if schema.keys() & names]
    return rules[0] if len(rules) == 1 else _all_of(rules)


def _all_of(rules: list[Acceptance]) -> Acceptance:
    def accepts(value: Any) -> bool:
        for rule in rules:  # noqa: SIM110 (a generator takes twice the time)
            if not rule(value):
                return False
        return True

    return accepts


def _type(schema: Any) -> Acceptance:
    names = schema.get("type", ())
    kinds = [_TYPES[name] for name in ([names] if isinstance(names, str) else names)]
    return kinds[0] if len(kinds) == 1 else lambda value: any(kind(value) for kind in kinds)


def _enum(schema: Any) -> Acceptance:
    values = schema["enum"] if "enum" in schema else [schema.get("const")]
    if any(isinstance(value, dict | list) for value in values):
        raise LookupError("choices that are no scalars")
    texts = frozenset(value for value in values if isinstance(value, str))
    others = [value for value in values if not isinstance(value, str)]

    def accepts(value: Any) -> bool:
        if isinstance(value, str):
            return value in texts
        return any(value == one and isinstance(value, bool) is isinstance(one, bool) for one in others)

    return accepts


def _text(schema: Any) -> Acceptance:
    low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    search = compiled(schema["pattern"]).search if "pattern" in schema else None

    def accepts(value: Any) -> bool:
        if not isinstance(value, str):
            return True
        return low <= len(value) <= high and (search is None or search(value) is not None)

    return accepts


def _bounds(schema: Any) -> Acceptance:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above = schema.get("exclusiveMinimum", -math.inf)
    return lambda value: not is_number(value) or (low <= value <= high and value > above)


def _list(schema: Any) -> Acceptance:
    low, high = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    item = _acceptance(schema.get("items", True))

    def accepts(value: Any) -> bool:
        return not isinstance(value, list) or (low <= len(value) <= high and all(map(item, value)))

    return accepts


def _object(schema: Any) -> Acceptance:
    low, high = schema.get("minProperties", 0), schema.get("maxProperties", math.inf)
    required = schema.get("required", ())
    known = {name: _acceptance(each) for name, each in schema.get("properties", {}).items()}
    patterns = [(compiled(one).search, _acceptance(each)) for one, each in schema.get("patternProperties", {}).items()]
    additional, names = _acceptance(schema.get("additionalProperties", True)), schema.get("propertyNames")
    name_rule = None if names is None or not names.keys() - _NOTES else _acceptance(names)

    def accepts(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        if not low <= len(value) <= high or any(name not in value for name in required):
            return False
        for name, member in value.items():
            if name_rule is not None and not name_rule(name):
                return False
            rules = [known[name]] if name in known else []
            rules += [rule for search, rule in patterns if search(name)]
            if not all(rule(member) for rule in rules or (additional,)):
                return False
        return True

    return accepts


def _branches(schema: Any) -> Acceptance:
    every, some, one = ([_acceptance(each) for each in schema.get(name, ())] for name in ("allOf", "anyOf", "oneOf"))
    refused = _acceptance(schema.get("not", False))

    def accepts(value: Any) -> bool:
        return (
            all(rule(value) for rule in every)
            and (not some or any(rule(value) for rule in some))
            and (not one or sum(rule(value) for rule in one) == 1)
            and not refused(value)
        )

    return accepts


def _condition(schema: Any) -> Acceptance:
    test, then, other = _acceptance(schema.get("if", True)), schema.get("then", True), schema.get("else", True)
    first, second = _acceptance(then), _acceptance(other)
    return lambda value: first(value) if test(value) else second(value)


_MEMBERS = {"properties", "patternProperties", "additionalProperties"}

#: Keywords and the functions that they become, the quick ones first.
_RULES: list[tuple[frozenset[str], Callable[[Any], Acceptance]]] = [
    (frozenset({"type"}), _type),
    (frozenset({"enum", "const"}), _enum),
    (frozenset({"minLength", "maxLength", "pattern"}), _text),
    (frozenset({"minimum", "maximum", "exclusiveMinimum"}), _bounds),
    (frozenset({"minItems", "maxItems", "items"}), _list),
    (frozenset({"minProperties", "maxProperties", "required", "propertyNames"}) | _MEMBERS, _object),
    (frozenset({"allOf", "anyOf", "oneOf", "not"}), _branches),
    (frozenset({"if", "then", "else"}), _condition),
]
_KNOWN = frozenset[str]().union(*(names for names, _ in _RULES))
