"""JSON schemas of patients, studies, series and instances, made from the table of indexed attributes."""

from typing import Any

from neurdicom.archive.selection import NAME_OF
from neurdicom.dicom.query.attributes import AT_LEVEL, COUNTS, Attribute, Kind, Level
from neurdicom.dicom.query.labels import LABELS

_TYPE = {Kind.INTEGER: "integer", Kind.NUMBER: "number"}

#: Fields of a level that are not DICOM attributes.
_EXTRA: dict[Level, dict[str, Any]] = {
    Level.SERIES: {
        "is_stable": {
            "type": "boolean",
            "description": "True if no instance of the series arrived for `stable_seconds`; returned for a single "
            "series, not in lists.",
        }
    },
    Level.STUDY: {"modalities": {"type": "array", "items": {"type": "string"}}},
    Level.INSTANCE: {
        "size": {"type": "integer", "description": "Size in bytes of the file as received."},
        "sha256": {"type": "string", "description": "SHA-256 of the file as received, in hexadecimal."},
        "received": {"type": "string", "format": "date-time"},
    },
}

#: Schema of the labels of an entity.
LABELS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Labels that users gave to it, sorted.",
}

_ID = {"type": "string", "description": "Its UID while that names no other, and its key otherwise; a patient's key."}
_KEY = {"type": "string", "description": "Id that always names it, and nothing else: `UID~` and eight digits."}

_VALUE = "in the same form as in the entity; null if the attribute was empty"

#: Schema of the edits of an entity.
EDITS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["edit", "field", "before", "after", "value", "user", "time"],
        "properties": {
            "edit": {"type": "string", "description": "Id of the edit, by which it is undone."},
            "field": {"type": "string"},
            "before": {
                "description": f"Value that was shown before, {_VALUE}, or if a version that did not keep it made the "
                "edit."
            },
            "after": {"description": f"New value, {_VALUE}."},
            "value": {"description": "The same as `after`."},
            "user": {"type": "string", "description": "E-mail address of the user who made the edit."},
            "time": {"type": "string", "format": "date-time"},
        },
    },
}


def entity_schema(level: Level) -> dict[str, Any]:
    """Make the schema of an entity as the API returns it: null where an attribute is absent or empty."""
    shown = (Level.PATIENT, Level.STUDY) if level is Level.STUDY else (level,)
    attributes = [attribute for each in shown for attribute in AT_LEVEL[each]]
    properties: dict[str, Any] = {"id": _ID, "key": _KEY}
    properties |= {above.value: {"type": "string", "description": f"Id of its {above}."} for above in level.above}
    properties |= {attribute.field: _schema_of(attribute) for attribute in attributes}
    properties |= {count: {"type": "integer", "minimum": 0} for count in COUNTS[level]}
    properties |= _EXTRA.get(level, {}) | {LABELS: LABELS_SCHEMA}
    return {"type": "object", "properties": properties, "required": ["id", "key", *(a.value for a in level.above)]}


def json_answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Make an OpenAPI response object with a JSON body."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def page_answer(level: Level) -> dict[str, Any]:
    """Make an OpenAPI response object for a page of entities."""
    answer = json_answer(f"A page of {NAME_OF[level]}.", {"type": "array", "items": entity_schema(level)})
    answer["headers"] = {
        "X-Total-Count": {"description": "Number of matches on all pages.", "schema": {"type": "integer"}},
        "Link": {
            "description": 'URL of the next page (`rel="next"`), unless this is the last page.',
            "schema": {"type": "string"},
        },
    }
    return answer


def _schema_of(attribute: Attribute) -> dict[str, Any]:
    kind = _TYPE.get(attribute.kind, "string")
    if attribute.many:
        return {"type": ["array", "null"], "items": {"type": kind}}
    return {"type": [kind, "null"]}
