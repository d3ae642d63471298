"""Runs a plugin or a model: what is asked for is checked, its inputs are found, a worker computes."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, Gone, Invalid, NeurdicomError, NotAvailable, NotFound
from neurdicom.plugins.params import convert_arguments
from neurdicom.plugins.tools import Tool, ToolSet, ToolType
from neurdicom.processing.cache import Asked, ResultCache
from neurdicom.processing.derive import DICOM, EXACT, DerivedFile, DeriveService, Origin, as_reply
from neurdicom.processing.inputs import instance_input, series_inputs, whole_instance
from neurdicom.processing.result import ANY, BESIDE, KeptResult
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.work import Processed, Work
from neurdicom.workers.executor import Executor, Input, Task
from neurdicom.workers.program import Reply


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
    results : ResultStore
        What was computed before.
    derive : DeriveService
        Makes DICOM instances of results.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: BlobStore,
        executor: Executor,
        tools: Mapping[ToolType, ToolSet],
        results: ResultStore,
        derive: DeriveService,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._executor = executor
        self._tools = tools
        self._results = results
        self._cache = ResultCache(results)
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

    async def run(self, work: Work, *, known: Collection[str] = ()) -> Processed:
        """Run a tool, unless its result is known already.

        Parameters
        ----------
        work : Work
        known : collection of str
            Validators of what the caller has; `*` stands for any.

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
            return await self._computed(work, known, bare=work.job is not None)
        exact = await self._computed(replace(work, format=EXACT))
        stored = await self._results.stored_whole(exact.result) if work.store and exact.result else ()
        reply: Reply | None = None
        if work.format == DICOM or not stored:
            asked = await self._ask(work)
            async with self._derive.files(Origin(asked.tool, asked.inputs, work.params), exact.reply) as files:
                reply = await as_reply(files) if work.format == DICOM else None
                if work.store and not stored:
                    stored = await self._store(files, exact.result)
        if reply is not None:
            return replace(exact, reply=reply, stored=stored, etag=None)
        given = await self._computed(replace(work, cache=True), bare=work.job is not None)
        return replace(given, stored=stored, is_cached=exact.is_cached)

    async def _store(self, files: Sequence[DerivedFile], result: str | None) -> tuple[str, ...]:
        """Store what was made of a result; to the end, also when the caller goes away: half a result is none."""
        storing = asyncio.create_task(self._store_noted(files, result))
        try:
            return await asyncio.shield(storing)
        except asyncio.CancelledError:
            await asyncio.wait([storing])
            raise

    async def _store_noted(self, files: Sequence[DerivedFile], result: str | None) -> tuple[str, ...]:
        """Store it; its record names the instances before they are there, so that a crash leaves none unnamed."""
        missing, instances = await self._derive.missing(files), tuple(file.instance for file in files)
        if result is not None:
            await self._results.note_made(result, instances)
        try:
            await self._derive.store(missing)
        except NeurdicomError:
            if result is not None:
                await self._results.note_made(result, ())
            raise
        if result is not None:
            await self._results.note_made(result, instances)
        return instances

    async def _computed(self, work: Work, known: Collection[str] = (), *, bare: bool = False) -> Processed:
        """The result of a work as a worker gives it, computed now or before."""
        while True:
            asked = await self._ask(work)
            try:
                return await self._cache.run(asked, partial(self._compute, asked), known, bare=bare)
            except Conflict:
                # What computes was replaced before a worker could be asked: the current version does it.
                if (await self._ask(work)).id == asked.id:
                    raise

    async def _ask(self, work: Work) -> Asked:
        """Find what a work comes to."""
        tool = self.tool(work.tool_type, work.tool, work.digest)
        return Asked(work, tool, await self._inputs(work, tool))

    async def _inputs(self, work: Work, tool: Tool) -> tuple[Input, ...]:
        """The files that a work is about, as many as a call of the tool gets."""
        if tool.level == "series":
            find = series_inputs if work.level is Level.SERIES else whole_instance
            return await find(self._catalog, self._blobs, work.entity)
        if work.level is not Level.INSTANCE:
            raise Invalid(f"the {tool.type} {tool.name!r} works on instances, not on a {work.level}")
        return (await instance_input(self._catalog, self._blobs, work.entity, work.frame),)

    async def _compute(self, asked: Asked, format: str) -> Reply:
        """Have a worker compute it."""
        work = asked.work
        async with self._set(work.tool_type).use(work.tool, asked.tool.digest) as running:
            if running.tool.uses != asked.tool.uses:
                raise Conflict(f"a model that {asked.tool.name!r} reaches was replaced meanwhile")
            task = Task(
                running.program,
                asked.inputs,
                work.params,
                format,
                volume=asked.tool.level == "series",
                frame=work.frame or 1,
                priority=work.priority,
                fairness=work.fairness,
            )
            return await self._executor.run(task)

    async def content(
        self, result: str, format: str | None, frame: int | None, known: Collection[str] = ()
    ) -> Processed:
        """A kept result in a format, computed again where its body was deleted to make room.

        Raises
        ------
        NotFound
            There is no such result.
        Gone
            It can't be computed again: the source or the tool is another one by now.
        NotAvailable
            It can't be given in this format.
        """
        record = await self._results.get(result)
        wanted, frame = _wanted(record, format, frame)
        kept = await self._results.find(result, wanted, frame)
        if kept is not None and (given := await self._cache.give(kept, wanted, frame, known)) is not None:
            return given
        # The frame that was asked for first is computed in the format; another one is encoded from all samples.
        is_first = frame is None or frame == (record.frame or 1)
        work = Work(
            tool_type=record.tool_type,
            tool=record.tool,
            entity=record.entity,
            level=Level(record.level),
            frame=record.frame,
            params=record.params,
            format=wanted if is_first else "npy",
        )
        try:
            asked = await self._ask(work)
        except (NotFound, Invalid, Conflict) as error:
            raise Gone(f"the result can't be computed again: {error}") from error
        if asked.id != result:
            raise Gone("the result can't be computed again: what it came of, or what computes it, has changed since")
        processed = await self._cache.run(asked, partial(self._compute, asked), known)
        if is_first:
            return processed
        await self._results.settle(result)
        kept = await self._results.find(result, wanted, frame)
        given = None if kept is None else await self._cache.give(kept, wanted, frame, known)
        if given is None:
            raise NotAvailable(f"the result can't be given as {wanted}")
        return given


def _wanted(record: KeptResult, format: str | None, frame: int | None) -> tuple[str, int | None]:
    """The format and the frame of a stack that are asked for: of no format, what was asked for first."""
    first, _, shown = next(
        (name for name in (*record.representations, *record.evicted) if name != BESIDE), "npy"
    ).partition("@")
    if format is None:
        format, frame = ("npy" if first == ANY else first), frame or (int(shown) if shown else None)
    return format, (frame or record.frame or 1) if record.is_whole else None
