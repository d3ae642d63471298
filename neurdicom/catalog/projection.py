"""Projection of an entity's attributes, shared by both adapters: search keys, sort keys, and the returned entity."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson

from neurdicom.catalog.records import Entity
from neurdicom.catalog.shown import carried
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import (
    UID_KEYWORD,
    Attribute,
    Kind,
    Level,
    snake_case,
)
from neurdicom.dicom.query.conditions import (
    Scalar,
    Value,
    search_keys,
    sort_key,
    word_keys,
)

INT64 = range(-(2**63), 2**63)
_BLANK: dict[Level, dict[str, Any]] = {
    level: {attribute.field: None for attribute in carried(level)} for level in Level
}


@cache
def uid_field(level: Level) -> str | None:
    """Name the field that always equals the entity's UID; a patient has none."""
    keyword = UID_KEYWORD.get(level)
    return snake_case(keyword) if keyword else None


def has_many_keys(attribute: Attribute) -> bool:
    """Tell whether an entity can have several search keys of an attribute, which need rows of their own."""
    return attribute.many or attribute.kind is Kind.NAME


def key_fields(attribute: Attribute) -> tuple[str, ...]:
    """Name the sets of search keys of an attribute: the whole values, and the words of a person name."""
    if attribute.kind is Kind.NAME:
        return attribute.field, words_of(attribute.field)
    return (attribute.field,) if attribute.many else ()


def words_of(field: str) -> str:
    """Name the set of search keys that are the words of a person name."""
    return f"{field}_words"


@cache
def indexed(level: Level) -> tuple[Attribute, ...]:
    """List the filterable attributes that an entity of a level shows, without the one that equals its UID."""
    own_id = uid_field(level)
    return tuple(a for a in carried(level) if a.filterable and a.field != own_id)


@cache
def _indexed_fields(level: Level) -> tuple[str, ...]:
    return tuple(attribute.field for attribute in indexed(level))


@cache
def _with_many_keys(level: Level) -> tuple[Attribute, ...]:
    return tuple(attribute for attribute in indexed(level) if has_many_keys(attribute))


def sort_value(field: str, value: Value) -> Scalar | None:
    """Compute the `sort_key` within what the backends can store: 64-bit integers, well-formed text."""
    key = sort_key(field, value)
    if isinstance(key, str):
        return clean(key)
    if isinstance(key, int) and key not in INT64:
        return None
    return key


def clean(text: str) -> str:
    """Replace characters that UTF-8 can't encode (lone surrogates)."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def sort_values(level: Level, attributes: Mapping[str, Value]) -> list[Scalar | None]:
    """Compute the sort keys of all indexed attributes of a level, in the order of `indexed`."""
    return [
        None if (value := attributes.get(field)) is None else sort_value(field, value)
        for field in _indexed_fields(level)
    ]


def many_keys(
    level: Level, attributes: Mapping[str, Value], others: Mapping[str, Sequence[Value]] | None = None
) -> list[tuple[str, str]]:
    """List (field, folded key) for every value, name group and word of the attributes that have several keys.

    Parameters
    ----------
    level : Level
        Level of the entity.
    attributes : Mapping[str, Value]
        Shown values of its attributes.
    others : Mapping, optional
        Further values by which it is found (`catalog.shown.ShownAttributes.others`).
    """
    keys = []
    for attribute in _with_many_keys(level):
        values = [attributes.get(attribute.field)]
        if others:
            values += others.get(attribute.field, ())
        for value in values:
            if value is None:
                continue
            keys += [(attribute.field, clean(key)) for key in dict.fromkeys(search_keys(attribute.field, value))]
            if attribute.kind is Kind.NAME:
                words = words_of(attribute.field)
                keys += [(words, clean(key)) for key in dict.fromkeys(word_keys(value))]
    return keys


def other_keys(level: Level, others: Mapping[str, Sequence[Value]]) -> list[tuple[str, Scalar]]:
    """List (field, key) for every further value by which an entity is found; keys are folded as `sort_value` does.

    Parameters
    ----------
    level : Level
        Level of the entity.
    others : Mapping
        Further values (`catalog.shown.ShownAttributes.others`).
    """
    keys: list[tuple[str, Scalar]] = []
    for attribute in indexed(level):
        for value in others.get(attribute.field, ()):
            if attribute.kind in (Kind.CODE, Kind.TEXT, Kind.NAME):
                keys += [(attribute.field, clean(key)) for key in search_keys(attribute.field, value)]
            elif (key := sort_value(attribute.field, value)) is not None:
                keys.append((attribute.field, key))
    return list(dict.fromkeys(keys))


def to_json(value: Any) -> bytes:
    """Write JSON; characters that UTF-8 can't encode are replaced, not refused."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_cleaned(value))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    if isinstance(value, int) and value not in INT64:
        return float(value)
    return value


def assemble(level: Level, attributes: bytes | str, ids: Mapping[str, str], members: Mapping[str, Any]) -> Entity:
    """Make an entity, in the form of the archive port.

    Parameters
    ----------
    level : Level
        Level of the entity.
    attributes : bytes or str
        Its stored attributes as JSON; its UID is taken from its id.
    ids : Mapping[str, str]
        `id`, `key` and the ids above.
    members : Mapping[str, Any]
        Counts and the other members that are not attributes.
    """
    entity = {**ids, **_BLANK[level], **orjson.loads(attributes), **members}
    if level is not Level.PATIENT:
        entity[uid_field(level)] = uid_of(ids["id"])
    return entity
