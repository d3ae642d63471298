"""Declarations of requests to remote nodes: queries, retrievals and sending."""

from typing import Any

from neurdicom.archive.selection import MAX_IDS, ids_schema
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.named_keys import DEEPEST, LONGEST_VALUE, MOST_KEYS, MOST_KEYS_IN_ALL, MOST_VALUES
from neurdicom.dicom.uids import UID_SCHEMA
from neurdicom.nodes.schemas import HOW, METHODS
from neurdicom.schema import CHOSEN_BY, NAMED, Declaration
from neurdicom.schema.texts import BLANKS, word_text

#: Unique keys that an entity of a level is retrieved by (PS3.4 C.4.2.1.4).
UNIQUE_KEYS = {
    Level.PATIENT: ("PatientID",),
    Level.STUDY: ("StudyInstanceUID",),
    Level.SERIES: ("StudyInstanceUID", "SeriesInstanceUID"),
    Level.INSTANCE: ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}

#: Default and largest number of matches of a query.
DEFAULT_MATCHES = 1000
MAX_MATCHES = 10_000

#: Levels by their names in requests.
LEVELS = {level.name: level for level in Level} | {"IMAGE": Level.INSTANCE}

_BOOLEAN = {"type": "boolean"}

#: Keywords of sequences (VR SQ), told by their names with few exceptions; a test compares this with the dictionary.
_SEQUENCE = (
    "^(?!(Scanning|EchoPulse|SteadyStatePulse|EchoPlanarPulse|Compression)Sequence$)"
    "(.*Sequence.*|SummarizedFilterLookupTable|AnalogFilterType)$"
)

_LEVEL = word_text(LEVELS, shown=[level.name for level in Level])
_VALUE = {"type": ["string", "number", "null"], "maxLength": LONGEST_VALUE}
_VALUES = {
    "description": "Text, a number, a list of these, or null.",
    "anyOf": [_VALUE, {"type": "array", "maxItems": MOST_VALUES, "items": {"type": _VALUE["type"]}}],
}


def _keys_schema(depth: int = 0) -> dict[str, Any]:
    """Make the schema of keys; those given by tags are checked only by their value representation."""
    if depth > DEEPEST:
        return {"type": "null"}
    keys = _keys_schema(depth + 1)
    item = {
        "description": "An object of keys, the one item of the sequence, or null.",
        "anyOf": [
            keys,
            {"type": "array", "maxItems": 1, "items": keys},
            {"enum": [None, ""]},
        ],
    }
    return {
        "type": "object",
        "maxProperties": MOST_KEYS,
        "propertyNames": {"format": "dicom-attribute"},
        "patternProperties": {
            _SEQUENCE: item,
            r"^\(?[0-9A-Fa-f]{4},?[0-9A-Fa-f]{4}\)?$": {"anyOf": [*_VALUES["anyOf"], *item["anyOf"]]},
        },
        "additionalProperties": _VALUES,
    }


_QUERY = {
    "description": "Query keys by keyword or tag: a value, a list of values, null, or an object of keys (a sequence). "
    f"At most {MOST_KEYS} keys in an object, {MOST_KEYS_IN_ALL} in all, and sequences {DEEPEST} deep.",
    "anyOf": [_keys_schema(), {"type": "null"}],
}

FIND = Declaration(
    {
        "type": "object",
        "required": ["level"],
        "additionalProperties": False,
        "properties": {
            "level": _LEVEL,
            "query": _QUERY,
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_MATCHES, "default": DEFAULT_MATCHES},
            "fuzzy": {
                **_BOOLEAN,
                "default": False,
                "description": "Ask for fuzzy matching of person names, which only some DICOMWEB nodes support.",
            },
        },
    },
    alone=("query",),
    most=MOST_KEYS_IN_ALL,
)

#: Types of ids as they may be given, right or wrong.
_GIVEN = ["string", "object", "number", "null"]

_PATIENT_ID = {
    "type": "string",
    "maxLength": 64,
    "pattern": rf"^(?=[\s\S]*[^{BLANKS}])[^*?\\]*$",
    "description": "Patient ID: at most 64 characters, without wildcards and backslashes.",
}


def _unique_keys_schemas(level: Level) -> list[dict[str, Any]]:
    """Make the schemas of an entity's unique keys; below the patient level Patient ID may be left out."""
    keys = UNIQUE_KEYS[level]
    known = dict.fromkeys(("PatientID", *keys))
    properties = {key: _PATIENT_ID if key == "PatientID" else UID_SCHEMA for key in known}
    by_name = {"type": "object", "additionalProperties": False, "required": list(keys), "properties": properties}
    return [by_name] if len(keys) > 1 else [by_name, properties[keys[0]]]


def _retrieval_schema(level: Level, *, strict: bool) -> dict[str, Any]:
    one = _unique_keys_schemas(level)
    names = " and ".join(UNIQUE_KEYS[level])
    expected = f"An object with {names}{', or just that' if len(one) > 1 else ''}"
    item = {"description": f"{expected}.", "anyOf": one}
    several = {"type": "array", "minItems": 1, "maxItems": MAX_IDS, "items": item}
    some = {
        "description": "A list in which some are right; those that are something else fail beside them.",
        **{"type": "array", "minItems": 2, "maxItems": MAX_IDS, "items": {"type": _GIVEN}, "contains": item},
    }
    return {
        "additionalProperties": False,
        "properties": {
            "level": word_text([name for name, named in LEVELS.items() if named is level]),
            "ids": {
                "description": f"{expected}; or a list of such.",
                "anyOf": [*one, several, *([] if strict else [some])],
            },
            "query": _QUERY,
            "method": {"enum": [*METHODS["DIMSE"], *METHODS["DICOMWEB"], None], "description": HOW},
        },
    }


def _retrieval(*, strict: bool) -> Declaration:
    return Declaration(
        {
            "type": "object",
            "required": ["level"],
            "description": "`ids` holds the unique keys of the entity at its level and above, `{StudyInstanceUID, "
            "SeriesInstanceUID, ...}`, or a list of such objects; at the levels PATIENT and STUDY plain ids are "
            "allowed, too. In place of it `query` has keys, as for find: what the node finds by them is retrieved, and "
            "all that it has if there are none.",
            "examples": [{"level": "STUDY", "ids": ["1.2.840.113619.2.1"]}, {"level": "STUDY", "query": {}}],
            "properties": {"level": _LEVEL},
            "oneOf": [_retrieval_schema(level, strict=strict) for level in Level],
            "allOf": [
                {
                    "description": "either ids or query",
                    "oneOf": [{"required": ["ids"]}, {"required": ["query"]}],
                    NAMED: "ids",
                }
            ],
            CHOSEN_BY: "level",
        },
        alone=("query",),
    )


#: A retrieval. Wrong ids among several are refused one by one, by `ENTITIES`.
RETRIEVAL = _retrieval(strict=False)
ENTITIES = _retrieval(strict=True)

_KINDS = ("studies", "series", "instances", "patients")

SENDING = Declaration(
    {
        "type": "object",
        "description": "Ids of entities stored on this server, in at least one of the lists.",
        "additionalProperties": False,
        "properties": dict.fromkeys(_KINDS, ids_schema()),
        "allOf": [
            {
                "description": f"ids in {', '.join(_KINDS)}",
                "anyOf": [{"required": [kind], "properties": {kind: ids_schema(least=1)}} for kind in _KINDS],
                NAMED: "studies",
            }
        ],
    }
)
