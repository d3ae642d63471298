"""A step of processing: what was computed before is given again, and what is computed is kept."""

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import orjson

from neurdicom import __version__
from neurdicom.jobs.job import now
from neurdicom.plugins.tools import Tool
from neurdicom.processing.result import ANY, BESIDE, KeptResult, Representation, representation_name
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.work import Processed, Work
from neurdicom.processing.write_behind import PendingResult
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

    def __init__(self, results: ResultStore) -> None:
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
        kept = await self._results.find(id, format, asked.frame)
        if kept is None:
            return None
        if bare:
            is_there = await self._results.touch(kept, format, asked.frame)
            given = _processed(kept, Reply(), format, asked.frame) if is_there else None
        else:
            given = await self.give(kept, format, asked.frame, known)
        if given is not None and asked.work.job is not None:
            await self._results.settle(id)
        return given

    async def give(
        self, kept: KeptResult, format: str, frame: int | None, known: Collection[str] = ()
    ) -> Processed | None:
        """Give a kept result in a format; None if its file is gone."""
        if kept.etag(format, frame) in known or "*" in known:
            self._results.counts["current"] += 1
            return replace(_processed(kept, Reply(), format, frame), is_current=True)
        reply = await self._results.read(kept, format, frame)
        return None if reply is None else _processed(kept, reply, format, frame)

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
        representations = _representations(reply, format, asked.frame)
        tag = None if replaces else await self._results.tag_of(id, tuple(representations))
        result = KeptResult(
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
            tag=tag or secrets.token_hex(4),
            kind=reply.meta.get("kind", "bytes"),
            representations=representations,
            offers_json=tool.result is None,
            job=work.job,
        )
        pending = PendingResult(result=result, epoch=epoch, replaces=replaces)
        if work.job is not None or work.store:
            is_kept = await self._results.keep(pending)
        else:
            is_kept = self._results.offer(pending)
        return Processed(reply, id if is_kept else None, etag=result.etag(format, asked.frame) if is_kept else None)


def _processed(kept: KeptResult, reply: Reply, format: str, frame: int | None) -> Processed:
    return Processed(reply, kept.id, is_cached=True, etag=kept.etag(format, frame))


def _representations(reply: Reply, format: str, frame: int | None) -> dict[str, Representation]:
    """The representations that a reply brings, with their bytes."""
    meta = dict(reply.meta)
    beside = meta.pop("json", None)
    kind = meta.get("kind", "bytes")
    # A native plugin that gives JSON where it is asked for gives an image otherwise.
    depends = kind == "image" or (kind == "json" and format == "json")
    name = representation_name(format, frame) if depends else ANY
    found = {name: Representation(meta=meta, size=len(reply.body), data=reply.body)}
    if beside is not None:
        data = orjson.dumps(beside)
        meta = {"kind": "json", "media_type": "application/json"}
        found[BESIDE] = Representation(meta=meta, size=len(data), data=data)
    return found


def _sources(inputs: Sequence[Input]) -> list[list[str]]:
    return [[one.instance, one.sha256] for one in inputs]


def result_id(tool: Tool, inputs: Sequence[Input], params: Mapping[str, Any]) -> str:
    """The id of a result, the same for every computation that must give the same.

    Parameters
    ----------
    tool : Tool
        Its type, id and digest count, and the models that it uses; not its name.
    inputs : sequence of Input
        In the order in which the tool gets them. The SHA-256 of the files counts, and their frames and edits.
    params : Mapping[str, Any]
        Converted: a double is a float by now, however it was written.

    Notes
    -----
    The version of NeurDICOM counts too: another one may decode or convert pixels otherwise.
    """
    files = [[one.sha256, one.frame, [dict(edit) for edit in one.edits]] for one in inputs]
    said = [__version__, tool.type, tool.id, tool.digest, dict(tool.uses), files, dict(params)]
    # As RFC 8785 has it: members sorted, no spaces; ASCII, so that every text that JSON may carry has bytes.
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode("ascii")).hexdigest()
