"""Keeping behind the answer: what was computed waits in a bounded queue, and is written in groups."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from neurdicom.errors import NeurdicomError, Unavailable
from neurdicom.processing.results.record import Record

log = logging.getLogger(__name__)

#: Results in one group: one transaction of the catalog.
GROUP = 64

#: Bytes and results that may wait; past either, one that nobody needs to be durable is not kept.
MOST_BYTES = 64 * 1024 * 1024
MOST_WAITING = 1000

Payload = bytes | memoryview


@dataclass(slots=True, kw_only=True, eq=False)
class Kept:
    """A result that is to be kept.

    Attributes
    ----------
    record : Record
        Without places of its bodies.
    payloads : Mapping[str, bytes or memoryview]
        What goes into files, by the name of the body.
    replaces : bool
        What was kept of it before goes; else its bodies stay beside the new one's.
    adds : bool
        It is a further body of a record that is there; if that is not, or was computed anew, it is not kept.
    always : bool
        Somebody needs it to be durable.
    is_begun : bool
        It is being written.
    epoch : int
        Of the tool, when the computation began.
    done : Future of bool
        Whether it is kept: not, if a source or the tool was deleted meanwhile.
    """

    record: Record
    payloads: Mapping[str, Payload]
    epoch: int
    replaces: bool = False
    adds: bool = False
    always: bool = False
    is_begun: bool = False
    done: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def size(self) -> int:
        """Bytes that it holds in memory."""
        return sum(map(len, self.payloads.values()))


class Keeper:
    """The queue.

    Parameters
    ----------
    write : callable
        Keeps a group; answers for each whether it is kept.
    """

    def __init__(self, write: Callable[[Sequence[Kept]], Awaitable[list[bool]]]) -> None:
        self._write = write
        self._waiting: list[Kept] = []
        self._by_id: dict[str, list[Kept]] = {}
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    def offer(self, kept: Kept) -> bool:
        """Have a result kept, if there is room or it has to be; does not wait."""
        size = kept.size
        full = len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES
        if self._closed or (full and self._waiting and not kept.always):
            return False
        if kept.replaces:
            self._drop_earlier(kept.record.id)
        self._waiting.append(kept)
        self._by_id.setdefault(kept.record.id, []).append(kept)
        self._bytes += size
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return True

    def _drop_earlier(self, result: str) -> None:
        """Forget what waits of a result that was computed anew, and is not needed to be durable."""
        for kept in [each for each in self.pending(result) if not (each.always or each.is_begun)]:
            self._waiting.remove(kept)
            self._forget(kept)
            kept.done.set_result(False)

    def _forget(self, kept: Kept) -> None:
        self._bytes -= kept.size
        same = self._by_id[kept.record.id]
        same.remove(kept)
        if not same:
            del self._by_id[kept.record.id]

    def pending(self, result: str) -> list[Kept]:
        """What waits of a result, the latest first."""
        return self._by_id.get(result, [])[::-1]

    async def flush(self) -> None:
        """Wait until all that waits by now is kept, or not."""
        if self._waiting:
            await asyncio.wait([kept.done for kept in self._waiting])

    async def close(self) -> None:
        """Keep what waits, and take nothing more. Idempotent."""
        self._closed = True
        await self.flush()

    async def _run(self) -> None:
        try:
            while self._waiting:
                group = self._waiting[:GROUP]
                for kept in group:
                    kept.is_begun = True
                await self._keep(group)
                del self._waiting[: len(group)]
                for kept in group:
                    self._forget(kept)
        finally:
            self._runner = None

    async def _keep(self, group: Sequence[Kept]) -> None:
        try:
            outcomes = await self._write(group)
        except (NeurdicomError, OSError) as error:
            log.warning("%d results could not be kept: %s", len(group), error)
            failure = Unavailable(f"the server can't keep the result: {error}")
            for kept in group:
                _fail(kept, failure)
            return
        except BaseException as error:  # whatever it is, those who wait must learn of it
            log.exception("%d results could not be kept", len(group))
            for kept in group:
                _fail(kept, Unavailable("the server can't keep the result"))
            if not isinstance(error, Exception):
                raise
            return
        for kept, outcome in zip(group, outcomes, strict=True):
            if not kept.done.done():
                kept.done.set_result(outcome)


def _fail(kept: Kept, error: Unavailable) -> None:
    if not kept.done.done():
        kept.done.set_exception(error)
        kept.done.exception()  # nobody may be waiting
