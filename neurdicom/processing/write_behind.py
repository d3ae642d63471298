"""The write-behind queue of results: bounded, and written in groups after the answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from neurdicom.errors import NeurdicomError, Unavailable
from neurdicom.processing.result import KeptResult

log = logging.getLogger(__name__)

#: Most results in one group, which is one transaction of the catalog.
GROUP = 64

#: Most bytes and results that may wait; beyond either, a result that need not be durable is dropped.
MOST_BYTES = 64 * 1024 * 1024
MOST_WAITING = 1000


@dataclass(slots=True, kw_only=True, eq=False)
class PendingResult:
    """Result that waits to be kept.

    Attributes
    ----------
    result : KeptResult
        Its representations have their bytes with them.
    epoch : int
        Epoch of the tool when the computation began; see `ResultStore.epoch`.
    replaces : bool
        Whether it takes the place of earlier representations, which are deleted.
    adds : bool
        Whether it is a further representation of a kept result; it is dropped if that is gone, or was computed anew.
    always : bool
        Whether it must not be dropped, since a caller needs it to be durable.
    is_begun : bool
        Whether it is being written.
    done : Future of bool
        Whether it is kept; not, if a source or the tool was deleted meanwhile.
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
    """Queue of results to be written, in order of arrival.

    Parameters
    ----------
    write : callable
        Writes a group; returns for each result whether it is kept.
    """

    def __init__(self, write: Callable[[Sequence[PendingResult]], Awaitable[list[bool]]]) -> None:
        self._write = write
        self._waiting: list[PendingResult] = []
        self._by_id: dict[str, list[PendingResult]] = {}
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    def offer(self, pending: PendingResult) -> bool:
        """Queue a result without waiting, if there is room or it must not be dropped; return whether it is queued."""
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
        """Drop pending results of an id that are replaced and need not be durable."""
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
        """Wait until all results that are queued now are kept or dropped."""
        if self._waiting:
            await asyncio.wait([pending.done for pending in self._waiting])

    async def close(self) -> None:
        """Write what is queued, and accept nothing more. Idempotent."""
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
            log.warning("%d results could not be stored: %s", len(group), error)
            failure = Unavailable(f"the server can't store the result: {error}")
            for pending in group:
                _fail(pending, failure)
            return
        except BaseException as error:  # whatever it is, the waiting callers must get an error
            log.exception("%d results could not be stored", len(group))
            for pending in group:
                _fail(pending, Unavailable("the server can't store the result; its log has the reason"))
            if not isinstance(error, Exception):
                raise
            return
        for pending, outcome in zip(group, outcomes, strict=True):
            if not pending.done.done():
                pending.done.set_result(outcome)


def _fail(pending: PendingResult, error: Unavailable) -> None:
    if not pending.done.done():
        pending.done.set_exception(error)
        pending.done.exception()  # retrieved, since nobody may be waiting
