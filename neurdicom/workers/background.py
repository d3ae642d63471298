"""Calls that nobody waits for, sent to the workers a few at a time while they are short."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from neurdicom.errors import NeurdicomError, PluginCrashed
from neurdicom.workers import protocol
from neurdicom.workers.batch import Broken, outcomes, seconds_of
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.process import error_of
from neurdicom.workers.program import Program, Reply

#: Seconds that a batch should take: long beside what a message costs, short for others who wait for the worker.
_AIM: Final = 0.02

_LARGEST: Final = 16

#: Weight of the latest batch in what is known of the time of a call.
_LATEST: Final = 0.3


@dataclass(slots=True)
class _Call:
    arguments: dict[str, Any]
    reply: asyncio.Future[Reply]


@dataclass(slots=True)
class _Queue:
    """The calls of one program."""

    program: Program
    calls: deque[_Call] = field(default_factory=deque)
    under_way: int = 0


class BackgroundCalls:
    """Calls of the verb `process` in the background.

    When a call of a batch crashes, hangs or takes too much memory, those after it go into another batch.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._queues: dict[tuple[str, str, str], _Queue] = {}
        self._seconds = _AIM
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def batch(self) -> int:
        """How many calls go into a batch, by how long those of late took."""
        return max(1, min(_LARGEST, int(_AIM / max(self._seconds, 1e-9))))

    @property
    def slots(self) -> int:
        """How many calls are worth having under way at a time: of short ones, results are written meanwhile."""
        batch = self.batch
        return self._pool.workers + 1 if batch == 1 else 3 * self._pool.workers * batch

    async def call(self, program: Program, arguments: dict[str, Any]) -> Reply:
        """Call `process`; raises as `WorkerPool.call`. A caller that is cancelled leaves the batch to go on."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(program.key, _Queue(program))
        queue.calls.append(_Call(arguments, reply))
        if queue.under_way < self._pool.workers:
            # Not at once: others of the same moment may come along.
            asyncio.get_running_loop().call_soon(self._send, queue)
        return await reply

    def _send(self, queue: _Queue) -> None:
        """Send what waits, in as many batches as there are workers for."""
        while queue.under_way < self._pool.workers:
            batch = self._take(queue)
            if not batch:
                break
            queue.under_way += 1
            task = asyncio.get_running_loop().create_task(self._do(queue, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not queue.calls and not queue.under_way:
            self._queues.pop(queue.program.key, None)

    def _take(self, queue: _Queue) -> list[_Call]:
        free = self._pool.workers - queue.under_way
        most = max(1, min(self.batch, -(-len(queue.calls) // free)))
        batch: list[_Call] = []
        while queue.calls and len(batch) < most:
            call = queue.calls.popleft()
            if not call.reply.done():
                batch.append(call)
        return batch

    async def _do(self, queue: _Queue, batch: list[_Call]) -> None:
        program = queue.program
        try:
            found, seconds = await self._call(program, [call.arguments for call in batch])
        except asyncio.CancelledError:
            for call in batch:
                call.reply.cancel()
            raise
        except Exception as error:  # a fault of ours; those who wait must learn of it
            self._fail(batch, error)
        else:
            done = len(found) - found.count(None)
            if not done:  # the plugin wrote over the answers; it would be asked for ever
                self._fail(batch, PluginCrashed(f"{program.title} broke its connection: it left no answer"))
                return
            self._seconds += _LATEST * (seconds / max(1, done) - self._seconds)
            for call, outcome in zip(batch[:done], found, strict=False):
                if isinstance(outcome, Reply):
                    if not call.reply.done():
                        call.reply.set_result(outcome)
                elif outcome is not None:
                    self._fail([call], outcome)
            queue.calls.extendleft(reversed(batch[done:]))
        finally:
            queue.under_way -= 1
            self._send(queue)

    async def _call(
        self, program: Program, calls: list[dict[str, Any]]
    ) -> tuple[list[Reply | NeurdicomError | None], float]:
        """The outcome of each call, None for those that were not begun; and how long the worker was at it."""
        self._number = number = self._number + 1
        data = protocol.message({"verb": "process", "batch": number, "calls": calls})
        async with self._pool.lend(program) as worker:
            try:
                reply = await worker.call_many(number, data, program.timeout)
            except Broken as broken:
                found = outcomes(broken.answers, len(calls), program, error_of)
                at = len(broken.answers)
                return [*found[:at], broken.error, *found[at + 1 :]][: len(calls)], _AIM * (at + 1)
        answers = reply.meta["answers"]
        if isinstance(last := reply.meta.get("last"), dict):
            answers = [*answers, (last, reply.body)]
        if not answers:
            unreadable = PluginCrashed(f"{program.title} broke its connection: its answers can't be read")
            return [unreadable, *[None] * (len(calls) - 1)], 0.0
        return outcomes(answers, len(calls), program, error_of), seconds_of(reply.meta)

    @staticmethod
    def _fail(batch: list[_Call], error: Exception) -> None:
        for call in batch:
            if not call.reply.done():
                call.reply.set_exception(error)
