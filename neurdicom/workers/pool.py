"""The pool of worker processes: which worker takes which call, when one is started, and when one ends."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from neurdicom.errors import NeurdicomError, PluginError, Unavailable, disk_failure
from neurdicom.workers.call import CancellationToken, Priority
from neurdicom.workers.forkserver_client import ForkServerClient
from neurdicom.workers.process import GRACE, WorkerProcess, request
from neurdicom.workers.program import Program, Reply
from neurdicom.workers.read_only import ReadOnlyFolders
from neurdicom.workers.run import Run, WorkerCall, batch_data
from neurdicom.workers.scheduler import BatchSize, Scheduler
from neurdicom.workers.worker_group import WorkerGroup, check_idle, discard
from neurdicom.workers.worker_state import WorkerState

__all__ = ["Program", "Reply", "WorkerPool"]

_log = logging.getLogger(__name__)

#: Seconds from a failed start to the next, where other workers of the program are up; also how long calls of a program
#: without a worker wait before an idle worker of another program has to make room.
_PATIENCE: Final = 1.0


class WorkerPool:
    """Pool of worker processes, started on demand.

    All methods belong to one event loop. Cancelling a caller stops its call, as `CancellationToken` says.

    Parameters
    ----------
    workers : int
        Most processes for one program.
    total : int, optional
        Most processes in all; by default 8 × `workers`, at least 16. Beyond it an idle worker makes room.
    idle : float
        Seconds after which a worker without calls ends.
    read_only : ReadOnlyFolders, optional
        Folders that workers can't change; by default none.
    """

    def __init__(
        self, workers: int, *, total: int | None = None, idle: float = 300.0, read_only: ReadOnlyFolders | None = None
    ) -> None:
        self.workers = workers
        self._total = max(16, 8 * workers) if total is None else total
        self._idle_seconds = idle
        self._fork_server = ForkServerClient(read_only)
        self._batch = BatchSize()
        self._groups: dict[tuple[str, str, str], WorkerGroup] = {}
        self._count = 0
        self._leaving: WorkerProcess | None = None
        self._open = False
        self._reaper: asyncio.TimerHandle | None = None

    @property
    def slots(self) -> int:
        """Number of background calls that one job should keep under way, so that batches can be made."""
        return self._batch.slots(self.workers)

    async def open(self) -> None:
        """Start the fork server; the first workers start with the first calls."""
        self._open = True
        self._fork_server.open()
        self._reap_idle()

    async def close(self) -> None:
        """Unload all programs and end all workers. Calls under way or waiting fail. Idempotent."""
        self._open = False
        if self._reaper is not None:
            self._reaper.cancel()
        stopping = Unavailable("the server is stopping")
        leaving = [worker for group in self._groups.values() for worker in group.workers]
        for group in self._groups.values():
            group.fail_waiting(stopping)
            group.discard_idle()
        for worker in leaving:
            if worker.state.is_usable:
                worker.kill(stopping)
        if leaving:
            await asyncio.wait([worker.ended for worker in leaving], timeout=GRACE + 1.0)
        await self._fork_server.close()

    async def call(
        self,
        program: Program,
        verb: str,
        arguments: dict[str, Any],
        *,
        timeout: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        fairness: str = "",
        descriptors: Sequence[int] = (),
        token: CancellationToken | None = None,
    ) -> Reply:
        """Call a verb of a program in one of its workers; a worker is started when all are busy and there may be more.

        Parameters
        ----------
        program : Program
            The program to call.
        verb : str
            A builtin module's function, or `process` for a plugin.
        arguments : dict
            JSON-able; handed to the verb.
        timeout : float, optional
            Seconds from the moment that a worker takes the call; by default the program's.
        priority : Priority
            Interactive calls go first, and get one worker more where background calls keep all busy. Short background
            calls of `process` go to a worker in batches.
        fairness : str
            Waiting calls of different keys, such as users, take turns.
        descriptors : sequence of int
            Passed on to the worker, which finds them in `arguments["descriptors"]`; they stay the caller's.
        token : CancellationToken, optional
            Stops the call when nobody waits for it any more.

        Returns
        -------
        Reply
            The verb's answer.

        Raises
        ------
        PluginFailed, PluginCrashed, PluginTimeout, PluginMemory
            The call or the load before it failed in that way; see `docs/decisions/workers.md`.
        NeurdicomError
            The verb raised an error of a class that a worker may report.
        Unavailable
            The pool is closed, or no process can be started.
        asyncio.CancelledError
            The token was cancelled, and the call had no reply soon enough.
        """
        is_plain = verb == "process" and not descriptors and timeout is None
        is_batchable = is_plain and priority is Priority.BACKGROUND and program.level == "instance"
        call = WorkerCall(
            program,
            batch_data(arguments) if is_batchable else request(verb, arguments),
            program.timeout if timeout is None else timeout,
            asyncio.get_running_loop().create_future(),
            priority,
            fairness,
            is_batchable,
            descriptors,
        )
        if token is None:
            return await self._reply(call)
        with token.stopping(partial(self._abandon, call)):
            return await self._reply(call)

    async def _reply(self, call: WorkerCall) -> Reply:
        """Give the call to a worker, now or once one is free, and await its reply."""
        group = self._group(call.program)
        if group.idle and call.priority is Priority.INTERACTIVE and not group.waiting:
            worker, _ = group.idle.popitem()
            if worker.state is WorkerState.IDLE:
                Run(worker, (call,), self._settle)
            else:  # it has died while idle, a moment ago
                self._enqueue(group, call)
        else:
            self._enqueue(group, call)
        try:
            return await call.reply
        except asyncio.CancelledError:
            self._abandon(call)
            raise
        finally:
            call.run = None  # otherwise both, and the reply, would live until the garbage collector runs

    def _enqueue(self, group: WorkerGroup, call: WorkerCall) -> None:
        loop = asyncio.get_running_loop()
        group.waiting.put(call, loop.time())
        if not call.is_batchable:
            self._staff(group)
        elif group.idle or len(group.workers) < self.workers:  # later: calls of the same moment join the batch
            loop.call_soon(self._staff, group)

    def _abandon(self, call: WorkerCall) -> None:
        """Stop an abandoned call: at once if it is queued, else as `Run.abandon` does. Idempotent."""
        if call.is_abandoned or (call.reply.done() and not call.reply.cancelled()):
            return
        call.is_abandoned = True
        if call.run is not None:
            call.run.abandon()
            return
        call.reply.cancel()
        group = self._groups.get(call.program.key)
        if group is not None and group.waiting.remove(call):
            self._tidy(group)

    async def probe(self, program: Program, verb: str = "", arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        """Load a program in a fresh worker of its own, call a verb if one is given, and unload it.

        Parameters
        ----------
        program : Program
            The program to try.
        verb : str
            Called after the load; empty: none.
        arguments : dict, optional
            JSON-able; handed to the verb.

        Returns
        -------
        dict
            `meta` of the verb's reply, or the program's description of itself where no verb is given.

        Raises
        ------
        PluginError
            The load, the call or the unload failed; its `loading` is true.
        NeurdicomError, Unavailable
            As `call`.
        """
        self._check_open()
        ended: list[WorkerProcess] = []
        worker = WorkerProcess(self._fork_server, program, lambda _: None, ended.append)
        try:
            try:
                reply = await worker.load()
                check_idle(worker)
                if verb:
                    reply = await worker.call(request(verb, arguments or {}), program.timeout)
                    check_idle(worker)
                await worker.unload(min(program.timeout, GRACE))
            except PluginError as error:
                error.loading = True
                raise
            return reply.meta
        finally:
            if worker.state.is_usable:
                worker.kill()
            await asyncio.shield(worker.ended)

    async def retire(self, digest: str) -> None:
        """End the workers of a version when all its calls, also later ones, are answered; return when they are gone."""
        for group in [each for each in self._groups.values() if digest in each.program.digests]:
            group.retired = True
            self._tidy(group)
            await group.empty.wait()

    def statistics(self) -> list[dict[str, Any]]:
        """List for each loaded program its name, digest, processes, busy ones, waiting calls and process ids."""
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
            raise Unavailable("the server is stopping: its worker processes are ended")

    def _group(self, program: Program) -> WorkerGroup:
        self._check_open()
        group = self._groups.get(program.key)
        if group is None:
            group = self._groups[program.key] = WorkerGroup(program, self.workers, Scheduler(self._batch))
        return group

    @property
    def _is_full(self) -> bool:
        """True if there are as many processes as there may be."""
        return self._count >= self._total

    def _staff(self, group: WorkerGroup) -> None:
        """Give idle workers to waiting calls, and start more where there may be more."""
        group.use_idle(self._settle)
        loop = asyncio.get_running_loop()
        while self._open and len(group.waiting) > len(group.loading) and len(group.workers) < group.most:
            if group.is_serving and loop.time() < group.not_before:
                return
            if self._is_full:
                self._make_room()
                return
            try:
                self._start(group)
            except OSError as error:
                _log.error("no worker process could be started: %s", error)
                self._give_up(group, disk_failure(error, "no worker process could be started"))
                return

    def _settle(self, run: Run) -> None:
        """Deliver the outcomes of a batch to its callers; calls that were not done wait again."""
        left, seconds = run.settle()
        self._batch.observe(seconds)
        if not self._open:
            for call in left:
                call.fail(Unavailable("the server is stopping"))
        elif left:
            group = self._group(run.worker.program)
            group.waiting.put_back(left, asyncio.get_running_loop().time())
            # After this worker has pulled, if it still takes calls; idle ones share the rest.
            asyncio.get_running_loop().call_soon(self._staff, group)

    def _start(self, group: WorkerGroup) -> None:
        """Start a worker, which takes calls when it has loaded its program."""
        worker = WorkerProcess(
            self._fork_server, group.program, partial(self._freed, group), partial(self._ended, group)
        )
        group.workers.add(worker)
        self._count += 1
        loading = group.loading[worker] = worker.load()
        loading.add_done_callback(lambda _: self._loaded(group, worker))

    def _loaded(self, group: WorkerGroup, worker: WorkerProcess) -> None:
        """Note that a worker has loaded its program, or failed to. Idempotent."""
        loading = group.loading.pop(worker, None)
        error = None if loading is None else loading.exception()
        if isinstance(error, NeurdicomError):
            if isinstance(error, PluginError):
                error.loading = True
            if self._open:
                _log.warning("%s could not be loaded: %s", group.program.title, error)
            self._give_up(group, error)
        self._tidy(group)

    def _give_up(self, group: WorkerGroup, error: NeurdicomError) -> None:
        """Delay the next start after a failed one; fail the waiting calls unless a worker is up that will take them."""
        now = asyncio.get_running_loop().time()
        group.not_before = now + _PATIENCE
        if not group.is_serving:
            group.fail_waiting(error)

    def _freed(self, group: WorkerGroup, worker: WorkerProcess) -> None:
        """Give a worker that is free its next call, let it rest, or end it."""
        group.background.discard(worker)
        is_new = worker in group.loading
        if is_new:
            self._loaded(group, worker)
        # A new worker does a call first: where loads take long, programs would otherwise only make room for each other.
        is_starving = not is_new and self._is_starving(group)
        if self._open and not is_starving and group.pull(worker, self._settle):
            return
        if not self._open or is_starving:
            discard(worker)
            return
        group.idle[worker] = asyncio.get_running_loop().time()
        self._tidy(group)
        if self._is_full and any(each.waiting for each in self._groups.values()):
            self._make_room()

    def _is_starving(self, group: WorkerGroup) -> bool:
        """Tell whether calls of a program without a worker have waited for long, and there is no room for one."""
        if not self._is_full:
            return False
        latest = asyncio.get_running_loop().time() - _PATIENCE
        others = (each for each in self._groups.values() if each is not group)
        return any(each.waiting and not each.is_serving and each.waiting.served < latest for each in others)

    def _make_room(self) -> None:
        """Unload the worker that has been idle longest; when it has ended, the one without room is started."""
        idle = [(since, group, worker) for group in self._groups.values() for worker, since in group.idle.items()]
        if idle and self._leaving is None:
            _, group, worker = min(idle, key=lambda each: each[0])
            del group.idle[worker]
            self._leaving = worker
            discard(worker)

    def _ended(self, group: WorkerGroup, worker: WorkerProcess) -> None:
        """Forget a worker whose process is gone, and start those that it made room for."""
        self._count -= 1
        group.workers.discard(worker)
        group.background.discard(worker)
        group.idle.pop(worker, None)
        if worker in group.loading:
            self._loaded(group, worker)
        if worker is self._leaving:
            self._leaving = None
        if self._open:
            for each in sorted(self._groups.values(), key=lambda each: (each.is_serving, each.waiting.served)):
                if each.waiting:
                    self._staff(each)
        self._tidy(group)

    def _tidy(self, group: WorkerGroup) -> None:
        """End the idle workers of a retired version; forget a group that has no workers and no calls."""
        if group.retired and not group.waiting:
            group.discard_idle()
        if not group.workers and not group.waiting and self._groups.get(group.program.key) is group:
            del self._groups[group.program.key]
            group.empty.set()

    def _reap_idle(self) -> None:
        """End workers that have been idle for too long; repeats itself."""
        loop = asyncio.get_running_loop()
        for group in self._groups.values():
            group.discard_idle(since=loop.time() - self._idle_seconds)
        self._reaper = loop.call_later(max(0.05, self._idle_seconds / 4), self._reap_idle)
