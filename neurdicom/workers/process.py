"""A worker process, as the server drives it."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from neurdicom.errors import NeurdicomError, PluginCrashed, PluginMemory, PluginTimeout
from neurdicom.workers import batch, protocol
from neurdicom.workers.connection import Connection
from neurdicom.workers.faults import error_of, verdict_of
from neurdicom.workers.forkserver_client import End, ForkServerClient
from neurdicom.workers.program import Program, Reply
from neurdicom.workers.worker_state import WorkerEvent, WorkerState, next_state

#: Seconds that a program has to unload.
GRACE: Final = 5.0

#: Seconds from the end of a worker's connection until it is killed.
_LINGER: Final = 0.5

#: Seconds that the fork may take; the program's own timeout runs from then on.
_BIRTH: Final = 60.0

_LOAD: Final = " while it was loaded"
_UNLOAD: Final = " while it was unloaded"


def request(verb: str, arguments: dict[str, Any]) -> bytes:
    """Encode the message that asks a worker for a verb. Raises `Invalid` for arguments that JSON can't carry."""
    return protocol.message({"verb": verb, "arguments": arguments})


@dataclass(slots=True)
class _Batch:
    """Progress of a worker within a batch.

    Attributes
    ----------
    number : int
        Tells the batch from the one before it in the shared memory.
    done : int
        Calls that were done at the last look.
    since : float
        Latest time at which the call under way can have begun, in seconds of the event loop's clock.
    """

    number: int
    done: int
    since: float


@dataclass(slots=True)
class _Request:
    """Request that a worker has not answered yet.

    Attributes
    ----------
    reply : Future
        Receives the answer.
    stage : str
        Part of the program's life for errors, such as " while it was loaded"; empty for a call.
    since : float
        When it was made; for a load, when there was a process to do it.
    batch : _Batch or None
        Progress, where the request is a batch.
    then : callable or None
        Called once there is a reply, before the worker takes another call.
    verdict : NeurdicomError or None
        Why the worker was killed during it.
    """

    reply: asyncio.Future[Reply]
    stage: str
    since: float
    batch: _Batch | None = None
    then: Callable[[], None] | None = None
    verdict: NeurdicomError | None = None

    def settle(self, outcome: Reply | Exception) -> None:
        """Set the reply or the error, unless it is set already."""
        if self.reply.done():
            return
        if isinstance(outcome, Reply):
            self.reply.set_result(outcome)
        else:
            self.reply.set_exception(outcome)
        if self.then is not None:
            self.then()


class WorkerProcess:
    """Worker process that holds one program, and answers one call or one batch at a time.

    Parameters
    ----------
    fork_server : ForkServerClient
        Starts the process.
    program : Program
        Program that it loads.
    on_free : callable
        Called when it has answered and can take the next call.
    on_end : callable
        Called once, when its process is gone.

    Attributes
    ----------
    state : WorkerState
        State of its life.
    load_seconds : float
        Seconds that loading the program took.
    ended : Future
        Done when the process is gone.
    """

    def __init__(
        self,
        fork_server: ForkServerClient,
        program: Program,
        on_free: Callable[["WorkerProcess"], None],
        on_end: Callable[["WorkerProcess"], None],
    ) -> None:
        self.program = program
        self.state = WorkerState.STARTING
        self.load_seconds = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_free = on_free
        self._on_end = on_end
        self._request: _Request | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._child = fork_server.spawn(self._born, self._gone)
        self._connection = Connection(self._child, program, self._readable)

    @property
    def pid(self) -> int | None:
        """Process id, once there is a process."""
        return self._child.pid

    def is_at(self, reply: asyncio.Future[Reply]) -> bool:
        """Tell whether the worker has yet to answer the request that this future belongs to."""
        return self._request is not None and self._request.reply is reply

    def load(self) -> asyncio.Future[Reply]:
        """Ask the worker to load its program; the first request."""
        timeout = self.program.timeout
        return self._ask(request("load", self.program.to_wire()), timeout, first_look=timeout + _BIRTH, stage=_LOAD)

    def call(
        self,
        data: bytes,
        timeout: float,
        descriptors: Sequence[int] = (),
        reply: asyncio.Future[Reply] | None = None,
    ) -> asyncio.Future[Reply]:
        """Ask the worker for an answer to an encoded `request`.

        Parameters
        ----------
        data : bytes
            As `request` encodes it.
        timeout : float
            Seconds after which the worker is killed.
        descriptors : sequence of int
            Passed on with it; they stay the caller's, who may close them at any time.
        reply : Future, optional
            Receives the answer; by default a new one.

        Returns
        -------
        Future
            The reply. Cancelling it does not stop the worker.
        """
        self._move(WorkerEvent.CALLED)
        return self._ask(data, timeout, descriptors=descriptors, reply=reply)

    def call_many(self, calls: Sequence[bytes], timeout: float, then: Callable[[], None]) -> asyncio.Future[Reply]:
        """Ask the worker for answers to a batch of `process` calls.

        Parameters
        ----------
        calls : sequence of bytes
            The arguments of each, in JSON.
        timeout : float
            Seconds that each may take.
        then : callable
            Called once there is a reply, before the worker takes another call.

        Returns
        -------
        Future
            A reply whose `meta` has the `answers`; fails with `batch.Broken` where the worker is lost.
        """
        self._move(WorkerEvent.CALLED)
        now = asyncio.get_running_loop().time()
        number = int(now * 1e9)
        data = protocol.message({"verb": "process", "batch": number, "calls": list(map(orjson.Fragment, calls))})
        return self._ask(data, timeout, first_look=timeout / 8, batch=_Batch(number, 0, now), then=then)

    def unload(self, timeout: float) -> asyncio.Future[Reply]:
        """Ask the worker to unload its program and end; it is killed after `timeout` seconds."""
        self._move(WorkerEvent.UNLOADED)
        return self._ask(request("unload", {}), timeout, stage=_UNLOAD)

    def kill(self, reason: NeurdicomError | None = None) -> None:
        """Kill the process; a call under way fails, for the reason given."""
        self._move(WorkerEvent.LOST)
        if self._request is not None:
            self._request.verdict = self._request.verdict or reason
        self._child.kill()

    def _move(self, event: WorkerEvent) -> None:
        self.state = next_state(self.state, event)

    def _ask(
        self,
        data: bytes,
        timeout: float,
        *,
        first_look: float | None = None,
        stage: str = "",
        descriptors: Sequence[int] = (),
        reply: asyncio.Future[Reply] | None = None,
        batch: _Batch | None = None,
        then: Callable[[], None] | None = None,
    ) -> asyncio.Future[Reply]:
        assert self._request is None, "one call at a time"
        loop = asyncio.get_running_loop()
        if reply is None:
            reply = loop.create_future()
        self._request = _Request(reply, stage, loop.time(), batch, then)
        self._set_timer(timeout if first_look is None else first_look, self._expired, timeout)
        self._connection.send(data, descriptors)
        return reply

    def _set_timer(self, seconds: float, then: Callable[..., None], *arguments: float) -> None:
        """Schedule a call in place of the one that was scheduled."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then, *arguments)

    def _born(self) -> None:
        """Start the timeout of the load, now that there is a process."""
        if self.state is WorkerState.STARTING and self._request is not None:
            self._request.since = asyncio.get_running_loop().time()
            self._set_timer(self.program.timeout, self._expired, self.program.timeout)
        self._move(WorkerEvent.BORN)

    def _readable(self) -> None:
        try:
            message = self._connection.receive()
        except protocol.ProtocolError as error:
            self._condemn(PluginCrashed(f"{self.program.title} broke its connection: {error}"))
            return
        if self._connection.has_ended:
            self._connection.stop_reading()
            self._move(WorkerEvent.LOST)
        if message is not None:
            self._answered(*message)
        if self._connection.has_ended:
            self._set_timer(_LINGER, self._deserted)

    def _answered(self, control: dict[str, Any], body: bytes | memoryview) -> None:
        request = self._request
        if request is None or self._connection.is_sending:
            self._condemn(PluginCrashed(f"{self.program.title} broke its connection: it answered before it was asked"))
            return
        self._request = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        error, meta, spent = control.get("error"), control.get("meta", {}), control.get("spent") is True
        failure = None if error is None else error_of(error, self.program)
        is_last = spent or (failure is not None and request.stage != "")
        if request.stage == _LOAD:
            self.load_seconds = asyncio.get_running_loop().time() - request.since
        self._move(WorkerEvent.LAST_ANSWERED if is_last else WorkerEvent.ANSWERED)
        if failure is not None:
            request.settle(failure)
        else:
            request.settle(Reply(self._with_answers(meta if isinstance(meta, dict) else {}, request.batch), body))
        if self.state is WorkerState.IDLE:
            self._on_free(self)
        elif not self._connection.has_ended:
            # It ends by itself after an unload and when it is spent; otherwise, or when it does not, it is killed.
            out_of_memory = isinstance(failure, PluginMemory) and not request.stage
            patience = _LINGER if request.stage else GRACE if spent and not out_of_memory else 0.0
            self._set_timer(patience, self._deserted)

    def _with_answers(self, meta: dict[str, Any], of: _Batch | None) -> dict[str, Any]:
        """Add the answers of a batch, which lie in the shared memory until the next request."""
        if of is None:
            return meta
        size = meta.get("size")
        read = self._connection.shared(size if isinstance(size, int) else 0)
        return meta | {"answers": batch.answers_in(read, of.number)}

    def _expired(self, timeout: float) -> None:
        request = self._request
        stage = "" if request is None else request.stage
        if request is not None and request.batch is not None and (left := self._time_left(request.batch, timeout)) > 0:
            self._set_timer(left, self._expired, timeout)
            return
        self._condemn(
            PluginTimeout(f"{self.program.title} was still running after {timeout:g} s{stage}, and was ended")
        )

    def _time_left(self, of: _Batch, timeout: float) -> float:
        """Compute the seconds to the next look at a batch, each call of which has the whole timeout."""
        now = asyncio.get_running_loop().time()
        done = batch.progress(self._connection.shared(batch.HEAD_SIZE), of.number)
        if done > of.done:
            of.done, of.since = done, now
        return min(of.since + timeout - now, timeout / 8)

    def _condemn(self, error: NeurdicomError) -> None:
        """Fail the call under way and kill the process."""
        self._connection.stop_reading()
        self.kill(error)
        self._fail(error)

    def _fail(self, error: NeurdicomError) -> None:
        """Fail the call under way."""
        request = self._request
        if request is None:
            return
        if request.batch is None:
            request.settle(error)
        else:
            answers = batch.answers_in(self._connection.shared(), request.batch.number)
            request.settle(batch.Broken(error, answers))

    def _deserted(self) -> None:
        """Kill a process that has closed its connection."""
        self._timer = None
        stage = "" if self._request is None else self._request.stage
        self.kill(PluginCrashed(f"{self.program.title} closed its connection{stage}"))

    def _gone(self, end: End) -> None:
        """Take a last reply after the end of the process, or fail the call under way; then release everything."""
        request = self._request
        if request is not None and request.verdict is None and not self._connection.has_ended:
            with contextlib.suppress(protocol.ProtocolError):
                message = self._connection.receive()
                if message is not None:
                    self._move(WorkerEvent.LOST)
                    self._answered(*message)
        self._move(WorkerEvent.EXITED)
        if self._timer is not None:
            self._timer.cancel()
        if (request := self._request) is not None:
            self._fail(request.verdict or verdict_of(end, self.program, request.stage))
        self._request = None
        self._connection.close()
        self.ended.set_result(None)
        self._on_end(self)
