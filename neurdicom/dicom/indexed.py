"""The indexed attributes of a dataset, read from its DICOM JSON model."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from neurdicom.dicom.attributes import ATTRIBUTES, Attribute, Kind
from neurdicom.dicom.dictionary import tag_of
from neurdicom.dicom.query import Scalar, Value

_KEYED = tuple((attribute.field, tag_of(attribute.keyword), attribute) for attribute in ATTRIBUTES)
_OLD_DATE = re.compile(r"(\d{4})[.:](\d\d)[.:](\d\d)\Z", re.ASCII)
_TIME = re.compile(r"(\d\d):?(\d\d)?:?(\d\d)?(\.\d{1,6})?\d*\Z", re.ASCII)


def attributes_of(dataset: Mapping[str, Any]) -> dict[str, Value]:
    """Read every attribute of `dicom.attributes` from a dataset in the DICOM JSON model.

    Returns
    -------
    dict[str, Value]
        Field name to value; None where the attribute is absent, empty, or not of its kind. Person names are text
        in their DICOM form (`Alphabetic=Ideographic=Phonetic`), dates `YYYYMMDD`, also where the file has the old
        form with dots, times `HHMMSS.FFFFFF` without colons.
    """
    return {
        field: _value(attribute, element) if (element := dataset.get(key)) is not None else None
        for field, key, attribute in _KEYED
    }


def _value(attribute: Attribute, element: Mapping[str, Any]) -> Value:
    given = element.get("Value")
    if not given or not isinstance(given, list):
        return None  # a sequence, where the file has a wrong VR
    kind = attribute.kind
    if attribute.many:
        return [value for item in given if (value := _scalar(kind, item)) is not None] or None
    if len(given) > 1 and kind is Kind.TEXT:
        return "\\".join("" if item is None else str(item) for item in given)
    return _scalar(kind, given[0])


def _scalar(kind: Kind, item: Any) -> Scalar | None:
    if kind is Kind.INTEGER:
        return item if isinstance(item, int) else None
    if kind is Kind.NUMBER:
        return item if isinstance(item, int | float) else None
    if isinstance(item, dict):
        groups = [item.get(group) or "" for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(map(str, groups)).rstrip("=") or None
    if item is None:
        return None
    text = str(item)
    if kind is Kind.DATE:
        return _date(text)
    return _time(text) if kind is Kind.TIME else text or None


def _date(text: str) -> str | None:
    if match := _OLD_DATE.match(text):
        text = "".join(match.groups())
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return None
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
    return text


def _time(text: str) -> str | None:
    match = _TIME.match(text)
    return "".join(part or "" for part in match.groups()) if match else None
