"""The server's side of one DIMSE process."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from neurdicom.coordination import BackgroundTasks
from neurdicom.dimse.ipc.contract import ProcessSettings
from neurdicom.dimse.ipc.frames import error_to_wire
from neurdicom.dimse.ipc.remote import MessageStream, RemoteOperations
from neurdicom.errors import INTERNAL_ERROR, NeurdicomError, Unavailable

log = logging.getLogger(__name__)

#: Seconds that a process gets to end in addition to those for its associations.
LINGER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a verb by a DIMSE process: the calling process, and the body of the call."""

    process: "DimseProcess"
    body: bytes


#: A verb that DIMSE processes may call; takes the `Call`, and the arguments by name. A result with a body is a tuple of
#: both.
Verb = Callable[..., Awaitable[Any]]


@dataclass(slots=True)
class ProcessUsage:
    """Open connections of a DIMSE process, and the time since which it has been idle.

    Attributes
    ----------
    connections : set of int
        Numbers of its open connections.
    idle_since : float
        When the last connection or operation ended, in the event loop's time.
    was_used : bool
        It has had a connection or an operation, and so has loaded the protocol.
    """

    connections: set[int]
    idle_since: float
    was_used: bool = False


class DimseProcess:
    """Handle of a DIMSE process, which serves accepted connections, calls the server's verbs and runs operations.

    Parameters
    ----------
    verbs : Mapping[str, Verb]
        The verbs that it may call, by name.
    on_end : callable
        Called once, when it has ended.

    Attributes
    ----------
    usage : ProcessUsage
        Its open connections and idle time.
    ready : bool
        True while it takes connections and operations.
    ended : asyncio.Event
        Set when it has ended.
    """

    def __init__(self, verbs: Mapping[str, Verb], on_end: Callable[["DimseProcess"], None]) -> None:
        self.usage = ProcessUsage(set(), asyncio.get_running_loop().time())
        self.ready = False
        self.ended = asyncio.Event()
        self._verbs = verbs
        self._on_end = on_end
        self._operations = RemoteOperations(self._send)
        self._tasks = BackgroundTasks("a DIMSE process is not served")

    @property
    def pid(self) -> int:
        """Id of the operating system's process."""
        return self._process.pid

    @property
    def load(self) -> int:
        """Number of its connections and operations."""
        return len(self.usage.connections) + len(self._operations)

    async def start(self, settings: ProcessSettings) -> None:
        """Start the process. Raises `Unavailable`."""
        self._handover, their_handover = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection, their_connection = socket.socketpair()
        self._handover.setblocking(False)
        with their_handover, their_connection:
            descriptors = (their_handover.fileno(), their_connection.fileno())
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "neurdicom.dimse", *map(str, descriptors), str(os.getpid())),
                    pass_fds=descriptors,
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except OSError as error:
                self._handover.close()
                connection.close()
                raise Unavailable(f"no DIMSE process can be started: {error.strerror}") from error
        self._messages = MessageStream(*await asyncio.open_connection(sock=connection, limit=1 << 20))
        self.ready = True
        self._send({"ask": 0, "verb": "begin", "arguments": settings.to_wire()})
        self._tasks.start(self._serve())

    def hand_over(self, sock: socket.socket, number: int, remote: Any) -> bool:
        """Hand an accepted connection over to the process.

        Parameters
        ----------
        sock : socket
            The connection; the caller still has to close it.
        number : int
            Number of the connection, unique in the pool.
        remote : Any
            The peer's address, as sockets give it.

        Returns
        -------
        bool
            False if the process does not take it.
        """
        text = orjson.dumps({"number": number, "remote": remote, "local": sock.getsockname()})
        try:
            socket.send_fds(self._handover, [text], [sock.fileno()])
        except OSError as error:  # its queue is full, or it has just ended
            log.warning("DIMSE process %d could not take a connection: %s", self.pid, error)
            return False
        self.usage.connections.add(number)
        self.usage.was_used = True
        return True

    def remove_connection(self, number: int) -> None:
        """Remove a connection that has ended."""
        self.usage.connections.discard(number)
        self.usage.idle_since = asyncio.get_running_loop().time()

    async def operate(self, verb: str, body: bytes = b"", **arguments: Any) -> AsyncIterator[Any]:
        """Run an operation in the process. Closing the iterator cancels it.

        Parameters
        ----------
        verb : str
            One of `neurdicom.dimse.__main__.VERBS`.
        body : bytes
            Body of the request.
        **arguments
            JSON-able arguments of the operation.

        Yields
        ------
        tuple
            `("event", data)` for each event, and at last `("result", result)`.

        Raises
        ------
        NeurdicomError
            The error of the operation; `Unavailable` if the process ends.
        """
        self.usage.was_used = True
        try:
            async with aclosing(self._operations.run(verb, body, arguments)) as steps:  # type: ignore[type-var]
                async for step in steps:
                    yield step
        finally:
            self.usage.idle_since = asyncio.get_running_loop().time()

    async def stop(self, grace: float) -> None:
        """End the process: it takes no new connection, and running ones get `grace` seconds. Idempotent."""
        self._send({"ask": 0, "verb": "end", "arguments": {"grace": grace}})
        self.ready = False
        self._handover.close()
        try:
            async with asyncio.timeout(grace + LINGER_SECONDS):
                await self.ended.wait()
        except TimeoutError:
            log.warning("DIMSE process %d did not end in time, and is killed", self.pid)
            self.kill()
            await self.ended.wait()

    def kill(self) -> None:
        """Kill the process."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _send(self, control: dict[str, Any], body: bytes = b"") -> bool:
        """Send a message, if the process is ready for it; return whether it is."""
        if self.ready:
            self._messages.send(control, body)
        return self.ready

    async def _serve(self) -> None:
        try:
            while True:
                control, body = await self._messages.receive()
                number = control.get("event", control.get("answer"))
                if number is None:
                    self._tasks.start(self._answer(control, body))
                else:
                    self._operations.deliver(number, control)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has ended
        except (NeurdicomError, ValueError):
            log.exception("DIMSE process %d sent an invalid message, and is killed", self.pid)
            self.kill()
        await self._finish()

    async def _finish(self) -> None:
        expected, self.ready = not self.ready, False
        self._handover.close()
        self._messages.close()
        status = await self._process.wait()
        if not expected or status:
            log.warning("DIMSE process %d ended with status %d", self.pid, status)
        self._operations.fail()
        await self._tasks.drain()  # its last call may be in the middle of a commit
        self._on_end(self)
        self.ended.set()

    async def _answer(self, control: dict[str, Any], body: bytes) -> None:
        verb, answer = control["verb"], {"answer": control["ask"]}
        extra = b""
        try:
            result = await self._verbs[verb](Call(self, body), **control["arguments"])
            if isinstance(result, tuple):
                result, extra = result
            answer["result"] = result
        except NeurdicomError as error:
            answer["error"] = error_to_wire(error)
        except Exception:  # a fault of ours must not leave a peer without an answer
            log.exception("verb %s, called by DIMSE process %d, failed: internal error", verb, self.pid)
            answer["error"] = error_to_wire(NeurdicomError(INTERNAL_ERROR))
        if control["ask"]:
            self._messages.send(answer, extra)


async def result_of(operation: AsyncIterator[Any]) -> Any:
    """Run an operation to its end and return its result; its events are ignored."""
    async with aclosing(operation) as steps:  # type: ignore[type-var]
        async for kind, data in steps:
            if kind == "result":
                return data
    raise Unavailable("the operation ended without a result")
