"""The workers of one program, with the calls that wait for them."""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from neurdicom.errors import NeurdicomError, PluginCrashed
from neurdicom.workers.call import Priority
from neurdicom.workers.process import GRACE, WorkerProcess
from neurdicom.workers.program import Program, Reply
from neurdicom.workers.run import Run, WorkerCall
from neurdicom.workers.scheduler import Scheduler
from neurdicom.workers.worker_state import WorkerState

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class WorkerGroup:
    """Workers of one program, and the calls that wait for one.

    Attributes
    ----------
    program : Program
        The program that they load.
    usual : int
        Most workers; one more is started for an interactive call where background calls occupy some.
    waiting : Scheduler
        Waiting calls, from which free workers pull.
    workers : set
        All of them, from the start to the end of the process.
    idle : dict
        Idle workers, and since when; the one that became idle last is called next.
    loading : dict
        Workers that are loading the program, and the future of that load.
    background : set
        Workers that run background calls.
    not_before : float
        Earliest time of the next start, after one that failed (seconds of the event loop's clock).
    retired : bool
        Whether the workers are to end once no call waits.
    empty : Event
        Set when there are no workers and no calls left.
    """

    program: Program
    usual: int
    waiting: Scheduler[WorkerCall]
    workers: set[WorkerProcess] = field(default_factory=set)
    idle: dict[WorkerProcess, float] = field(default_factory=dict)
    loading: dict[WorkerProcess, asyncio.Future[Reply]] = field(default_factory=dict)
    background: set[WorkerProcess] = field(default_factory=set)
    not_before: float = 0.0
    retired: bool = False
    empty: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_serving(self) -> bool:
        """True if a loaded worker takes calls."""
        return any(worker.state.is_loaded for worker in self.workers)

    @property
    def most(self) -> int:
        """Number of workers that there may be at this moment."""
        return self.usual + (1 if self.waiting.has_interactive and self.background else 0)

    def pull(self, worker: WorkerProcess, settle: Callable[[Run], None]) -> bool:
        """Start the next call or batch in an idle worker; return whether there was one for it.

        `settle` is called when a batch is over.
        """
        if not self.waiting:
            return False
        sharers = self.usual - len(self.background)  # background calls never have more workers than usual
        calls = self.waiting.take(asyncio.get_running_loop().time(), sharers)
        if not calls:
            return False
        Run(worker, calls, settle)
        if calls[0].priority is Priority.BACKGROUND:
            self.background.add(worker)
        return True

    def use_idle(self, settle: Callable[[Run], None]) -> None:
        """Start waiting calls in idle workers; see `pull`."""
        while self.idle and self.waiting:
            worker, since = self.idle.popitem()
            if worker.state is WorkerState.IDLE and not self.pull(worker, settle):
                self.idle[worker] = since
                break

    def fail_waiting(self, error: NeurdicomError) -> None:
        """Fail the waiting calls."""
        for call in self.waiting.clear():
            call.fail(error)

    def discard_idle(self, since: float = math.inf) -> None:
        """Unload workers that have been idle since `since` or longer (seconds of the event loop's clock)."""
        for worker in [each for each, rested in self.idle.items() if rested <= since]:
            del self.idle[worker]
            discard(worker)


def discard(worker: WorkerProcess) -> None:
    """Unload an idle worker, which then ends."""
    if worker.state is not WorkerState.IDLE:
        return

    def report(outcome: asyncio.Future[Reply]) -> None:
        if not outcome.cancelled() and (error := outcome.exception()) is not None:
            _log.warning("%s could not be unloaded cleanly: %s", worker.program.title, error)

    worker.unload(GRACE).add_done_callback(report)


def check_idle(worker: WorkerProcess) -> None:
    """Raise `PluginCrashed` where a worker has answered and ended at once."""
    if worker.state is not WorkerState.IDLE:
        raise PluginCrashed(f"{worker.program.title} ended its process after it had answered")
