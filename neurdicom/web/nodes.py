"""Routes of DICOM nodes: manage them, and talk to them."""

from typing import Any
from urllib.parse import quote

from neurdicom.archive.selection import MAX_IDS
from neurdicom.dicom.query.attributes import Level
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BOOLEAN, NUMBER, STRING, operation
from neurdicom.http.parameters import BLANKS, Paging
from neurdicom.http.routing import Route
from neurdicom.nodes.fields import to_api
from neurdicom.nodes.remote import DEFAULT_MATCHES, MAX_MATCHES, UNIQUE_KEYS, RemoteService
from neurdicom.nodes.service import NodeService
from neurdicom.security.access import Access
from neurdicom.web.jobs import job_answer, principal_of, send_job
from neurdicom.web.listing import send_slice
from neurdicom.web.schemas import json_answer

_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
_HOW = "How it is asked for instances; by default what the protocol has, C-MOVE for DIMSE."
_RETRIEVE = {"enum": ["C-MOVE", "C-GET", "WADO-RS", None], "description": _HOW}
_AE_TITLE = {"type": "string", "pattern": r"^(?=.{1,16}$)[!-\[\]-~]([ -\[\]-~]*[!-\[\]-~])?$"}
_NAME = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_][A-Za-z0-9._~-]{0,63}$",
    "description": "Its id, and a part of URLs.",
}
_GROUP = "[0-9A-Fa-f]{1,4}"
_IPV6 = rf"\[(({_GROUP}:){{7}}{_GROUP}|({_GROUP}:){{1,6}}:({_GROUP})?|::({_GROUP})?)\]"
_URL = {
    "type": "string",
    "pattern": rf"^[Hh][Tt][Tt][Pp][Ss]?://([A-Za-z0-9_.-]{{1,253}}|{_IPV6})(:[0-9]{{1,4}})?(/[!-\"$->@-~]*)?$",
    "maxLength": 2048,
    "description": "Base of its DICOMweb services, such as https://pacs.example.org/dicom-web.",
}

_NODE: dict[str, Any] = {
    "type": "object",
    "description": "A DIMSE node has `ae_title`, `host`, `port` and `tls`; a DICOMWEB node `url` and `credentials`.",
    "required": ["id", "name", "protocol", "retrieve"],
    "properties": {
        "id": STRING,
        "name": STRING,
        "protocol": {"enum": ["DIMSE", "DICOMWEB"]},
        "ae_title": STRING,
        "host": STRING,
        "port": _PORT,
        "tls": BOOLEAN,
        "url": STRING,
        "retrieve": _RETRIEVE,
        "credentials": {"enum": ["none", "basic", "bearer"], "description": "Which it has; they are never given."},
    },
}

_COMMON = {"name": _NAME, "id": {**_NAME, "readOnly": True, "description": "As `name`."}}
_SECRET = {"type": "string", "format": "password", "maxLength": 8192}
_FIELDS: dict[str, Any] = {
    "type": "object",
    "required": ["protocol"],
    "oneOf": [
        {
            "required": ["ae_title", "host", "port"],
            "additionalProperties": False,
            "properties": {
                **_COMMON,
                "protocol": {"const": "DIMSE"},
                "retrieve": {"enum": ["C-MOVE", "C-GET", None], "description": _HOW},
                "ae_title": _AE_TITLE,
                "host": {"type": "string", "pattern": "^[A-Za-z0-9_.:%-]{1,253}$"},
                "port": _PORT,
                "tls": {**BOOLEAN, "description": "Talk TLS with it, with the server's own certificate and CA."},
            },
        },
        {
            "required": ["url"],
            "additionalProperties": False,
            "dependentRequired": {"password": ["username"]},
            "not": {"required": ["username", "token"]},
            "properties": {
                **_COMMON,
                "protocol": {"const": "DICOMWEB"},
                "retrieve": {"enum": ["WADO-RS", None], "description": _HOW},
                "url": _URL,
                "username": {"type": "string", "pattern": "^[^:]*$", "description": "For basic authentication."},
                "password": _SECRET,
                "token": {**_SECRET, "pattern": "^[!-~]*$", "description": "A bearer token instead."},
                "credentials": {**STRING, "readOnly": True},
            },
        },
    ],
}
_LEVEL = {"enum": ["PATIENT", "STUDY", "SERIES", "INSTANCE"]}
_IDS = {"type": "array", "items": STRING, "maxItems": MAX_IDS}
_UID = {"type": "string", "pattern": r"^(?=.{1,64}$)[0-9]+(\.[0-9]+)*$"}
_PATIENT_ID = {"type": "string", "maxLength": 64, "pattern": rf"^[^*?\\]*(?![*?\\])[^{BLANKS}][^*?\\]*$"}


def _unique_keys(level: Level) -> list[dict[str, Any]]:
    """Make the schemas of an entity's unique keys; below the patient's level the patient may be left out."""
    keys = UNIQUE_KEYS[level]
    known = dict.fromkeys(("PatientID", *keys))
    properties = {key: _PATIENT_ID if key == "PatientID" else _UID for key in known}
    by_name = {"type": "object", "additionalProperties": False, "required": list(keys), "properties": properties}
    return [by_name] if len(keys) > 1 else [by_name, properties[keys[0]]]


_ECHO = {
    "type": "object",
    "required": ["ok", "seconds"],
    "properties": {"ok": {"const": True}, "seconds": {**NUMBER, "description": "That it took, connecting included."}},
}
_KEY = {"type": ["string", "number", "null"]}
_QUERY = {
    "type": "object",
    "required": ["level"],
    "additionalProperties": False,
    "properties": {
        "level": _LEVEL,
        "query": {
            "type": "object",
            "description": "Keyword or tag to a value, a list of values, null, or an object of keys (a sequence).",
            "propertyNames": {"format": "dicom-attribute"},
            "additionalProperties": {"anyOf": [_KEY, {"type": "array", "items": _KEY}, {"type": "object"}]},
        },
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_MATCHES, "default": DEFAULT_MATCHES},
        "fuzzy": {**BOOLEAN, "default": False, "description": "Fuzzy matching of names, by DICOMWEB nodes that can."},
    },
}
_METHOD = {**_RETRIEVE, "enum": ["C-MOVE", "C-GET", "WADO-RS"]}
_RETRIEVAL = {
    "type": "object",
    "required": ["level", "ids"],
    "description": "`ids` are the unique keys at the level and above, `{StudyInstanceUID, SeriesInstanceUID, ...}`, or "
    "a list of such; at the levels of patients and studies also just the ids.",
    "examples": [{"level": "STUDY", "ids": ["1.2.840.113619.2.1"]}],
    "oneOf": [
        {
            "additionalProperties": False,
            "properties": {
                "level": {"const": str(level).upper()},
                "ids": {
                    "anyOf": [
                        *_unique_keys(level),
                        {"type": "array", "minItems": 1, "maxItems": MAX_IDS, "items": {"anyOf": _unique_keys(level)}},
                    ]
                },
                "method": _METHOD,
            },
        }
        for level in Level
    ],
}
_SENDING = {
    "type": "object",
    "description": "Ids of this server's entities, of one kind at least.",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {"patients": _IDS, "studies": _IDS, "series": _IDS, "instances": _IDS},
}
_PAGING = Paging("nodes")


class NodesHandler(ApiHandler):
    """All nodes."""

    nodes: NodeService

    @operation(
        "List DICOM nodes",
        tag="nodes",
        query=_PAGING.parameters,
        answers={200: json_answer("A page, by name.", {"type": "array", "items": _NODE})},
    )
    async def get(self) -> None:
        """Answer a page."""
        send_slice(self, _PAGING, await self.nodes.list(), to_api)

    @operation(
        "Make a DICOM node",
        tag="nodes",
        access=Access.ADMIN,
        body={"application/json": {**_FIELDS, "required": ["name", "protocol"]}},
        answers={201: json_answer("The node.", _NODE), 409: "The name or the AE title is taken."},
    )
    async def post(self) -> None:
        """Make it."""
        node = await self.nodes.add(self.json_body())
        self.set_header("Location", f"/api/dicom_nodes/{quote(node.name)}")
        self.send_json(to_api(node), 201)


class NodeHandler(ApiHandler):
    """One node."""

    nodes: NodeService

    @operation("Get a DICOM node", tag="nodes", answers={200: json_answer("The node.", _NODE)})
    async def get(self, name: str) -> None:
        """Answer it."""
        self.send_json(to_api(await self.nodes.get(name)))

    @operation(
        "Replace a DICOM node",
        tag="nodes",
        access=Access.ADMIN,
        description="All fields are given anew; only credentials that are left out stay, unless `url` leads elsewhere.",
        body={"application/json": _FIELDS},
        answers={200: json_answer("The node as it is now.", _NODE), 409: "The AE title is taken."},
    )
    async def put(self, name: str) -> None:
        """Replace it."""
        self.send_json(to_api(await self.nodes.replace(name, self.json_body())))

    @operation("Delete a DICOM node", tag="nodes", access=Access.ADMIN, answers={204: "It is gone."})
    async def delete(self, name: str) -> None:
        """Delete it."""
        await self.nodes.remove(name)
        self.set_status(204)
        self.finish()


class EchoHandler(ApiHandler):
    """Handler of echoes to a node."""

    remote: RemoteService

    @operation(
        "Echo a DICOM node",
        tag="nodes",
        description="C-ECHO, or a query for a single study over DICOMweb.",
        answers={200: json_answer("It answers.", _ECHO), 502: "It does not answer, or refuses."},
    )
    async def post(self, name: str) -> None:
        """Ask it."""
        self.send_json({"ok": True, "seconds": await self.remote.echo(name)})


class FindHandler(ApiHandler):
    """Queries to a node."""

    remote: RemoteService

    @operation(
        "Query a DICOM node",
        tag="nodes",
        description="C-FIND or QIDO-RS with any keys. A key that is null or empty is only asked for.",
        body={"application/json": _QUERY},
        answers={
            200: json_answer("The matches, by keyword.", {"type": "array", "items": {"type": "object"}}),
            502: "It does not answer, or refuses the query.",
        },
    )
    async def post(self, name: str) -> None:
        """Query it."""
        self.send_json(await self.remote.find(name, self.json_body()))


class RetrieveHandler(ApiHandler):
    """Retrievals from a node."""

    remote: RemoteService

    @operation(
        "Retrieve from a DICOM node",
        tag="nodes",
        description="A job: C-MOVE to this server, C-GET or WADO-RS.",
        body={"application/json": _RETRIEVAL},
        answers={202: job_answer("The job."), 409: "Too many jobs are not over.", 502: "It can't be spoken with."},
    )
    async def post(self, name: str) -> None:
        """Make the job."""
        send_job(self, await self.remote.retrieve(name, self.json_body(), by=principal_of(self)))


class SendHandler(ApiHandler):
    """Sending to a node."""

    remote: RemoteService

    @operation(
        "Send to a DICOM node",
        tag="nodes",
        description="A job: C-STORE or STOW-RS, edits applied, transcoded to what the node accepts.",
        body={"application/json": _SENDING},
        answers={202: job_answer("The job."), 409: "Too many jobs are not over.", 502: "It can't be spoken with."},
    )
    async def post(self, name: str) -> None:
        """Make the job."""
        send_job(self, await self.remote.send(name, self.json_body(), by=principal_of(self)))


ROUTES = [
    Route("/api/dicom_nodes", NodesHandler),
    Route("/api/dicom_nodes/{id}", NodeHandler),
    Route("/api/dicom_nodes/{id}/echo", EchoHandler),
    Route("/api/dicom_nodes/{id}/find", FindHandler),
    Route("/api/dicom_nodes/{id}/retrieve", RetrieveHandler),
    Route("/api/dicom_nodes/{id}/send", SendHandler),
]
