"""JSON schemas of the four resources, made from the table of indexed attributes."""

from typing import Any

from pydicom.datadict import dictionary_VR

from neurdicom.dicom.edits.values import ENUMERATED, LONGEST, NEVER_EMPTY
from neurdicom.dicom.query.attributes import AT_LEVEL, COUNTS, Attribute, Kind, Level
from neurdicom.http.parameters import BLANKS
from neurdicom.web.filters import DATE, TIME

_TYPE = {Kind.INTEGER: "integer", Kind.NUMBER: "number"}

#: Fields of one level that are no attributes.
_EXTRA: dict[Level, dict[str, Any]] = {
    Level.SERIES: {
        "is_stable": {
            "type": "boolean",
            "description": "No instance came to this server for a while (`stable_seconds`); given of one series, not "
            "in lists.",
        }
    },
    Level.STUDY: {"modalities": {"type": "array", "items": {"type": "string"}}},
    Level.INSTANCE: {
        "size": {"type": "integer", "description": "Bytes of the file as received."},
        "sha256": {"type": "string", "description": "Of the file as received, in hexadecimal."},
        "received": {"type": "string", "format": "date-time"},
    },
}

_CHARACTER = r"[^\x00-\x1f\x7f-\x9f\\]"
_TEXT = f"{_CHARACTER}*"
_COMPONENT = r"[^\x00-\x1f\x7f-\x9f\\^=]*"
_GROUP = rf"{_COMPONENT}(\^{_COMPONENT}){{0,4}}"
_PARAGRAPHS = r"[^\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]*"

#: Text of a value, without a group of a name that is too long.
_TEXT_OF_VR = {
    "PN": rf"(?!(.*=)?[^=]{{65}}){_GROUP}(={_GROUP}){{0,2}}",
    "DA": rf"({DATE})?",
    "TM": rf"({TIME})?",
    "AS": r"(\d{3}[DWMY])?",
    "CS": r"[A-Z0-9_ ]*",
    **dict.fromkeys(("LT", "ST", "UT"), _PARAGRAPHS),
}

#: What was changed, by whom and when.
EDITS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["field", "value", "user", "time"],
        "properties": {
            "field": {"type": "string"},
            "value": {"description": "As in the entity; null where the attribute was emptied."},
            "user": {"type": "string", "description": "E-mail address."},
            "time": {"type": "string", "format": "date-time"},
        },
    },
}


def entity_schema(level: Level) -> dict[str, Any]:
    """Make the schema of an entity as it is answered: null where an attribute is absent or empty."""
    shown = (Level.PATIENT, Level.STUDY) if level is Level.STUDY else (level,)
    attributes = [attribute for each in shown for attribute in AT_LEVEL[each]]
    properties: dict[str, Any] = {"id": {"type": "string"}}
    properties |= {above.value: {"type": "string"} for above in level.above}
    properties |= {attribute.field: _schema_of(attribute) for attribute in attributes}
    properties |= {count: {"type": "integer", "minimum": 0} for count in COUNTS[level]}
    properties |= _EXTRA.get(level, {})
    return {"type": "object", "properties": properties, "required": ["id", *(a.value for a in level.above)]}


def changes_schema(level: Level) -> dict[str, Any]:
    """Make the schema of an edit: some of the level's editable attributes."""
    editable = [attribute for attribute in AT_LEVEL[level] if attribute.editable]
    return {
        "type": "object",
        "properties": {attribute.field: _change_schema(attribute) for attribute in editable},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _change_schema(attribute: Attribute) -> dict[str, Any]:
    """Make the schema of a new value, as its value representation has it (PS3.5 6.2); null or nothing empties it."""
    one = _value_schema(attribute)
    if attribute.keyword in NEVER_EMPTY:
        return _filled(one)
    if attribute.many:
        return {"anyOf": [one, {"type": "array", "items": _filled(one)}, {"type": "null"}]}
    return {"anyOf": [one, {"type": "null"}]}


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
        return {"type": "number", **low, "maximum": 1e300}
    if attribute.keyword in ENUMERATED:
        return {"enum": [*ENUMERATED[attribute.keyword], ""]}
    schema = {"type": "string", "pattern": f"^({_TEXT_OF_VR.get(vr, _TEXT)})$"}
    return {**schema, "maxLength": LONGEST[vr]} if vr in LONGEST and vr != "PN" else schema


def json_answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Make an OpenAPI response object with a JSON body."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def page_answer(level: Level) -> dict[str, Any]:
    """Make an OpenAPI response object for a page of entities."""
    answer = json_answer("A page.", {"type": "array", "items": entity_schema(level)})
    answer["headers"] = {
        "X-Total-Count": {"description": "How many there are in all.", "schema": {"type": "integer"}},
        "Link": {"description": '`rel="next"`, unless this is the last page.', "schema": {"type": "string"}},
    }
    return answer


def _schema_of(attribute: Attribute) -> dict[str, Any]:
    kind = _TYPE.get(attribute.kind, "string")
    if attribute.many:
        return {"type": ["array", "null"], "items": {"type": kind}}
    return {"type": [kind, "null"]}
