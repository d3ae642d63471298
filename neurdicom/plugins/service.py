"""Services for plugins and models: install, list, replace and remove them while the server runs.

A version is installed when its files are in place, a fresh worker has loaded and unloaded it, and the catalog has it;
before that it is not visible. A version that was replaced or removed keeps its workers and files until the last
request that began with it is answered.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from neurdicom.blobs.base import Spool
from neurdicom.catalog.documents import Documents
from neurdicom.coordination import BackgroundTasks
from neurdicom.errors import Conflict, Invalid, NotFound, PluginError, PluginFailed
from neurdicom.plugins.plugin_zip import PluginZip
from neurdicom.plugins.registry import Registry
from neurdicom.plugins.tools import Running, Tool, ToolSet, ToolType
from neurdicom.plugins.versions import ModelVersion, PackageVersion, PluginVersion
from neurdicom.workers.model.model_zip import ModelZip
from neurdicom.workers.packages.package_folders import PackageFolders
from neurdicom.workers.packages.package_zip import PackageZip
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import Program, ToolLimits

log = logging.getLogger(__name__)

VersionT = TypeVar("VersionT", bound=PackageVersion)
ZipT = TypeVar("ZipT", bound=PackageZip)


class PackageService(ToolSet, Generic[VersionT, ZipT]):
    """Service for the installed plugins, or for the installed models; a subclass reads one kind of package.

    Parameters
    ----------
    folder : Path
        Holds the packages, and nothing else.
    documents : Documents
        Stores one document for each of them.
    pool : WorkerPool
        Loads and runs them.
    limits : ToolLimits
        Caps of what META.json may ask for.

    Attributes
    ----------
    noun : {"plugin", "model"}
        Word for one of them in messages, and the kind of the catalog's documents.
    """

    noun: ClassVar[ToolType]

    def __init__(self, folder: Path, documents: Documents, pool: WorkerPool, limits: ToolLimits) -> None:
        self._documents = documents
        self._pool = pool
        self._limits = limits
        self._packages = PackageFolders(folder, self._open_zip)
        self._registry: Registry[VersionT] = Registry(self._start_retiring, self.noun)
        self._files = asyncio.Lock()
        self._changes = asyncio.Lock()
        self._retiring: dict[str, asyncio.Task[None]] = {}
        self._dropped = BackgroundTasks("an abandoned upload could not be deleted")

    @staticmethod
    @abstractmethod
    def _open_zip(path: Path) -> ZipT:
        """Open a package and check it. Raises `Invalid`."""

    @staticmethod
    @abstractmethod
    def _from_zip(package: ZipT, digest: str, installed: str) -> VersionT:
        """Make the version that a package holds."""

    @staticmethod
    @abstractmethod
    def _from_document(document: Mapping[str, Any]) -> VersionT:
        """Read a version from its document in the catalog. Raises `Invalid`."""

    def _uses(self, version: VersionT) -> Mapping[str, str]:
        """Look up the models that a version uses, id to digest; models that are not installed are left out."""
        return {}

    async def _probe(self, version: VersionT) -> VersionT:
        """Load a version in a fresh worker as a trial; return it with the properties that the worker reported."""
        async with self._prepared(version) as program:
            await self._pool.probe(program)
        return version

    @asynccontextmanager
    async def _prepared(self, version: VersionT) -> AsyncIterator[Program]:
        """Put everything in place that a worker needs to load a version, for as long as the context lasts."""
        await self._ensure_extracted(version)
        yield version.program(self._packages.folder(version.digest), self._limits)

    async def open(self) -> None:
        """Read the installed versions from the catalog, and delete files that none of them needs."""
        for document in (await self._documents.query(self.noun)).items:
            try:
                self._registry.put(self._from_document(document))
            except Invalid as error:
                name = document["id"]
                log.warning("the %s %s is not available: this server refuses its META.json: %s", self.noun, name, error)
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
        """Stop deleting files; the remaining ones are deleted at the next start. Idempotent."""
        retiring = list(self._retiring.values())
        for task in retiring:  # it may be waiting for a call that hangs
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        await self._dropped.drain()

    def all(self) -> list[VersionT]:
        """List the current versions, by name."""
        return self._registry.all()

    def get(self, id: str) -> VersionT:
        """Return the current version. Raises `NotFound`."""
        return self._registry.get(id)

    def tool(self, id: str, digest: str | None = None) -> Tool:
        """Describe a version as a tool; see `ToolSet.tool`."""
        return self._tool(self._registry.version(id, digest))

    def new_spool(self) -> Spool:
        """Make an empty file to receive a package; give it to `install`, and discard it afterwards."""
        return self._packages.new_spool()

    async def install(self, spool: Spool) -> tuple[VersionT, bool]:
        """Install a package, in place of an earlier version of it.

        Returns
        -------
        version : PackageVersion
            The installed version.
        is_new : bool
            Whether there was none with its id before.

        Raises
        ------
        Invalid
            The package is refused, META.json is wrong, or a worker could not load it; nothing is kept.
        """
        digest = spool.sha256
        try:
            with self._registry.hold(digest):
                version = await self._prove(await self._unpack(spool))
                async with self._changes:
                    is_new = self._registry.find(version.id) is None
                    await self._documents.put(self.noun, {version.id: version.to_document()})
                    self._registry.put(version)
        finally:
            if digest in self._retiring and not self._registry.is_wanted(digest):
                await asyncio.wait([self._retiring[digest]])
        log.info("%s %s %s was installed (%s)", self.noun, version.id, version.manifest.version, digest[:12])
        return version, is_new

    def drop(self, abort: Coroutine[Any, Any, None]) -> None:
        """Delete an upload whose sender has left, in the background."""
        self._dropped.start(abort)

    async def delete(self, id: str) -> None:
        """Remove a plugin or model; requests that run it are still answered. Raises `NotFound`."""
        async with self._changes:
            self._registry.get(id)
            await self._documents.delete(self.noun, id)
            self._registry.remove(id)
        log.info("%s %s was removed", self.noun, id)

    @contextmanager
    def hold(self, id: str, digest: str | None = None) -> Iterator[Tool]:
        """Keep a version; see `ToolSet.hold`."""
        version = self._registry.version(id, digest)
        self._registry.check_ready(version)
        with self._registry.hold(version.digest):
            yield self._tool(version)

    @asynccontextmanager
    async def use(self, id: str, digest: str | None = None) -> AsyncIterator[Running]:
        """Hold a version for a call of its program; see `ToolSet.use`."""
        version = self._registry.version(id, digest)
        self._registry.check_ready(version)
        with self._registry.hold(version.digest):
            async with self._prepared(version) as program:
                try:
                    yield Running(self._tool(version), program)
                except PluginError as error:
                    if error.loading:
                        await self._record_failure(version, error)
                    else:
                        self._registry.record_success(version.digest)
                    raise
            self._registry.record_success(version.digest)

    def _tool(self, version: VersionT) -> Tool:
        return version.tool(self._uses(version))

    async def _unpack(self, spool: Spool) -> VersionT:
        async with self._files:
            digest = await asyncio.to_thread(self._packages.add, spool)
            package = await asyncio.to_thread(self._packages.extract, digest)
        return self._from_zip(package, digest, datetime.now(UTC).isoformat(timespec="seconds"))

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
                log.error("%s %s was quarantined: %s", self.noun, version.id, quarantined.problem)
                await self._documents.put(self.noun, {version.id: quarantined.to_document()})

    def _start_retiring(self, digest: str) -> None:
        if digest not in self._retiring:
            task = asyncio.get_running_loop().create_task(self._retire(digest))
            self._retiring[digest] = task
            task.add_done_callback(lambda _: self._retiring.pop(digest))

    async def _retire(self, digest: str) -> None:
        """End the workers of an idle version and delete its files, unless it is wanted again."""
        await self._pool.retire(digest)
        async with self._files:
            if not self._registry.is_wanted(digest):
                await asyncio.to_thread(self._packages.remove, digest)


@dataclass(frozen=True, slots=True)
class ReachedModel:
    """Version of a model that a plugin uses, with the folder of its files."""

    id: str
    digest: str
    folder: str


class ModelService(PackageService[ModelVersion, ModelZip]):
    """Service for the installed models."""

    noun = "model"
    _open_zip = ModelZip
    _from_zip = ModelVersion.from_zip
    _from_document = ModelVersion.from_document

    async def _probe(self, version: ModelVersion) -> ModelVersion:
        """Inspect a model in a fresh worker and run it once; return it with the worker's findings."""
        async with self._prepared(version) as program:
            arguments = {"folder": program.target, "threads": program.threads}
            network = await self._pool.probe(version.inspection(program), "inspect", arguments)
        return replace(version, network=network)

    def named(self, name: str) -> ModelVersion:
        """Find a model by its id, or else by a name that only one model has.

        Raises
        ------
        Conflict
            There is none, or several have that name.
        """
        found = self._registry.find(name)
        if found is not None:
            return found
        several = [each for each in self._registry.all() if each.manifest.name == name]
        if len(several) == 1:
            return several[0]
        if several:
            ids = ", ".join(repr(each.id) for each in several)
            raise Conflict(f"{len(several)} models have the name {name!r}; one of their ids is expected: {ids}")
        raise Conflict(f"the model {name!r} is not installed; POST /api/models installs it")

    @asynccontextmanager
    async def reach(self, name: str) -> AsyncIterator[ReachedModel]:
        """Hold a model for a plugin that runs with it. Raises as `named`, and `PluginQuarantined`."""
        model = self.named(name)
        self._registry.check_ready(model)
        with self._registry.hold(model.digest):
            await self._ensure_extracted(model)
            yield ReachedModel(model.id, model.digest, str(self._packages.folder(model.digest)))


class PluginService(PackageService[PluginVersion, PluginZip]):
    """Service for the installed plugins; `models` are the models that they may use."""

    noun = "plugin"
    _open_zip = PluginZip
    _from_zip = PluginVersion.from_zip
    _from_document = PluginVersion.from_document

    def __init__(
        self, folder: Path, documents: Documents, pool: WorkerPool, limits: ToolLimits, models: ModelService
    ) -> None:
        super().__init__(folder, documents, pool, limits)
        self._models = models

    @asynccontextmanager
    async def _prepared(self, version: PluginVersion) -> AsyncIterator[Program]:
        """Put a plugin's models in place as well."""
        async with AsyncExitStack() as stack:
            program = await stack.enter_async_context(super()._prepared(version))
            folders = {}
            for name in version.manifest.models:
                try:
                    folders[name] = (await stack.enter_async_context(self._models.reach(name))).folder
                except Conflict as error:
                    raise Conflict(f"the plugin {version.manifest.name!r} can't be run: {error}") from error
            yield replace(program, models=folders)

    async def _probe(self, version: PluginVersion) -> PluginVersion:
        for index, name in enumerate(version.manifest.models):
            try:
                self._models.named(name)
            except Conflict as error:
                raise Invalid(f"META.json: {error}", field=f"models.{index}") from error
        async with self._prepared(version) as program:
            learned = await self._pool.probe(program)
        return replace(version, takes_volumes=learned.get("takes_volumes", True) is True)

    def _uses(self, version: PluginVersion) -> dict[str, str]:
        found = {}
        for name in version.manifest.models:
            with suppress(Conflict):
                model = self._models.named(name)
                found[model.id] = model.digest
        return found
