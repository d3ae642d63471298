"""Declarations of the fields of a node that is made or replaced."""

from collections.abc import Mapping
from typing import Any

from neurdicom.schema import CHOSEN_BY, UNSHOWN, Declaration
from neurdicom.schema.texts import CONTROLS, whole_text, word_text

#: Services by which instances are retrieved from nodes of each protocol.
METHODS = {"DIMSE": ("C-MOVE", "C-GET"), "DICOMWEB": ("WADO-RS",)}

_GROUP = "[0-9A-Fa-f]{1,4}"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(\.{_BYTE}){{3}}"
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
_ID = "Id of the node, the same as its `name`, which may be left out where this is given."
_SECRET = {"type": ["string", "null"], "format": "password", "maxLength": _LONGEST_SECRET}
HOW = "Service by which instances are retrieved from the node; by default C-MOVE for DIMSE, WADO-RS for DICOMWEB."


def _optional(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Allow a field to be null, which has the same meaning as leaving it out."""
    inner = {name: value for name, value in schema.items() if name not in ("description", "readOnly")}
    outer = {name: value for name, value in schema.items() if name not in inner}
    return {**outer, "anyOf": [inner, {"type": "null"}]}


def _node_schema(**rules: Any) -> dict[str, Any]:
    common = {"name": _optional(_NAME), "id": _optional({**_NAME, "readOnly": True, "description": _ID})}
    dimse = {
        "required": ["ae_title", "host", "port"],
        "additionalProperties": False,
        "properties": {
            **common,
            "protocol": word_text(["DIMSE"]),
            "retrieve": {"enum": [*METHODS["DIMSE"], None], "description": HOW},
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
            "retrieve": {"enum": [*METHODS["DICOMWEB"], None], "description": HOW},
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
        "required": ["protocol"],
        "properties": {"protocol": word_text(METHODS)},
        **rules,
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


_WITH_ID = {"required": ["id"], "properties": {"id": {"not": {"type": "null"}}}}
_WITH_NAME = {"required": ["name"], "properties": {"name": _NAME}}

#: A new node, and one that replaces another under the same name.
NEW_NODE = Declaration(_node_schema(**{"if": _WITH_ID, "then": {}, "else": _WITH_NAME}))
NODE = Declaration(_node_schema())
