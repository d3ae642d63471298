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
from itertools import count
from typing import Any

import orjson

from neurdicom.coordination import BackgroundTasks
from neurdicom.dimse.ipc.contract import ProcessSettings
from neurdicom.dimse.ipc.frames import HEAD, error_from_wire, error_to_wire, pack, unpack_head
from neurdicom.errors import NeurdicomError, Unavailable

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
    connections : set of int
        Numbers of its open connections.
    pid : int
        Its process id.
    ready : bool
        True while it takes connections and operations.
    """

    def __init__(self, verbs: Mapping[str, Verb], on_end: Callable[["DimseProcess"], None]) -> None:
        self.connections: set[int] = set()
        self.pid = 0
        self.ready = False
        self.idle_since = asyncio.get_running_loop().time()
        self.was_used = False
        self._verbs = verbs
        self._on_end = on_end
        self._numbers = count(1)
        self._operations: dict[int, asyncio.Queue[tuple[dict[str, Any], bytes]]] = {}
        self._tasks = BackgroundTasks("a DIMSE process is not served")
        self.ended = asyncio.Event()

    @property
    def load(self) -> int:
        """Number of its connections and operations."""
        return len(self.connections) + len(self._operations)

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
        self.pid = self._process.pid
        self._reader, self._writer = await asyncio.open_connection(sock=connection, limit=1 << 20)
        self._send({"ask": 0, "verb": "begin", "arguments": settings.to_wire()})
        self.ready = True
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
            log.warning("the DIMSE process %d takes no connection: %s", self.pid, error)
            return False
        self.connections.add(number)
        self.was_used = True
        return True

    def remove_connection(self, number: int) -> None:
        """Remove a connection that has ended."""
        self.connections.discard(number)
        self.idle_since = asyncio.get_running_loop().time()

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
        number = next(self._numbers)
        queue = self._operations[number] = asyncio.Queue()
        self.was_used = True
        done = False
        try:
            if not self.ready:
                raise Unavailable("the DIMSE process has ended")
            self._send({"ask": number, "verb": verb, "arguments": arguments}, body)
            while True:
                control, _ = await queue.get()
                if "event" in control:
                    yield "event", control["data"]
                    continue
                done = True
                if "error" in control:
                    raise error_from_wire(control["error"])
                yield "result", control["result"]
                return
        finally:
            del self._operations[number]
            self.idle_since = asyncio.get_running_loop().time()
            if not done and self.ready:
                self._send({"cancel": number})

    async def stop(self, grace: float) -> None:
        """End the process: it takes no new connection, and running ones get `grace` seconds. Idempotent."""
        if self.ready:
            self.ready = False
            self._send({"ask": 0, "verb": "end", "arguments": {"grace": grace}})
        self._handover.close()
        try:
            async with asyncio.timeout(grace + LINGER_SECONDS):
                await self.ended.wait()
        except TimeoutError:
            log.warning("the DIMSE process %d did not end in time and is killed", self.pid)
            self.kill()
            await self.ended.wait()

    def kill(self) -> None:
        """Kill the process."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _send(self, control: dict[str, Any], body: bytes = b"") -> None:
        self._writer.write(pack(control, body))

    async def _serve(self) -> None:
        try:
            while True:
                length, size = unpack_head(await self._reader.readexactly(HEAD.size))
                control = orjson.loads(await self._reader.readexactly(length))
                body = await self._reader.readexactly(size) if size else b""
                number = control.get("event", control.get("answer"))
                if number is None:
                    self._tasks.start(self._answer(control, body))
                elif number in self._operations:
                    self._operations[number].put_nowait((control, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has ended
        except (NeurdicomError, ValueError):
            log.exception("the DIMSE process %d sent an invalid message and is killed", self.pid)
            self.kill()
        await self._finish()

    async def _finish(self) -> None:
        expected, self.ready = not self.ready, False
        self._handover.close()
        self._writer.close()
        status = await self._process.wait()
        if not expected or status:
            log.warning("the DIMSE process %d ended with status %d", self.pid, status)
        gone = error_to_wire(Unavailable("the DIMSE process has ended"))
        for queue in self._operations.values():
            queue.put_nowait(({"error": gone}, b""))
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
        except Exception as error:  # a fault of ours must not leave a peer without an answer
            log.exception("the verb %s, called by the DIMSE process %d, failed", verb, self.pid)
            answer["error"] = error_to_wire(NeurdicomError(f"internal error: {error!r}"))
        if control["ask"] and not self._writer.is_closing():
            self._send(answer, extra)


async def result_of(operation: AsyncIterator[Any]) -> Any:
    """Run an operation to its end and return its result; its events are ignored."""
    async with aclosing(operation) as steps:  # type: ignore[type-var]
        async for kind, data in steps:
            if kind == "result":
                return data
    raise Unavailable("the operation ended without a result")
