"""Jobs that run a tool on a selection: made from a client's request or a rule, and run item by item."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from neurdicom.archive.selection import Selection
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import (
    INTERNAL_ERROR,
    Conflict,
    Invalid,
    NeurdicomError,
    NotFound,
    PeerFailed,
    PluginCrashed,
    PluginQuarantined,
    Unavailable,
)
from neurdicom.jobs import Failure, Item, ItemOutcome, Job, JobQueue, Runner
from neurdicom.jobs.runner import Backoff, JobClass
from neurdicom.plugins.tools import Tool
from neurdicom.processing.execute import ProcessService
from neurdicom.processing.resolve import JobItems, Skipped, unit_of
from neurdicom.processing.run import OPTIONS, PROCESS_REQUEST, TOOLS, RunRequest, RunResult
from neurdicom.security.access import Principal
from neurdicom.workers.call import Priority

log = logging.getLogger(__name__)

#: Kind of these jobs.
KIND = "process"

#: Items of these jobs share the workers fairly, so many jobs may run at a time.
JOB_CLASS = JobClass("processing", at_once=32, of_one_user=3)

#: Most bytes of the parameters as JSON: they are written again with the progress.
_MAX_PARAMS = 64 * 1024

#: Seconds that items under way have to finish when their job is to stop.
_GRACE = 2.0


class ProcessRunner(Runner):
    """Runner that applies a tool to one item after another, as many at a time as there are workers.

    Parameters
    ----------
    catalog : Catalog
        Finds the items.
    process : ProcessService
        Runs the tool.
    slots : callable
        Returns the number of items to keep under way at this moment.
    """

    backoff = Backoff(first=1.0, factor=3.0, longest=60.0, attempts=6)
    job_class = JOB_CLASS
    keeps_items = True
    save_seconds = 0.2

    def __init__(self, catalog: Catalog, process: ProcessService, slots: Callable[[], int]) -> None:
        self._items = JobItems(catalog)
        self._process = process
        self._slots = slots
        self._requests: dict[str, tuple[RunRequest, Selection]] = {}

    @contextmanager
    def session(self, job: Job) -> Iterator[None]:
        """Hold the version that the job began with, so that it stays available when the tool is replaced or deleted."""
        request, selection = _parse_document(job.request)
        self._requests[job.id] = replace(request, priority=Priority.BACKGROUND, user=job.user_id, job=job.id), selection
        try:
            with ExitStack() as stack:
                with suppress(NotFound, Conflict, PluginQuarantined):  # each item then fails with that error
                    stack.enter_context(self._process.hold(request))
                yield
        finally:
            del self._requests[job.id]

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        """Yield the selected instances, frames or series, as they are stored now."""
        request, selection = self._requests[job.id]
        try:
            tool = self._process.tool(request.tool_type, request.tool, request.digest)
        except (NotFound, Conflict) as error:
            raise PeerFailed(str(error), retryable=False) from error
        skipped = Skipped()
        async for item in self._items.walk(selection, tool, request.frame, skipped):
            yield Item(item)
        job.summary = {"unit": unit_of(tool, selection), "skipped": dict(skipped)}

    def describe(self, value: Any, result: Mapping[str, Any] | None) -> dict[str, Any]:
        """Describe an item for the API: keys of series and instance, the frame, and the URL of its result."""
        if result is None:
            return dict(value)
        url = None if result["result"] is None else f"/api/results/{result['result']}"
        return {**value, **result, "url": url}

    def renew(self, job: Job) -> None:
        """Switch to the current version of the tool. Raises `NotFound`, or `Invalid` if parameters are wrong now."""
        request, selection = _parse_document(job.request)
        tool = self._process.tool(request.tool_type, request.tool)
        job.request = _document(request.converted_for(tool), selection, tool, rule=job.request.get("rule"))

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        """Run the tool on some items; at a stop, drop those that do not finish in `_GRACE` seconds."""
        request, _ = self._requests[job.id]
        todo = iter(enumerate(items))
        under_way: set[asyncio.Task[ItemOutcome]] = set()
        stopping = asyncio.create_task(stop.wait())
        loop = asyncio.get_running_loop()
        until: float | None = None
        try:
            while True:
                # Running jobs share the slots, so that the results waiting to be written stay bounded.
                slots = max(1, self._slots() // len(self._requests))
                while not stop.is_set() and len(under_way) < slots:
                    if (following := next(todo, None)) is None:
                        break
                    under_way.add(asyncio.create_task(self._do(job, request, *following)))
                if not under_way:
                    return
                if stop.is_set():
                    until = until or loop.time() + _GRACE
                    ended, _ = await asyncio.wait(
                        under_way, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED
                    )
                    if not ended:
                        return
                else:
                    either: set[asyncio.Task[Any]] = {*under_way, stopping}
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                for task in [each for each in under_way if each.done()]:
                    under_way.discard(task)
                    yield task.result()
        finally:
            stopping.cancel()
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, stopping, return_exceptions=True)

    async def _do(self, job: Job, request: RunRequest, place: int, item: Mapping[str, Any]) -> ItemOutcome:
        instance, frame = item["instance"], item["frame"]
        level, entity = (Level.SERIES, item["series"]) if instance is None else (Level.INSTANCE, instance)
        one = replace(request, level=level, entity=entity, frame=1 if frame is None else frame)
        try:
            done = await self._run(one)
        except NeurdicomError as error:
            reason = str(error) if instance else f"series {uid_of(entity)}: {error}"
            failure = Failure(instance, reason, error.code)
            return ItemOutcome(place, failed=1, failures=(failure,), retryable=isinstance(error, Unavailable))
        except Exception:  # a fault of ours in one item must not stop the others
            log.exception(
                "job %s could not process %s %s, which counts as failed: internal error", job.id, level.value, entity
            )
            return ItemOutcome(place, failed=1, failures=(Failure(instance, INTERNAL_ERROR, NeurdicomError.code),))
        result = {"result": done.result, "stored": list(done.stored), "cached": done.is_cached}
        return ItemOutcome(place, done=1, result=result)

    async def _run(self, request: RunRequest) -> RunResult:
        try:
            return await self._process.run(request)
        except PluginCrashed as error:
            if not error.from_outside:
                raise
        # The kernel, short of memory, or an operator killed the worker; the item may not be to blame.
        return await self._process.run(request)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate of a job: the number of its items, and of the instances that it leaves out by reason."""

    total: int
    skipped: Mapping[str, int]


class ProcessJobs:
    """Service that makes jobs which run a tool on a selection.

    Parameters
    ----------
    catalog : Catalog
        Finds the items.
    process : ProcessService
        Finds the tool.
    jobs : JobQueue
        Takes the jobs.
    """

    def __init__(self, catalog: Catalog, process: ProcessService, jobs: JobQueue) -> None:
        self._items = JobItems(catalog)
        self._process = process
        self._jobs = jobs

    def parse(self, given: Mapping[str, Any]) -> tuple[RunRequest, Selection]:
        """Parse a client's JSON: `plugin` or `model`, `params`, options, and the selection.

        Raises
        ------
        NotFound
            There is no such tool.
        Invalid
            A field, a parameter or a filter is wrong; `field` names it.
        """
        checked = PROCESS_REQUEST.check(given)
        request, tool = self._request_of(checked)
        default = Level.SERIES if tool.level == "series" else Level.INSTANCE
        return request, Selection.from_document(checked, default=default)

    def prepare(self, action: Mapping[str, Any]) -> RunRequest:
        """Read a checked action of a rule as a run. Raises as `parse` where it does not fit the installed tools."""
        return self._request_of(action)[0]

    def _request_of(self, action: Mapping[str, Any]) -> tuple[RunRequest, Tool]:
        tool_type = next(tool_type for tool_type in TOOLS if action.get(tool_type) is not None)
        tool = self._process.tool(tool_type, action[tool_type])
        params = action.get("params") or {}
        _check_size(params, 2 * _MAX_PARAMS)  # converted they may be shorter
        options = {name: action.get(name, default) for name, default in OPTIONS.items()}
        if options["frame"] == "all":
            options["frame"] = None
        request = RunRequest(tool_type=tool_type, tool=action[tool_type], params=params, **options)
        return request.converted_for(tool), tool

    async def submit(
        self, request: RunRequest, selection: Selection, *, by: Principal, subject: str = "", rule: str | None = None
    ) -> Job:
        """Make a job.

        Parameters
        ----------
        request : RunRequest
            The tool and its options; `entity` is ignored, a `frame` of None means all.
        selection : Selection
            The entities to run on.
        by : Principal
            The user to whom the job belongs.
        subject : str
            Id of the entity that the job is about, for events.
        rule : str, optional
            Id of the rule that makes it.

        Raises
        ------
        NotFound
            There is no such tool, or no such entity.
        Ambiguous
            A UID names several entities.
        Invalid
            A parameter is wrong, the parameters are too long for a job, or series and instances are mixed for a tool of
            volumes.
        PluginQuarantined
            The tool can't be run.
        Conflict
            The user has too many jobs already.
        """
        with self._process.hold(request) as tool:  # it exists, and can be run
            if request.is_large:
                request = await asyncio.to_thread(_for_job, request, tool)
            else:
                request = _for_job(request, tool)
        selection = await self._items.resolve(selection, tool)
        total = await self._items.count(selection, tool) if request.frame is None or not tool.per_frame else None
        document = _document(request, selection, tool, rule=rule)
        keeps_items = ProcessRunner.keeps_items
        return await self._jobs.submit(KIND, document, by=by, keeps_items=keeps_items, total=total, subject=subject)

    async def estimate(self, request: RunRequest, selection: Selection) -> Estimate:
        """Count the items of a job without making it. Raises as `submit` does."""
        tool = self._process.tool(request.tool_type, request.tool)
        selection = await self._items.resolve(selection, tool)
        skipped, total = Skipped(), 0
        async for _ in self._items.walk(selection, tool, request.frame, skipped):
            total += 1
        return Estimate(total, dict(skipped))


def _for_job(request: RunRequest, tool: Tool) -> RunRequest:
    """Convert the parameters of a request. Raises `Invalid`, also where they are too long for a job."""
    _check_size({**request.params, **request.texts}, 2 * _MAX_PARAMS)  # before megabytes are converted
    converted = request.converted_for(tool)
    _check_size(converted.params, _MAX_PARAMS)
    return converted


def _check_size(params: Mapping[str, Any], most: int) -> None:
    if len(orjson.dumps(params)) > most:
        raise Invalid(f"the parameters have more than {_MAX_PARAMS} bytes of JSON, a job's limit", field="params")


def _document(request: RunRequest, selection: Selection, tool: Tool, *, rule: str | None = None) -> dict[str, Any]:
    """Serialise a job's request: the tool's version, its options, the selection, and the rule that asks for it."""
    return {
        **replace(request, digest=tool.digest).to_document(),
        "version": tool.version,
        **selection.to_document(),
        **({} if rule is None else {"rule": rule}),
    }


def _parse_document(document: Mapping[str, Any]) -> tuple[RunRequest, Selection]:
    """Read a document that `_document` wrote."""
    return RunRequest.from_document(document), Selection.from_document(document)
