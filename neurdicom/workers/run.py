"""Calls on their way: those that wait, and what a worker is at."""

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

#: Seconds, at least, that a worker goes on with calls that nobody waits for any more.
GRACE: Final = 0.25


@dataclass(slots=True, eq=False)
class WorkerCall:
    """A call that waits for a worker, or that a worker is at.

    Attributes
    ----------
    program : Program
        What is called.
    data : bytes
        The message to the worker; of a call that may go in a batch, its arguments in JSON.
    timeout : float
        Seconds that a worker may take.
    reply : Future
        Gets the answer; cancelled when the caller has left.
    priority : Priority
        Interactive calls get a worker first.
    fairness : str
        Waiting calls of different keys take turns.
    is_batchable : bool
        It may go to a worker together with others.
    descriptors : sequence of int
        Passed on to the worker.
    is_abandoned : bool
        Nobody waits for it.
    run : Run or None
        What the worker does that is at it.
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
        """Give the caller an error, if one still waits."""
        if not self.reply.done():
            self.reply.set_exception(error)


def batch_data(arguments: dict[str, Any]) -> bytes:
    """The arguments of a call that may go in a batch. Raises `Invalid` for what JSON can't carry."""
    try:
        return orjson.dumps(arguments, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise Invalid(f"the arguments can't be handed to a worker: {error}") from error


class Run:
    """One call, or a batch of them, in a worker.

    Parameters
    ----------
    worker : WorkerProcess
        One that is idle; it begins at once.
    calls : sequence of WorkerCall
        Of the worker's program; several, only if all may go in a batch.
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
        """End the worker in a while, if nobody waits for any of the calls."""
        if all(call.is_abandoned for call in self.calls):
            seconds = max(GRACE, self.worker.load_seconds)
            asyncio.get_running_loop().call_later(seconds, self._stop)

    def _stop(self) -> None:
        if not self.worker.is_at(self.reply):
            return
        title = self.worker.program.title
        _log.info("a worker of %s was ended: nobody waits for what it computes", title)
        self._is_stopped = True
        if not self.calls[0].is_batchable:
            self.reply.cancel()
        self.worker.kill(Unavailable(f"nobody waits for this call of {title}"))

    def settle(self) -> tuple[list[WorkerCall], float]:
        """Give the callers of a batch that is over what became of their calls.

        Returns
        -------
        left : list of WorkerCall
            Those that were not done and that somebody waits for.
        seconds : float
            How long one call took.
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
