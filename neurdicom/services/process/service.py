"""Runs a plugin or a model: what is asked for is checked, its inputs are found, a worker computes."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.attributes import Level
from neurdicom.errors import Invalid, NotFound
from neurdicom.runtime.execution import Executor, Task
from neurdicom.runtime.params import convert_arguments
from neurdicom.services.process.derive import DICOM, EXACT, DeriveService, Origin, as_reply
from neurdicom.services.process.inputs import instance_input
from neurdicom.services.process.work import Processed, Work
from neurdicom.services.tools import Tool, ToolSet, ToolType


class ProcessService:
    """Runs tools on what is stored.

    Parameters
    ----------
    catalog : Catalog
    blobs : BlobStore
    executor : Executor
        Does the computations.
    tools : Mapping[str, ToolSet]
        Plugins and models, by type.
    derive : DeriveService
        Makes DICOM instances of results.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: BlobStore,
        executor: Executor,
        tools: Mapping[ToolType, ToolSet],
        derive: DeriveService,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._executor = executor
        self._tools = tools
        self._derive = derive

    def tool(self, tool_type: ToolType, id: str, digest: str | None = None) -> Tool:
        """The plugin or model of an id; see `ToolSet.tool`."""
        return self._set(tool_type).tool(id, digest)

    def hold(self, work: Work) -> AbstractContextManager[Tool]:
        """Keep the version that a work names from going; see `ToolSet.hold`."""
        return self._set(work.tool_type).hold(work.tool, work.digest)

    def _set(self, tool_type: ToolType) -> ToolSet:
        if tool_type not in self._tools:
            raise NotFound(f"this server has no {tool_type}s")
        return self._tools[tool_type]

    def convert(self, tool: Tool, texts: Mapping[str, Sequence[str]], values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of a tool, given as text and as JSON values. Raises `Invalid` with the parameter's name."""
        return convert_arguments(tool.params, texts, values)

    async def run(self, work: Work) -> Processed:
        """Run a tool.

        Raises
        ------
        NotFound
            There is no such instance or series, or no such tool.
        Invalid
            The frame is wrong, or the tool works on another level.
        NotAvailable
            The instance has no pixels, and the tool needs them.
        PluginError
            The tool failed, crashed, hung or took too much memory.
        """
        if not (work.store or work.format == DICOM):
            return await self._computed(work)
        exact = await self._computed(replace(work, format=EXACT))
        origin = await self._origin(work)
        async with self._derive.files(origin, exact.reply) as files:
            reply = await as_reply(files) if work.format == DICOM else None
            stored = await self._derive.store(files) if work.store else ()
        if reply is None:
            exact = await self._computed(replace(work, cache=True))
        return replace(exact, reply=reply or exact.reply, stored=stored)

    async def _origin(self, work: Work) -> Origin:
        found = await instance_input(self._catalog, self._blobs, work.entity, work.frame)
        return Origin(self._set(work.tool_type).tool(work.tool, work.digest), (found,), work.params)

    async def _computed(self, work: Work) -> Processed:
        tools = self._set(work.tool_type)
        found = await instance_input(self._catalog, self._blobs, work.entity, work.frame)
        tool = tools.tool(work.tool, work.digest)
        if tool.level == "series" or work.level is not Level.INSTANCE:
            raise Invalid(f"the plugin {tool.name!r} works on a series, not on an instance")
        async with tools.use(work.tool, work.digest) as running:
            task = Task(running.program, (found,), work.params, work.format, background=work.background)
            return Processed(await self._executor.run(task))
