"""The service of runs: plugins and models over stored instances, with DICOM output of their results."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import replace

from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, Gone, Invalid, NotAvailable, NotFound, PluginCrashed, PluginFailed
from neurdicom.plugins.tools import Tool, ToolType
from neurdicom.processing.dicom_output.files import DicomOutput
from neurdicom.processing.resolve import ModalityCheck, Resolver
from neurdicom.processing.result import KeptResult
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.run import DICOM, EXACT, ResolvedRun, RunRequest, RunResult
from neurdicom.processing.run_cache import RunCache
from neurdicom.workers.executor import Executor


class ProcessService:
    """Service that runs tools on stored instances.

    Parameters
    ----------
    resolver : Resolver
        Finds tools and files.
    executor : Executor
        Computes.
    results : ResultStore
        Stores results.
    dicom : DicomOutput
        Makes DICOM instances of results.
    modalities : ModalityCheck
        Warns of instances that a tool is not made for.
    """

    def __init__(
        self,
        resolver: Resolver,
        executor: Executor,
        results: ResultStore,
        dicom: DicomOutput,
        modalities: ModalityCheck,
    ) -> None:
        self._resolver = resolver
        self._results = results
        self._cache = RunCache(results, resolver, executor)
        self._dicom = dicom
        self._modalities = modalities

    def tool(self, tool_type: ToolType, id: str, digest: str | None = None) -> Tool:
        """Return the plugin or model of an id. Raises as `ToolSet.tool`.

        Parameters
        ----------
        tool_type : {"plugin", "model"}
            Type of the tool.
        id : str
            Id of the tool.
        digest : str, optional
            The version; by default the current one.
        """
        return self._resolver.tools(tool_type).tool(id, digest)

    def hold(self, request: RunRequest) -> AbstractContextManager[Tool]:
        """Keep the version that a request names; see `ToolSet.hold`."""
        return self._resolver.tools(request.tool_type).hold(request.tool, request.digest)

    async def run(self, request: RunRequest, *, known: Collection[str] = ()) -> RunResult:
        """Run a tool, or return the stored result of an equal run.

        Parameters
        ----------
        request : RunRequest
            Tool, entity, parameters and options.
        known : collection of str
            Validators (ETags) of the caller's copies; `*` stands for any.

        Returns
        -------
        RunResult

        Raises
        ------
        NotFound
            There is no such instance or series, or no such tool.
        Ambiguous
            The UID names several instances or series.
        Damaged
            A file of it is damaged.
        Invalid
            A parameter is wrong, the frame is out of range, or the tool runs on another level.
        NotAvailable
            The instance has no pixel data, and the tool needs it.
        PluginError
            The tool failed, crashed, or exceeded its time or its memory.
        """
        run = await self._resolver.resolve(request)
        while True:
            try:
                return await self._run(run, known)
            except (NotAvailable, PluginFailed, PluginCrashed) as error:
                if (damaged := await self._resolver.damage_of(run)) is not None:
                    raise damaged from error
                raise
            except Conflict:
                # The tool was replaced before a worker received the call: run the current version, which may take
                # other parameters.
                latest = await self._resolver.resolve(request)
                if latest.id == run.id:
                    raise
                run = latest

    async def _run(self, run: ResolvedRun, known: Collection[str]) -> RunResult:
        request = run.request
        if request.store or request.format == DICOM:
            return await self._run_to_dicom(run)
        bare = request.job is not None
        return await self._cache.run(run, run.format, known, anew=not request.cache, bare=bare)

    async def warning(self, tool_type: ToolType, id: str, instance: str) -> str | None:
        """Warn of a tool that runs on an instance of a modality which its META.json does not name; logs it once.

        Parameters
        ----------
        tool_type : {"plugin", "model"}
            Type of the tool.
        id : str
            Id of the tool.
        instance : str
            Id or key of the instance.

        Returns
        -------
        str or None
            One sentence in ASCII, without quotes; None where there is nothing to warn of.

        Raises
        ------
        NotFound
            There is no such instance, or no such tool.
        """
        return await self._modalities.warning(self.tool(tool_type, id), instance)

    async def _run_to_dicom(self, run: ResolvedRun) -> RunResult:
        """Compute the exact values, and encode them as DICOM instances; return these, or the result in its format."""
        request = run.request
        exact = await self._cache.run(run, EXACT, anew=not request.cache)
        stored = await self._results.stored_whole(exact.result) if request.store and exact.result else ()
        if request.format == DICOM:
            reply, stored = await self._dicom.write(run, exact, stored)
            return replace(exact, reply=reply, stored=stored, etag=None)
        if not stored:
            _, stored = await self._dicom.write(run, exact)
        given = await self._cache.run(run, run.format, bare=request.job is not None)
        return replace(given, stored=stored, is_cached=exact.is_cached)

    async def delete_tool(self, tool_type: ToolType, id: str, *, derived: bool = False) -> None:
        """Delete a plugin or a model with its results; requests that it is running for are completed.

        Parameters
        ----------
        tool_type : {"plugin", "model"}
            Type of the tool.
        id : str
            Id of the tool.
        derived : bool
            Also delete the DICOM instances made from its results.

        Raises
        ------
        NotFound
            There is no such tool.
        """
        made = await self._results.stored_of(tool_type, id) if derived else []
        await self._resolver.tools(tool_type).delete(id)
        await self._results.on_tool_removed(tool_type, id)
        await self._dicom.delete(made)

    async def content(
        self, result: str, format: str | None, frame: int | None, known: Collection[str] = ()
    ) -> RunResult:
        """Return a stored result in a format; compute it again if its file was evicted.

        Parameters
        ----------
        result : str
            Id of the result.
        format : str or None
            Encoding of an image; None for the format of the first request for it.
        frame : int or None
            Frame of a stack to show, from 1.
        known : collection of str
            Validators (ETags) of the caller's copies.

        Raises
        ------
        NotFound
            There is no such result.
        Gone
            The result can't be computed again, since the source or the tool has changed, or parameters are not kept.
        NotAvailable
            The result has no representation in this format.
        """
        record = await self._results.get(result)
        wanted, frame = record.wanted(format, frame)
        given = await self._give(result, wanted, frame, known)
        if given is not None:
            return given
        # The frame of the first request is computed in the format; another one is encoded from all samples.
        is_first = frame is None or frame == (record.frame or 1)
        request = RunRequest(
            tool_type=record.tool_type,
            tool=record.tool,
            entity=record.entity,
            level=Level(record.level),
            frame=record.frame,
            params=record.params,
        )
        try:
            run = await self._resolver.resolve(request)
        except (NotFound, Invalid, Conflict) as error:
            raise Gone(f"the result can't be computed again: {error}{_left_out(record)}") from error
        if run.id != result:
            changed = "its source or its tool has changed since"
            raise Gone(f"the result can't be computed again: {changed}{_left_out(record)}")
        computed = await self._cache.run(run, wanted if is_first else EXACT, known)
        if is_first:
            return computed
        await self._results.settle(result)
        given = await self._give(result, wanted, frame, known)
        if given is None:
            raise NotAvailable(f"the result can't be given as {wanted}")
        return given

    async def _give(self, result: str, format: str, frame: int | None, known: Collection[str]) -> RunResult | None:
        kept = await self._results.find(result, format, frame)
        return None if kept is None else await self._cache.give(kept, format, frame, known)


def _left_out(record: KeptResult) -> str:
    """Write the end of an error text: the parameters that the record has as null; empty if there are none."""
    names = ", ".join(name for name, value in record.params.items() if value is None)
    return names and f"; parameters that were null, or too large to be kept with the result: {names}"
