"""The verbs that the DIMSE processes may ask of the server, each of which makes one service call."""

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from neurdicom.archive.ingest.service import IngestService
from neurdicom.config import Settings
from neurdicom.dicom.header import Header, Layout
from neurdicom.dimse.ipc.contract import LIMIT_EXCEEDED, WRONG_CALLED, Verdict
from neurdicom.dimse.ipc.process import Call, DimseProcess, Verb
from neurdicom.dimse.ipc.query_retrieve import QueryRetrieveBackend
from neurdicom.dimse.ul.incoming import drop_spool
from neurdicom.nodes.commitment import CommitmentService
from neurdicom.nodes.service import NodeService

log = logging.getLogger(__name__)


class DimseBackend:
    """The verbs of the server for its DIMSE processes.

    Parameters
    ----------
    settings : Settings
    ingest : IngestService
    nodes : NodeService
    archive : QueryRetrieveBackend
        The verbs for queries and retrievals.
    commitments : CommitmentService
    spool : Path
        Folder that the processes write arrivals to.

    Attributes
    ----------
    verbs : dict[str, Verb]
        By name.
    outcomes : Counter of str
        Instances that came in, by what became of them: `stored`, `replaced`, `duplicate`, `rejected`.
    """

    def __init__(
        self,
        settings: Settings,
        ingest: IngestService,
        nodes: NodeService,
        archive: QueryRetrieveBackend,
        commitments: CommitmentService,
        spool: Path,
    ) -> None:
        self._settings = settings
        self._ingest = ingest
        self._nodes = nodes
        self._archive = archive
        self._commitments = commitments
        self._spool = spool
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
        """Accepted associations at this moment."""
        return len(self._associations)

    async def policy(self, call: Call, *, number: int, calling: str, called: str, address: str) -> dict[str, Any]:
        """Judge a request for an association; one that is not refused counts from now on."""
        settings = self._settings
        if settings.dimse_called == "own" and called != settings.ae_title:
            return Verdict(refusal=WRONG_CALLED).to_wire()
        if self.associations >= settings.dimse_associations:
            return Verdict(refusal=LIMIT_EXCEEDED).to_wire()
        self._associations[call.process, number] = calling
        known = settings.dimse_accept == "any" or await self._nodes.find_ae(calling) is not None
        return Verdict(known=known).to_wire()

    async def released(self, call: Call, *, number: int) -> None:
        """Note that an association is over; its connection may last a moment longer."""
        self._associations.pop((call.process, number), None)

    async def closed(self, call: Call, *, number: int) -> None:
        """Note that a connection has ended."""
        self._associations.pop((call.process, number), None)
        call.process.is_over(number)

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
    ) -> str:
        """Store a file that a process has written to the spool and made durable; the body is its DICOM JSON."""
        header = Header(attributes, call.body, Layout.from_document(layout))
        file = self._spool / Path(name).name
        result = await self._ingest.adopt(f"an instance of {source}", file, size, sha256, header)
        if result.error is not None:
            raise result.error
        self.outcomes[result.status] += 1
        return result.status

    async def refused(self, call: Call) -> None:
        """Note that an instance was not stored."""
        self.outcomes["rejected"] += 1

    async def commit(self, call: Call, *, calling: str, transaction: str) -> None:
        """Take a request for storage commitment; the body has a SOP class and instance in each line."""
        await self._commitments.request(calling, transaction, call.body.decode("ascii"))

    async def left(self, process: DimseProcess) -> None:
        """Clean up after a process that has ended: its associations, and what it left in the spool."""
        for key in [key for key in self._associations if key[0] is process]:
            del self._associations[key]
        self._archive.left(process)
        await asyncio.to_thread(drop_spool, self._spool, process.pid)
