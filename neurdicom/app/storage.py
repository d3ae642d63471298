"""Backends that the settings ask for, and the data folder of a stopped server."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from neurdicom.archive.reindex import ReindexReport, reindex
from neurdicom.blobs.base import BlobStore
from neurdicom.blobs.local import LocalBlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import Documents
from neurdicom.config import Settings
from neurdicom.data_folder import FolderLock
from neurdicom.processing.result_files import mark_unclean
from neurdicom.workers.executor import Executor
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.pool_executor import PoolExecutor


def make_catalog(settings: Settings) -> Catalog:
    """Make the catalog that the settings ask for."""
    if settings.mongodb_uri:
        from neurdicom.catalog.mongo import MongoCatalog  # its driver takes memory that the default need not

        return MongoCatalog(settings.mongodb_uri)
    from neurdicom.catalog.sqlite import SqliteCatalog

    return SqliteCatalog(settings.data / "catalog.sqlite")


def make_blobs(settings: Settings) -> BlobStore:
    """Make the blob store that the settings ask for."""
    return LocalBlobStore(settings.data / "blobs")


@dataclass(frozen=True, slots=True)
class Storage:
    """The opened backends of a data folder."""

    catalog: Catalog
    blobs: BlobStore

    @property
    def documents(self) -> Documents:
        """The document port of the catalog."""
        return self.catalog.documents


async def open_storage(settings: Settings, stack: AsyncExitStack) -> Storage:
    """Lock the data folder and open what lies in it; the stack closes them. Raises `Conflict` or `Unavailable`."""
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
    """Open what computes: this machine's workers, and for jobs a Dask cluster where the settings name one."""
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


async def reindex_folder(settings: Settings) -> ReindexReport:
    """Rebuild the catalog of a stopped server from its files. Raises `Conflict` while a server runs on the folder."""
    async with AsyncExitStack() as stack:
        storage = await open_storage(settings, stack)
        report = await reindex(storage.catalog, storage.blobs)
        mark_unclean(settings.data / "results")  # what came of files that are gone goes at the next start
        return report
