"""The composition root: the only module that names concrete adapters, and the order of starting and stopping."""

import asyncio
import gc
import logging
import os
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from neurdicom.archive.bulk import BulkService
from neurdicom.archive.edit import EditService
from neurdicom.archive.files import FileService
from neurdicom.archive.frames import FrameService
from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.metadata import MetadataService
from neurdicom.archive.query import QueryService
from neurdicom.archive.reindex import ReindexReport, reindex
from neurdicom.archive.remove import RemoveService
from neurdicom.archive.render import RenderService
from neurdicom.archive.retrieve import RetrieveService
from neurdicom.archive.search import SearchService
from neurdicom.archive.targets import TargetService
from neurdicom.archive.upload import UploadService
from neurdicom.blobs.base import BlobStore
from neurdicom.blobs.local import LocalBlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.config import Settings
from neurdicom.data_folder import FolderLock, server_name
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicomweb import routes as dicomweb
from neurdicom.dicomweb.client import DicomWebPeer
from neurdicom.dimse.ipc.backend import Door
from neurdicom.dimse.ipc.query_retrieve import ArchiveVerbs
from neurdicom.dimse.peer import DimsePeer
from neurdicom.dimse.service import DimseService
from neurdicom.errors import Unavailable
from neurdicom.http import openapi
from neurdicom.http.base import Services, UnknownRoute
from neurdicom.http.routing import Route
from neurdicom.jobs import JobService, Runner
from neurdicom.nodes.commitment import KIND as COMMITMENT
from neurdicom.nodes.commitment import CommitmentRunner, CommitmentService
from neurdicom.nodes.peer import Peer
from neurdicom.nodes.remote import RemoteService
from neurdicom.nodes.service import NodeService
from neurdicom.nodes.transfer import TransferService
from neurdicom.nodes.transfer_jobs import Peers, RetrieveRunner, SendRunner
from neurdicom.plugins.models import ModelService
from neurdicom.plugins.plugins import PluginService
from neurdicom.plugins.tools import ToolSet, ToolType
from neurdicom.processing import ProcessService
from neurdicom.processing.derive import DeriveService
from neurdicom.processing.jobs import KIND as PROCESS
from neurdicom.processing.jobs import ProcessRunner
from neurdicom.processing.results import ResultService, mark_unclean
from neurdicom.processing.submission import ProcessJobs
from neurdicom.processing.turns import Turns
from neurdicom.rules import RuleService
from neurdicom.rules.tracker import SeriesTracker
from neurdicom.security.authentication import NoAuthentication
from neurdicom.security.bootstrap import FirstSignIn
from neurdicom.security.users import UserService
from neurdicom.web import (
    events,
    instances,
    jobs,
    models,
    nodes,
    operations,
    patients,
    pixels,
    plugins,
    process,
    process_jobs,
    results,
    rules,
    series,
    studies,
    uploads,
    users,
)
from neurdicom.web.metrics import Metrics, log_request
from neurdicom.workers.executor import Executor, PoolExecutor
from neurdicom.workers.pool import WorkerPool

log = logging.getLogger(__name__)

#: Seconds that a stopping server gives to the requests and associations that it is serving.
GRACE_SECONDS = 25.0

#: New containers after which the garbage collector looks at them.
_GARBAGE_THRESHOLD = 20_000

#: Bytes taken from a socket at a time; the copies that Tornado makes of larger pieces do not stay in the CPU's cache.
READ_CHUNK = 64 * 1024

ROUTES: list[Route] = [
    *uploads.ROUTES,
    *patients.ROUTES,
    *studies.ROUTES,
    *series.ROUTES,
    *instances.ROUTES,
    *pixels.ROUTES,
    *plugins.ROUTES,
    *models.ROUTES,
    *process.ROUTES,
    *process_jobs.ROUTES,
    *results.ROUTES,
    *rules.ROUTES,
    *nodes.ROUTES,
    *jobs.ROUTES,
    *events.ROUTES,
    *users.ROUTES,
    *dicomweb.ROUTES,
    *operations.ROUTES,
    *openapi.ROUTES,
]


def make_catalog(settings: Settings) -> Catalog:
    """The catalog that the settings ask for."""
    if settings.mongodb_uri:
        from neurdicom.catalog.mongo import MongoCatalog  # its driver takes memory that the default need not

        return MongoCatalog(settings.mongodb_uri)
    from neurdicom.catalog.sqlite import SqliteCatalog

    return SqliteCatalog(settings.data / "catalog.sqlite")


def make_blobs(settings: Settings) -> BlobStore:
    """The blob store that the settings ask for."""
    return LocalBlobStore(settings.data / "blobs")


async def open_storage(settings: Settings, stack: AsyncExitStack) -> tuple[Catalog, BlobStore]:
    """Lock the data folder and open what lies in it; the stack closes them. Raises `Conflict` or `Unavailable`."""
    lock = FolderLock(settings.data)
    stack.callback(lock.release)
    catalog = make_catalog(settings)
    stack.push_async_callback(catalog.close)
    await catalog.open()
    blobs = make_blobs(settings)
    stack.push_async_callback(blobs.close)
    await blobs.open()
    return catalog, blobs


async def open_executor(settings: Settings, pool: WorkerPool, stack: AsyncExitStack) -> Executor:
    """Who does computations: this machine's workers, and for jobs a Dask cluster where the settings name one."""
    local = PoolExecutor(pool)
    if not settings.dask:
        return local
    from neurdicom.workers.dask.cluster import Cluster, Tls  # its library takes memory that others need not
    from neurdicom.workers.dask.executor import DaskExecutor

    is_tls = settings.dask.startswith("tls://")
    tls = Tls(settings.dask_tls_ca, settings.dask_tls_certificate, settings.dask_tls_key) if is_tls else None
    cluster = Cluster(settings.dask, tls)
    stack.push_async_callback(cluster.close)
    await cluster.open()
    return DaskExecutor(cluster, local)


class Server:
    """A NeurDICOM server in this process.

    `start` opens everything in order and listens; `stop` is its reverse, and first lets the requests under way end.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stack = AsyncExitStack()
        self.url = ""
        self.dimse_address = ""
        self.first_sign_in: FirstSignIn | None = None

    async def start(self) -> None:
        """Start serving. Raises our errors when the folder is taken or a backend does not answer."""
        try:
            services = await self._open()
            if not self.settings.no_auth:
                self.first_sign_in = await services.users.ensure_administrator()
            http = self._listen(services)
            self._stack.push_async_callback(self._stop_listening, http, services)
            services.ready = True
            _settle_garbage_collection()
        except BaseException:
            await self._stack.aclose()
            raise

    async def open(self) -> Services:
        """Open everything without listening, for a command on the folder of a stopped server; `stop` closes it."""
        try:
            return await self._open()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _open(self) -> Services:
        settings, stack = self.settings, self._stack
        catalog, blobs = await open_storage(settings, stack)
        pool = WorkerPool(settings.plugin_workers)
        stack.push_async_callback(pool.close)
        await pool.open()
        executor = await open_executor(settings, pool, stack)
        services = self._compose(catalog, blobs, pool, executor)
        stack.push_async_callback(services.users.close)
        stack.push_async_callback(services.ingest.close)
        await services.ingest.recover()
        for packages in (services.models, services.plugins):
            stack.push_async_callback(packages.close)
            await packages.open()
        stack.push_async_callback(services.results.close)
        await services.results.open()
        stack.push_async_callback(services.rules.close)
        await services.rules.open()
        stack.push_async_callback(services.dimse.close, GRACE_SECONDS)
        await services.dimse.open()
        self.dimse_address = services.dimse.address
        stack.push_async_callback(self._dicomweb.close)
        stack.push_async_callback(services.jobs.close)
        await services.jobs.open()
        return services

    def _compose(self, catalog: Catalog, blobs: BlobStore, pool: WorkerPool, executor: Executor) -> Services:
        settings = self.settings
        users = UserService(catalog, settings.data, session_seconds=settings.session_hours * 3600)
        limits: dict[str, Any] = {
            "timeout": settings.plugin_timeout,
            "memory": settings.plugin_memory,
            "threads": max(1, len(os.sched_getaffinity(0)) // settings.plugin_workers),
        }
        models = ModelService(settings.data / "models", catalog, pool, **limits)
        plugins = PluginService(settings.data / "plugins", catalog, pool, models=models, **limits)
        owner = server_name(settings.data)
        tracker = SeriesTracker(catalog, settings.stable_seconds, owner)
        tools: dict[ToolType, ToolSet] = {"plugin": plugins, "model": models}
        kept = ResultService(catalog, settings.data / "results", pool, size=settings.results_size)
        ingest = IngestService(catalog, blobs, tracker, partial(kept.forget, Level.INSTANCE))
        remove = RemoveService(catalog, blobs, kept, tools)
        derive = DeriveService(catalog, blobs, pool, ingest, remove)
        nodes = NodeService(catalog)
        search, retrieve = SearchService(catalog), RetrieveService(catalog, blobs)
        render, query = RenderService(catalog, blobs, pool), QueryService(catalog)
        transfer = TransferService(catalog, blobs, retrieve, render)
        archive = ArchiveVerbs(query, transfer, nodes)
        door = Door(settings, ingest, nodes, archive, blobs.spool_folder)
        dimse = DimseService(settings, door)
        files = FileService(catalog, retrieve, render)
        self._dicomweb = DicomWebPeer(ingest, files)
        dimse_peer = DimsePeer(settings, dimse, transfer)
        by_protocol: dict[str, Peer] = {"DIMSE": dimse_peer, "DICOMWEB": self._dicomweb}
        peers = Peers(nodes, by_protocol)
        processing = ProcessService(catalog, blobs, executor, tools, kept, derive)
        runners: dict[str, Runner] = {
            PROCESS: ProcessRunner(catalog, processing, Turns(lambda: executor.slots)),
            "send": SendRunner(catalog, peers),
            "retrieve": RetrieveRunner(peers),
            COMMITMENT: CommitmentRunner(catalog, blobs, nodes, dimse_peer),
        }
        jobs = JobService(catalog, runners, owner=owner)
        process_jobs = ProcessJobs(catalog, processing, jobs)
        door.offer(CommitmentService(nodes, jobs))
        return Services(
            settings=settings,
            authenticator=NoAuthentication() if settings.no_auth else users.authenticator,
            users=users,
            query=query,
            search=search,
            edit=EditService(catalog),
            remove=remove,
            retrieve=retrieve,
            ingest=ingest,
            upload=UploadService(ingest, settings.max_upload),
            render=render,
            targets=TargetService(catalog, search),
            metadata=MetadataService(catalog),
            files=files,
            frames=FrameService(blobs, pool),
            bulk=BulkService(catalog, blobs),
            plugins=plugins,
            models=models,
            executor=executor,
            process=processing,
            process_jobs=process_jobs,
            rules=RuleService(catalog, tracker, process_jobs, jobs),
            results=kept,
            nodes=nodes,
            dimse=dimse,
            remote=RemoteService(catalog, peers, jobs),
            jobs=jobs,
        )

    def _listen(self, services: Services) -> HTTPServer:
        settings = self.settings
        application = Application(
            [route.as_url_spec(services) for route in ROUTES],
            default_handler_class=UnknownRoute,
            default_handler_args={"services": services},
            log_function=log_request,
            routes=ROUTES,
            metrics=Metrics(ROUTES, services.dimse, services.results),
            started=time.monotonic(),
        )
        http = HTTPServer(application, max_body_size=1 << 62, chunk_size=READ_CHUNK, max_header_size=64 * 1024)
        try:
            sockets = bind_sockets(settings.port, settings.host)
        except OSError as error:
            raise Unavailable(f"can't listen on {settings.host} port {settings.port}: {error.strerror}") from error
        http.add_sockets(sockets)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"http://{host}:{sockets[0].getsockname()[1]}"
        return http

    async def _stop_listening(self, http: HTTPServer, services: Services) -> None:
        services.ready = False
        http.stop()
        deadline = time.monotonic() + GRACE_SECONDS
        while services.under_way and time.monotonic() < deadline:  # noqa: ASYNC110 (once, at the end)
            await asyncio.sleep(0.02)
        if services.under_way:
            log.warning("%d requests are still under way after %g s: cut off", len(services.under_way), GRACE_SECONDS)
        await http.close_all_connections()

    async def stop(self) -> None:
        """Stop listening, let what is under way end, close everything in reverse order. Idempotent."""
        await self._stack.aclose()


def _settle_garbage_collection() -> None:
    """Leave what lives as long as the server out of the collector's sight, and let it look less often.

    An answer of a hundred matches is thousands of short-lived containers, none of them in a cycle: with the default
    threshold the collector took half the time of making them.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD, 20, 50)


async def reindex_folder(settings: Settings) -> ReindexReport:
    """Rebuild the catalog of a stopped server from its files. Raises `Conflict` while a server runs on the folder."""
    async with AsyncExitStack() as stack:
        catalog, blobs = await open_storage(settings, stack)
        report = await reindex(catalog, blobs)
        mark_unclean(settings.data / "results")  # what came of files that are gone goes at the next start
        return report
