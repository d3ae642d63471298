"""What users install, plugins and models, as a resource: install, list, replace and remove while the server runs.

A version is installed when its files are in place, a fresh worker has loaded and unloaded it, and the catalog has
it; before that nobody sees it. A version that was replaced or removed keeps its workers and files until the last
request that began with it has its answer.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from neurdicom.blobs.base import Spool
from neurdicom.catalog.base import Catalog
from neurdicom.errors import Invalid, NotFound, PluginError, PluginFailed
from neurdicom.plugins.package_version import Installed
from neurdicom.plugins.registry import Registry
from neurdicom.plugins.tools import Running, Tool, ToolSet
from neurdicom.workers.packages.package_folders import Packages
from neurdicom.workers.packages.package_zip import Contents
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import Program

log = logging.getLogger(__name__)

VersionT = TypeVar("VersionT", bound=Installed)
ArchiveT = TypeVar("ArchiveT", bound=Contents)


class PackageService(ToolSet, Generic[VersionT, ArchiveT]):
    """The installed plugins, or the installed models; a subclass says what one is.

    Parameters
    ----------
    folder : Path
        Where packages are kept, and nothing else.
    catalog : Catalog
        Keeps one document for each of them.
    pool : WorkerPool
        Loads and runs them.
    timeout : float
        Cap of what META.json may ask for, and what it gets if it asks for nothing: seconds for a call.
    memory : int
        Likewise, MiB for a worker.
    threads : int
        Threads that one worker may compute in; of networks only.

    Attributes
    ----------
    noun : str
        What one is called in messages, and the kind of the catalog's documents.
    """

    noun: ClassVar[str]

    def __init__(
        self, folder: Path, catalog: Catalog, pool: WorkerPool, *, timeout: float, memory: int, threads: int = 1
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self._timeout = timeout
        self._memory = memory
        self._threads = threads
        self._packages = Packages(folder, self._read_archive)
        self._registry: Registry[VersionT] = Registry(self._start_retiring, self.noun)
        self._files = asyncio.Lock()
        self._changes = asyncio.Lock()
        self._retiring: dict[str, asyncio.Task[None]] = {}
        self._dropped: set[asyncio.Task[None]] = set()

    @staticmethod
    @abstractmethod
    def _read_archive(path: Path) -> ArchiveT:
        """Open an archive and check it. Raises `Invalid`."""

    @staticmethod
    @abstractmethod
    def _from_document(document: Mapping[str, Any]) -> VersionT:
        """Read a document of the catalog. Raises `Invalid`."""

    @staticmethod
    @abstractmethod
    def _of_archive(archive: ArchiveT, digest: str, installed: str) -> VersionT:
        """The version that an archive holds."""

    @abstractmethod
    def _as_tool(self, version: VersionT) -> Tool:
        """What those who run it need of it."""

    async def _probe(self, version: VersionT) -> VersionT:
        """Prove in a fresh worker that it can be loaded; answers it with what was learned of it."""
        async with self._prepared(version) as program:
            await self._pool.probe(program)
        return version

    @asynccontextmanager
    async def _prepared(self, version: VersionT) -> AsyncIterator[Program]:
        """What a worker loads, with everything in place that it needs for as long as the context lasts."""
        await self._ensure_extracted(version)
        folder = self._packages.folder(version.digest)
        program = version.program(folder, timeout=self._timeout, memory=self._memory)
        yield replace(program, threads=self._threads)

    async def open(self) -> None:
        """Take them from the catalog, and delete files that none of them needs."""
        for document in await self._catalog.find_documents(self.noun):
            try:
                self._registry.put(self._from_document(document))
            except Invalid as error:
                name = document["id"]
                log.warning("the %s %s is left out, its META.json is no longer taken: %s", self.noun, name, error)
        versions = self._registry.all()
        await asyncio.to_thread(self._packages.open, {version.digest for version in versions})
        for version in versions:
            try:
                if not self._packages.is_extracted(version.digest):
                    await asyncio.to_thread(self._packages.extract, version.digest)
            except (Invalid, NotFound) as error:
                log.warning("the %s %s can't be run: %s", self.noun, version.id, error)
                self._registry.put(replace(version, problem=str(error)))

    async def close(self) -> None:
        """Stop deleting; what is left of that is done at the next start. Idempotent."""
        retiring = list(self._retiring.values())
        for task in retiring:  # one may wait for a call that hangs
            task.cancel()
        await asyncio.gather(*retiring, *self._dropped, return_exceptions=True)

    def all(self) -> list[VersionT]:
        """All of them, by name."""
        return self._registry.all()

    def get(self, id: str) -> VersionT:
        """One of them. Raises `NotFound`."""
        return self._registry.get(id)

    def tool(self, id: str, digest: str | None = None) -> Tool:
        """What those who run one need of it; see `ToolSet.tool`."""
        return self._as_tool(self._registry.version(id, digest))

    def new_spool(self) -> Spool:
        """An empty file for an archive that is arriving; give it to `install`, and discard it afterwards."""
        return self._packages.new_spool()

    async def install(self, spool: Spool) -> tuple[VersionT, bool]:
        """Install what is in an archive, in place of an earlier version of it.

        Returns
        -------
        version : Installed
            As it is now.
        is_new : bool
            There was none of its id.

        Raises
        ------
        Invalid
            The archive is refused, META.json is wrong, or a worker could not load it; nothing is kept.
        """
        digest = spool.sha256
        try:
            with self._registry.hold(digest):
                version = await self._prove(await self._unpack(spool))
                async with self._changes:
                    is_new = self._registry.find(version.id) is None
                    await self._catalog.put_document(self.noun, version.id, version.as_document())
                    self._registry.put(version)
        finally:
            if digest in self._retiring and not self._registry.is_wanted(digest):
                await asyncio.wait([self._retiring[digest]])
        log.info("%s %s %s is installed (%s)", self.noun, version.id, version.manifest.version, digest[:12])
        return version, is_new

    def drop(self, abort: Coroutine[Any, Any, None]) -> None:
        """Have an upload whose sender went away deleted; does not wait."""
        task = asyncio.get_running_loop().create_task(abort)
        self._dropped.add(task)
        task.add_done_callback(self._dropped.discard)

    async def delete(self, id: str) -> None:
        """Remove one; requests that run it get their answers. Raises `NotFound`."""
        async with self._changes:
            self._registry.get(id)
            await self._catalog.delete_document(self.noun, id)
            self._registry.remove(id)
        log.info("%s %s is removed", self.noun, id)

    @contextmanager
    def hold(self, id: str, digest: str | None = None) -> Iterator[Tool]:
        """Keep a version; see `ToolSet.hold`."""
        version = self._registry.version(id, digest)
        self._registry.check_ready(version)
        with self._registry.hold(version.digest):
            yield self._as_tool(version)

    @asynccontextmanager
    async def use(self, id: str, digest: str | None = None) -> AsyncIterator[Running]:
        """Hold a version of one for a call of its program; see `ToolSet.use`."""
        version = self._registry.version(id, digest)
        self._registry.check_ready(version)
        with self._registry.hold(version.digest):
            async with self._prepared(version) as program:
                try:
                    yield Running(self._as_tool(version), program)
                except PluginError as error:
                    if error.loading:
                        await self._record_failure(version, error)
                    else:
                        self._registry.record_success(version.digest)
                    raise
            self._registry.record_success(version.digest)

    async def _unpack(self, spool: Spool) -> VersionT:
        async with self._files:
            digest = await asyncio.to_thread(self._packages.add, spool)
            archive = await asyncio.to_thread(self._packages.extract, digest)
        return self._of_archive(archive, digest, datetime.now(UTC).isoformat(timespec="seconds"))

    async def _prove(self, version: VersionT) -> VersionT:
        try:
            return await self._probe(version)
        except PluginError as error:
            raise Invalid(f"the {self.noun} can't be loaded ({error.code}): {error}", field="archive") from error

    async def _ensure_extracted(self, version: VersionT) -> None:
        if self._packages.is_extracted(version.digest):
            return
        try:
            async with self._files:
                await asyncio.to_thread(self._packages.extract, version.digest)
        except (Invalid, NotFound) as error:
            raise PluginFailed(f"the files of {version.manifest.name!r} are damaged: {error}") from error

    async def _record_failure(self, version: VersionT, error: PluginError) -> None:
        async with self._changes:
            quarantined = self._registry.record_failure(version, error)
            if quarantined is not None:
                log.error("%s %s is quarantined: %s", self.noun, version.id, quarantined.problem)
                await self._catalog.put_document(self.noun, version.id, quarantined.as_document())

    def _start_retiring(self, digest: str) -> None:
        if digest not in self._retiring:
            task = asyncio.get_running_loop().create_task(self._retire(digest))
            self._retiring[digest] = task
            task.add_done_callback(lambda _: self._retiring.pop(digest))

    async def _retire(self, digest: str) -> None:
        """End the workers of a version that is idle and delete its files, unless somebody wants it again."""
        await self._pool.retire(digest)
        async with self._files:
            if not self._registry.is_wanted(digest):
                await asyncio.to_thread(self._packages.remove, digest)
