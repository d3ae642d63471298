"""The cache of runs: a kept result, an equal run under way, or a computation in a worker."""

import asyncio
import secrets
import time
from collections.abc import Collection, Hashable
from dataclasses import replace

from neurdicom.errors import Conflict
from neurdicom.jobs.job import now
from neurdicom.processing.resolve import Resolver
from neurdicom.processing.result import KeptResult, representations_of
from neurdicom.processing.result_records import PendingResult
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.run import ResolvedRun, RunResult
from neurdicom.workers.arguments import without_large
from neurdicom.workers.call import CancellationToken
from neurdicom.workers.executor import Executor, Task
from neurdicom.workers.program import Reply


class _Flight:
    """Computation under way, the number of callers that wait for it, and the token that stops its calls."""

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.waiters = 0
        self.token = CancellationToken()
        self.task: asyncio.Task[RunResult] | None = None


class RunCache:
    """Cache of results of runs, which computes those that are not stored; equal runs at the same time only once.

    Parameters
    ----------
    results : ResultStore
        Stored results.
    resolver : Resolver
        Finds the tool's program.
    executor : Executor
        Computes.
    """

    def __init__(self, results: ResultStore, resolver: Resolver, executor: Executor) -> None:
        self._results = results
        self._resolver = resolver
        self._executor = executor
        self._flights: dict[Hashable, _Flight] = {}

    async def run(
        self, run: ResolvedRun, format: str, known: Collection[str] = (), *, anew: bool = False, bare: bool = False
    ) -> RunResult:
        """Return the stored result of a run, or compute it.

        Parameters
        ----------
        run : ResolvedRun
            The run.
        format : str
            Encoding of an image result.
        known : collection of str
            Validators (ETags) of the caller's copies: if one still applies, nothing is read.
        anew : bool
            Compute it, and replace what is kept.
        bare : bool
            Do not read the body of a kept result.

        Raises
        ------
        Conflict
            The version of the tool, or of a model that it uses, was replaced meanwhile.
        PluginError
            The tool failed, crashed, hung or took too much memory.
        """
        if anew:
            return await self._wait(self._start(object(), run, format, replaces=True))
        found = await self._find(run, format, known, bare=bare)
        if found is not None:
            return found
        key = (run.id, format, run.frame)
        flight = self._flights.get(key)
        if flight is None:
            self._results.counts["misses"] += 1
            return await self._wait(self._start(key, run, format))
        result = await self._wait(flight)
        self._results.counts["shared"] += 1
        if run.request.job is not None and result.result is not None:
            await self._results.settle(result.result)
        return replace(result, is_cached=True)

    async def _find(self, run: ResolvedRun, format: str, known: Collection[str], *, bare: bool) -> RunResult | None:
        kept = await self._results.find(run.id, format, run.frame)
        if kept is None:
            return None
        if bare:
            is_there = await self._results.touch(kept, format, run.frame)
            given = _result_of(kept, Reply(), format, run.frame) if is_there else None
        else:
            given = await self.give(kept, format, run.frame, known)
        if given is not None and run.request.is_durable:
            await self._results.settle(run.id)
        return given

    async def give(
        self, kept: KeptResult, format: str, frame: int | None, known: Collection[str] = ()
    ) -> RunResult | None:
        """Return a stored result in a format; None if its file is gone.

        Parameters
        ----------
        kept : KeptResult
            The result.
        format : str
            Encoding of an image.
        frame : int or None
            Frame of a stack to show, from 1.
        known : collection of str
            Validators (ETags) of the caller's copies, or `*`.
        """
        if kept.etag(format, frame) in known or "*" in known:
            self._results.counts["current"] += 1
            return replace(_result_of(kept, Reply(), format, frame), is_current=True)
        reply = await self._results.read(kept, format, frame)
        return None if reply is None else _result_of(kept, reply, format, frame)

    def _start(self, key: Hashable, run: ResolvedRun, format: str, *, replaces: bool = False) -> _Flight:
        flight = self._flights[key] = _Flight(key)
        flight.task = asyncio.create_task(self._compute(flight, run, format, replaces=replaces))
        flight.task.add_done_callback(lambda task: self._ended(flight, task))
        return flight

    def _ended(self, flight: _Flight, task: "asyncio.Task[RunResult]") -> None:
        self._forget(flight)
        if not task.cancelled():
            task.exception()  # retrieved, since nobody may be waiting any more

    def _forget(self, flight: _Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    async def _wait(self, flight: _Flight) -> RunResult:
        """Wait for a computation.

        Its call is stopped when nobody waits any more; a result that comes soon is still kept.
        """
        assert flight.task is not None
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._forget(flight)
                flight.token.cancel()

    async def _compute(self, flight: _Flight, run: ResolvedRun, format: str, *, replaces: bool) -> RunResult:
        tool = run.tool
        epoch = self._results.epoch(tool.type, tool.id)
        created, began = now(), time.perf_counter()
        reply = await self._call(run, format, flight.token)
        seconds = round(time.perf_counter() - began, 6)
        representations = representations_of(reply, format, run.frame)
        tag = None if replaces else await self._results.tag_of(run.id, tuple(representations))
        request = run.request
        result = KeptResult(
            id=run.id,
            tool_type=tool.type,
            tool=tool.id,
            name=tool.name,
            version=tool.version,
            digest=tool.digest,
            uses=dict(tool.uses),
            params=without_large(request.params),
            level=request.level.value,
            entity=request.entity,
            sources=run.sources,
            frame=request.frame,
            is_whole=run.is_whole,
            created=created,
            seconds=seconds,
            tag=tag or secrets.token_hex(4),
            kind=reply.meta.get("kind", "bytes"),
            representations=representations,
            offers_json=tool.result is None,
            job=request.job,
        )
        pending = PendingResult(result=result, epoch=epoch, replaces=replaces)
        is_kept = await self._results.keep(pending) if request.is_durable else self._results.offer(pending)
        return RunResult(reply, run.id, etag=result.etag(format, run.frame)) if is_kept else RunResult(reply)

    async def _call(self, run: ResolvedRun, format: str, token: CancellationToken) -> Reply:
        """Compute a run in a worker."""
        request, tool = run.request, run.tool
        async with self._resolver.tools(tool.type).use(tool.id, tool.digest) as running:
            if running.tool.uses != tool.uses:
                raise Conflict(f"a model that {tool.name!r} uses was replaced meanwhile; run it again")
            task = Task(
                running.program,
                run.inputs,
                request.params,
                format,
                volume=tool.level == "series",
                frame=request.frame or 1,
                priority=request.priority,
                fairness=request.user,
            )
            return await self._executor.run(task, token)


def _result_of(kept: KeptResult, reply: Reply, format: str, frame: int | None) -> RunResult:
    return RunResult(reply, kept.id, is_cached=True, etag=kept.etag(format, frame))
