"""The server's side of one worker process."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, Final

from neurdicom import errors
from neurdicom.errors import NeurdicomError, PluginCrashed, PluginFailed, PluginMemory, PluginTimeout, Unavailable
from neurdicom.workers import batch, limits, protocol
from neurdicom.workers.forkserver_client import End, Nursery
from neurdicom.workers.output import Output
from neurdicom.workers.program import Program, Reply

#: Seconds that a program gets to unload.
GRACE: Final = 5.0

#: Seconds between the end of a worker's connection and its being killed.
_LINGER: Final = 0.5

#: Seconds for a process to come into being; a program's own time runs from then on.
_BIRTH: Final = 60.0

#: Errors that a worker may report, by code.
_REPORTABLE: Final[dict[str, type[NeurdicomError]]] = {
    kind.code: kind
    for kind in (
        PluginFailed,
        PluginMemory,
        errors.NotAvailable,
        errors.NotInstalled,
        errors.NotDicom,
        errors.Malformed,
        errors.Invalid,
        errors.NotFound,
        errors.TooLarge,
    )
}


def request(verb: str, arguments: dict[str, Any]) -> bytes:
    """The message that asks a worker for something. Raises `Invalid` for arguments that JSON can't carry."""
    return protocol.message({"verb": verb, "arguments": arguments})


class WorkerProcess:
    """One worker process with one program in it; answers one call at a time.

    Parameters
    ----------
    nursery : Nursery
        Starts the process.
    program : Program
        What it loads.
    on_free : callable
        Called when it has answered and can take the next call.
    on_end : callable
        Called once, when its process is gone.

    Attributes
    ----------
    ended : Future
        Done when the process is gone.
    last_used : float
        The loop's time of its last answer.
    pid : int or None
        Its process id, once it has one.
    """

    def __init__(
        self,
        nursery: Nursery,
        program: Program,
        on_free: Callable[["WorkerProcess"], None],
        on_end: Callable[["WorkerProcess"], None],
    ) -> None:
        self.program = program
        self._nursery = nursery
        self._on_free = on_free
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.last_used = self._loop.time()
        self._reply: asyncio.Future[Reply] | None = None
        self._batch: int | None = None
        self._progress = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = b""
        self._passing: list[int] = []
        self._verdict: NeurdicomError | None = None
        self._stage = ""
        self._dying = False
        self.pid: int | None = None
        child = nursery.spawn(self._began, self._gone)
        self._number = child.number
        self._socket = child.connection
        self._receiver = protocol.Receiver(self._socket, max(1, program.memory) << 20)
        self._output = Output(child.output, program.title)
        self._loop.add_reader(self._socket, self._readable)

    @property
    def is_usable(self) -> bool:
        """Whether it is alive and takes calls."""
        return not self._dying

    def load(self) -> asyncio.Future[Reply]:
        """Have it load its program; the first thing to ask for."""
        self._stage = " while it was loaded"
        return self._request(request("load", self.program.as_dict()), self.program.timeout, _BIRTH)

    def call(self, data: bytes, timeout: float, descriptors: Sequence[int] = ()) -> asyncio.Future[Reply]:
        """Have it answer a `request`. Cancelling the future leaves the worker to finish what it does.

        Descriptors are passed on with it; they stay the caller's, who may close them at any time.
        """
        self._stage = ""
        return self._request(data, timeout, descriptors=descriptors)

    def call_many(self, number: int, data: bytes, timeout: float) -> asyncio.Future[Reply]:
        """Have it answer a batch of this number: a reply whose `meta` has the `answers`, or `batch.Broken`."""
        self._stage = ""
        reply = self._request(data, timeout, timeout / 8 - timeout)  # the first look; see `_time_left`
        self._batch, self._progress, self._since = number, 0, self._loop.time()
        return reply

    def unload(self, timeout: float) -> asyncio.Future[Reply]:
        """Have it unload its program and end; killed when that takes longer than `timeout` seconds."""
        self._dying = True
        self._stage = " while it was unloaded"
        return self._request(request("unload", {}), timeout)

    def kill(self, reason: NeurdicomError | None = None) -> None:
        """End it now; a call in it fails, for the reason given."""
        self._dying = True
        self._verdict = self._verdict or reason
        self._nursery.kill(self._number)

    def _request(
        self, data: bytes, timeout: float, more: float = 0.0, descriptors: Sequence[int] = ()
    ) -> asyncio.Future[Reply]:
        assert self._reply is None, "one call at a time"
        reply: asyncio.Future[Reply] = self._loop.create_future()
        self._reply = reply
        self._timer = self._loop.call_later(timeout + more, self._expired, timeout)
        try:
            sent = self._socket.sendmsg([data], protocol.rights_of(descriptors))
        except BlockingIOError:
            sent = 0
            self._passing = [os.dup(descriptor) for descriptor in descriptors]
        except OSError:  # it is gone, which its end will tell
            return reply
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.add_writer(self._socket, self._writable)
        return reply

    def _began(self, pid: int) -> None:
        """There is a process: the time of its program's load runs from now."""
        self.pid = pid
        if self._timer is not None and self._reply is not None:
            self._timer.cancel()
            self._timer = self._loop.call_later(self.program.timeout, self._expired, self.program.timeout)

    def _writable(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.sendmsg([self._unsent], protocol.rights_of(self._passing)) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = b""
        self._drop_passing()
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _drop_passing(self) -> None:
        """Descriptors go with the first byte of a message."""
        while self._passing:
            os.close(self._passing.pop())

    def _readable(self) -> None:
        try:
            message = self._receiver.poll()
        except protocol.ProtocolError as error:
            self._condemn(PluginCrashed(f"{self.program.title} broke its connection: {error}"))
            return
        if message is not None:
            self._answered(*message)
        if self._receiver.ended:
            self._loop.remove_reader(self._socket)
            self._dying = True
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(_LINGER, self._abandoned)

    def _answered(self, control: dict[str, Any], body: bytes | memoryview) -> None:
        reply = self._reply
        if reply is None or self._unsent:
            self._condemn(PluginCrashed(f"{self.program.title} broke its connection: it answered before it was asked"))
            return
        self._reply = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.last_used = self._loop.time()
        error = control.get("error")
        spent = control.get("spent") is True
        meta = control.get("meta", {})
        patience = _LINGER if self._stage else GRACE if spent else 0.0  # spent, it unloads before it ends
        if error is not None:
            failure = error_of(error, self.program)
            if isinstance(failure, PluginMemory) and not self._stage:
                patience = 0.0
            self._dying = self._dying or self._stage != ""
            if not reply.done():
                reply.set_exception(failure)
        elif not reply.done():
            fields = meta if isinstance(meta, dict) else {}
            if self._batch is not None:
                size = fields.get("size")
                read = self._receiver.arena(size if isinstance(size, int) else 0)
                fields = fields | {"answers": batch.answers_in(read, self._batch)}
            reply.set_result(Reply(fields, body))
        self._batch = None
        self._dying = self._dying or spent
        if not self._dying:
            self._on_free(self)
        elif not self._receiver.ended:
            # It ends by itself after an unload; for anything else, and should it not, it is ended.
            self._timer = self._loop.call_later(patience, self._abandoned)

    def _expired(self, timeout: float) -> None:
        self._timer = None
        if self._batch is not None and (left := self._time_left(self._batch, timeout)) > 0:
            self._timer = self._loop.call_later(left, self._expired, timeout)
            return
        error = PluginTimeout(f"{self.program.title} was still running after {timeout:g} s{self._stage}, and was ended")
        self._condemn(error)

    def _time_left(self, number: int, timeout: float) -> float:
        """Seconds to the next look at a batch, each call of which has the whole time."""
        now, done = self._loop.time(), batch.progress(self._receiver.arena(batch.HEAD_SIZE), number)
        if done > self._progress:
            self._progress, self._since = done, now
        return min(self._since + timeout - now, timeout / 8)

    def _condemn(self, error: NeurdicomError) -> None:
        """Fail the call, and end the process."""
        self._loop.remove_reader(self._socket)
        self.kill(error)
        self._fail(error)

    def _fail(self, error: NeurdicomError) -> None:
        """Fail the call that it is at."""
        if self._reply is not None and not self._reply.done():
            if self._batch is None:
                self._reply.set_exception(error)
            else:
                self._reply.set_exception(batch.Broken(error, batch.answers_in(self._receiver.arena(), self._batch)))

    def _abandoned(self) -> None:
        """Its connection has ended and its process has not."""
        self._timer = None
        self.kill(PluginCrashed(f"{self.program.title} closed its connection{self._stage}"))

    def _gone(self, end: End) -> None:
        """Its process has ended, and everything that it had started."""
        if self._reply is not None and self._verdict is None and not self._receiver.ended:
            with contextlib.suppress(protocol.ProtocolError):
                message = self._receiver.poll()
                if message is not None:
                    self._dying = True
                    self._answered(*message)
        self._dying = True
        if self._timer is not None:
            self._timer.cancel()
        self._fail(self._verdict or verdict_of(end, self.program, self._stage))
        self._reply = None
        self._receiver.close()
        self._drop_passing()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._output.close()
        self.ended.set_result(None)
        self._on_end(self)


def verdict_of(end: End, program: Program, stage: str = "") -> NeurdicomError:
    """The error behind the end of a worker's process."""
    if end.refused is not None:
        return Unavailable(f"no worker process could be started for {program.title}: {end.refused}")
    code = os.waitstatus_to_exitcode(end.status)
    if code == limits.MEMORY_STATUS or (code < 0 and end.grown >= program.memory << 20):
        return PluginMemory(f"{program.title} went past its memory limit of {program.memory} MiB{stage}, and was ended")
    if code == limits.CONNECTION_STATUS:
        return PluginCrashed(f"{program.title} closed its connection{stage}")
    if code >= 0:
        return PluginCrashed(f"{program.title} ended its process with status {code}{stage}")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    crashed = PluginCrashed(f"{program.title} crashed{stage}: {name} ({signal.strsignal(-code) or 'real-time signal'})")
    crashed.from_outside = -code == signal.SIGKILL
    return crashed


def error_of(error: object, program: Program) -> NeurdicomError:
    """The error that a worker reports; a plugin can't pass for anything that only the server knows."""
    fields = error if isinstance(error, dict) else {}
    kind = _REPORTABLE.get(str(fields.get("code")), PluginFailed)
    field = fields.get("field")
    message = str(fields.get("message") or f"{program.title} failed without a message")
    return kind(message[:4000], field=field if isinstance(field, str) else None)
