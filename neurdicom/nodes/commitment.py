"""Storage commitment (PS3.4 J): nodes ask whether instances are kept here, and a job answers."""

import asyncio
import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import Forbidden, Invalid, NotFound, PeerFailed
from neurdicom.jobs import Failure, Item, ItemOutcome, Job, JobService, Runner
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

#: Seconds between a request and its report at least, so that the report does not overtake the answer.
_DELAY_SECONDS = 1.0

#: How long a modality that is switched off is waited for: two days.
_PATIENT = Backoff(longest=1800.0, attempts=100)

#: Failures that a job keeps.
_MAX_FAILURES = 20

#: How often a file that is gone is looked for anew: a replacement takes the place of the former.
_LOOKS = 3

#: An instance that is asked about: its SOP Class UID and its SOP Instance UID.
Reference = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """The answer to a request for storage commitment.

    Attributes
    ----------
    transaction : str
        Transaction UID of the request.
    held : list of Reference
        What is kept here.
    refused : list of (SOP Class UID, SOP Instance UID, Failure Reason)
        What is not.
    """

    transaction: str
    held: list[Reference]
    refused: list[tuple[str, str, int]]


class Reporter(ABC):
    """The port that sends reports to nodes."""

    @abstractmethod
    async def report(self, node: Node, report: CommitmentReport) -> None:
        """Send a report. Raises `PeerFailed`."""


class CommitmentService:
    """Takes requests for storage commitment."""

    def __init__(self, nodes: NodeService, jobs: JobService) -> None:
        self._nodes = nodes
        self._jobs = jobs
        self._asking = asyncio.Lock()

    async def request(self, ae_title: str, transaction: str, references: str) -> Job:
        """Make a job that reports to a node. A request that comes again while its job is not over makes no other.

        Parameters
        ----------
        ae_title : str
            Who asks.
        transaction : str
            Transaction UID.
        references : str
            What is asked about: a line for each, with SOP class and instance. It stays one text until the job runs, so
            that thousands of them cost the event loop nothing.

        Raises
        ------
        Forbidden
            Who asks is no node here, so there is nowhere to report to.
        Invalid
            The transaction is under way with other references.
        Conflict
            The node has too many under way.
        """
        node = await self._nodes.find_ae(ae_title)
        if node is None:
            raise Forbidden(f"{ae_title} is no DICOM node here: nowhere to report to")
        subject = hashlib.sha256(f"{node.name}\0{transaction}".encode()).hexdigest()
        digest = hashlib.sha256(references.encode()).hexdigest()
        async with self._asking:
            found = await self._jobs.find_open(KIND, subject)
            if found is not None:
                if found.request["digest"] != digest:
                    raise Invalid("the Transaction UID is in use for other references")
                log.info("%s asks again for the transaction %s, which is under way", ae_title, transaction)
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
    """Looks for what a request is about, and reports; the only item is the text of references."""

    backoff = _PATIENT

    def __init__(self, catalog: Catalog, blobs: BlobStore, nodes: NodeService, reporter: Reporter) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._nodes = nodes
        self._reporter = reporter

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        """Yield nothing: the item is made with the job."""
        nothing: tuple[Item, ...] = ()
        for item in nothing:
            yield item

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        """Report; what is held is what is held now, also when it is tried again."""
        try:
            node = await self._nodes.get(job.request["node"])
        except NotFound as error:
            raise PeerFailed(str(error), retryable=False) from error
        if node.protocol != "DIMSE":
            raise PeerFailed(f"the DICOM node {node.name!r} is no DIMSE node any more", retryable=False)
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
        """Give the reason to refuse safekeeping of an instance; None if it is kept.

        What is in the catalog was durable before it came there; that its file is still whole is looked at.
        """
        for _ in range(_LOOKS):
            location = await self._catalog.locate(instance)
            if location is None:
                return NO_SUCH_INSTANCE
            if location.layout["sop_class"] != sop_class:
                return CLASS_CONFLICT
            if await self._is_there(location.blob):
                return None
        log.error("the file of the instance %s is missing or cut off", instance)
        return PROCESSING_FAILURE

    async def _is_there(self, blob: BlobRef) -> bool:
        try:
            path = await self._blobs.path(blob.key)
            return (await asyncio.to_thread(path.stat)).st_size == blob.size
        except (NotFound, OSError):
            return False
