"""Results that wait to be kept, behind the answer: a bounded queue, written in groups."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from neurdicom.errors import NeurdicomError, Unavailable
from neurdicom.processing.result import KeptResult

log = logging.getLogger(__name__)

#: Results in one group: one transaction of the catalog.
GROUP = 64

#: Bytes and results that may wait; past either, one that nobody needs to be durable is not kept.
MOST_BYTES = 64 * 1024 * 1024
MOST_WAITING = 1000


@dataclass(slots=True, kw_only=True, eq=False)
class PendingResult:
    """A result that waits to be kept.

    Attributes
    ----------
    result : KeptResult
        Its representations have their bytes with them.
    epoch : int
        Of the tool, when the computation began.
    replaces : bool
        Its earlier representations are deleted; else they stay beside the new ones.
    adds : bool
        It is a further representation of a kept result; if that is gone, or was computed anew, it is not kept.
    always : bool
        Somebody needs it to be durable.
    is_begun : bool
        It is being written.
    done : Future of bool
        Whether it is kept: not, if a source or the tool was deleted meanwhile.
    """

    result: KeptResult
    epoch: int
    replaces: bool = False
    adds: bool = False
    always: bool = False
    is_begun: bool = False
    done: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def size(self) -> int:
        """Bytes that it holds in memory."""
        return sum(len(one.data) for one in self.result.representations.values() if one.data is not None)


class WriteBehindQueue:
    """Results that wait to be written, in the order of their coming.

    Parameters
    ----------
    write : callable
        Keeps a group; answers for each whether it is kept.
    """

    def __init__(self, write: Callable[[Sequence[PendingResult]], Awaitable[list[bool]]]) -> None:
        self._write = write
        self._waiting: list[PendingResult] = []
        self._by_id: dict[str, list[PendingResult]] = {}
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    def offer(self, pending: PendingResult) -> bool:
        """Queue a result, if there is room or it has to be kept; does not wait."""
        size = pending.size
        full = len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES
        if self._closed or (full and self._waiting and not pending.always):
            return False
        if pending.replaces:
            self._drop_earlier(pending.result.id)
        self._waiting.append(pending)
        self._by_id.setdefault(pending.result.id, []).append(pending)
        self._bytes += size
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return True

    def _drop_earlier(self, result: str) -> None:
        """Drop pending results of an id that are replaced, and that nobody needs to be durable."""
        for pending in [each for each in self.of(result) if not (each.always or each.is_begun)]:
            self._waiting.remove(pending)
            self._forget(pending)
            pending.done.set_result(False)

    def _forget(self, pending: PendingResult) -> None:
        self._bytes -= pending.size
        same = self._by_id[pending.result.id]
        same.remove(pending)
        if not same:
            del self._by_id[pending.result.id]

    def of(self, result: str) -> list[PendingResult]:
        """List the pending results of an id, the latest first."""
        return self._by_id.get(result, [])[::-1]

    async def flush(self) -> None:
        """Wait until all that is queued by now is kept, or not."""
        if self._waiting:
            await asyncio.wait([pending.done for pending in self._waiting])

    async def close(self) -> None:
        """Write what is queued, and take nothing more. Idempotent."""
        self._closed = True
        await self.flush()

    async def _run(self) -> None:
        try:
            while self._waiting:
                group = self._waiting[:GROUP]
                for pending in group:
                    pending.is_begun = True
                await self._keep(group)
                del self._waiting[: len(group)]
                for pending in group:
                    self._forget(pending)
        finally:
            self._runner = None

    async def _keep(self, group: Sequence[PendingResult]) -> None:
        try:
            outcomes = await self._write(group)
        except (NeurdicomError, OSError) as error:
            log.warning("%d results could not be kept: %s", len(group), error)
            failure = Unavailable(f"the server can't keep the result: {error}")
            for pending in group:
                _fail(pending, failure)
            return
        except BaseException as error:  # whatever it is, those who wait must learn of it
            log.exception("%d results could not be kept", len(group))
            for pending in group:
                _fail(pending, Unavailable("the server can't keep the result"))
            if not isinstance(error, Exception):
                raise
            return
        for pending, outcome in zip(group, outcomes, strict=True):
            if not pending.done.done():
                pending.done.set_result(outcome)


def _fail(pending: PendingResult, error: Unavailable) -> None:
    if not pending.done.done():
        pending.done.set_exception(error)
        pending.done.exception()  # nobody may be waiting
