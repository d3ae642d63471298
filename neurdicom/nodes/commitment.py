"""Storage commitment (PS3.4 J): nodes ask whether instances are stored here, and a job answers."""

import asyncio
import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from neurdicom.archive.verify.guard import FileGuard
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Location
from neurdicom.errors import Ambiguous, Damaged, Forbidden, Invalid, NotFound, PeerFailed
from neurdicom.jobs import Failure, Item, ItemOutcome, Job, JobQueue, Runner
from neurdicom.jobs.runner import Backoff
from neurdicom.nodes.peer import Node
from neurdicom.nodes.service import NodeService
from neurdicom.security.access import Principal

log = logging.getLogger(__name__)

KIND = "commitment"

#: Failure Reasons (0008,1197) of PS3.3 C.14.1.1.
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
CLASS_CONFLICT = 0x0119

REASONS = {
    PROCESSING_FAILURE: "its file can't be read",
    NO_SUCH_INSTANCE: "there is no such instance",
    CLASS_CONFLICT: "it is of another SOP class",
}

#: Least seconds between a request and its report, so that the report does not overtake the response.
_DELAY_SECONDS = 1.0

#: Backoff that waits about two days for a modality that is switched off.
_PATIENT = Backoff(longest=1800.0, attempts=100)

#: Most failures in a job's record.
_MAX_FAILURES = 20

#: Attempts to find the file of an instance, since another file may just be replacing it.
_LOOKS = 3

#: Reference to an instance: its SOP Class UID and its SOP Instance UID.
Reference = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """Answer to a request for storage commitment.

    Attributes
    ----------
    transaction : str
        Transaction UID of the request.
    held : list of Reference
        Instances that are stored here.
    refused : list of (SOP Class UID, SOP Instance UID, Failure Reason)
        Instances that are not.
    """

    transaction: str
    held: list[Reference]
    refused: list[tuple[str, str, int]]


class Reporter(ABC):
    """Port that sends reports to nodes."""

    @abstractmethod
    async def report(self, node: Node, report: CommitmentReport) -> None:
        """Send a report. Raises `PeerFailed`."""


class CommitmentService:
    """Service that receives requests for storage commitment."""

    def __init__(self, nodes: NodeService, jobs: JobQueue) -> None:
        self._nodes = nodes
        self._jobs = jobs
        self._asking = asyncio.Lock()

    async def request(self, ae_title: str, transaction: str, references: str) -> Job:
        """Make a job that reports to a node; a repeated request while its job is not over makes no other.

        Parameters
        ----------
        ae_title : str
            Calling AE title.
        transaction : str
            Transaction UID.
        references : str
            The instances: a line for each, with SOP class and instance. It stays one text until the job runs, so that
            thousands of them do not hold the event loop.

        Raises
        ------
        Forbidden
            The caller is no node here, so there is nowhere to report to.
        Invalid
            The transaction is under way with other references.
        Conflict
            The node has too many jobs that are not over.
        """
        node = await self._nodes.find_ae(ae_title)
        if node is None:
            raise Forbidden(f"the AE title {ae_title} is that of no DICOM node here, so there is nowhere to report to")
        subject = hashlib.sha256(f"{node.name}\0{transaction}".encode()).hexdigest()
        digest = hashlib.sha256(references.encode()).hexdigest()
        async with self._asking:
            found = await self._jobs.find_open(KIND, subject)
            if found is not None:
                if found.request["digest"] != digest:
                    raise Invalid(f"the Transaction UID {transaction} is in use for other references")
                log.info(
                    "%s repeated its request for the transaction %s, which is under way; no other job is made",
                    ae_title,
                    transaction,
                )
                return found
            return await self._jobs.submit(
                KIND,
                {"node": node.name, "transaction": transaction, "digest": digest},
                by=Principal(f"node:{node.name}", f"{ae_title} (DICOM node)"),
                total=references.count("\n") + 1,
                subject=subject,
                item=references,
                delay=_DELAY_SECONDS,
            )


class CommitmentRunner(Runner):
    """Runner that checks the instances of a request, and reports; the only item is the text of references."""

    backoff = _PATIENT

    def __init__(self, catalog: Catalog, guard: FileGuard, nodes: NodeService, reporter: Reporter) -> None:
        self._catalog = catalog
        self._guard = guard
        self._nodes = nodes
        self._reporter = reporter

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        """Yield nothing: the item is made with the job."""
        nothing: tuple[Item, ...] = ()
        for item in nothing:
            yield item

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        """Report the instances that are stored now, also when it is tried again."""
        try:
            node = await self._nodes.get(job.request["node"])
        except NotFound as error:
            raise PeerFailed(str(error), retryable=False) from error
        if node.protocol != "DIMSE":
            raise PeerFailed(f"the DICOM node {node.name!r} is no longer a DIMSE node", retryable=False)
        for place, references in enumerate(items):
            held: list[Reference] = []
            refused: list[tuple[str, str, int]] = []
            for line in references.split("\n"):
                sop_class, instance = line.split(" ")
                reason = await self._refusal(sop_class, instance)
                if reason is None:
                    held.append((sop_class, instance))
                else:
                    refused.append((sop_class, instance, reason))
            await self._reporter.report(node, CommitmentReport(job.request["transaction"], held, refused))
            failures = tuple(Failure(instance, REASONS[reason]) for _, instance, reason in refused[:_MAX_FAILURES])
            yield ItemOutcome(place, done=len(held), failed=len(refused), failures=failures)

    async def _refusal(self, sop_class: str, instance: str) -> int | None:
        """Find the reason to refuse safekeeping of an instance; None if it is stored.

        An instance in the catalog was durable before it was entered; its file is checked for known damage
        and for its size.
        """
        for _ in range(_LOOKS):
            locations = await self._locate(instance)
            if not locations:
                return NO_SUCH_INSTANCE
            locations = [location for location in locations if location.layout["sop_class"] == sop_class]
            if not locations:
                return CLASS_CONFLICT
            for location in locations:
                try:
                    await self._guard.require(location)
                except NotFound:  # replaced since
                    continue
                except Damaged as error:
                    log.warning("the commitment to store an instance is refused: %s", error)
                    return PROCESSING_FAILURE
                return None
        return NO_SUCH_INSTANCE

    async def _locate(self, uid: str) -> list[Location]:
        """List the instances that a SOP Instance UID names; a request has no more than that."""
        try:
            found = [await self._catalog.locate(uid)]
        except Ambiguous as error:
            found = [await self._catalog.locate(candidate) for candidate in error.candidates]
        return [location for location in found if location is not None]
