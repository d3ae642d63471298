"""The service of remote nodes, which are stored in the catalog by name."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from neurdicom.catalog.documents import Documents
from neurdicom.errors import Conflict, NotFound
from neurdicom.nodes.fields import from_document, parse_node, to_document
from neurdicom.nodes.peer import Node

log = logging.getLogger(__name__)

_KIND = "dicom_node"

#: Seconds after which a change by another process (the command line, a second server) is seen.
FRESH_SECONDS = 2.0


class NodeService:
    """Service of the remote nodes that this server knows.

    An AE title belongs to one node: it identifies the caller of an association, and the destination of C-MOVE.

    Parameters
    ----------
    documents : Documents
        Stores one document for each node, credentials included.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._changing = asyncio.Lock()
        self._by_ae: dict[str, Node] = {}
        self._until = 0.0
        self._changes = 0

    async def list(self) -> list[Node]:
        """List all nodes, by name."""
        return [from_document(document) for document in (await self._documents.query(_KIND)).items]

    async def get(self, name: str) -> Node:
        """Return a node. Raises `NotFound`."""
        document = await self._documents.get(_KIND, name)
        if document is None:
            raise NotFound(f"there is no DICOM node {name!r}")
        return from_document(document)

    async def find_ae(self, ae_title: str) -> Node | None:
        """Find the DIMSE node with exactly this AE title; changes by other processes are seen within seconds."""
        by_ae = self._by_ae
        if time.monotonic() >= self._until:
            changes, until = self._changes, time.monotonic() + FRESH_SECONDS
            by_ae = {node.ae_title: node for node in reversed(await self.list()) if node.protocol == "DIMSE"}
            if changes == self._changes:  # otherwise the list may be out of date already
                self._by_ae, self._until = by_ae, until
        return by_ae.get(ae_title)

    async def add(self, fields: Mapping[str, Any]) -> Node:
        """Make a node from `name`, `protocol` and the fields of the protocol (`nodes.fields`).

        Raises
        ------
        Invalid
            A field is missing, unknown or wrong; it is named.
        Conflict
            The name or the AE title is taken.
        """
        node = parse_node(fields)
        async with self._changing:
            await self._check_ae_title(node)
            if not await self._documents.add(_KIND, node.name, to_document(node)):
                raise Conflict(f"there is a DICOM node {node.name!r} already", field="name")
            self._changed()
        log.info("DICOM node %s was made (%s)", node.name, node.protocol)
        return node

    async def replace(self, name: str, fields: Mapping[str, Any]) -> Node:
        """Replace the fields of a node; credentials that are left out stay.

        Raises `NotFound`, and as `add`.
        """
        async with self._changing:
            node = parse_node(fields, before=await self.get(name))
            await self._check_ae_title(node)
            await self._documents.put(_KIND, {name: to_document(node)})
            self._changed()
        log.info("DICOM node %s was changed (%s)", node.name, node.protocol)
        return node

    async def remove(self, name: str) -> None:
        """Delete a node. Raises `NotFound`."""
        async with self._changing:
            if not await self._documents.delete(_KIND, name):
                raise NotFound(f"there is no DICOM node {name!r}")
            self._changed()
        log.info("DICOM node %s was removed", name)

    def _changed(self) -> None:
        self._changes += 1
        self._until = 0.0

    async def _check_ae_title(self, node: Node) -> None:
        if node.protocol != "DIMSE":
            return
        for other in await self.list():
            if other.protocol == "DIMSE" and other.ae_title == node.ae_title and other.name != node.name:
                raise Conflict(f"the AE title {node.ae_title!r} is that of the node {other.name!r}", field="ae_title")
