"""The verbs of queries and retrievals for the DIMSE processes: matches, selections, and files to send."""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from neurdicom.archive.query import QueryService
from neurdicom.dicom.query.attributes import Level
from neurdicom.dimse.ipc.contract import Remote
from neurdicom.dimse.ipc.process import Call, DimseProcess, Verb
from neurdicom.nodes.peer import Node
from neurdicom.nodes.service import NodeService
from neurdicom.nodes.transfer import PAGE, OutgoingFile, TransferService


class QueryRetrieveBackend:
    """Verbs for queries and retrievals.

    Parameters
    ----------
    query : QueryService
    transfer : TransferService
    nodes : NodeService

    Attributes
    ----------
    verbs : dict[str, Verb]
        By name.
    """

    def __init__(self, query: QueryService, transfer: TransferService, nodes: NodeService) -> None:
        self._query = query
        self._transfer = transfer
        self._nodes = nodes
        self._tickets = count(1)
        self._files: dict[tuple[DimseProcess, int], OutgoingFile] = {}
        self.verbs: dict[str, Verb] = {
            "find": self.find,
            "find_node": self.find_node,
            "select": self.select,
            "prepare": self.prepare,
            "release": self.release,
        }

    async def find(
        self,
        call: Call,
        *,
        level: str,
        keys: Mapping[str, Any],
        limit: int,
        after: str | None,
        fuzzy: bool,
        combined_datetime: bool,
    ) -> dict[str, Any]:
        """A page of the matches of a query."""
        found = await self._query.find(
            Level(level),
            keys,
            fuzzy=fuzzy,
            combined_datetime=combined_datetime,
            defaults=False,
            limit=limit,
            after=after,
        )
        return {"items": found.items, "last": found.last, "more": found.more, "ignored": bool(found.ignored)}

    async def find_node(self, call: Call, *, ae_title: str) -> dict[str, Any] | None:
        """Where the node of an AE title is; None if it is unknown."""
        node = await self._nodes.find_ae(ae_title)
        return None if node is None else remote_of(node).to_wire()

    async def select(self, call: Call, *, keys: Mapping[str, list[str]], after: str | None) -> dict[str, Any]:
        """A page of the instances that a retrieval asks for, and whether there is another."""
        found = await self._transfer.select({Level(level): values for level, values in keys.items()}, after=after)
        items = [(each.instance, each.sop_class, each.transfer_syntax) for each in found]
        return {"items": items, "more": len(found) == PAGE}

    async def prepare(self, call: Call, *, instance: str, accepted: list[str]) -> dict[str, Any]:
        """The file of an instance in one of the transfer syntaxes; its ticket, if any, is to be released."""
        file = await self._transfer.prepare(instance, accepted)
        ticket = next(self._tickets) if file.is_temporary else None
        if ticket is not None:
            self._files[call.process, ticket] = file
        return {"transfer_syntax": file.transfer_syntax, "parts": file.parts, "ticket": ticket}

    async def release(self, call: Call, *, ticket: int) -> None:
        """Delete what was made for a file to send."""
        file = self._files.pop((call.process, ticket), None)
        if file is not None:
            await asyncio.to_thread(file.release)

    def left(self, process: DimseProcess) -> None:
        """Delete what was made for a process that has ended."""
        files = [self._files.pop(key) for key in list(self._files) if key[0] is process]
        asyncio.get_running_loop().run_in_executor(None, release_all, files)


def release_all(files: Iterable[OutgoingFile]) -> None:
    """Delete what was made for files to send."""
    for file in files:
        file.release()


def remote_of(node: Node) -> Remote:
    """Take what a DIMSE process needs to know of a node."""
    return Remote(node.name, node.ae_title, node.host, node.port, node.tls)
