"""JSON schemas of selections, as members of a request: lists of ids, or filters with their level."""

from typing import Any

from neurdicom.archive.selection import LEVELS, MANY, ids_schema
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.filter_schemas import conditions_schema
from neurdicom.schema import CHOSEN_BY, NAMED
from neurdicom.schema.texts import word_text

_NULL = {"type": "null"}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": ["object", "null"]}


_NO_IDS = {many: {"type": ["array", "null"], "maxItems": 0} for many in MANY}

#: Members of a request that select entities.
SELECTION_MEMBERS: dict[str, Any] = {
    **dict.fromkeys(MANY, ids_schema()),
    "level": {
        "description": "Level of the entities that `filters` select: patients, studies, series or instances.",
        "anyOf": [word_text(LEVELS), _NULL],
    },
    "filters": {
        "type": ["object", "null"],
        "description": "Filters by field name, as in the list of `level`; `{}` selects all that is stored.",
        "examples": [{}],
    },
}

_BY_IDS = {
    "anyOf": [{"required": [many], "properties": {many: ids_schema(least=1)}} for many in MANY],
    "properties": {"level": _NULL, "filters": _NULL},
}
_BY_FILTERS = {"required": ["filters"], "properties": {"filters": {"type": "object"}, **_NO_IDS}}

#: Exactly one of ids and filters is given.
EITHER_SELECTION: dict[str, Any] = {
    "description": f"ids in {', '.join(MANY)}, or filters ({{}} means all)",
    "oneOf": [_BY_IDS, _BY_FILTERS],
    NAMED: "filters",
}

#: Filters are those of their level.
FILTERS_OF_LEVEL: dict[str, Any] = {
    "anyOf": [
        {"properties": {"level": _NULL, "filters": _nullable(conditions_schema(Level.INSTANCE))}},
        *(
            {
                "required": ["level"],
                "properties": {
                    "level": word_text([name for name, named in LEVELS.items() if named is level]),
                    "filters": _nullable(conditions_schema(level)),
                },
            }
            for level in Level
        ),
    ],
    CHOSEN_BY: "level",
}
