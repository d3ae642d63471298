"""Composition of the services, read from the top down: each is made with the services that it uses."""

from dataclasses import dataclass, fields
from typing import cast

from neurdicom.app.integrity import IntegrityServices, compose_integrity, make_overview
from neurdicom.app.quota import compose_quota
from neurdicom.app.storage import Storage
from neurdicom.app.tools import ToolServices, compose_tools
from neurdicom.archive.bulk import BulkService
from neurdicom.archive.edit import EditService
from neurdicom.archive.files import FileService
from neurdicom.archive.frames import FrameService
from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.ingest.strictness import Strictness
from neurdicom.archive.labels.service import LabelService
from neurdicom.archive.metadata import MetadataService
from neurdicom.archive.moves import MoveService
from neurdicom.archive.names import EntityNames
from neurdicom.archive.query import QueryService
from neurdicom.archive.quota.service import QuotaService
from neurdicom.archive.remove import RemoveService
from neurdicom.archive.render import RenderService
from neurdicom.archive.retrieve import RetrieveService
from neurdicom.archive.search import SearchService
from neurdicom.archive.targets import TargetService
from neurdicom.archive.trash.service import TrashService
from neurdicom.archive.upload import UploadService
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.catalog.outcomes import Conflicts, SameInstance, StorePolicy
from neurdicom.config import Settings
from neurdicom.data_folder import server_name
from neurdicom.dicomweb.client import DicomWebPeer
from neurdicom.dimse.ipc.backend import DimseBackend
from neurdicom.dimse.ipc.pool import DimseProcessPool
from neurdicom.dimse.ipc.query_retrieve import QueryRetrieveBackend
from neurdicom.dimse.peer import DimsePeer
from neurdicom.dimse.retrievals import RetrievalRegistry
from neurdicom.dimse.service import DimseService
from neurdicom.jobs import JobQueue, JobService, Runner
from neurdicom.nodes.commitment import KIND as COMMITMENT
from neurdicom.nodes.commitment import CommitmentRunner, CommitmentService
from neurdicom.nodes.remote import RemoteService
from neurdicom.nodes.service import NodeService
from neurdicom.nodes.transfer import TransferService
from neurdicom.nodes.transfer_jobs import Peers, RetrieveRunner, SendRunner
from neurdicom.nodes.verification import KIND as VERIFY
from neurdicom.nodes.verification import VerificationJobs, VerificationRunner
from neurdicom.processing.dicom_output.files import DicomOutput
from neurdicom.processing.execute import ProcessService
from neurdicom.processing.jobs import KIND as PROCESS
from neurdicom.processing.jobs import ProcessJobs, ProcessRunner
from neurdicom.processing.resolve import ModalityCheck, Resolver
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.storage import StorageOverview
from neurdicom.rules import RuleService
from neurdicom.rules.tracker import SeriesTracker
from neurdicom.security.users import UserService
from neurdicom.workers.executor import Executor
from neurdicom.workers.pool import WorkerPool


@dataclass(frozen=True, slots=True)
class ArchiveServices:
    """Services that receive, find, edit, remove and name DICOM instances."""

    tracker: SeriesTracker
    ingest: IngestService
    upload: UploadService
    search: SearchService
    query: QueryService
    targets: TargetService
    edit: EditService
    moves: MoveService
    trash: TrashService
    remove: RemoveService
    names: EntityNames
    labels: LabelService


@dataclass(frozen=True, slots=True)
class RetrievalServices:
    """Services that return what is stored: as files, rendered images, frames, metadata or bulk data."""

    retrieve: RetrieveService
    render: RenderService
    files: FileService
    frames: FrameService
    metadata: MetadataService
    bulk: BulkService


@dataclass(frozen=True, slots=True)
class ProcessingServices:
    """Services that run plugins and models, and keep their results."""

    process: ProcessService
    results: ResultStore


@dataclass(frozen=True, slots=True)
class NodeServices:
    """Services that manage remote nodes, and communicate with them over DIMSE and DICOMweb."""

    nodes: NodeService
    dimse: DimseService
    dimse_peer: DimsePeer
    dicomweb_peer: DicomWebPeer


@dataclass(frozen=True, slots=True)
class JobServices:
    """Services that run jobs, and those that submit them."""

    jobs: JobService
    process_jobs: ProcessJobs
    remote: RemoteService
    rules: RuleService
    verification_jobs: VerificationJobs
    quota: QuotaService
    overview: StorageOverview


@dataclass(frozen=True, slots=True)
class Components:
    """All services of a server, by component."""

    users: UserService
    executor: Executor
    tools: ToolServices
    integrity: IntegrityServices
    archive: ArchiveServices
    retrieval: RetrievalServices
    processing: ProcessingServices
    network: NodeServices
    background: JobServices

    def services(self) -> list[object]:
        """List the services that a request handler may declare."""
        groups = (
            self.tools,
            self.integrity,
            self.archive,
            self.retrieval,
            self.processing,
            self.network,
            self.background,
        )
        grouped = (getattr(group, each.name) for group in groups for each in fields(group))
        return [self.users, self.executor, *grouped]


def compose(settings: Settings, storage: Storage, pool: WorkerPool, executor: Executor) -> Components:
    """Make all services, without starting any.

    Parameters
    ----------
    settings : Settings
    storage : Storage
        Opened catalog and blob store.
    pool : WorkerPool
        Opened worker pool.
    executor : Executor
        Runs plugins and models: in the pool, or in a Dask cluster.

    Returns
    -------
    Components
        The services; `app.server.open_components` starts them.
    """
    users = UserService(storage.documents, settings.data, session_seconds=settings.session_hours * 3600)
    tools = compose_tools(settings, storage, pool)
    results = ResultStore(storage.catalog, settings.data / "results", pool, size=settings.results_size)
    integrity = compose_integrity(settings, storage)
    archive = compose_archive(settings, storage, integrity, results)
    retrieval = compose_retrieval(storage, integrity.guard, pool)
    processing = compose_processing(storage, integrity.guard, pool, executor, tools, archive, results)
    queue = JobQueue(storage.documents, server_name(settings.data))
    network = compose_network(settings, storage, integrity.guard, archive, retrieval, queue)
    background = compose_background(settings, storage, integrity, executor, tools, archive, processing, network, queue)
    return Components(users, executor, tools, integrity, archive, retrieval, processing, network, background)


def compose_archive(
    settings: Settings, storage: Storage, integrity: IntegrityServices, results: ResultStore
) -> ArchiveServices:
    """Make the services that receive, find, edit and remove instances.

    Parameters
    ----------
    settings : Settings
    storage : Storage
        Catalog and blob store of the instances.
    integrity : IntegrityServices
        Heal damaged files by what arrives again.
    results : ResultStore
        Removes the results of instances that are removed.

    Returns
    -------
    ArchiveServices
    """
    catalog, blobs = storage.catalog, storage.blobs
    tracker = SeriesTracker(storage.documents, settings.stable_seconds, server_name(settings.data))
    garbage = GarbageCollector(catalog, blobs, integrity.healer)
    trash = TrashService(
        catalog, blobs, garbage, results.sources, integrity.guard, integrity.aside, settings.trash_days
    )
    policy = StorePolicy(
        cast(Conflicts, settings.conflicts), cast(SameInstance, settings.same_instance), keep_versions=trash.keeps
    )
    strictness = Strictness(uids=settings.uids == "strict", part10=settings.part10 == "strict")
    ingest = IngestService(catalog, blobs, tracker, trash.versions.note, policy, garbage, strictness)
    search, labels = SearchService(catalog), LabelService(catalog)
    moves = MoveService(catalog, results.sources, labels)
    return ArchiveServices(
        tracker=tracker,
        ingest=ingest,
        upload=UploadService(ingest, settings.max_upload),
        search=search,
        query=QueryService(catalog),
        targets=TargetService(catalog, search),
        edit=EditService(catalog, [moves], trash),
        moves=moves,
        trash=trash,
        remove=RemoveService(catalog, garbage, trash, results.sources),
        names=EntityNames(catalog),
        labels=labels,
    )


def compose_retrieval(storage: Storage, guard: FileGuard, pool: WorkerPool) -> RetrievalServices:
    """Make the services that return what is stored.

    Parameters
    ----------
    storage : Storage
        Catalog and blob store of the instances.
    guard : FileGuard
        Gives their files.
    pool : WorkerPool
        Renders and transcodes.
    """
    catalog, blobs = storage.catalog, storage.blobs
    retrieve, render = RetrieveService(catalog, blobs, guard), RenderService(catalog, blobs, guard, pool)
    return RetrievalServices(
        retrieve=retrieve,
        render=render,
        files=FileService(catalog, retrieve, render),
        frames=FrameService(guard, pool),
        metadata=MetadataService(catalog),
        bulk=BulkService(catalog, blobs, guard),
    )


def compose_processing(
    storage: Storage,
    guard: FileGuard,
    pool: WorkerPool,
    executor: Executor,
    tools: ToolServices,
    archive: ArchiveServices,
    results: ResultStore,
) -> ProcessingServices:
    """Make the services that run plugins and models.

    Parameters
    ----------
    storage : Storage
        Catalog and blob store of the instances that are processed.
    guard : FileGuard
        Gives their files.
    pool : WorkerPool
        Encodes results as DICOM instances.
    executor : Executor
        Runs plugins and models.
    tools : ToolServices
        Name the installed plugins and models.
    archive : ArchiveServices
        Store results as DICOM instances, and remove those that are replaced.
    results : ResultStore
        Keeps the results.

    Returns
    -------
    ProcessingServices
    """
    catalog, blobs = storage.catalog, storage.blobs
    dicom = DicomOutput(catalog, blobs, pool, archive.ingest, archive.remove, results)
    process = ProcessService(Resolver(catalog, guard, tools.by_type), executor, results, dicom, ModalityCheck(catalog))
    return ProcessingServices(process, results)


def compose_network(
    settings: Settings,
    storage: Storage,
    guard: FileGuard,
    archive: ArchiveServices,
    retrieval: RetrievalServices,
    queue: JobQueue,
) -> NodeServices:
    """Make the services for remote nodes: what accepts their associations, and what opens associations with them.

    Parameters
    ----------
    settings : Settings
    storage : Storage
        Its documents hold the nodes; its instances are sent; its spool folder receives the datasets of C-STORE.
    guard : FileGuard
        Gives the files to send.
    archive : ArchiveServices
        Store what is sent by a node, and find what it asks for.
    retrieval : RetrievalServices
        Read and transcode what is sent to a node.
    queue : JobQueue
        Takes the jobs that report on storage commitment.

    Returns
    -------
    NodeServices
    """
    nodes = NodeService(storage.documents)
    transfer = TransferService(storage.catalog, storage.blobs, guard, retrieval.retrieve, retrieval.render)
    spool = storage.blobs.spool_folder
    find_and_send = QueryRetrieveBackend(archive.query, transfer, nodes)
    retrievals = RetrievalRegistry(settings.ae_title)
    commitments = CommitmentService(nodes, queue)
    backend = DimseBackend(settings, archive.ingest, nodes, find_and_send, commitments, spool, retrievals)
    processes = DimseProcessPool(settings, backend, spool)
    return NodeServices(
        nodes=nodes,
        dimse=DimseService(settings, processes, backend),
        dimse_peer=DimsePeer(settings, processes, transfer, retrievals),
        dicomweb_peer=DicomWebPeer(archive.ingest, retrieval.files),
    )


def compose_background(
    settings: Settings,
    storage: Storage,
    integrity: IntegrityServices,
    executor: Executor,
    tools: ToolServices,
    archive: ArchiveServices,
    processing: ProcessingServices,
    network: NodeServices,
    queue: JobQueue,
) -> JobServices:
    """Make the job service, with a runner for each kind of job, and the services that submit jobs.

    Parameters
    ----------
    settings : Settings
    storage : Storage
        Its documents hold the rules.
    integrity : IntegrityServices
        Check stored files.
    executor : Executor
        Its number of slots limits how many runs of a job are concurrent.
    tools : ToolServices
        Count the installed plugins and models.
    archive : ArchiveServices
        Tell when a series is stable, which starts the rules.
    processing : ProcessingServices
        Runs plugins and models for jobs.
    network : NodeServices
        Send to remote nodes and retrieve from them.
    queue : JobQueue
        The jobs.

    Returns
    -------
    JobServices
    """
    catalog = storage.catalog
    peers = Peers(network.nodes, {"DIMSE": network.dimse_peer, "DICOMWEB": network.dicomweb_peer})
    runners: dict[str, Runner] = {
        PROCESS: ProcessRunner(catalog, processing.process, lambda: executor.slots),
        "send": SendRunner(catalog, peers),
        "retrieve": RetrieveRunner(peers),
        VERIFY: VerificationRunner(integrity.verification, peers, storage.blobs),
        COMMITMENT: CommitmentRunner(catalog, integrity.guard, network.nodes, network.dimse_peer),
    }
    jobs = JobService(queue, runners)
    quota = compose_quota(settings, storage, archive.trash, archive.remove, archive.labels, queue)
    process_jobs = ProcessJobs(catalog, processing.process, queue)
    return JobServices(
        jobs=jobs,
        process_jobs=process_jobs,
        remote=RemoteService(catalog, peers, queue),
        rules=RuleService(catalog, archive.tracker, process_jobs, jobs),
        verification_jobs=VerificationJobs(integrity.verification, peers, queue),
        quota=quota,
        overview=make_overview(settings, integrity, quota, processing.results, tools.plugins, tools.models),
    )
