"""JSON schemas of the values that an edit may give an attribute, as its value representation has them (PS3.5 6.2)."""

from typing import Any

from pydicom.datadict import dictionary_VR

from neurdicom.dicom.query.attributes import AT_LEVEL, Attribute, Level
from neurdicom.dicom.query.filter_schemas import DATE, TIME
from neurdicom.schema.texts import BLANKS

#: Longest value in characters; a person name's is that of one component group.
LONGEST = {"AS": 4, "CS": 16, "LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024}

#: Enumerated values of PS3.3: no others are allowed.
ENUMERATED = {"PatientSex": ("F", "M", "O"), "Laterality": ("L", "R")}

#: Type 1 attributes: never empty.
NEVER_EMPTY = frozenset({"Modality"})

#: Value representations of text with line breaks, where a backslash separates nothing.
PARAGRAPHS = frozenset({"LT", "ST", "UT"})

#: Groups of components of a person name, and components of a group.
_GROUPS, _COMPONENTS = 3, 5
_MOST_VALUES = 1000

_TEXT = r"[^\x00-\x1f\x7f-\x9f\\]*"
_COMPONENT = r"[^\x00-\x1f\x7f-\x9f\\^=]*"
_GROUP = rf"{_COMPONENT}(\^{_COMPONENT}){{0,{_COMPONENTS - 1}}}"

#: Text of a value; spaces around it do not count, and nothing but these empties it.
_FORM_OF_VR = {
    # No group is too long.
    "PN": rf"(?!(.*=)?[^=]{{65}}){_GROUP}(={_GROUP}){{0,{_GROUPS - 1}}}",
    "DA": rf" *({DATE} *)?",
    "TM": rf" *({TIME} *)?",
    "AS": r" *([0-9]{3}[DWMY] *)?",
    "CS": r"[A-Z0-9_ ]*",
    **dict.fromkeys(PARAGRAPHS, r"[^\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]*"),
}
_EXPECTED_OF_VR = {
    "AS": "an age as three digits and D, W, M or Y, such as 042Y",
    "CS": "upper-case letters, digits, spaces and underscores, at most 16",
    "DA": "a date as YYYYMMDD",
    "DS": "a finite number",
    "IS": "an integer from -2147483648 to 2147483647",
    "PN": "a name of at most 3 groups ('=') of at most 5 components ('^') and 64 characters, without control "
    "characters and backslash",
    "TM": "a time as HHMMSS.FFFFFF, from the hour on",
}
_LINE = "text without control characters and backslash"
_LINES = "text without control characters other than line breaks and tabs"


def changes_schema(level: Level) -> dict[str, Any]:
    """Make the schema of an edit: some of the level's editable attributes."""
    editable = [attribute for attribute in AT_LEVEL[level] if attribute.editable]
    return {
        "type": "object",
        "properties": {attribute.field: change_schema(attribute) for attribute in editable},
        "additionalProperties": False,
        "minProperties": 1,
    }


def change_schema(attribute: Attribute) -> dict[str, Any]:
    """Make the schema of a new value of an attribute; null or nothing empties it."""
    one = _value_schema(attribute)
    expected = _expected(attribute)
    if attribute.keyword in NEVER_EMPTY:
        return {**_filled(one), "description": f"{expected}; never empty."}
    if not attribute.many:
        return {"description": f"{expected}; null empties it.", "anyOf": [one, {"type": "null"}]}
    nothing: dict[str, Any] = {"enum": [None, ""]} if one["type"] == "string" else {"type": "null"}
    several = {"type": "array", "maxItems": _MOST_VALUES, "items": _filled(one)}
    return {
        "description": f"{expected}; or a list of such, with no empty value among others; null empties it.",
        "anyOf": [one, several, {"type": "array", "maxItems": 1, "items": nothing}, {"type": "null"}],
    }


def _filled(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out texts of blanks alone, which empty an attribute."""
    if "pattern" not in schema:
        return schema
    return {**schema, "pattern": schema["pattern"].replace("^", rf"^(?=[\s\S]*[^{BLANKS}])", 1)}


def _value_schema(attribute: Attribute) -> dict[str, Any]:
    vr = dictionary_VR(attribute.keyword)
    if vr == "IS":
        return {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
    if vr == "DS":
        low = {"exclusiveMinimum": 0} if attribute.keyword == "WindowWidth" else {"minimum": -1e300}
        return {"type": "number", **low, "maximum": 1e300, "description": _expected(attribute)}
    form = _FORM_OF_VR.get(vr, _TEXT)
    if attribute.keyword in ENUMERATED:
        form = f" *(({'|'.join(ENUMERATED[attribute.keyword])}) *)?"
    longest = _GROUPS * LONGEST["PN"] + _GROUPS - 1 if vr == "PN" else LONGEST.get(vr)
    schema: dict[str, Any] = {"type": "string", "pattern": f"^({form})$"}
    return schema if longest is None else {**schema, "maxLength": longest}


def _expected(attribute: Attribute) -> str:
    """Describe a value."""
    vr = dictionary_VR(attribute.keyword)
    if attribute.keyword in ENUMERATED:
        text = f"one of {', '.join(ENUMERATED[attribute.keyword])}"
    elif attribute.keyword == "WindowWidth":
        text = "a number above 0"
    elif vr in _EXPECTED_OF_VR:
        text = _EXPECTED_OF_VR[vr]
    else:
        text = _LINES if vr in PARAGRAPHS else _LINE
        text += f", at most {LONGEST[vr]} characters" if vr in LONGEST else ""
    return text[0].upper() + text[1:]
