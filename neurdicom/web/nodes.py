"""Routes of DICOM nodes: management, queries, retrievals and sending."""

from typing import Any
from urllib.parse import quote

from neurdicom.archive.names import EntityNames
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BOOLEAN, INTEGER, NUMBER, STRING, operation
from neurdicom.http.parameters import Paging
from neurdicom.http.routing import Route
from neurdicom.nodes.fields import to_api
from neurdicom.nodes.remote import RemoteService
from neurdicom.nodes.request_schemas import FIND, RETRIEVAL, SENDING
from neurdicom.nodes.schemas import NEW_NODE, NODE
from neurdicom.nodes.service import NodeService
from neurdicom.security.access import Access
from neurdicom.web.jobs import job_answer, principal_of, send_job
from neurdicom.web.listing import send_slice
from neurdicom.web.schemas import json_answer

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
        "port": INTEGER,
        "tls": BOOLEAN,
        "url": STRING,
        "retrieve": {
            "enum": ["C-MOVE", "C-GET", "WADO-RS", None],
            "description": "Service to retrieve with; null for the default of the protocol.",
        },
        "credentials": {
            "enum": ["none", "basic", "bearer"],
            "description": "Kind of the credentials, which are never returned.",
        },
    },
}

_ECHO = {
    "type": "object",
    "required": ["ok", "seconds"],
    "properties": {
        "ok": {"const": True},
        "seconds": {**NUMBER, "description": "Duration in seconds, connecting included."},
    },
}
_TOO_MANY = "The user has too many jobs that are not over."
_NO_PEER = "This server can't speak the node's protocol."
_PAGING = Paging("nodes")


class NodesHandler(ApiHandler):
    """Handler of the list of nodes."""

    nodes: NodeService

    @operation(
        "List DICOM nodes",
        tag="nodes",
        query=_PAGING.parameters,
        answers={200: json_answer("A page of nodes, ordered by name.", {"type": "array", "items": _NODE})},
    )
    async def get(self) -> None:
        """Send a page of nodes."""
        send_slice(self, _PAGING, await self.nodes.list(), to_api)

    @operation(
        "Add a DICOM node",
        tag="nodes",
        access=Access.ADMIN,
        json=NEW_NODE,
        answers={201: json_answer("The new node.", _NODE), 409: "Another node has this name or this AE title."},
    )
    async def post(self) -> None:
        """Add a node, and send it."""
        node = await self.nodes.add(await self.json_body())
        self.set_header("Location", self.public_path(f"/api/dicom_nodes/{quote(node.name)}"))
        self.send_json(to_api(node), 201)


class _NodePathHandler(ApiHandler):
    """Base of handlers whose path names a node."""

    nodes: NodeService

    async def check_path(self, *ids: str) -> None:
        """Check that there is such a node."""
        await self.nodes.get(*ids)


class NodeHandler(_NodePathHandler):
    """Handler of one node."""

    @operation("Get a DICOM node", tag="nodes", answers={200: json_answer("The node.", _NODE)})
    async def get(self, name: str) -> None:
        """Send the node."""
        self.send_json(to_api(await self.nodes.get(name)))

    @operation(
        "Replace a DICOM node",
        tag="nodes",
        access=Access.ADMIN,
        description="Fields that are left out get their defaults, but credentials that are left out stay, as long as "
        "`url` names the same server.",
        json=NODE,
        answers={200: json_answer("The changed node.", _NODE), 409: "Another node has this AE title."},
    )
    async def put(self, name: str) -> None:
        """Replace the node, and send it."""
        self.send_json(to_api(await self.nodes.replace(name, await self.json_body())))

    @operation("Delete a DICOM node", tag="nodes", access=Access.ADMIN, answers={204: "The node is deleted."})
    async def delete(self, name: str) -> None:
        """Delete the node."""
        await self.nodes.remove(name)
        self.set_status(204)
        self.finish()


class EchoHandler(ApiHandler):
    """Handler of connection tests of a node."""

    remote: RemoteService

    @operation(
        "Test the connection to a DICOM node",
        tag="nodes",
        description="Sends a C-ECHO to a DIMSE node, or a QIDO-RS query for a single study to a DICOMweb node.",
        answers={200: json_answer("The node responded.", _ECHO), 502: "The node does not respond, or refuses."},
    )
    async def post(self, name: str) -> None:
        """Test the connection, and send its duration."""
        self.send_json({"ok": True, "seconds": await self.remote.echo(name)})


class FindHandler(_NodePathHandler):
    """Handler of queries to a node."""

    remote: RemoteService

    @operation(
        "Query a DICOM node",
        tag="nodes",
        description="Sends a C-FIND or a QIDO-RS query with any keys. A key that is null or empty matches everything; "
        "its value is returned.",
        json=FIND,
        answers={
            200: json_answer("The matches; attributes by keyword.", {"type": "array", "items": {"type": "object"}}),
            502: "The node does not respond, or refuses the query.",
        },
    )
    async def post(self, name: str) -> None:
        """Query the node, and send the matches."""
        self.send_json(await self.remote.find(name, await self.json_body()))


class RetrieveHandler(_NodePathHandler):
    """Handler of retrievals from a node."""

    remote: RemoteService
    names: EntityNames

    @operation(
        "Retrieve from a DICOM node",
        tag="nodes",
        description="Makes a job that retrieves the entities by C-MOVE to this server, C-GET or WADO-RS, and stores "
        "them.",
        json=RETRIEVAL,
        answers={202: job_answer("The job."), 409: _TOO_MANY, 502: _NO_PEER},
    )
    async def post(self, name: str) -> None:
        """Make the job, and send it."""
        job = await self.remote.retrieve(name, await self.json_body(), by=principal_of(self))
        await send_job(self, job, self.names)


class SendHandler(_NodePathHandler):
    """Handler of sending to a node."""

    remote: RemoteService
    names: EntityNames

    @operation(
        "Send to a DICOM node",
        tag="nodes",
        description="Makes a job that sends the instances by C-STORE or STOW-RS, with edits applied, transcoded to a "
        "transfer syntax that the node accepts.",
        json=SENDING,
        answers={202: job_answer("The job."), 409: _TOO_MANY, 502: _NO_PEER},
    )
    async def post(self, name: str) -> None:
        """Make the job, and send it."""
        job = await self.remote.send(name, await self.json_body(), by=principal_of(self))
        await send_job(self, job, self.names)


ROUTES = [
    Route("/api/dicom_nodes", NodesHandler),
    Route("/api/dicom_nodes/{id}", NodeHandler),
    Route("/api/dicom_nodes/{id}/echo", EchoHandler),
    Route("/api/dicom_nodes/{id}/find", FindHandler),
    Route("/api/dicom_nodes/{id}/retrieve", RetrieveHandler),
    Route("/api/dicom_nodes/{id}/send", SendHandler),
]
