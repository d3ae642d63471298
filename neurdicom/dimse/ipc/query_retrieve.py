"""The verbs of queries and retrievals that DIMSE processes may call: matches, selections, and files to send."""

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
from neurdicom.nodes.transfer import OutgoingFile, TransferService


class QueryRetrieveBackend:
    """The verbs for queries and retrievals.

    Parameters
    ----------
    query : QueryService
        Finds matches.
    transfer : TransferService
        Selects and prepares instances to send.
    nodes : NodeService
        Knows the destinations of C-MOVE.

    Attributes
    ----------
    verbs : dict[str, Verb]
        Name to verb.
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
        """Find a page of the matches of a query.

        Parameters
        ----------
        call : Call
            The calling process.
        level : str
            Level of the query.
        keys : Mapping[str, Any]
            Matching and return keys in the DICOM JSON model.
        limit : int
            Most matches of the page.
        after : str or None
            `last` of the previous page; None for the first.
        fuzzy : bool
            True to match person names by words.
        combined_datetime : bool
            True to combine a range of dates and one of their times (PS3.4 C.2.2.2.5.1).

        Returns
        -------
        dict[str, Any]
            `items` (the matches in the DICOM JSON model), `last` (for the next page), `more` (there is another page),
            `remarks` (on keys that are not supported or mean nothing: tag to text).
        """
        found = await self._query.find(
            Level(level),
            keys,
            fuzzy=fuzzy,
            combined_datetime=combined_datetime,
            defaults=False,
            limit=limit,
            after=after,
        )
        return {"items": found.items, "last": found.last, "more": found.more, "remarks": dict(found.remarks)}

    async def find_node(self, call: Call, *, ae_title: str) -> dict[str, Any] | None:
        """Look up the node of an AE title; return the wire form of a `Remote`, None if it is unknown."""
        node = await self._nodes.find_ae(ae_title)
        return None if node is None else remote_of(node).to_wire()

    async def select(
        self, call: Call, *, keys: Mapping[str, list[str]], patients: list[str], after: str | None
    ) -> dict[str, Any]:
        """Select a page of the instances of a retrieval.

        Parameters
        ----------
        call : Call
            The calling process.
        keys : Mapping[str, list[str]]
            Level to Patient IDs or UIDs.
        patients : list of str
            Patient IDs beside the unique keys of a model without patients.
        after : str or None
            `last` of the previous page; None for the first.

        Returns
        -------
        dict[str, Any]
            `items` (key, SOP Class UID and Transfer Syntax UID of each), `last` (for the next page; None if there is
            none).
        """
        by_level = {Level(level): values for level, values in keys.items()}
        page = await self._transfer.select(by_level, patients=patients, after=after)
        items = [(each.instance, each.sop_class, each.transfer_syntax) for each in page.items]
        return {"items": items, "last": page.last}

    async def prepare(self, call: Call, *, instance: str, accepted: list[str]) -> dict[str, Any]:
        """Prepare the file of an instance in one of several transfer syntaxes.

        Parameters
        ----------
        call : Call
            The calling process.
        instance : str
            Its key.
        accepted : list of str
            Transfer Syntax UIDs that the receiver accepts.

        Returns
        -------
        dict[str, Any]
            `transfer_syntax`, `parts` (paths and offsets whose bytes make up the dataset), `ticket` (to be passed to
            `release`; None if nothing was converted).
        """
        file = await self._transfer.prepare(instance, accepted)
        ticket = next(self._tickets) if file.is_temporary else None
        if ticket is not None:
            self._files[call.process, ticket] = file
        return {"transfer_syntax": file.transfer_syntax, "parts": file.parts, "ticket": ticket}

    async def release(self, call: Call, *, ticket: int) -> None:
        """Delete the temporary files of a prepared file."""
        file = self._files.pop((call.process, ticket), None)
        if file is not None:
            await asyncio.to_thread(file.release)

    def clean_up(self, process: DimseProcess) -> None:
        """Delete the temporary files that were prepared for a process that has ended."""
        files = [self._files.pop(key) for key in list(self._files) if key[0] is process]
        asyncio.get_running_loop().run_in_executor(None, release_all, files)


def release_all(files: Iterable[OutgoingFile]) -> None:
    """Delete the temporary files of several prepared files."""
    for file in files:
        file.release()


def remote_of(node: Node) -> Remote:
    """Make the description of a node for DIMSE processes."""
    return Remote(node.name, node.ae_title, node.host, node.port, node.tls)
