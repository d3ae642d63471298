"""Conditions of attribute matching (PS3.4 C.2.2.2), for C-FIND and the API's filters, and their evaluation.

Catalog adapters translate conditions into their backend's language; `matches` is the reference they must agree with.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from neurdicom.dicom.query.attributes import BY_FIELD, Kind, Level
from neurdicom.dicom.query.folding import name_key, name_patterns, search_key, word_key, words

Scalar = str | int | float
Value = Scalar | list[Scalar] | None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Condition that a field has one of several values; the case of text is ignored."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """Condition that a field matches a pattern of `*` and `?` (PS3.4 C.2.2.2.4); case is ignored.

    In a person name the pattern is one component group, without components that may be left out (`text_condition`).
    """

    field: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Between:
    """Condition that a field lies in a range (PS3.4 C.2.2.2.5), ends included; an end of None is open."""

    field: str
    low: Scalar | None
    high: Scalar | None


@dataclass(frozen=True, slots=True)
class Word:
    """Condition that a word of a person name, in any component group, matches a pattern; accents are ignored too."""

    field: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Moment:
    """Condition that a date and its time of day lie in one range (PS3.4 C.2.2.2.5.1).

    A date without a time lies in the range if any time of that day does; so do the dates of a study's or series' other
    files, whose times are not looked at.

    Attributes
    ----------
    field, time : str
        Fields of the date and of the time, both of one level.
    low, high : tuple of (str, str) or None
        Date and time of the ends, which are included; None is open.
    """

    field: str
    time: str
    low: tuple[str, str] | None
    high: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Either:
    """Condition that any of several conditions on the same field holds."""

    conditions: "tuple[Simple, ...]"

    @property
    def field(self) -> str:
        """The field that all of the conditions are on."""
        return self.conditions[0].field


@dataclass(frozen=True, slots=True)
class Contains:
    """Condition that an entity contains one of a level below that meets several conditions.

    Attributes
    ----------
    level : Level
        Level below that of the query.
    conditions : tuple of Condition
        Conditions on fields of levels below that of the query, at least one.
    """

    level: Level
    conditions: "tuple[Condition, ...]"

    @property
    def field(self) -> str:
        """The field of the first condition."""
        return self.conditions[0].field


#: Conditions on the values of one field.
Simple = AnyOf | Like | Between | Word
Condition = Simple | Moment | Either | Contains


@dataclass(frozen=True, slots=True)
class Query:
    """Query for a page of the entities at one level.

    Attributes
    ----------
    level : Level
        Level of the entities to list.
    conditions : tuple of Condition
        Conditions that must all hold, each by itself. Their fields are attributes of this level or of one above;
        `modalities` and `sop_classes` of the study, at its level and below, which hold if anything in the study is
        found by a value; `labels` (`AnyOf` only), which holds if the entity itself has one of them (`catalog.labels`);
        `Contains`, on levels below;
        and `patient`, `study`, `series`, `instance` (`AnyOf` only), which take keys, of now or of
        before, and UIDs, with all that they name. An attribute of a study or series is compared with the value that is
        shown and with those of its other files. Demographics are those of the study; a patient is found where any of
        its studies is, by each condition.
    sort : tuple of (str, bool)
        Field, and True for descending order, by the values that are shown; demographics are those of the study. Ties,
        and an empty sort, are ordered by the id that is shown, so that pages are stable. Missing values come first in
        ascending order.
    limit, offset : int
        Entities on the page and entities before it. A limit of None means all.
    after : str, optional
        Lists only entities with a greater id: pages by id cost the same wherever they are. Not with `sort`.
    past : tuple, optional
        Lists only what comes after these values of the fields of `sort`, which are attributes of the level, and the id
        at the end: pages cost the same wherever they are. With `sort`, and without `offset`.
    counted : bool
        True to report the exact total, which takes time proportional to it.
    """

    level: Level
    conditions: tuple[Condition, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()
    limit: int | None = 100
    offset: int = 0
    after: str | None = None
    counted: bool = True
    past: tuple[Scalar | None, ...] | None = None


def search_keys(field: str, value: Value) -> list[str]:
    """Fold every value of a text field; a person name makes one key for each component group (PS3.5 6.2.1)."""
    if value is None:
        return []
    texts = [str(item) for item in (value if isinstance(value, list) else [value])]
    if kind_of(field) is Kind.NAME:
        texts = [group for text in texts for group in text.split("=")]
    return [key for text in texts if (key := folded(field, text))]


def folded(field: str, text: str) -> str:
    """Fold a value or pattern of a text field; in a person name it is one component group."""
    return name_key(text) if kind_of(field) is Kind.NAME else search_key(text)


def word_keys(value: Value) -> list[str]:
    """Fold the words of person names."""
    texts = [] if value is None else [str(item) for item in (value if isinstance(value, list) else [value])]
    return [key for text in texts for key in map(word_key, words(text)) if key]


def text_condition(field: str, text: str) -> AnyOf | Like | Either:
    """Make the condition that a text field, or a component group of a person name, matches a value or a pattern.

    Trailing components of a name may be left out (PS3.5 6.2.1), so `DOE^*` finds `DOE` too.
    """
    if "*" not in text and "?" not in text:
        return AnyOf(field, (text,))
    if kind_of(field) is not Kind.NAME:
        return Like(field, text)
    whole, *others = name_patterns(text)
    return Either((Like(field, whole), *(Like(field, each) for each in others))) if others else Like(field, text)


def folded_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a folded wildcard pattern, to be matched against folded keys."""
    return re.compile(regex_of(pattern, any_character="."), re.DOTALL)


def regex_of(pattern: str, *, any_character: str) -> str:
    """Write a folded wildcard pattern as a regular expression for the whole of a text.

    Parameters
    ----------
    pattern : str
        The folded pattern.
    any_character : str
        Expression for one character, in the dialect of the backend.

    Notes
    -----
    Matching takes time proportional to the lengths of both: a part between two stars is matched where it first occurs,
    without backtracking.
    """
    first, *others = re.split(r"\*+", pattern)
    parts = [_literally(first, any_character)]
    if others:
        *middle, last = others
        parts += [f"(?>{any_character}*?{_literally(part, any_character)})" for part in middle]
        parts.append(f"{any_character}*{_literally(last, any_character)}")
    return rf"\A{''.join(parts)}\Z"


def _literally(part: str, any_character: str) -> str:
    return "".join(any_character if char == "?" else re.escape(char) for char in part)


def kind_of(field: str) -> Kind:
    """Look up the kind of a field: `modalities` are codes, `sop_classes` and ids are UIDs."""
    if field in BY_FIELD:
        return BY_FIELD[field].kind
    return Kind.CODE if field == "modalities" else Kind.UID


def matches(condition: Condition, entity: Mapping[str, Value]) -> bool:
    """Tell whether an entity, with the attributes of its level and all above, meets a condition."""
    if isinstance(condition, Either):
        return any(matches(each, entity) for each in condition.conditions)
    if isinstance(condition, Moment):
        return _within_moments(entity.get(condition.field), entity.get(condition.time), condition)
    if isinstance(condition, Contains):
        raise TypeError("what an entity contains is not among its attributes")
    value = entity.get(condition.field)
    if isinstance(condition, Word):
        regex = folded_pattern(word_key(condition.pattern))
        return any(regex.match(key) for key in word_keys(value))
    values = value if isinstance(value, list) else [] if value is None else [value]
    kind = kind_of(condition.field)
    if isinstance(condition, Between):
        return any(_within(item, condition) for item in values)
    if isinstance(condition, Like):
        regex = folded_pattern(folded(condition.field, condition.pattern))
        return any(regex.match(key) for key in search_keys(condition.field, value))
    if kind in (Kind.CODE, Kind.TEXT, Kind.NAME):
        wanted = {folded(condition.field, str(item)) for item in condition.values}
        return not wanted.isdisjoint(search_keys(condition.field, value))
    return any(item in condition.values for item in values)


def _within(item: Scalar, condition: Between) -> bool:
    low, high = condition.low, condition.high
    return (low is None or item >= low) and (high is None or item <= high)  # type: ignore[operator]


def _within_moments(date: Value, time: Value, condition: Moment) -> bool:
    if date is None:
        return False
    day, low, high = str(date), condition.low, condition.high
    if low and (day < low[0] or (day == low[0] and time is not None and str(time) < low[1])):
        return False
    return not (high and (day > high[0] or (day == high[0] and time is not None and str(time) > high[1])))


def sort_key(field: str, value: Value) -> Scalar | None:
    """Return the value that a list is sorted by: the first one, folded if it is text; None sorts as missing."""
    if kind_of(field) in (Kind.CODE, Kind.TEXT, Kind.NAME):
        keys = search_keys(field, value)
        return keys[0] if keys else None
    if isinstance(value, list):
        return value[0] if value else None
    return value
