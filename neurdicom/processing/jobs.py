"""Jobs that run a tool on what is selected: made of a client's request or a rule, and run item by item."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from neurdicom.archive.selection import MANY, Selection
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import (
    Conflict,
    Invalid,
    NeurdicomError,
    NotFound,
    PeerFailed,
    PluginCrashed,
    PluginQuarantined,
    Unavailable,
)
from neurdicom.jobs import Failure, Item, ItemOutcome, Job, JobService, Runner
from neurdicom.jobs.runner import Backoff, JobClass
from neurdicom.plugins.tools import Tool, ToolType
from neurdicom.processing.execute import ProcessService
from neurdicom.processing.resolve import JobItems, Skipped, unit_of
from neurdicom.processing.run import DICOM, FORMATS, OPTIONS, RunRequest, RunResult
from neurdicom.security.access import Principal
from neurdicom.workers.call import Priority

log = logging.getLogger(__name__)

#: Kind of the jobs.
KIND = "process"

#: Their items share the workers fairly, so there may be many jobs at a time.
JOB_CLASS = JobClass("processing", at_once=32, of_one_user=3)

#: Types of tools, by the members of a request that name them.
TOOLS: tuple[ToolType, ...] = ("plugin", "model")

_FIELDS = (*TOOLS, "params", *OPTIONS, *MANY, "level", "filters", "dry_run")

#: Bytes of the parameters as JSON: they are written again with the progress.
_MAX_PARAMS = 64 * 1024

#: Seconds that items under way are given when their job is to end.
_GRACE = 2.0


class ProcessRunner(Runner):
    """Runs a tool on one item after another, as many at a time as there are workers.

    Parameters
    ----------
    catalog : Catalog
    process : ProcessService
    slots : callable
        How many items of a job are worth having under way at this moment.
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
        """Hold the version that the job began with, so that it goes on with that when it is replaced or deleted."""
        request, selection = _parse_document(job.request)
        self._requests[job.id] = replace(request, priority=Priority.BACKGROUND, user=job.user_id, job=job.id), selection
        try:
            with ExitStack() as stack:
                with suppress(NotFound, Conflict, PluginQuarantined):  # which each item will be told
                    stack.enter_context(self._process.hold(request))
                yield
        finally:
            del self._requests[job.id]

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        """Yield the instances, frames or series that are selected, as they are stored now."""
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
        """Describe an item: series, instance and frame, and the URL of its result."""
        if result is None:
            return dict(value)
        url = None if result["result"] is None else f"/api/results/{result['result']}"
        return {**value, **result, "url": url}

    def renew(self, job: Job) -> None:
        """Take the current version of the tool, if its parameters are still right. Raises `NotFound` or `Invalid`."""
        request, selection = _parse_document(job.request)
        tool = self._process.tool(request.tool_type, request.tool)
        params = self._process.convert(tool, {}, request.params)
        job.request = _document(replace(request, params=params), selection, tool, rule=job.request.get("rule"))

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        """Run the tool on some items; those under way at a stop have a moment to end, and are dropped then."""
        request, _ = self._requests[job.id]
        todo = iter(enumerate(items))
        under_way: set[asyncio.Task[ItemOutcome]] = set()
        stopping = asyncio.create_task(stop.wait())
        loop = asyncio.get_running_loop()
        until: float | None = None
        try:
            while True:
                # Jobs that run share the slots: what waits to be written stays bounded, however many they are.
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
            reason = str(error) if instance else f"series {entity}: {error}"
            failure = Failure(instance, reason, error.code)
            return ItemOutcome(place, failed=1, failures=(failure,), retryable=isinstance(error, Unavailable))
        except Exception:  # a fault of ours in one item must not take the others along
            log.exception("job %s failed for %s", job.id, entity)
            return ItemOutcome(
                place, failed=1, failures=(Failure(instance, "internal error; the log has it", "error"),)
            )
        result = {"result": done.result, "stored": list(done.stored), "cached": done.is_cached}
        return ItemOutcome(place, done=1, result=result)

    async def _run(self, request: RunRequest) -> RunResult:
        try:
            return await self._process.run(request)
        except PluginCrashed as error:
            if not error.from_outside:
                raise
        # The kernel, short of memory, or an operator killed the worker: that says nothing of this item.
        return await self._process.run(request)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate of a job: its items, and the instances that it leaves out, by the reason."""

    total: int
    skipped: Mapping[str, int]


class ProcessJobs:
    """Makes jobs that run a tool on what is selected.

    Parameters
    ----------
    catalog : Catalog
    process : ProcessService
    jobs : JobService
        With the runner of the kind `process`.
    """

    def __init__(self, catalog: Catalog, process: ProcessService, jobs: JobService) -> None:
        self._items = JobItems(catalog)
        self._process = process
        self._jobs = jobs

    def parse(self, given: Mapping[str, Any]) -> tuple[RunRequest, Selection]:
        """Read the JSON of a client: `plugin` or `model`, `params`, options, and what is selected.

        Raises
        ------
        NotFound
            There is no such tool.
        Invalid
            A field, a parameter or a filter is wrong; `field` names it.
        """
        for field in given.keys() - set(_FIELDS):
            raise Invalid(f"unknown field {field[:64]!r}; known are {', '.join(_FIELDS)}", field=field[:64])
        tool_type, id = tool_of(given)
        tool = self._process.tool(tool_type, id)
        params = {} if given.get("params") is None else given["params"]
        if not isinstance(params, Mapping):
            raise Invalid(f"params is {str(params)[:80]!r}; an object is expected", field="params")
        converted = self._process.convert(tool, {}, params)
        request = RunRequest(tool_type=tool_type, tool=id, params=converted, **options_of(given))
        default = Level.SERIES if tool.level == "series" else Level.INSTANCE
        return request, Selection.from_document(given, default=default)

    async def submit(
        self, request: RunRequest, selection: Selection, *, by: Principal, subject: str = "", rule: str | None = None
    ) -> Job:
        """Make a job, which may be a rule's; the entity of the request does not count, a `frame` of None means all.

        Raises
        ------
        NotFound
            There is no such tool, or an entity that is selected by its id.
        Invalid
            The parameters are too long for a job to keep, or series and instances are mixed for a tool of volumes.
        PluginQuarantined
            The tool can't be run.
        Conflict
            The user has too many jobs already.
        """
        with self._process.hold(request) as tool:
            pass  # it is there, and can be run
        if len(orjson.dumps(request.params)) > _MAX_PARAMS:
            raise Invalid(f"the parameters are longer than the {_MAX_PARAMS} bytes that a job keeps", field="params")
        await self._items.check(selection, tool)
        total = await self._items.count(selection, tool) if request.frame is None or not tool.per_frame else None
        document = _document(request, selection, tool, rule=rule)
        return await self._jobs.submit(KIND, document, by=by, total=total, subject=subject)

    async def estimate(self, request: RunRequest, selection: Selection) -> Estimate:
        """Count what a job would do, without making one. Raises as `submit` does."""
        tool = self._process.tool(request.tool_type, request.tool)
        await self._items.check(selection, tool)
        skipped, total = Skipped(), 0
        async for _ in self._items.walk(selection, tool, request.frame, skipped):
            total += 1
        return Estimate(total, dict(skipped))


def _document(request: RunRequest, selection: Selection, tool: Tool, *, rule: str | None = None) -> dict[str, Any]:
    """Serialise a job's request: which version of which tool is to run how on what, and the rule that asks for it."""
    return {
        **replace(request, digest=tool.digest).to_document(),
        "version": tool.version,
        **selection.to_document(),
        **({} if rule is None else {"rule": rule}),
    }


def _parse_document(document: Mapping[str, Any]) -> tuple[RunRequest, Selection]:
    """Read a document that `_document` wrote."""
    return RunRequest.from_document(document), Selection.from_document(document)


def tool_of(given: Mapping[str, Any]) -> tuple[ToolType, str]:
    """Read the plugin or the model that a client's request names. Raises `Invalid`."""
    named = [tool for tool in TOOLS if given.get(tool) is not None]
    if len(named) != 1:
        found = "none" if not named else "both"
        raise Invalid(f"plugin or model is expected, the id of what is to run; {found} is given", field="plugin")
    (tool,) = named
    if not isinstance(given[tool], str):
        raise Invalid(f"{tool} is {str(given[tool])[:80]!r}; an id is expected", field=tool)
    return tool, given[tool]


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read the options of a client's request: `format`, `store`, `cache`, `frame`. Raises `Invalid`."""
    options = {name: given.get(name, default) for name, default in OPTIONS.items()}
    formats = (*FORMATS, DICOM)
    if options["format"] not in formats:
        raise Invalid(f"format is {str(options['format'])[:80]!r}; {', '.join(formats)} are possible", field="format")
    for name in ("store", "cache"):
        if type(options[name]) is not bool:
            raise Invalid(f"{name} is {str(options[name])[:80]!r}; true or false is expected", field=name)
    frame = options["frame"]
    if frame == "all":
        options["frame"] = None
    elif frame is not None and (type(frame) is not int or not 1 <= frame < 2**31):
        raise Invalid(f"frame is {str(frame)[:80]!r}; a number from 1, or all, is expected", field="frame")
    return options
