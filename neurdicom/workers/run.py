"""Calls to a worker: waiting ones, and the run of one call or one batch in a worker."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from neurdicom.errors import Invalid, NeurdicomError, PluginCrashed, Unavailable
from neurdicom.workers.batch import Broken
from neurdicom.workers.call import Priority
from neurdicom.workers.outcomes import Outcomes, outcomes_of, outcomes_of_broken
from neurdicom.workers.process import WorkerProcess
from neurdicom.workers.program import Program, Reply
from neurdicom.workers.scheduler import AIM

_log = logging.getLogger(__name__)

#: Least seconds that a worker goes on with calls that nobody waits for any more.
GRACE: Final = 0.25


@dataclass(slots=True, eq=False)
class WorkerCall:
    """Call that waits for a worker, or that a worker runs.

    Attributes
    ----------
    program : Program
        The program called.
    data : bytes
        The message to the worker; of a batchable call, only its arguments in JSON.
    timeout : float
        Seconds that a worker may take.
    reply : Future
        Receives the answer; cancelled when the caller has left.
    priority : Priority
        Interactive calls get a worker first.
    fairness : str
        Waiting calls of different keys take turns.
    is_batchable : bool
        Whether it may go to a worker together with others.
    descriptors : sequence of int
        Passed on to the worker.
    is_abandoned : bool
        Whether nobody waits for it any more.
    run : Run or None
        Its run, while a worker is at it.
    """

    program: Program
    data: bytes
    timeout: float
    reply: asyncio.Future[Reply]
    priority: Priority = Priority.INTERACTIVE
    fairness: str = ""
    is_batchable: bool = False
    descriptors: Sequence[int] = ()
    is_abandoned: bool = False
    run: "Run | None" = field(default=None, repr=False)

    def fail(self, error: Exception) -> None:
        """Deliver an error to the caller, if one still waits."""
        if not self.reply.done():
            self.reply.set_exception(error)


def batch_data(arguments: dict[str, Any]) -> bytes:
    """Encode the arguments of a batchable call. Raises `Invalid` for values that JSON can't carry."""
    try:
        return orjson.dumps(arguments, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise Invalid(f"the arguments can't be handed to a worker: {error}") from error


class Run:
    """Run of one call, or of a batch of calls, in a worker.

    Parameters
    ----------
    worker : WorkerProcess
        An idle one; it begins at once.
    calls : sequence of WorkerCall
        Calls of the worker's program; several only if all are batchable.
    settle : callable
        Called with the run of a batch when it is over, before the worker takes another call.
    """

    __slots__ = ("_is_stopped", "calls", "reply", "worker")

    def __init__(self, worker: WorkerProcess, calls: Sequence[WorkerCall], settle: Callable[["Run"], None]) -> None:
        self.worker = worker
        self.calls = calls
        self._is_stopped = False
        first = calls[0]
        if first.is_batchable:
            self.reply = worker.call_many([call.data for call in calls], first.timeout, lambda: settle(self))
        else:
            self.reply = worker.call(first.data, first.timeout, first.descriptors, first.reply)
        for call in calls:
            call.run = self

    def abandon(self) -> None:
        """Kill the worker after the grace period if all of its calls are abandoned."""
        if all(call.is_abandoned for call in self.calls):
            seconds = max(GRACE, self.worker.load_seconds)
            asyncio.get_running_loop().call_later(seconds, self._stop)

    def _stop(self) -> None:
        if not self.worker.is_at(self.reply):
            return
        title = self.worker.program.title
        _log.info("a worker of %s was killed: nobody waits for its result any more", title)
        self._is_stopped = True
        if not self.calls[0].is_batchable:
            self.reply.cancel()
        self.worker.kill(Unavailable(f"a call of {title} was stopped: nobody waits for it any more"))

    def settle(self) -> tuple[list[WorkerCall], float]:
        """Deliver the outcomes of a batch that is over to its callers.

        Returns
        -------
        left : list of WorkerCall
            Calls that were not done and that somebody waits for.
        seconds : float
            Seconds that one call took.
        """
        try:
            outcomes = self._outcomes()
        except NeurdicomError as error:
            outcomes = Outcomes([error] * len(self.calls), AIM * len(self.calls))
        done = len(outcomes.found)
        for call, outcome in zip(self.calls, outcomes.found, strict=False):
            if isinstance(outcome, NeurdicomError):
                if self._is_stopped:
                    call.reply.cancel()
                call.fail(outcome)
            elif not call.reply.done():
                call.reply.set_result(outcome)
        left = []
        for call in self.calls[done:]:
            call.run = None
            if call.is_abandoned:
                call.reply.cancel()
            else:
                left.append(call)
        return left, outcomes.seconds / max(1, done)

    def _outcomes(self) -> Outcomes:
        program, count = self.worker.program, len(self.calls)
        try:
            return outcomes_of(self.reply.result(), count, program)
        except Broken as broken:
            return outcomes_of_broken(broken, count, program, AIM)
        except PluginCrashed as error:  # the rest can be done by another worker
            return Outcomes([error], 0.0)
