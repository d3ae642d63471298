"""Filters of lists, read from a query string into conditions, and the fields that lists can be sorted by."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from neurdicom.dicom.query.attributes import AT_LEVEL, BY_FIELD, Kind, Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Condition, Like, Scalar, text_condition
from neurdicom.dicom.query.labels import LABELS, LONGEST_LABEL, is_label
from neurdicom.dicom.uids import is_uid
from neurdicom.errors import Invalid, shown
from neurdicom.schema.texts import is_blank

_IDS = {"patient": Level.PATIENT, "study": Level.STUDY, "series": Level.SERIES}
_INTEGER = re.compile(r"(-?\d+)(?:(-)(-?\d+)?)?\Z", re.ASCII)
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?\Z", re.ASCII)
_LAST_TIME = "235959.999999"
_INT64 = 1 << 63


def filter_fields(level: Level) -> tuple[str, ...]:
    """List the fields that a list at a level can be filtered by: its own attributes, those above, ids, labels and more.

    For studies `modality` is another name of `modalities`, since users ask for both.
    """
    above = [*level.above, level]
    fields = [attribute.field for each in above for attribute in AT_LEVEL[each] if attribute.filterable] + [
        name for name, of in _IDS.items() if of in level.above
    ]
    return (*fields, LABELS, "modalities", "modality") if level is Level.STUDY else (*fields, LABELS)


def sort_fields(level: Level) -> tuple[str, ...]:
    """List the fields that a list at a level can be sorted by."""
    return tuple(
        attribute.field for each in (*level.above, level) for attribute in AT_LEVEL[each] if attribute.filterable
    )


def parse_filters(level: Level, arguments: Mapping[str, str | Sequence[str]]) -> tuple[Condition, ...]:
    """Read the filters of a list request.

    Parameters
    ----------
    level : Level
        Level of the entities to list.
    arguments : Mapping[str, str or Sequence[str]]
        Field name to text, or to several texts where the argument was repeated (any of them may match). Arguments of
        paging are not among them.

    Returns
    -------
    tuple of Condition
        Conditions that must all hold.

    Notes
    -----
    Codes, UIDs, dates and integers take a list (`CT,MR`). Dates, times and integers take a range: `a-b`, `a-` and,
    but for integers, `-b`; a lone `-5` is the number. A time of less precision covers all that it begins. Text
    takes `*` and `?`; `*` alone is universal matching (PS3.4 C.2.2.2.3) and restricts nothing. `labels` takes a list of
    whole labels.

    Raises
    ------
    Invalid
        The field is unknown at this level or can't be filtered, or the value is not of its kind; `field` names it.
    """
    allowed = filter_fields(level)
    conditions = []
    for field, given in arguments.items():
        if field not in allowed:
            raise Invalid(_refusal(field, level), field=field)
        texts = [given] if isinstance(given, str) else list(given)
        if level is Level.STUDY and field == "modality":
            conditions += [_on_modalities(one) for one in _conditions(field, texts)]
        else:
            conditions += _conditions(field, texts)
    return tuple(conditions)


def _refusal(field: str, level: Level) -> str:
    attribute = BY_FIELD.get(field)
    if attribute is None:
        return f"unknown filter {field!r}; a list at this level takes {', '.join(filter_fields(level))}"
    if not attribute.filterable:
        return f"{field!r} can't be filtered by"
    return f"{field!r} describes the {attribute.level}, which is below the level of this list ({level})"


def _conditions(field: str, texts: list[str]) -> Sequence[Condition]:
    kind = BY_FIELD[field].kind if field in BY_FIELD else Kind.CODE if field == "modalities" else Kind.TEXT
    if any(map(is_blank, texts)):
        raise Invalid(f"the filter {field!r} is empty; leave it out to match everything", field=field)
    if field in BY_FIELD and kind in (Kind.TEXT, Kind.NAME):
        parts = [text.strip() for text in texts]
    else:
        parts = [part.strip() for text in texts for part in text.split(",") if not is_blank(part)]
    if not parts:
        raise Invalid(f"the filter {field!r} holds no value", field=field)
    if field == LABELS:
        return [_labels(parts)]
    if kind is Kind.UID and (bad := [part for part in parts if not is_uid(part)]):
        raise Invalid(f"{field!r} takes UIDs (digits and dots, no wildcards), not {bad[0]!r}", field=field)
    if kind is Kind.UID or field in _IDS:
        return [AnyOf(field, tuple(parts))]
    if kind in (Kind.CODE, Kind.TEXT, Kind.NAME):
        return _text(field, parts)
    read = {Kind.DATE: date_range, Kind.TIME: time_range, Kind.INTEGER: integer_range}[kind]
    ranges = [read(field, part) for part in parts]
    if len(ranges) == 1:
        low, high = ranges[0]
        return [AnyOf(field, (low,)) if low is not None and low == high else Between(field, low, high)]
    if any(low is None or low != high for low, high in ranges):
        raise Invalid(f"{field!r} takes one range or a list of single values, not several ranges", field=field)
    return [AnyOf(field, tuple(low for low, _ in ranges if low is not None))]


def _on_modalities(condition: Condition) -> Condition:
    return replace(condition, field="modalities") if isinstance(condition, AnyOf | Like) else condition


def _labels(parts: list[str]) -> AnyOf:
    if bad := [part for part in parts if not is_label(part)]:
        raise Invalid(
            f"{LABELS!r} takes labels of up to {LONGEST_LABEL} letters, digits, '_', '-' and '.', without wildcards, "
            f"not {shown(bad[0])}",
            field=LABELS,
        )
    return AnyOf(LABELS, tuple(parts))


def _text(field: str, parts: list[str]) -> Sequence[Condition]:
    wild = [part for part in parts if "*" in part or "?" in part]
    if any(not part.strip("*") for part in wild):
        return []
    if wild and len(parts) > 1:
        raise Invalid(
            f"{field!r} takes one pattern or a list of whole values, not a list with {wild[0]!r}", field=field
        )
    if field in BY_FIELD and BY_FIELD[field].kind is Kind.NAME:
        groups = [group.strip() for part in parts for group in part.split("=") if group.strip(" ^")]
        if len(parts) > 1:
            return [AnyOf(field, tuple(groups))]
        # Each of its component groups is one of the entity's.
        return [text_condition(field, group) for group in groups]
    return [Like(field, wild[0]) if wild else AnyOf(field, tuple(parts))]


def _split_range(text: str) -> tuple[str, str]:
    low, dash, high = text.partition("-")
    return (low.strip(), high.strip()) if dash else (low, low)


def date_range(field: str, text: str) -> tuple[Scalar | None, Scalar | None]:
    """Read a date or a range of dates; an open end is None. Raises `Invalid` that names the field."""
    low, high = _split_range(text)
    try:
        if not (low or high):
            raise ValueError(text)
        for end in filter(None, (low, high)):
            if len(end) != 8 or not (end.isascii() and end.isdigit()):
                raise ValueError(end)
            date.fromisoformat(end)
    except ValueError as error:
        raise Invalid(
            f"{field!r} takes a date (YYYYMMDD) or a range (20240101-20240131, 20240101-, -20240131), not {text!r}",
            field=field,
        ) from error
    return low or None, high or None


def time_range(field: str, text: str) -> tuple[Scalar | None, Scalar | None]:
    """Read a time of day or a range of them; a time of less precision covers every time that begins with it."""
    low, high = _split_range(text)
    if not (low or high) or not all(_TIME.match(end) for end in (low, high) if end):
        raise Invalid(f"{field!r} takes a time (HHMMSS.FFFFFF or its beginning) or a range, not {text!r}", field=field)
    # Stored times may stop early ("1015") or run on ("101500.000000"): the range must hold all that begin so.
    if "." in low:
        low = low.rstrip("0").rstrip(".")
    while low.endswith("00") and "." not in low:
        low = low[:-2]
    if high:
        high += _LAST_TIME[len(high) :] if "." not in high else "9" * (len(_LAST_TIME) - len(high))
    return low or None, high or None


def integer_range(field: str, text: str) -> tuple[Scalar | None, Scalar | None]:
    """Read an integer or a range of integers. Raises `Invalid` that names the field."""
    match = _INTEGER.match(text)
    if match is None:
        raise Invalid(f"{field!r} takes an integer or a range (1-20, 5-), not {text!r}", field=field)
    low = int(match[1])
    high = (int(match[3]) if match[3] else None) if match[2] else low
    if not -_INT64 <= low < _INT64 or (high is not None and not -_INT64 <= high < _INT64):
        raise Invalid(f"{field!r} takes integers of at most 64 bits, not {text!r}", field=field)
    return low, high
