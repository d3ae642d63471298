"""JSON schemas of the four resources, made from the table of indexed attributes."""

from typing import Any

from neurdicom.dicom.query.attributes import AT_LEVEL, COUNTS, Attribute, Kind, Level

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
