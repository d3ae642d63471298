"""Routes of DICOM nodes: manage them, and talk to them."""

from typing import Any
from urllib.parse import quote

from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BOOLEAN, INTEGER, NUMBER, STRING, operation
from neurdicom.http.parameters import Paging
from neurdicom.http.routing import Route
from neurdicom.nodes.fields import to_api
from neurdicom.nodes.remote import RemoteService
from neurdicom.nodes.schemas import FIND, NEW_NODE, NODE, RETRIEVAL, SENDING
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
        "retrieve": {"enum": ["C-MOVE", "C-GET", "WADO-RS", None], "description": "Null for what the protocol has."},
        "credentials": {"enum": ["none", "basic", "bearer"], "description": "Which it has; they are never given."},
    },
}

_ECHO = {
    "type": "object",
    "required": ["ok", "seconds"],
    "properties": {"ok": {"const": True}, "seconds": {**NUMBER, "description": "That it took, connecting included."}},
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
        json=NEW_NODE,
        answers={201: json_answer("The node.", _NODE), 409: "The name or the AE title is taken."},
    )
    async def post(self) -> None:
        """Make it."""
        node = await self.nodes.add(await self.json_body())
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
        json=NODE,
        answers={200: json_answer("The node as it is now.", _NODE), 409: "The AE title is taken."},
    )
    async def put(self, name: str) -> None:
        """Replace it."""
        self.send_json(to_api(await self.nodes.replace(name, await self.json_body())))

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
        json=FIND,
        answers={
            200: json_answer("The matches, by keyword.", {"type": "array", "items": {"type": "object"}}),
            502: "It does not answer, or refuses the query.",
        },
    )
    async def post(self, name: str) -> None:
        """Query it."""
        self.send_json(await self.remote.find(name, await self.json_body()))


class RetrieveHandler(ApiHandler):
    """Retrievals from a node."""

    remote: RemoteService

    @operation(
        "Retrieve from a DICOM node",
        tag="nodes",
        description="A job: C-MOVE to this server, C-GET or WADO-RS.",
        json=RETRIEVAL,
        answers={202: job_answer("The job."), 409: "Too many jobs are not over.", 502: "It can't be spoken with."},
    )
    async def post(self, name: str) -> None:
        """Make the job."""
        send_job(self, await self.remote.retrieve(name, await self.json_body(), by=principal_of(self)))


class SendHandler(ApiHandler):
    """Sending to a node."""

    remote: RemoteService

    @operation(
        "Send to a DICOM node",
        tag="nodes",
        description="A job: C-STORE or STOW-RS, edits applied, transcoded to what the node accepts.",
        json=SENDING,
        answers={202: job_answer("The job."), 409: "Too many jobs are not over.", 502: "It can't be spoken with."},
    )
    async def post(self, name: str) -> None:
        """Make the job."""
        send_job(self, await self.remote.send(name, await self.json_body(), by=principal_of(self)))


ROUTES = [
    Route("/api/dicom_nodes", NodesHandler),
    Route("/api/dicom_nodes/{id}", NodeHandler),
    Route("/api/dicom_nodes/{id}/echo", EchoHandler),
    Route("/api/dicom_nodes/{id}/find", FindHandler),
    Route("/api/dicom_nodes/{id}/retrieve", RetrieveHandler),
    Route("/api/dicom_nodes/{id}/send", SendHandler),
]
