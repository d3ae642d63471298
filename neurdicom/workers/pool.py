"""Calls into worker processes: which worker takes which call, when one is started, and when one ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from neurdicom.errors import NeurdicomError, PluginError, Unavailable
from neurdicom.workers.call import Priority
from neurdicom.workers.forkserver_client import Nursery
from neurdicom.workers.process import GRACE, WorkerProcess, request
from neurdicom.workers.program import Program, Reply
from neurdicom.workers.waiting import Line

__all__ = ["Program", "Reply", "WorkerPool"]

_log = logging.getLogger(__name__)

#: Seconds from a failed start to the next, where other workers of the program are up; and how long calls of a program
#: without a worker wait before they take the place of another's.
_PATIENCE: Final = 1.0

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Group:
    """The workers of one program, and the calls that wait for one; `background` calls are under way."""

    program: Program
    workers: set[WorkerProcess] = field(default_factory=set)
    idle: list[WorkerProcess] = field(default_factory=list)
    serving: set[WorkerProcess] = field(default_factory=set)
    starting: int = 0
    not_before: float = 0.0
    served: float = 0.0
    waiting: Line = field(default_factory=Line)
    background: int = 0
    retired: bool = False
    empty: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerPool:
    """Worker processes for programs, started on demand.

    Parameters
    ----------
    workers : int
        Most processes for one program.
    total : int, optional
        Most processes for all programs together; by default eight for each of `workers`, at least 16. Past it an idle
        worker of another program makes room.
    idle : float
        Seconds after which a worker that nobody called ends.

    Attributes
    ----------
    workers : int
        As given.

    Notes
    -----
    All methods belong to one event loop. A caller that is cancelled leaves its worker to finish; the result is dropped.
    """

    def __init__(self, workers: int, *, total: int | None = None, idle: float = 300.0) -> None:
        self.workers = workers
        self._total = max(16, 8 * workers) if total is None else total
        self._idle_seconds = idle
        self._nursery = Nursery()
        self._groups: dict[_Key, _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._leaving: WorkerProcess | None = None
        self._open = False
        self._reaper: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Prepare; the first workers start with the first calls."""
        self._open = True
        self._nursery.open()
        self._reap_idle()

    async def close(self) -> None:
        """Unload all programs and end all workers. Calls under way or waiting fail. Idempotent."""
        self._open = False
        if self._reaper is not None:
            self._reaper.cancel()
        for group in self._groups.values():
            while (waiter := group.waiting.popleft()) is not None:
                self._fail(waiter, Unavailable("the server is stopping"))
        leaving = [worker for group in self._groups.values() for worker in group.workers]
        for group in self._groups.values():
            for worker in group.idle:
                self._discard(worker)
            group.idle.clear()
        busy = [worker for worker in leaving if worker.is_usable]
        for worker in busy:
            worker.kill(Unavailable("the server is stopping"))
        if leaving:
            await asyncio.wait([worker.ended for worker in leaving], timeout=GRACE + 1.0)
        await self._nursery.close()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def call(
        self,
        program: Program,
        verb: str,
        arguments: dict[str, Any],
        *,
        timeout: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        descriptors: Sequence[int] = (),
    ) -> Reply:
        """Call a verb of a program in one of its workers; starts one when all are busy and there may be more.

        Parameters
        ----------
        program : Program
            What to call.
        verb : str
            A builtin module's function, or `process` for a plugin.
        arguments : dict
            JSON-able; handed to the verb.
        timeout : float, optional
            Seconds from the moment that a worker takes the call; by default the program's.
        priority : Priority
            Interactive calls go first, and have one worker more where calls of the background keep all busy.
        descriptors : sequence of int
            Passed on to the worker, which finds them in `arguments["descriptors"]`; they stay the caller's.

        Raises
        ------
        PluginFailed, PluginCrashed, PluginTimeout, PluginMemory
            The call or the load before it failed in that way; see `docs/decisions/workers.md`.
        NeurdicomError
            What the verb raised, of the classes that a worker may report.
        Unavailable
            The pool is closed, or no process can be started.
        """
        data = request(verb, arguments)
        limit = program.timeout if timeout is None else timeout
        if priority is Priority.INTERACTIVE:
            return await (await self._worker(program)).call(data, limit, descriptors)
        async with self.lend(program) as worker:
            return await worker.call(data, limit, descriptors)

    @asynccontextmanager
    async def lend(self, program: Program) -> AsyncIterator[WorkerProcess]:
        """Wait for a worker for one call of the background. Raises as `call`, where none can be started."""
        worker = await self._worker(program, background=True)
        group = self._group(program)
        try:
            yield worker
        finally:
            group.background -= 1
            if self._open:
                self._staff(group)

    async def _worker(self, program: Program, *, background: bool = False) -> WorkerProcess:
        """A worker for a call, which counts as under way from now on if it is one of the background."""
        group = self._group(program)
        worker: WorkerProcess | None = None
        if group.idle and not group.waiting and not (background and group.background >= self.workers):
            worker = group.idle.pop()
            group.background += background
        while worker is None or not worker.is_usable:  # it died at rest, a moment ago
            if worker is not None and background:
                group.background -= 1
            group = self._group(program)
            worker = await self._wait(group, background=background)
        return worker

    async def probe(self, program: Program, verb: str = "", arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        """Load a program in a fresh worker of its own, call a verb if one is given, and unload it.

        Answers what it said of itself, or the description that the verb gave. Raises what goes wrong, as `call` does.
        """
        self._check_open()
        ended: list[WorkerProcess] = []
        worker = WorkerProcess(self._nursery, program, lambda _: None, ended.append)
        try:
            try:
                reply = await worker.load()
                if verb:
                    reply = await worker.call(request(verb, arguments or {}), program.timeout)
                await worker.unload(min(program.timeout, GRACE))
            except PluginError as error:
                error.loading = True
                raise
            return reply.meta
        finally:
            if not worker.ended.done() and worker.is_usable:
                worker.kill()
            await asyncio.shield(worker.ended)

    async def retire(self, digest: str) -> None:
        """End the workers of a version once they have answered what they were asked; returns when they are gone.

        Calls of that version that still come are served before it goes.
        """
        for group in [each for each in self._groups.values() if digest in each.program.digests]:
            group.retired = True
            while group.idle:
                self._discard(group.idle.pop())
            self._tidy(group)
            await group.empty.wait()

    def statistics(self) -> list[dict[str, Any]]:
        """For each loaded program: name, digest, processes, busy ones, waiting calls and process ids."""
        return [
            {
                "name": group.program.title,
                "digest": group.program.digest,
                "workers": len(group.workers),
                "busy": len(group.workers) - len(group.idle),
                "waiting": len(group.waiting),
                "pids": sorted(worker.pid for worker in group.workers if worker.pid is not None),
            }
            for group in self._groups.values()
        ]

    def _check_open(self) -> None:
        if not self._open:
            raise Unavailable("the worker processes are stopped")

    def _group(self, program: Program) -> _Group:
        group = self._groups.get(program.key)
        if group is None:
            self._check_open()
            group = self._groups[program.key] = _Group(program)
        return group

    async def _wait(self, group: _Group, *, background: bool = False) -> WorkerProcess:
        """The next worker that is free, or that is started for it."""
        self._check_open()
        waiter: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        if not group.waiting:
            group.served = waiter.get_loop().time()
        (group.waiting.background if background else group.waiting.urgent).append(waiter)
        self._staff(group)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                group.background -= background
                self._freed(waiter.result())
            else:
                group.waiting.leave(waiter)
                self._tidy(group)
            raise

    def _staff(self, group: _Group) -> None:
        """Give idle workers to waiting calls, and start more where there may be more."""
        group.idle = [worker for worker in group.idle if worker.is_usable]
        while group.idle and self._hand(group, group.idle[-1]):
            group.idle.pop()
        loop = asyncio.get_running_loop()
        most = self.workers + (1 if group.waiting.urgent and group.background else 0)
        while len(group.waiting) > group.starting and len(group.workers) < most:
            if group.serving and loop.time() < group.not_before:
                return
            if self._count >= self._total:
                self._make_room()
                return
            try:
                worker = WorkerProcess(self._nursery, group.program, self._freed, self._ended)
            except OSError as error:
                self._give_up(group, Unavailable(f"no worker process could be started: {error}"))
                return
            group.starting += 1
            group.workers.add(worker)
            self._count += 1
            task = loop.create_task(self._start(group, worker))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _start(self, group: _Group, worker: WorkerProcess) -> None:
        """Have a worker load its program, which frees it for a first call."""
        loading = worker.load()
        try:
            await loading
        except NeurdicomError as error:
            if isinstance(error, PluginError):
                error.loading = True
            _log.warning("%s could not be loaded: %s", group.program.title, error)
            self._give_up(group, error)
        finally:
            group.starting -= 1
            self._tidy(group)

    def _give_up(self, group: _Group, error: NeurdicomError) -> None:
        """A start has failed: so do the calls that wait, unless a worker is up that will take them."""
        group.not_before = asyncio.get_running_loop().time() + _PATIENCE
        if not group.serving:
            while (waiter := group.waiting.popleft()) is not None:
                self._fail(waiter, error)

    def _hand(self, group: _Group, worker: WorkerProcess) -> bool:
        """Give a worker to the first call that still waits; calls of the background never have more than are usual."""
        full = group.background >= self.workers
        urgent = bool(group.waiting.urgent)
        while (waiter := group.waiting.popleft(urgent_only=full)) is not None:
            if not waiter.done():
                group.served = asyncio.get_running_loop().time()
                group.background += not urgent
                waiter.set_result(worker)
                return True
            urgent = bool(group.waiting.urgent)
        return False

    def _freed(self, worker: WorkerProcess) -> None:
        """A worker has nothing to do: the next call, or rest, or its end."""
        if not worker.is_usable:
            return
        group = self._groups[worker.program.key]
        group.serving.add(worker)
        starving = self._starving(group)
        if self._open and not starving and group.waiting and self._hand(group, worker):
            return
        if not self._open or starving or (group.retired and not group.waiting):
            self._discard(worker)
            return
        group.idle.append(worker)
        if self._count >= self._total and any(each.waiting for each in self._groups.values()):
            self._make_room()

    def _starving(self, group: _Group) -> bool:
        """Whether calls of another program, without any worker, have waited for long, and there is no room for one."""
        if self._count < self._total:
            return False
        latest = asyncio.get_running_loop().time() - _PATIENCE
        others = (each for each in self._groups.values() if each is not group)
        return any(each.waiting and not each.serving and each.served < latest for each in others)

    def _make_room(self) -> None:
        """Have the idle worker that has rested longest end; its end starts the one that there was no room for."""
        idle = [worker for each in self._groups.values() for worker in each.idle]
        if idle and self._leaving is None:
            oldest = min(idle, key=lambda worker: worker.last_used)
            self._groups[oldest.program.key].idle.remove(oldest)
            self._leaving = oldest
            self._discard(oldest)

    def _discard(self, worker: WorkerProcess) -> None:
        """Have an idle worker unload and end."""
        if not worker.is_usable:
            return

        def settle(outcome: asyncio.Future[Reply]) -> None:
            if not outcome.cancelled() and (error := outcome.exception()) is not None:
                _log.warning("%s did not unload well: %s", worker.program.title, error)

        worker.unload(GRACE).add_done_callback(settle)

    def _ended(self, worker: WorkerProcess) -> None:
        """A worker's process is gone."""
        self._count -= 1
        group = self._groups[worker.program.key]
        group.workers.discard(worker)
        group.serving.discard(worker)
        if worker in group.idle:
            group.idle.remove(worker)
        if worker is self._leaving:
            self._leaving = None
        if self._open:
            for each in sorted(self._groups.values(), key=lambda group: (len(group.serving) > 0, group.served)):
                if each.waiting:
                    self._staff(each)
        self._tidy(group)

    def _tidy(self, group: _Group) -> None:
        """Forget a group that has nothing left."""
        if not group.workers and not group.waiting and not group.starting:
            self._groups.pop(group.program.key, None)
            group.empty.set()

    def _reap_idle(self) -> None:
        """End workers that nobody has called for long."""
        loop = asyncio.get_running_loop()
        for group in self._groups.values():
            for worker in [each for each in group.idle if loop.time() - each.last_used >= self._idle_seconds]:
                group.idle.remove(worker)
                self._discard(worker)
        self._reaper = loop.call_later(max(0.05, self._idle_seconds / 4), self._reap_idle)

    @staticmethod
    def _fail(waiter: asyncio.Future[WorkerProcess], error: NeurdicomError) -> None:
        if not waiter.done():
            waiter.set_exception(error)
