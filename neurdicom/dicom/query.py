"""Attribute matching as C-FIND and the API's filters understand it (PS3.4 C.2.2.2), as pure functions.

The adapters translate conditions into their backend's own; `matches` is the reference that they must agree with.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from neurdicom.dicom.attributes import BY_FIELD, Kind, Level

Scalar = str | int | float
Value = Scalar | list[Scalar] | None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these values; text without regard to case."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """`*` stands for any characters, `?` for one (PS3.4 C.2.2.2.4); without regard to case."""

    field: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Between:
    """Range matching, both ends included, either open (None)."""

    field: str
    low: Scalar | None
    high: Scalar | None


Condition = AnyOf | Like | Between


@dataclass(frozen=True, slots=True)
class Query:
    """A page of the entities at one level.

    Attributes
    ----------
    level : Level
        What is listed.
    conditions : tuple of Condition
        All must hold. A field is an attribute of this level or of one above; `modalities` is valid for a study
        and means that one of its series has the modality; so are the ids `patient`, `study`, `series`
        (`AnyOf` only).
    sort : tuple of (str, bool)
        Field and whether it descends. Ties, and an empty sort, are ordered by id, so that pages are stable.
        Missing values come first in ascending order.
    limit, offset : int
        The page. A limit of None means all.
    """

    level: Level
    conditions: tuple[Condition, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()
    limit: int | None = 100
    offset: int = 0


def search_key(text: str) -> str:
    """Fold text for comparison: compatibility forms, case and outer spaces do not count."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def search_keys(field: str, value: Value) -> list[str]:
    """Fold every value of a text field; a person name gives one key for each component group (PS3.5 6.2.1)."""
    if value is None:
        return []
    texts = [str(item) for item in (value if isinstance(value, list) else [value])]
    if kind_of(field) is Kind.NAME:
        texts = [group for text in texts for group in text.split("=")]
    return [key for key in map(search_key, texts) if key]


def like_to_regex(pattern: str) -> re.Pattern[str]:
    """Compile a DICOM wildcard pattern, to be matched against folded keys."""
    folded = search_key(pattern)
    body = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in folded)
    return re.compile(body + r"\Z", re.DOTALL)


def kind_of(field: str) -> Kind:
    """How a field is compared; ids and `modalities` count as codes and UIDs."""
    if field in BY_FIELD:
        return BY_FIELD[field].kind
    return Kind.CODE if field == "modalities" else Kind.UID


def matches(condition: Condition, entity: Mapping[str, Value]) -> bool:
    """Tell whether an entity, with the attributes of its level and all above, meets a condition."""
    value = entity.get(condition.field)
    values = value if isinstance(value, list) else [] if value is None else [value]
    kind = kind_of(condition.field)
    if isinstance(condition, Between):
        return any(_within(item, condition) for item in values)
    if isinstance(condition, Like):
        regex = like_to_regex(condition.pattern)
        return any(regex.match(key) for key in search_keys(condition.field, value))
    if kind in (Kind.CODE, Kind.TEXT, Kind.NAME):
        wanted = {search_key(str(item)) for item in condition.values}
        return not wanted.isdisjoint(search_keys(condition.field, value))
    return any(item in condition.values for item in values)


def _within(item: Scalar, condition: Between) -> bool:
    low, high = condition.low, condition.high
    return (low is None or item >= low) and (high is None or item <= high)  # type: ignore[operator]


def sort_key(field: str, value: Value) -> Scalar | None:
    """Give what a list is sorted by: the first value, text folded; None sorts as missing."""
    if kind_of(field) in (Kind.CODE, Kind.TEXT, Kind.NAME):
        keys = search_keys(field, value)
        return keys[0] if keys else None
    if isinstance(value, list):
        return value[0] if value else None
    return value
