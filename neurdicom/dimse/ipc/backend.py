"""The verbs of the server that DIMSE processes may call, each of which makes one service call."""

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from neurdicom.archive.ingest.result import refusal_comment
from neurdicom.archive.ingest.service import IngestService
from neurdicom.config import Settings
from neurdicom.dicom.header import Header, Layout
from neurdicom.dicom.query.attributes import UID_KEYWORD
from neurdicom.dimse.ipc.contract import LIMIT_EXCEEDED, WRONG_CALLED, Verdict
from neurdicom.dimse.ipc.process import Call, DimseProcess, Verb
from neurdicom.dimse.ipc.query_retrieve import QueryRetrieveBackend
from neurdicom.dimse.retrievals import RetrievalRegistry
from neurdicom.dimse.ul.incoming import drop_spool
from neurdicom.errors import Conflict
from neurdicom.nodes.commitment import CommitmentService
from neurdicom.nodes.service import NodeService

log = logging.getLogger(__name__)


class DimseBackend:
    """The verbs of the server for its DIMSE processes.

    Parameters
    ----------
    settings : Settings
        The server's settings.
    ingest : IngestService
        Stores arrivals.
    nodes : NodeService
        Knows the nodes that may store, query and retrieve.
    archive : QueryRetrieveBackend
        The verbs for queries and retrievals.
    commitments : CommitmentService
        Takes requests for storage commitment.
    spool : Path
        Folder that the processes write arrivals to.
    retrievals : RetrievalRegistry
        The retrievals of this server.

    Attributes
    ----------
    verbs : dict[str, Verb]
        Name to verb.
    outcomes : Counter of str
        Number of received instances by outcome: `stored`, `replaced`, `duplicate`, `kept`, `rejected`.
    """

    def __init__(
        self,
        settings: Settings,
        ingest: IngestService,
        nodes: NodeService,
        archive: QueryRetrieveBackend,
        commitments: CommitmentService,
        spool: Path,
        retrievals: RetrievalRegistry,
    ) -> None:
        self._settings = settings
        self._ingest = ingest
        self._nodes = nodes
        self._archive = archive
        self._commitments = commitments
        self._spool = spool
        self._retrievals = retrievals
        self._associations: dict[tuple[DimseProcess, int], str] = {}
        self.outcomes: Counter[str] = Counter()
        self.verbs: dict[str, Verb] = {
            "policy": self.policy,
            "released": self.released,
            "closed": self.closed,
            "store": self.store,
            "refused": self.refused,
            "commit": self.commit,
            **archive.verbs,
        }

    @property
    def associations(self) -> int:
        """Number of open associations that were accepted."""
        return len(self._associations)

    async def policy(self, call: Call, *, number: int, calling: str, called: str, address: str) -> dict[str, Any]:
        """Decide on a request for an association; one that is not refused counts from now on.

        Parameters
        ----------
        call : Call
            The calling process.
        number : int
            Number of the connection.
        calling, called : str
            Calling and called AE title.
        address : str
            The requestor's address.

        Returns
        -------
        dict[str, Any]
            Wire form of a `Verdict`.
        """
        settings = self._settings
        if settings.dimse_called == "own" and called != settings.ae_title:
            return Verdict(refusal=WRONG_CALLED).to_wire()
        if self.associations >= settings.dimse_associations:
            return Verdict(refusal=LIMIT_EXCEEDED).to_wire()
        self._associations[call.process, number] = calling
        known = settings.dimse_accept == "any" or await self._nodes.find_ae(calling) is not None
        return Verdict(known=known).to_wire()

    async def released(self, call: Call, *, number: int) -> None:
        """Record that an association is over; its connection may last a moment longer."""
        self._associations.pop((call.process, number), None)

    async def closed(self, call: Call, *, number: int) -> None:
        """Record that a connection has ended."""
        self._associations.pop((call.process, number), None)
        call.process.remove_connection(number)

    async def store(
        self,
        call: Call,
        *,
        name: str,
        size: int,
        sha256: str,
        attributes: dict[str, Any],
        layout: dict[str, Any],
        source: str,
        retrieval: int | None,
        originator: tuple[str | None, int | None],
        calling: str,
    ) -> str:
        """Store a file that a process has written to the spool folder and flushed.

        Parameters
        ----------
        call : Call
            The calling process; the body is the file's header as DICOM JSON.
        name : str
            Name of the file in the spool folder.
        size : int
            Its size in bytes.
        sha256 : str
            Its SHA-256 in hexadecimal.
        attributes : dict[str, Any]
            Its indexed attributes by field name.
        layout : dict[str, Any]
            Its layout (`Layout.to_document`).
        source : str
            The sender, for messages.
        retrieval : int or None
            Message ID of the C-GET request of ours that brought it.
        originator : (str or None, int or None)
            AE title and Message ID of the C-MOVE request that brought it, as the sender says.
        calling : str
            AE title of the sender.

        Returns
        -------
        str
            `stored`, `replaced`, `duplicate` or `kept`.

        Raises
        ------
        NotRequested
            It is not of the entity that a retrieval of ours asked for.
        Conflict
            It is refused for others with its UIDs; the message fits into an Error Comment.
        NeurdicomError
            The error that ingest reports for the file.
        """
        requested = self._retrievals.find(retrieval) or self._retrievals.of_move(*originator, calling)
        if requested is not None:
            requested.check(attributes)
        header = Header(attributes, call.body, Layout.from_document(layout))
        self._ingest.strictness.check(header)
        file = self._spool / Path(name).name
        result = await self._ingest.adopt(f"an instance of {source}", file, size, sha256, header)
        if result.refusal is not None:
            refused = Conflict(refusal_comment(result.refusal), field=UID_KEYWORD[result.refusal.level])
            if requested is not None:
                requested.note_refusal(str(attributes.get("sop_instance_uid") or ""), str(result.error))
            raise refused
        if result.error is not None:
            raise result.error
        self.outcomes[result.status] += 1
        if requested is not None:
            requested.stored.add(str(attributes.get("sop_instance_uid") or ""))
        return result.status

    async def refused(self, call: Call) -> None:
        """Count an instance that was not stored."""
        self.outcomes["rejected"] += 1

    async def commit(self, call: Call, *, calling: str, transaction: str) -> None:
        """Take a request for storage commitment.

        Parameters
        ----------
        call : Call
            The calling process; the body has a SOP Class UID and a SOP Instance UID in each line.
        calling : str
            AE title of the requestor.
        transaction : str
            Transaction UID.
        """
        await self._commitments.request(calling, transaction, call.body.decode("ascii"))

    async def clean_up(self, process: DimseProcess) -> None:
        """Remove the associations, converted files and spool files of a process that has ended."""
        for key in [key for key in self._associations if key[0] is process]:
            del self._associations[key]
        self._archive.clean_up(process)
        await asyncio.to_thread(drop_spool, self._spool, process.pid)
