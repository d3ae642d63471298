"""Processing of whatever is selected, as jobs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import (
    Conflict,
    NeurdicomError,
    NotFound,
    PeerFailed,
    PluginCrashed,
    PluginQuarantined,
    Unavailable,
)
from neurdicom.jobs import Failure, Item, ItemOutcome, Job, Runner
from neurdicom.jobs.runner import Backoff, JobClass
from neurdicom.processing.items import Items, Skipped, unit_of
from neurdicom.processing.request import as_request, from_request
from neurdicom.processing.service import ProcessService
from neurdicom.processing.turns import Turns
from neurdicom.processing.work import Processed, Work
from neurdicom.workers.call import Priority

log = logging.getLogger(__name__)

#: Kind of the jobs.
KIND = "process"

#: Their items share the workers fairly, so there may be many jobs at a time.
JOB_CLASS = JobClass("processing", at_once=32, of_one_user=3)

#: Seconds that items under way are given when their job is to end.
_GRACE = 2.0


class ProcessRunner(Runner):
    """Runs a tool on one item after another, as many at a time as there are workers.

    Parameters
    ----------
    catalog : Catalog
    process : ProcessService
    turns : Turns
        Shared by all jobs.
    """

    backoff = Backoff(first=1.0, factor=3.0, longest=60.0, attempts=6)
    job_class = JOB_CLASS
    keeps_items = True
    save_seconds = 0.2

    def __init__(self, catalog: Catalog, process: ProcessService, turns: Turns) -> None:
        self._items = Items(catalog)
        self._process = process
        self._turns = turns

    @contextmanager
    def session(self, job: Job) -> Iterator[None]:
        """Hold the version that the job began with, so that it goes on with that when it is replaced or deleted."""
        work, _ = from_request(job.request)
        with ExitStack() as stack:
            with suppress(NotFound, Conflict, PluginQuarantined):  # which each item will be told
                stack.enter_context(self._process.hold(work))
            yield

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        """The instances, frames or series, as they are stored now."""
        work, selection = from_request(job.request)
        try:
            tool = self._process.tool(work.tool_type, work.tool, work.digest)
        except (NotFound, Conflict) as error:
            raise PeerFailed(str(error), retryable=False) from error
        skipped = Skipped()
        async for item in self._items.walk(selection, tool, work.frame, skipped):
            yield Item(item)
        job.summary = {"unit": unit_of(tool, selection), "skipped": dict(skipped)}

    def describe(self, value: Any, result: Mapping[str, Any] | None) -> dict[str, Any]:
        """Which series, instance and frame an item is, and where its result is."""
        if result is None:
            return dict(value)
        url = None if result["result"] is None else f"/api/results/{result['result']}"
        return {**value, **result, "url": url}

    def renew(self, job: Job) -> None:
        """Take the current version of the tool, if its parameters are still right. Raises `NotFound` or `Invalid`."""
        work, selection = from_request(job.request)
        tool = self._process.tool(work.tool_type, work.tool)
        params = self._process.convert(tool, {}, work.params)
        job.request = as_request(
            replace(work, params=params, digest=tool.digest), selection, tool, rule=job.request.get("rule")
        )

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        """Run it on some; when it is to stop, what is under way has a moment to end, and is dropped then."""
        work, _ = from_request(job.request)
        todo = iter(enumerate(items))
        under_way: set[asyncio.Task[ItemOutcome]] = set()
        stopping = asyncio.create_task(stop.wait())
        loop = asyncio.get_running_loop()
        until: float | None = None
        try:
            while True:
                while not stop.is_set() and len(under_way) < self._turns.places:
                    if (following := next(todo, None)) is None:
                        break
                    under_way.add(asyncio.create_task(self._do(job, work, *following)))
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

    async def _do(self, job: Job, work: Work, place: int, item: Mapping[str, Any]) -> ItemOutcome:
        instance, frame = item["instance"], item["frame"]
        level, entity = (Level.SERIES, item["series"]) if instance is None else (Level.INSTANCE, instance)
        one = replace(work, level=level, entity=entity, frame=1 if frame is None else frame)
        one = replace(one, priority=Priority.BACKGROUND, fairness=job.user_id, job=job.id)
        try:
            async with self._turns.turn(job.user_id):
                processed = await self._run(one)
        except NeurdicomError as error:
            reason = str(error) if instance else f"series {entity}: {error}"
            failure = Failure(instance, reason, error.code)
            return ItemOutcome(place, failed=1, failures=(failure,), retryable=isinstance(error, Unavailable))
        except Exception:  # a fault of ours in one item must not take the others along
            log.exception("job %s failed for %s", job.id, entity)
            return ItemOutcome(
                place, failed=1, failures=(Failure(instance, "internal error; the log has it", "error"),)
            )
        result = {"result": processed.result, "stored": list(processed.stored), "cached": processed.is_cached}
        return ItemOutcome(place, done=1, result=result)

    async def _run(self, work: Work) -> Processed:
        try:
            return await self._process.run(work)
        except PluginCrashed as error:
            if not error.from_outside:
                raise
        # The kernel, short of memory, or an operator killed the worker: that says nothing of this item.
        return await self._process.run(work)
