"""Declarations of requests about nodes: their fields, queries, retrievals and what is sent."""

from collections.abc import Mapping
from typing import Any

from neurdicom.archive.selection import MAX_IDS, ids_schema
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.named_keys import DEEPEST, LONGEST_VALUE, MOST_KEYS, MOST_VALUES
from neurdicom.dicom.uids import UID_SCHEMA
from neurdicom.schema import CHOSEN_BY, NAMED, UNSHOWN, Declaration
from neurdicom.schema.texts import BLANKS, CONTROLS, whole_text, word_text

#: Services by which instances are retrieved from nodes of each protocol.
METHODS = {"DIMSE": ("C-MOVE", "C-GET"), "DICOMWEB": ("WADO-RS",)}

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

_GROUP = "[0-9A-Fa-f]{1,4}"
_IPV4 = r"(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(\.(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})){3}"
_IPV6 = "|".join(
    [
        f"({_GROUP}:){{7}}{_GROUP}",
        *(f"({_GROUP}:){{1,{before}}}(:{_GROUP}){{1,{7 - before}}}" for before in range(1, 7)),
        f"({_GROUP}:){{1,7}}:",
        f":((:{_GROUP}){{1,7}}|:)",
        f"::([Ff]{{4}}:)?{_IPV4}",
    ]
)
_TCP_PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})"
_LONGEST_SECRET = 8192

_BOOLEAN = {"type": "boolean"}
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
_NAME = whole_text(
    "[A-Za-z0-9_][A-Za-z0-9._~-]{0,63}",
    description="Name of the node, which is also its id in URLs: 1 to 64 letters, digits and . _ ~ -, not beginning "
    "with . ~ or -.",
)
_AE_TITLE = whole_text(
    r"(?=.{1,16}$)[!-\[\]-~]([ -\[\]-~]*[!-\[\]-~])?",
    description="1 to 16 printable ASCII characters without a backslash, and without spaces around them.",
)
_HOST = whole_text("[A-Za-z0-9_.:%-]{1,253}", description="A host name or an IP address.")
_URL = whole_text(
    rf"[Hh][Tt][Tt][Pp][Ss]?://([A-Za-z0-9_.-]{{1,253}}|\[({_IPV6})\])(:{_TCP_PORT}?)?(/[!-\"$->@-~]*)?",
    maxLength=2048,
    description="Base URL of the node's DICOMweb services, such as https://pacs.example.org/dicom-web, without query, "
    "fragment and credentials, which are given as username and password, or as token.",
    **{UNSHOWN: True},  # credentials in it are a common mistake
)
_SECRET = {"type": ["string", "null"], "format": "password", "maxLength": _LONGEST_SECRET}
_HOW = "Service by which instances are retrieved from the node; by default C-MOVE for DIMSE, WADO-RS for DICOMWEB."


def _optional(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Allow a field to be null, which has the same meaning as leaving it out."""
    inner = {name: value for name, value in schema.items() if name not in ("description", "readOnly")}
    outer = {name: value for name, value in schema.items() if name not in inner}
    return {**outer, "anyOf": [inner, {"type": "null"}]}


def _node_schema(name: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    common = {"name": name, "id": _optional({**_NAME, "readOnly": True, "description": "The same as `name`."})}
    dimse = {
        "required": ["ae_title", "host", "port"],
        "additionalProperties": False,
        "properties": {
            **common,
            "protocol": word_text(["DIMSE"]),
            "retrieve": {"enum": [*METHODS["DIMSE"], None], "description": _HOW},
            "ae_title": _AE_TITLE,
            "host": _HOST,
            "port": _PORT,
            "tls": {
                "type": ["boolean", "null"],
                "description": "Use TLS, with the certificate and the CA of this server's settings.",
            },
        },
    }
    web = {
        "required": ["url"],
        "additionalProperties": False,
        "properties": {
            **common,
            "protocol": word_text(["DICOMWEB"]),
            "retrieve": {"enum": [*METHODS["DICOMWEB"], None], "description": _HOW},
            "url": _URL,
            "username": {
                "type": ["string", "null"],
                "pattern": f"^[^:{CONTROLS}]*$",
                "maxLength": _LONGEST_SECRET,
                "description": f"User name for basic authentication: at most {_LONGEST_SECRET} characters, no control "
                "characters, and no colon (RFC 7617).",
                UNSHOWN: True,
            },
            "password": {
                **_SECRET,
                "pattern": f"^[^{CONTROLS}]*$",
                "description": f"Password of `username`: at most {_LONGEST_SECRET} characters, no control characters.",
            },
            "token": {
                **_SECRET,
                "pattern": "^[!-~]*$",
                "description": f"Bearer token, instead of `username`: at most {_LONGEST_SECRET} visible ASCII "
                "characters (RFC 6750).",
            },
            "credentials": {"type": ["string", "null"], "readOnly": True},
        },
        # Empty text has the same meaning as leaving the field out.
        "allOf": [_if_given("username", _NO_TOKEN), _if_given("password", _WITH_USERNAME)],
    }
    return {
        "type": "object",
        "required": required,
        "properties": {"protocol": word_text(METHODS)},
        "examples": [{"name": "ct1", "protocol": "DIMSE", "ae_title": "CT1", "host": "192.0.2.5", "port": 104}],
        "oneOf": [dimse, web],
        CHOSEN_BY: "protocol",
    }


_NO_TOKEN = {
    "properties": {
        "token": {
            "type": ["string", "null"],
            "maxLength": 0,
            "description": "no token together with a username, since a request carries only one of them",
        }
    }
}
_WITH_USERNAME = {
    "required": ["username"],
    "properties": {
        "username": {
            "type": "string",
            "minLength": 1,
            "description": "a username with the password",
            UNSHOWN: True,
        }
    },
}


def _if_given(field: str, then: Mapping[str, Any]) -> dict[str, Any]:
    given = {"required": [field], "properties": {field: {"type": "string", "minLength": 1}}}
    return {"if": given, "then": then}


#: A new node, and one that replaces another under the same name.
NEW_NODE = Declaration(_node_schema(_NAME, ["name", "protocol"]))
NODE = Declaration(_node_schema(_optional(_NAME), ["protocol"]))

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


FIND = Declaration(
    {
        "type": "object",
        "required": ["level"],
        "additionalProperties": False,
        "properties": {
            "level": _LEVEL,
            "query": {
                "description": "Query keys by keyword or tag: a value, a list of values, null, or an object of keys "
                "(a sequence).",
                "anyOf": [_keys_schema(), {"type": "null"}],
            },
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_MATCHES, "default": DEFAULT_MATCHES},
            "fuzzy": {
                **_BOOLEAN,
                "default": False,
                "description": "Ask for fuzzy matching of person names, which only some DICOMWEB nodes support.",
            },
        },
    },
    alone=("query",),
)

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


def _retrieval_schema(level: Level) -> dict[str, Any]:
    one = _unique_keys_schemas(level)
    names = " and ".join(UNIQUE_KEYS[level])
    expected = f"An object with {names}{', or just that' if len(one) > 1 else ''}"
    item = {"description": f"{expected}.", "anyOf": one}
    several = {"type": "array", "minItems": 1, "maxItems": MAX_IDS, "items": item}
    return {
        "additionalProperties": False,
        "properties": {
            "level": word_text([name for name, named in LEVELS.items() if named is level]),
            "ids": {"description": f"{expected}; or a list of such.", "anyOf": [*one, several]},
            "method": {"enum": [*METHODS["DIMSE"], *METHODS["DICOMWEB"], None], "description": _HOW},
        },
    }


RETRIEVAL = Declaration(
    {
        "type": "object",
        "required": ["level", "ids"],
        "description": "`ids` holds the unique keys of the entity at its level and above, `{StudyInstanceUID, "
        "SeriesInstanceUID, ...}`, or a list of such objects; at the levels PATIENT and STUDY plain ids are allowed, "
        "too.",
        "examples": [{"level": "STUDY", "ids": ["1.2.840.113619.2.1"]}],
        "properties": {"level": _LEVEL},
        "oneOf": [_retrieval_schema(level) for level in Level],
        CHOSEN_BY: "level",
    }
)

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
