"""Checks of the values that an edit gives to attributes, by their value representation (PS3.5 6.2)."""

import datetime
import re
from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.valuerep import format_number_as_ds

from neurdicom.dicom.query.attributes import AT_LEVEL, BY_FIELD, Attribute, Level
from neurdicom.dicom.query.conditions import Scalar, Value
from neurdicom.errors import Invalid

#: Longest value in characters; a person name's is that of one component group.
LONGEST = {"AS": 4, "CS": 16, "LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024}

#: Enumerated values of PS3.3: no others are allowed.
ENUMERATED = {"PatientSex": ("F", "M", "O"), "Laterality": ("L", "R")}

#: Type 1 attributes: never empty.
NEVER_EMPTY = frozenset({"Modality"})

#: Characters that a value must not contain: C0 and C1 controls, and those that UTF-8 can't encode.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FORBIDDEN_IN_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d((60|[0-5]\d)(\.\d{1,6})?)?)?", re.ASCII)
_AGE = re.compile(r"\d{3}[DWMY]", re.ASCII)
_CODE = re.compile(r"[A-Z0-9_ ]+")
_MOST_VALUES = 1000


def check_changes(level: Level, changes: Mapping[str, Any]) -> dict[str, Value]:
    """Check an edit of one entity field by field, and give the values as the catalog keeps them.

    Parameters
    ----------
    level : Level
        The level that is edited.
    changes : Mapping[str, Any]
        Field name to new value, as JSON gave them. None, an empty text and an empty list empty the attribute.

    Raises
    ------
    Invalid
        Naming the first field that is unknown, of another level, not editable, or has a wrong value.
    """
    if not changes:
        raise Invalid(f"nothing is to be changed; give some of {', '.join(editable_fields(level))}")
    return {field: check_value(_editable(level, field), value) for field, value in changes.items()}


def editable_fields(level: Level) -> list[str]:
    """Names of the fields that an edit of this level may hold."""
    return [attribute.field for attribute in AT_LEVEL[level] if attribute.editable]


def check_value(attribute: Attribute, value: Any) -> Value:
    """Check a new value of an attribute, and give it as the catalog keeps it. Raises `Invalid`."""
    if attribute.many:
        items = value if isinstance(value, list) else [] if value is None else [value]
        if len(items) > _MOST_VALUES:
            raise _wrong(attribute, f"has {len(items)} values", f"at most {_MOST_VALUES}")
        checked = [_check_item(attribute, item) for item in items]
        empty = not checked or checked == [None]
        result: Value = None if empty else [item for item in checked if item is not None]
        if not empty and None in checked:
            raise _wrong(attribute, "has an empty value among others", "no empty one")
    elif isinstance(value, list):
        raise _wrong(attribute, "is a list", "one value")
    else:
        result = _check_item(attribute, value)
    if result is None and attribute.keyword in NEVER_EMPTY:
        raise _wrong(attribute, "is empty", "a value")
    return result


def _editable(level: Level, field: str) -> Attribute:
    attribute = BY_FIELD.get(field)
    if attribute is None:
        raise Invalid(f"{field!r} is unknown; a {level} takes {', '.join(editable_fields(level))}", field=field)
    if attribute.level is not level:
        raise Invalid(f"{field!r} is an attribute of the {attribute.level}, not of the {level}", field=field)
    if not attribute.editable:
        raise Invalid(f"{field!r} identifies the {level} or describes its pixels and can't be changed", field=field)
    return attribute


def _check_item(attribute: Attribute, value: Any) -> Scalar | None:
    vr = dictionary_VR(attribute.keyword)
    if value is None:
        return None
    if vr == "IS":
        return _integer(attribute, value)
    if vr == "DS":
        return _decimal(attribute, value)
    if not isinstance(value, str):
        raise _wrong(attribute, f"is {value!r:.60}", "a text")
    return _text(attribute, vr, value)


def _integer(attribute: Attribute, value: Any) -> int:
    # A bool is an int to Python, not to JSON.
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise _wrong(attribute, f"is {value!r:.60}", "an integer from -2147483648 to 2147483647")
    return value


def _decimal(attribute: Attribute, value: Any) -> float:
    # Not NaN, not infinite, and not so close to it that rounding to 16 characters gets there.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 <= value <= 1e300:
        raise _wrong(attribute, f"is {value!r:.60}", "a finite number")
    if attribute.keyword == "WindowWidth" and value <= 0:
        raise _wrong(attribute, f"is {value!r}", "a number above 0")
    # A DS holds 16 characters: the value that the file can carry is the one that is kept.
    return float(format_number_as_ds(float(value)))


def _text(attribute: Attribute, vr: str, value: str) -> str | None:
    multiline = vr in {"LT", "ST", "UT"}
    bad = (_FORBIDDEN_IN_TEXT if multiline else _FORBIDDEN).search(value)
    if bad:
        raise _wrong(attribute, f"holds the character U+{ord(bad[0]):04X}", "text without control characters")
    if "\\" in value and not multiline:
        raise _wrong(attribute, "holds a backslash", "text without one (DICOM separates values with it)")
    text = value.rstrip() if multiline else value.strip()
    if not text:
        return None
    longest = max(map(len, text.split("="))) if vr == "PN" else len(text)
    if longest > LONGEST.get(vr, longest):
        raise _wrong(attribute, f"has {longest} characters", f"at most {LONGEST[vr]}")
    _check_form(attribute, vr, text)
    return text


def _check_form(attribute: Attribute, vr: str, text: str) -> None:
    if vr == "DA" and not _is_date(text):
        raise _wrong(attribute, f"is {text!r:.60}", "a date as YYYYMMDD")
    if vr == "TM" and not _TIME.fullmatch(text):
        raise _wrong(attribute, f"is {text!r:.60}", "a time as HHMMSS.FFFFFF, from the hour on")
    if vr == "AS" and not _AGE.fullmatch(text):
        raise _wrong(attribute, f"is {text!r}", "an age as three digits and D, W, M or Y, such as 042Y")
    if vr == "CS" and not _CODE.fullmatch(text):
        raise _wrong(attribute, f"is {text!r}", "upper-case letters, digits, spaces and underscores")
    if vr == "PN" and (text.count("=") > 2 or any(group.count("^") > 4 for group in text.split("="))):
        raise _wrong(attribute, f"is {text!r:.60}", "at most 3 groups ('=') of at most 5 components ('^')")
    allowed = ENUMERATED.get(attribute.keyword)
    if allowed and text not in allowed:
        raise _wrong(attribute, f"is {text!r}", f"one of {', '.join(allowed)}")


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"\d{8}", text, re.ASCII):
        return False
    try:
        datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def _wrong(attribute: Attribute, found: str, expected: str) -> Invalid:
    return Invalid(f"{attribute.field} {found}; it takes {expected}", field=attribute.field)
