"""The workers of one program."""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from neurdicom.errors import NeurdicomError
from neurdicom.workers.call import Priority
from neurdicom.workers.process import GRACE, WorkerProcess
from neurdicom.workers.program import Program, Reply
from neurdicom.workers.run import Run, WorkerCall
from neurdicom.workers.scheduler import Scheduler
from neurdicom.workers.worker_state import WorkerState

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class WorkerGroup:
    """The workers of one program, and the calls that wait for one.

    Attributes
    ----------
    program : Program
        What they load.
    usual : int
        Most workers; one more is started for an interactive call where the background has some.
    waiting : Scheduler
        Where workers that are free find calls.
    workers : set
        All of them, from the start to the end of the process.
    idle : dict
        Workers at rest, and since when; the last one that came to rest is the next to be called.
    loading : dict
        Workers that have not loaded the program yet, and what tells how that went.
    background : set
        Workers that are at calls of the background.
    not_before : float
        When the next worker may be started, after a start that failed.
    retired : bool
        The workers are to end once no call waits.
    empty : Event
        Set when nothing is left.
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
        """Whether a worker is up that takes calls."""
        return any(worker.state.is_loaded for worker in self.workers)

    @property
    def most(self) -> int:
        """How many workers there may be at this moment."""
        return self.usual + (1 if self.waiting.has_interactive and self.background else 0)

    def pull(self, worker: WorkerProcess, settle: Callable[[Run], None]) -> bool:
        """Have an idle worker do the next call or batch; whether there is one for it.

        `settle` is called when a batch is over.
        """
        if not self.waiting:
            return False
        sharers = self.usual - len(self.background)  # the background never has more workers than are usual
        calls = self.waiting.take(asyncio.get_running_loop().time(), sharers)
        if not calls:
            return False
        Run(worker, calls, settle)
        if calls[0].priority is Priority.BACKGROUND:
            self.background.add(worker)
        return True

    def use_idle(self, settle: Callable[[Run], None]) -> None:
        """Have idle workers do what waits; see `pull`."""
        while self.idle and self.waiting:
            worker, since = self.idle.popitem()
            if worker.state is WorkerState.IDLE and not self.pull(worker, settle):
                self.idle[worker] = since
                break

    def fail_waiting(self, error: NeurdicomError) -> None:
        """Fail the calls that wait."""
        for call in self.waiting.clear():
            call.fail(error)

    def discard_idle(self, since: float = math.inf) -> None:
        """Have workers end that have rested since a time or longer."""
        for worker in [each for each, rested in self.idle.items() if rested <= since]:
            del self.idle[worker]
            discard(worker)


def discard(worker: WorkerProcess) -> None:
    """Have an idle worker unload and end."""
    if worker.state is not WorkerState.IDLE:
        return

    def report(outcome: asyncio.Future[Reply]) -> None:
        if not outcome.cancelled() and (error := outcome.exception()) is not None:
            _log.warning("%s did not unload well: %s", worker.program.title, error)

    worker.unload(GRACE).add_done_callback(report)
