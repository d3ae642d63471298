"""Plugins as a resource: install, list, replace and remove them while the server runs.

A version is installed when its files are in place, a fresh worker has loaded and unloaded it, and the catalog has
it; before that nobody sees it. A version that was replaced or removed keeps its workers and files until the last
request that began with it has its answer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurdicom.blobs.base import Spool
from neurdicom.catalog.base import Catalog
from neurdicom.errors import Invalid, NotFound, PluginError, PluginFailed
from neurdicom.runtime.packages import Packages
from neurdicom.runtime.pool import WorkerPool
from neurdicom.runtime.program import Program
from neurdicom.runtime.registry import Plugin, Registry
from neurdicom.services.tools import Running, Tool, ToolSet

log = logging.getLogger(__name__)

#: Kind of the catalog's documents.
DOCUMENTS = "plugin"


class PluginService(ToolSet):
    """The installed plugins.

    Parameters
    ----------
    folder : Path
        Where packages are kept, and nothing else.
    catalog : Catalog
        Keeps one document for each plugin.
    pool : WorkerPool
        Loads and runs them.
    timeout : float
        Cap of what a plugin may ask for in META.json, and what it gets if it asks for nothing: seconds for a call.
    memory : int
        Likewise, MiB for a worker.
    """

    def __init__(self, folder: Path, catalog: Catalog, pool: WorkerPool, *, timeout: float, memory: int) -> None:
        self._catalog = catalog
        self._pool = pool
        self._timeout = timeout
        self._memory = memory
        self._packages = Packages(folder)
        self._registry = Registry(self._start_retiring)
        self._files = asyncio.Lock()
        self._changes = asyncio.Lock()
        self._retiring: dict[str, asyncio.Task[None]] = {}
        self._dropped: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Take the plugins from the catalog, and delete files that none of them needs."""
        for document in await self._catalog.find_documents(DOCUMENTS):
            try:
                self._registry.put(Plugin.from_document(document))
            except Invalid as error:
                log.warning("the plugin %s is left out, its META.json is no longer taken: %s", document["id"], error)
        plugins = self._registry.all()
        await asyncio.to_thread(self._packages.open, {plugin.digest for plugin in plugins})
        for plugin in plugins:
            try:
                if not self._packages.is_extracted(plugin.digest):
                    await asyncio.to_thread(self._packages.extract, plugin.digest)
            except (Invalid, NotFound) as error:
                log.warning("the plugin %s can't be run: %s", plugin.id, error)
                self._registry.put(replace(plugin, problem=str(error)))

    async def close(self) -> None:
        """Stop deleting; what is left of that is done at the next start. Idempotent."""
        retiring = list(self._retiring.values())
        for task in retiring:  # one may wait for a call that hangs
            task.cancel()
        await asyncio.gather(*retiring, *self._dropped, return_exceptions=True)

    def all(self) -> list[Plugin]:
        """Every plugin, by name."""
        return self._registry.all()

    def get(self, guid: str) -> Plugin:
        """One plugin. Raises `NotFound`."""
        return self._registry.get(guid)

    def tool(self, id: str) -> Tool:
        """What those who run a plugin need of it. Raises `NotFound`."""
        return _tool_of(self._registry.get(id))

    def new_spool(self) -> Spool:
        """An empty file for an archive that is arriving; give it to `install`, and discard it afterwards."""
        return self._packages.new_spool()

    async def install(self, spool: Spool) -> tuple[Plugin, bool]:
        """Install the plugin in an archive, in place of an earlier version of it.

        Returns
        -------
        plugin : Plugin
            As it is now.
        is_new : bool
            There was no plugin of its guid.

        Raises
        ------
        Invalid
            The archive is refused, META.json is wrong, or a worker could not load the plugin; nothing is kept.
        """
        digest = spool.sha256
        try:
            with self._registry.hold(digest):
                plugin = await self._unpack(spool)
                await self._probe(plugin)
                async with self._changes:
                    is_new = self._registry.find(plugin.id) is None
                    await self._catalog.put_document(DOCUMENTS, plugin.id, plugin.as_document())
                    self._registry.put(plugin)
        finally:
            if digest in self._retiring and not self._registry.is_wanted(digest):
                await asyncio.wait([self._retiring[digest]])
        log.info("plugin %s %s is installed (%s)", plugin.id, plugin.manifest.version, digest[:12])
        return plugin, is_new

    def drop(self, abort: Coroutine[Any, Any, None]) -> None:
        """Have an upload whose sender went away deleted; does not wait."""
        task = asyncio.get_running_loop().create_task(abort)
        self._dropped.add(task)
        task.add_done_callback(self._dropped.discard)

    async def delete(self, guid: str) -> None:
        """Remove a plugin; requests that run it get their answers. Raises `NotFound`."""
        async with self._changes:
            self._registry.get(guid)
            await self._catalog.delete_document(DOCUMENTS, guid)
            self._registry.remove(guid)
        log.info("plugin %s is removed", guid)

    @asynccontextmanager
    async def use(self, id: str) -> AsyncIterator[Running]:
        """Hold the current version of a plugin for a call of its program.

        Raises
        ------
        NotFound
            There is no such plugin.
        PluginQuarantined
            It kept failing to load.
        """
        plugin = self._registry.get(id)
        self._registry.check_ready(plugin)
        with self._registry.hold(plugin.digest):
            try:
                await self._ensure_extracted(plugin)
                yield Running(_tool_of(plugin), self._program(plugin))
            except PluginError as error:
                if error.loading:
                    await self._record_failure(plugin, error)
                else:
                    self._registry.record_success(plugin.digest)
                raise
            self._registry.record_success(plugin.digest)

    def _program(self, plugin: Plugin) -> Program:
        folder = self._packages.folder(plugin.digest)
        return plugin.program(folder, timeout=self._timeout, memory=self._memory)

    async def _unpack(self, spool: Spool) -> Plugin:
        async with self._files:
            digest = await asyncio.to_thread(self._packages.add, spool)
            archive = await asyncio.to_thread(self._packages.extract, digest)
        installed = datetime.now(UTC).isoformat(timespec="seconds")
        return Plugin(archive.manifest, archive.kind, archive.target, digest, installed)

    async def _probe(self, plugin: Plugin) -> None:
        try:
            await self._pool.probe(self._program(plugin))
        except PluginError as error:
            raise Invalid(f"the plugin can't be loaded ({error.code}): {error}", field="archive") from error

    async def _ensure_extracted(self, plugin: Plugin) -> None:
        if self._packages.is_extracted(plugin.digest):
            return
        try:
            async with self._files:
                await asyncio.to_thread(self._packages.extract, plugin.digest)
        except (Invalid, NotFound) as error:
            raise PluginFailed(f"the files of {plugin.manifest.name!r} are damaged: {error}") from error

    async def _record_failure(self, plugin: Plugin, error: PluginError) -> None:
        async with self._changes:
            quarantined = self._registry.record_failure(plugin, error)
            if quarantined is not None:
                log.error("plugin %s is quarantined: %s", plugin.id, quarantined.problem)
                await self._catalog.put_document(DOCUMENTS, plugin.id, quarantined.as_document())

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


def _tool_of(plugin: Plugin) -> Tool:
    manifest = plugin.manifest
    return Tool(
        type="plugin",
        id=plugin.id,
        name=manifest.name,
        version=manifest.version,
        author=manifest.author,
        digest=plugin.digest,
        params=manifest.params,
        level=manifest.level,
        input=manifest.input,
        result=manifest.result,
        produces=manifest.produces,
        meta=manifest.meta,
    )
