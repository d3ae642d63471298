"""The installed models."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurdicom.errors import Conflict
from neurdicom.plugins.model_version import Model
from neurdicom.plugins.packages import PackageService
from neurdicom.plugins.tools import Tool
from neurdicom.workers.model.model_zip import ModelArchive


@dataclass(frozen=True, slots=True)
class Reached:
    """A version of a model that a plugin reaches."""

    id: str
    digest: str
    folder: str


class ModelService(PackageService[Model, ModelArchive]):
    """The installed models."""

    noun = "model"

    @staticmethod
    def _read_archive(path: Path) -> ModelArchive:
        return ModelArchive(path)

    @staticmethod
    def _from_document(document: Mapping[str, Any]) -> Model:
        return Model.from_document(document)

    @staticmethod
    def _of_archive(archive: ModelArchive, digest: str, installed: str) -> Model:
        return Model(archive.manifest, "model", archive.target, digest, installed)

    async def _probe(self, version: Model) -> Model:
        """Have a fresh worker look through it and run it once; answers it with what was learned of it."""
        async with self._prepared(version) as program:
            arguments = {"folder": program.target, "threads": program.threads}
            network = await self._pool.probe(version.inspection(program), "inspect", arguments)
        return replace(version, network=network)

    def _as_tool(self, version: Model) -> Tool:
        manifest = version.manifest
        return Tool(
            type="model",
            id=version.id,
            name=manifest.name,
            version=manifest.version,
            author=manifest.author,
            digest=version.digest,
            params=version.params,
            level=version.level,
            input=manifest.input.values,
            result=version.result,
            produces=version.produces,
            meta=manifest.meta,
        )

    def named(self, name: str) -> Model:
        """The model of an id, or else of a name that only one model has.

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
            raise Conflict(f"{len(several)} models are called {name!r}; one of their ids is expected: {ids}")
        raise Conflict(f"the model {name!r} is not installed; POST /api/models installs it")

    @asynccontextmanager
    async def reach(self, name: str) -> AsyncIterator[Reached]:
        """Hold a model for a plugin that runs with it. Raises as `named`, and `PluginQuarantined`."""
        model = self.named(name)
        self._registry.check_ready(model)
        with self._registry.hold(model.digest):
            await self._ensure_extracted(model)
            yield Reached(model.id, model.digest, str(self._packages.folder(model.digest)))
