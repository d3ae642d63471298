"""A step of processing: what was computed before is given again, and what is computed is kept."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from neurdicom.jobs.job import now
from neurdicom.plugins.tools import Tool
from neurdicom.processing.results import ANY, BESIDE, Body, Hit, Kept, Record, ResultService, representation, result_id
from neurdicom.processing.work import Processed, Work
from neurdicom.workers.call import Priority
from neurdicom.workers.executor import Input
from neurdicom.workers.program import Reply

#: Computes a task's reply in a format.
Compute = Callable[[str], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A work with what it comes to.

    Attributes
    ----------
    work : Work
    tool : Tool
    inputs : tuple of Input
        In order.
    """

    work: Work
    tool: Tool
    inputs: tuple[Input, ...]

    @property
    def is_whole(self) -> bool:
        """The tool gets all frames: the one that is asked for only says which of a stack becomes a picture."""
        return not self.tool.per_frame or self.is_volume

    @property
    def is_volume(self) -> bool:
        """The inputs are the slices of a volume."""
        return self.tool.level == "series" or self.inputs[0].frame is None

    @property
    def frame(self) -> int | None:
        """The frame of a stack that is shown."""
        return (self.work.frame or 1) if self.is_whole else None

    @property
    def id(self) -> str:
        """The result's."""
        inputs = [replace(one, frame=None) for one in self.inputs] if self.is_whole else self.inputs
        return result_id(self.tool, inputs, self.work.params)

    @property
    def format(self) -> str:
        """What is computed: of a job's images the samples, which every other format can be made of."""
        work = self.work
        return work.format if work.job is None or work.format == "json" else "npy"


class ResultCache:
    """Gives results that are kept, and keeps those that are computed.

    Equal works at the same time are computed once.
    """

    def __init__(self, results: ResultService) -> None:
        self._results = results
        self._flights: dict[Hashable, asyncio.Task[Processed]] = {}
        self._waiters: Counter[asyncio.Task[Processed]] = Counter()
        self._droppable: set[asyncio.Task[Processed]] = set()

    async def run(
        self, asked: Asked, compute: Compute, known: Collection[str] = (), *, bare: bool = False
    ) -> Processed:
        """Give a result.

        Parameters
        ----------
        asked : Asked
        compute : callable
            Computes it in a format.
        known : collection of str
            Validators of what the caller has: if it is still that, nothing is read.
        bare : bool
            Nobody wants the body: that of a kept result is not read.
        """
        id, format = asked.id, asked.format
        if not asked.work.cache:
            work = self._compute(asked, id, format, compute, replaces=True)
            return await self._wait(self._start(work, object(), asked))
        found = await self._find(asked, id, format, known, bare)
        if found is not None:
            return found
        flight = self._flights.get((id, format, asked.frame))
        if flight is not None:
            return await self._join(flight, asked)
        self._results.counts["misses"] += 1
        flight = self._start(self._compute(asked, id, format, compute), (id, format, asked.frame), asked)
        return await self._wait(flight)

    async def _find(self, asked: Asked, id: str, format: str, known: Collection[str], bare: bool) -> Processed | None:
        hit = await self._results.find(id, format, asked.frame)
        if hit is None:
            return None
        if bare:
            given = _processed(hit, Reply()) if await self._results.is_there(hit) else None
        else:
            given = await self.give(hit, known)
        if given is not None and asked.work.job is not None:
            await self._results.settle(id)
        return given

    async def give(self, hit: Hit, known: Collection[str] = ()) -> Processed | None:
        """Give what is kept; None if its body is gone."""
        if hit.etag in known or "*" in known:
            self._results.counts["current"] += 1
            return _processed(hit, Reply(), is_current=True)
        reply = await self._results.read(hit)
        return None if reply is None else _processed(hit, reply)

    async def _join(self, flight: "asyncio.Task[Processed]", asked: Asked) -> Processed:
        """Wait for who computes the same already."""
        processed = await self._wait(flight)
        self._results.counts["shared"] += 1
        if asked.work.job is not None and processed.result is not None:
            await self._results.settle(processed.result)
        return replace(processed, is_cached=True)

    def _start(self, work: Any, key: Hashable, asked: Asked) -> "asyncio.Task[Processed]":
        """Compute to the end, also when the caller goes away: the result is kept.

        Of a job there may be many that no worker has begun; what nobody waits for any more is dropped.
        """
        task: asyncio.Task[Processed] = asyncio.create_task(work)
        self._flights[key] = task
        if asked.work.priority is Priority.BACKGROUND and not asked.is_volume:
            self._droppable.add(task)

        def over(_: "asyncio.Task[Processed]") -> None:
            self._droppable.discard(task)
            if self._flights.get(key) is task:
                del self._flights[key]
            if not task.cancelled():
                task.exception()  # nobody may be waiting any more

        task.add_done_callback(over)
        return task

    async def _wait(self, flight: "asyncio.Task[Processed]") -> Processed:
        self._waiters[flight] += 1
        try:
            return await asyncio.shield(flight)
        finally:
            self._waiters[flight] -= 1
            if not self._waiters[flight]:
                del self._waiters[flight]
                if flight in self._droppable and not flight.done():
                    self._flights = {key: each for key, each in self._flights.items() if each is not flight}
                    flight.cancel()

    async def _compute(
        self, asked: Asked, id: str, format: str, compute: Compute, *, replaces: bool = False
    ) -> Processed:
        work, tool = asked.work, asked.tool
        epoch = self._results.epoch(tool.type, tool.id)
        created, began = now(), time.perf_counter()
        reply = await compute(format)
        if (task := asyncio.current_task()) is not None:
            self._droppable.discard(task)
        seconds = time.perf_counter() - began
        bodies, payloads = _bodies(reply, format, asked.frame)
        record = Record(
            id=id,
            tool_type=tool.type,
            tool=tool.id,
            name=tool.name,
            version=tool.version,
            digest=tool.digest,
            uses=dict(tool.uses),
            params=dict(work.params),
            level=work.level.value,
            entity=work.entity,
            sources=_sources(asked.inputs),
            frame=work.frame,
            is_whole=asked.is_whole,
            created=created,
            seconds=round(seconds, 6),
            tag=await self._tag(id, bodies, replaces),
            kind=reply.meta.get("kind", "bytes"),
            bodies=bodies,
            offers_json=tool.result is None,
            job=work.job,
        )
        kept = Kept(record=record, payloads=payloads, epoch=epoch, replaces=replaces)
        if work.job is not None or work.store:
            is_kept = await self._results.keep(kept)
        else:
            is_kept = self._results.offer(kept)
        return Processed(reply, id if is_kept else None, etag=record.etag(format, asked.frame) if is_kept else None)

    async def _tag(self, id: str, bodies: dict[str, Body], replaces: bool) -> str:
        """That of the record to which a body is added; another one when it is computed again."""
        before = None if replaces else await self._results.peek(id)
        if before is None or any(name in before.bodies or name in before.evicted for name in bodies):
            return secrets.token_hex(4)
        return before.tag


def _processed(hit: Hit, reply: Reply, *, is_current: bool = False) -> Processed:
    return Processed(reply, hit.record.id, is_cached=True, etag=hit.etag, is_current=is_current)


def _bodies(reply: Reply, format: str, frame: int | None) -> tuple[dict[str, Body], dict[str, bytes | memoryview]]:
    """The bodies of a reply, and what goes into them."""
    meta = dict(reply.meta)
    beside = meta.pop("json", None)
    kind = meta.get("kind", "bytes")
    # A native plugin that gives JSON where it is asked for gives an image otherwise.
    depends = kind == "image" or (kind == "json" and format == "json")
    name = representation(format, frame) if depends else ANY
    payloads: dict[str, bytes | memoryview] = {name: reply.body}
    bodies = {name: Body(meta=meta, size=len(reply.body))}
    if beside is not None:
        payloads[BESIDE] = orjson.dumps(beside)
        bodies[BESIDE] = Body(meta={"kind": "json", "media_type": "application/json"}, size=len(payloads[BESIDE]))
    return bodies, payloads


def _sources(inputs: Sequence[Input]) -> list[list[str]]:
    return [[one.instance, one.sha256] for one in inputs]
