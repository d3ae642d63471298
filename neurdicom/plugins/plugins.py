"""The installed plugins."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from neurdicom.errors import Conflict, Invalid
from neurdicom.plugins.models import ModelService
from neurdicom.plugins.packages import PackageService
from neurdicom.plugins.plugin_version import Plugin
from neurdicom.plugins.plugin_zip import Archive
from neurdicom.plugins.tools import Tool
from neurdicom.workers.program import Program


class PluginService(PackageService[Plugin, Archive]):
    """The installed plugins; `models` are those that they may reach."""

    noun = "plugin"

    def __init__(self, *args: Any, models: ModelService, **options: Any) -> None:
        super().__init__(*args, **options)
        self._models = models

    @staticmethod
    def _read_archive(path: Path) -> Archive:
        return Archive(path)

    @staticmethod
    def _from_document(document: Mapping[str, Any]) -> Plugin:
        return Plugin.from_document(document)

    @staticmethod
    def _of_archive(archive: Archive, digest: str, installed: str) -> Plugin:
        return Plugin(archive.manifest, archive.kind, archive.target, digest, installed)

    @asynccontextmanager
    async def _prepared(self, version: Plugin) -> AsyncIterator[Program]:
        """What a worker loads, with the models that it reaches."""
        async with AsyncExitStack() as stack:
            program = await stack.enter_async_context(super()._prepared(version))
            folders = {}
            for name in version.manifest.models:
                try:
                    folders[name] = (await stack.enter_async_context(self._models.reach(name))).folder
                except Conflict as error:
                    raise Conflict(f"the plugin {version.manifest.name!r} can't be run: {error}") from error
            yield replace(program, models=folders)

    async def _probe(self, version: Plugin) -> Plugin:
        for index, name in enumerate(version.manifest.models):
            try:
                self._models.named(name)
            except Conflict as error:
                raise Invalid(f"META.json: {error}", field=f"models.{index}") from error
        async with self._prepared(version) as program:
            learned = await self._pool.probe(program)
        return replace(version, takes_volumes=learned.get("takes_volumes", True) is True)

    def _as_tool(self, version: Plugin) -> Tool:
        manifest = version.manifest
        return Tool(
            type="plugin",
            id=version.id,
            name=manifest.name,
            version=manifest.version,
            author=manifest.author,
            digest=version.digest,
            params=manifest.params,
            level=version.level,
            input=manifest.input,
            result=manifest.result,
            produces=manifest.produces,
            meta=manifest.meta,
            per_frame=version.kind != "python",
            uses=self._uses(version),
        )

    def _uses(self, version: Plugin) -> dict[str, str]:
        """The models that it reaches, id to digest; those that are not there are left out."""
        found = {}
        for name in version.manifest.models:
            with suppress(Conflict):
                model = self._models.named(name)
                found[model.id] = model.digest
        return found
