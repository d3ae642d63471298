"""The indexed attributes of a dataset, read from its DICOM JSON model."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from neurdicom.dicom.codec.dictionary import tag_of
from neurdicom.dicom.codec.json_model import name_text
from neurdicom.dicom.query.attributes import ATTRIBUTES, Kind
from neurdicom.dicom.query.conditions import Scalar, Value

_OLD_DATE = re.compile(r"(\d{4})[.:](\d\d)[.:](\d\d)\Z", re.ASCII)
_TIME = re.compile(r"(\d\d):?(\d\d)?:?(\d\d)?(\.\d{1,6})?\d*\Z", re.ASCII)


def attributes_of(dataset: Mapping[str, Any]) -> dict[str, Value]:
    """Read every attribute of `dicom.query.attributes` from a dataset in the DICOM JSON model.

    Returns
    -------
    dict[str, Value]
        Field name to value; None where the attribute is absent, empty, or not of its kind. Person names are text
        in their DICOM form (`Alphabetic=Ideographic=Phonetic`), dates `YYYYMMDD`, also where the file has the old
        form with dots, times `HHMMSS.FFFFFF` without colons. Several values of a text that has one are joined by
        backslashes; of other kinds the first counts.
    """
    out: dict[str, Value] = dict.fromkeys(_FIELDS)
    for key in _READERS.keys() & dataset.keys():
        values = dataset[key].get("Value")
        # No list but a fragment: a sequence, where the file has a wrong VR.
        if values and isinstance(values, list):
            field, many, read = _READERS[key]
            if many:
                out[field] = [value for item in values if (value := read(item)) is not None] or None
            elif len(values) > 1 and read is _text:
                out[field] = "\\".join("" if item is None else str(item) for item in values)
            else:
                out[field] = read(values[0])
    return out


def _integer(item: Any) -> int | None:
    return item if isinstance(item, int) else None


def _number(item: Any) -> float | None:
    return item if isinstance(item, int | float) else None


def _text(item: Any) -> str | None:
    return str(item) or None if item is not None and not isinstance(item, dict) else _name(item)


def _code(item: Any) -> str | None:
    return _text(item)


def _name(item: Any) -> str | None:
    return name_text(item) or None


def _date(item: Any) -> str | None:
    text = str(item)
    if match := _OLD_DATE.match(text):
        text = "".join(match.groups())
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return None
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
    return text


def _time(item: Any) -> str | None:
    match = _TIME.match(str(item))
    return "".join(part or "" for part in match.groups()) if match else None


_KINDS: dict[Kind, Callable[[Any], Scalar | None]] = {
    Kind.UID: _code,
    Kind.CODE: _code,
    Kind.TEXT: _text,
    Kind.NAME: _name,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
}
_FIELDS = tuple(attribute.field for attribute in ATTRIBUTES)
_READERS = {tag_of(each.keyword): (each.field, each.many, _KINDS[each.kind]) for each in ATTRIBUTES}
