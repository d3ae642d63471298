"""Jobs that check all stored files, and repair damaged ones from DICOMweb nodes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, Final, cast

from neurdicom.archive.verify.damage import Damage
from neurdicom.archive.verify.rate import CheckStopped, RateLimit
from neurdicom.archive.verify.repair import RepairSource
from neurdicom.archive.verify.trash_source import TrashSource
from neurdicom.archive.verify.verification import Verification, VerificationReport, describe_finding
from neurdicom.blobs.base import BlobStore, Spool
from neurdicom.catalog.records import Location
from neurdicom.dicom.identity import uid_of
from neurdicom.errors import Damaged, Invalid, PeerFailed, Unavailable
from neurdicom.jobs import Failure, Item, ItemOutcome, Job, JobQueue, Runner
from neurdicom.jobs.runner import JobClass
from neurdicom.nodes.peer import Node, StoredFiles
from neurdicom.nodes.transfer_jobs import Peers
from neurdicom.schema import Declaration
from neurdicom.security.access import Principal

#: Kind of these jobs.
KIND: Final = "verify"

#: Findings that the record of a job has; the log, and the list of damaged files, have all.
_MOST_FINDINGS = 100

#: The items after all series, which have no such ids: files in the trash, and files that no instance has.
_TRASH, _UNKNOWN = "trash", ""

VERIFICATION = Declaration(
    {
        "type": "object",
        "examples": [{"rate": 50, "repair_from": ["archive"]}],
        "additionalProperties": False,
        "properties": {
            "rate": {
                "type": "number",
                "minimum": 0,
                "maximum": 1_000_000,
                "default": 0,
                "description": "Most MiB that are read in a second; 0 for no limit.",
            },
            "repair": {
                "type": "boolean",
                "default": False,
                "description": "Put the received bytes back where the trash or an earlier version has them.",
            },
            "repair_from": {
                "type": "array",
                "maxItems": 16,
                "items": {"type": "string", "minLength": 1, "maxLength": 64},
                "default": [],
                "description": "Names of DICOMweb nodes that may have the bytes of damaged files, after the trash.",
            },
        },
    }
)


class NodeSource(RepairSource):
    """Source of bytes in a node that returns files as they are stored there.

    Parameters
    ----------
    node : Node
        The node.
    files : StoredFiles
        Speaks its protocol.
    """

    def __init__(self, node: Node, files: StoredFiles) -> None:
        self.name = node.name
        self._node = node
        self._files = files

    async def fetch(self, damage: Damage, location: Location | None, spool: Spool) -> bool:
        """Retrieve the instance as the node stores it; one in the trash is not asked for."""
        if location is None:
            return False
        ids = {
            "StudyInstanceUID": uid_of(location.study),
            "SeriesInstanceUID": uid_of(location.series),
            "SOPInstanceUID": uid_of(location.instance),
        }
        pieces = cast(AsyncGenerator[bytes, None], self._files.stored_file(self._node, ids))
        async with aclosing(pieces):
            async for piece in pieces:
                if spool.size + len(piece) > damage.expected.size:
                    raise Damaged(f"its file has more than the {damage.expected.size} bytes that were received")
                await asyncio.to_thread(spool.write, piece)
        return True


class VerificationJobs:
    """Service that makes jobs which check all stored files.

    Parameters
    ----------
    verification : Verification
        Counts the files.
    peers : Peers
        Knows the nodes.
    jobs : JobQueue
        Takes the jobs.
    """

    def __init__(self, verification: Verification, peers: Peers, jobs: JobQueue) -> None:
        self._verification = verification
        self._peers = peers
        self._jobs = jobs

    async def submit(self, request: Mapping[str, Any], *, by: Principal) -> Job:
        """Make a job.

        Parameters
        ----------
        request : Mapping
            `rate` and `repair_from`, as declared.
        by : Principal
            The user whose job it is.

        Raises
        ------
        NotFound
            There is no such node.
        Invalid
            A field is wrong, or a node is none of DICOMweb, which alone returns files as they are stored.
        Conflict
            The user has too many jobs already.
        """
        checked = VERIFICATION.check(request)
        names = list(dict.fromkeys(checked.get("repair_from", ())))
        await sources_of(self._peers, names)
        document = {"rate": checked.get("rate", 0), "repair": checked.get("repair", False), "repair_from": names}
        return await self._jobs.submit(KIND, document, by=by, total=await self._verification.count())


class VerificationRunner(Runner):
    """Runner that checks all stored files; an item is the key of a series.

    Parameters
    ----------
    verification : Verification
        Checks the files.
    peers : Peers
        Knows the nodes that repair.
    blobs : BlobStore
        Has the trash, which repairs, too.
    """

    job_class = JobClass("verification", at_once=1, of_one_user=1)

    def __init__(self, verification: Verification, peers: Peers, blobs: BlobStore) -> None:
        self._verification = verification
        self._peers = peers
        self._blobs = blobs

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        """Yield all series, and items for the files in the trash and those that no instance has."""
        async for series in self._verification.series():
            yield Item(series["key"], series["images_count"])
        yield Item(_TRASH, 0)
        yield Item(_UNKNOWN, 0)
        job.summary = {**VerificationReport.begin().to_document(), "findings": []}

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        """Check one series after the other; one that is not over at a stop is checked again later."""
        try:
            sources = await self._sources(job)
            with RateLimit(job.request["rate"]) as pace, _stopping(pace, stop):
                for place, series in enumerate(items):
                    report = VerificationReport.begin()
                    if series == _UNKNOWN:
                        found = await self._verification.find_unknown(report)
                    elif series == _TRASH:
                        found = await self._verification.check_trash(report, pace, sources)
                    else:
                        found = await self._verification.check_series(series, report, pace, sources)
                    _add(job, report)
                    if series == _UNKNOWN:
                        await self._verification.finish(_whole(job), "job")
                    yield _outcome(place, report, found)
                    if stop.is_set():
                        return
        except CheckStopped:
            return
        except Unavailable as error:  # the disk is away; the job is tried again
            raise PeerFailed(str(error)) from error

    async def _sources(self, job: Job) -> list[RepairSource]:
        nodes = await sources_of(self._peers, job.request["repair_from"])
        is_repaired = job.request.get("repair") or nodes  # jobs of before have no such member
        return [TrashSource(self._blobs), *nodes] if is_repaired else []


@contextmanager
def _stopping(pace: RateLimit, stop: asyncio.Event) -> Iterator[None]:
    """Stop a check that waits in its rate as soon as the job is to stop."""
    waiting = asyncio.create_task(stop.wait())
    waiting.add_done_callback(lambda _: pace.stop())
    try:
        yield
    finally:
        waiting.cancel()


async def sources_of(peers: Peers, names: Sequence[str]) -> list[RepairSource]:
    """List the nodes of these names as sources of bytes. Raises `NotFound`, or `Invalid` if one is none of DICOMweb."""
    return [source_of(*await peers.find(name)) for name in names]


def source_of(node: Node, files: StoredFiles) -> NodeSource:
    """Make the source of bytes in a node. Raises `Invalid` if it is none of DICOMweb."""
    if node.protocol != "DICOMWEB":
        raise Invalid(
            f"{node.name} is a {node.protocol} node; a DICOMWEB one is expected, since only these return files as they "
            "are stored",
            field="repair_from",
        )
    return NodeSource(node, files)


def _add(job: Job, report: VerificationReport) -> None:
    """Add the counts and findings of a series to the job's summary; a series that is checked again counts twice."""
    summary = job.summary
    for name in ("files", "bytes", "damaged", "repaired", "unknown"):
        summary[name] += getattr(report, name)
    known = {each["file"] for each in summary["findings"]}
    new = [each for each in report.findings if each["file"] not in known]
    summary["findings"] = [*summary["findings"], *new][:_MOST_FINDINGS]


def _whole(job: Job) -> VerificationReport:
    counts = {name: value for name, value in job.summary.items() if name != "findings"}
    return VerificationReport(**counts)


def _outcome(place: int, report: VerificationReport, found: Sequence[dict[str, Any]]) -> ItemOutcome:
    bad = [each for each in found if each["repaired"] is None and each["problem"] != "unknown"]
    failures = tuple(Failure(each["instance"], describe_finding(each), Damaged.code) for each in bad)
    return ItemOutcome(place, done=report.files - len(bad), failed=len(bad), failures=failures)
