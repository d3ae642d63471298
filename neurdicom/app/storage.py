"""Storage of a data folder: its lock and its open backends, and the reindexing of a stopped server's folder."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from neurdicom.app.backends import make_blobs, make_catalog
from neurdicom.app.migration import migrate
from neurdicom.archive.reindex import ReindexReport, reindex
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import Documents
from neurdicom.catalog.outcomes import StorePolicy
from neurdicom.config import Settings
from neurdicom.data_folder import FolderLock
from neurdicom.processing.result_files import mark_unclean
from neurdicom.workers.executor import Executor
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.pool_executor import PoolExecutor


@dataclass(frozen=True, slots=True)
class Storage:
    """The opened backends of a data folder."""

    catalog: Catalog
    blobs: BlobStore

    @property
    def documents(self) -> Documents:
        """Documents of the catalog."""
        return self.catalog.documents


async def open_storage(settings: Settings, stack: AsyncExitStack) -> Storage:
    """Lock the data folder and open its catalog and blob store; the stack closes them.

    Raises
    ------
    Conflict
        Another process uses the data folder.
    Invalid
        The data folder can't be made or written.
    Unavailable
        MongoDB does not respond.
    """
    lock = FolderLock(settings.data)
    stack.callback(lock.release)
    catalog = make_catalog(settings)
    stack.push_async_callback(catalog.close)
    await catalog.open()
    blobs = make_blobs(settings)
    stack.push_async_callback(blobs.close)
    await blobs.open()
    return Storage(catalog, blobs)


async def open_executor(settings: Settings, pool: WorkerPool, stack: AsyncExitStack) -> Executor:
    """Open the executor of plugins and models: this machine's workers, and for jobs a Dask cluster where one is set.

    Parameters
    ----------
    settings : Settings
        `dask` is the scheduler's address; empty for this machine only.
    pool : WorkerPool
        Workers of this machine.
    stack : AsyncExitStack
        Closes the connection to the cluster.

    Returns
    -------
    Executor

    Raises
    ------
    Invalid
        `dask` is set, and dask.distributed is not installed.
    """
    local = PoolExecutor(pool)
    if not settings.dask:
        return local
    from neurdicom.workers.dask.cluster import Cluster, Tls  # its library uses memory that other servers do not need
    from neurdicom.workers.dask.executor import DaskExecutor

    is_tls = settings.dask.startswith("tls://")
    tls = Tls(settings.dask_tls_ca, settings.dask_tls_certificate, settings.dask_tls_key) if is_tls else None
    cluster = Cluster(settings.dask, tls)
    stack.push_async_callback(cluster.close)
    await cluster.open()
    return DaskExecutor(cluster, local)


async def reindex_folder(settings: Settings, *, quick: bool = False) -> ReindexReport:
    """Rebuild the catalog of a stopped server from its files; `quick` reads their headers alone.

    Raises `Conflict` while a server runs on the folder.
    """
    async with AsyncExitStack() as stack:
        storage = await open_storage(settings, stack)
        await migrate(storage.catalog)
        registry = DamageRegistry(storage.documents, settings.data)
        policy = StorePolicy(keep_versions=settings.trash_days > 0)
        report = await reindex(storage.catalog, storage.blobs, registry=registry, quick=quick, policy=policy)
        mark_unclean(settings.data / "results")  # the next start removes the results of files that are gone
        return report
