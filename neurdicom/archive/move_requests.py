"""JSON bodies of requests to merge patients, to move studies and series, and to split studies."""

from collections.abc import Mapping
from typing import Any

from neurdicom.archive.selection import MAX_IDS
from neurdicom.dicom.edits.schemas import change_schema
from neurdicom.dicom.edits.values import kept_value
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.schema import Declaration
from neurdicom.schema.texts import BLANKS

_ID = {"type": "string", "minLength": 1}
_ATTRIBUTES = AT_LEVEL[Level.PATIENT]
_PATIENT_ID = {"type": "string", "pattern": rf"^(?=[\s\S]*[^{BLANKS}])[^\x00-\x1f\x7f-\x9f\\]*$", "maxLength": 64}
_NAMED_PATIENT = {
    "type": "object",
    "required": ["patient_id"],
    "additionalProperties": False,
    "description": "A patient by Patient ID and issuer, who is made if nothing has them. What is left out is empty.",
    "properties": {
        **{attribute.field: change_schema(attribute) for attribute in _ATTRIBUTES},
        "patient_id": {**_PATIENT_ID, "description": "Text without control characters and backslash; never empty."},
    },
}


def _request(required: str, properties: dict[str, Any], examples: list[dict[str, Any]]) -> Declaration:
    return Declaration(
        {
            "type": "object",
            "required": [required],
            "additionalProperties": False,
            "properties": properties,
            "examples": examples,
        }
    )


#: Merge a patient into another.
MERGE = _request(
    "into",
    {
        "into": {**_ID, "description": "Id of the patient that the studies go to."},
        "from_now_on": {
            "type": "boolean",
            "default": False,
            "description": "Whether studies of the patient that come later follow.",
        },
    },
    [{"into": "5f0c1d3a9b7e42c68d1f0a2b3c4d5e6f", "from_now_on": True}],
)

#: Give a study to another patient.
MOVE_STUDY = _request(
    "patient",
    {"patient": {"anyOf": [{**_ID, "description": "Id of a patient that is there."}, _NAMED_PATIENT]}},
    [{"patient": {"patient_id": "4711", "patient_name": "DOE^JANE"}}],
)

#: Give a series to another study.
MOVE_SERIES = _request(
    "study", {"study": {**_ID, "description": "Id of the study that the series goes to."}}, [{"study": "1.2.3"}]
)

#: Take series out of a study.
SPLIT = _request(
    "series",
    {
        "series": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_IDS,
            "items": _ID,
            "description": "Ids of the series that go to a study of their own.",
        }
    },
    [{"series": ["1.2.3.4"]}],
)


def demographics_in(patient: Mapping[str, Any]) -> dict[str, Value]:
    """Read the attributes of a named patient, by field; None for those that are left out."""
    return {
        attribute.field: kept_value(attribute, given) if (given := patient.get(attribute.field)) is not None else None
        for attribute in _ATTRIBUTES
    }
