"""Operations that the server runs in a DIMSE process, and the messages that it exchanges with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import orjson

from neurdicom.dimse.ipc.frames import error_from_wire, error_to_wire, unpack_head
from neurdicom.errors import Unavailable
from neurdicom.wire import HEAD, pack


class MessageStream:
    """Messages to and from a process, over one connection; see `frames` for their form."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        """Read the control part and the body of the next message.

        Raises
        ------
        asyncio.IncompleteReadError, ConnectionError
            The process has closed the connection.
        Malformed, ValueError
            It sent what is no message.
        """
        length, size = unpack_head(await self._reader.readexactly(HEAD.size))
        control = orjson.loads(await self._reader.readexactly(length))
        return control, await self._reader.readexactly(size) if size else b""

    def send(self, control: dict[str, Any], body: bytes = b"") -> None:
        """Send a message; nothing happens once the connection is closed."""
        if not self._writer.is_closing():
            self._writer.write(pack(control, body))

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._writer.close()


class RemoteOperations:
    """The operations that run in one process.

    Parameters
    ----------
    send : callable
        Sends the process a message; returns False if it has ended.
    """

    def __init__(self, send: Callable[[dict[str, Any], bytes], bool]) -> None:
        self._send = send
        self._numbers = count(1)
        self._messages: dict[int, asyncio.Queue[dict[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._messages)

    async def run(self, verb: str, body: bytes, arguments: dict[str, Any]) -> AsyncIterator[Any]:
        """Run an operation; yields and raises as `DimseProcess.operate`.

        Parameters
        ----------
        verb : str
            Name of the operation.
        body : bytes
            Body of the request.
        arguments : dict
            JSON-able arguments of the operation.
        """
        number = next(self._numbers)
        queue = self._messages[number] = asyncio.Queue()
        done = False
        try:
            if not self._send({"ask": number, "verb": verb, "arguments": arguments}, body):
                raise Unavailable("the DIMSE process has ended")
            while True:
                control = await queue.get()
                if "event" in control:
                    yield "event", control["data"]
                    continue
                done = True
                if "error" in control:
                    raise error_from_wire(control["error"])
                yield "result", control["result"]
                return
        finally:
            del self._messages[number]
            if not done:
                self._send({"cancel": number}, b"")

    def deliver(self, number: int, control: dict[str, Any]) -> None:
        """Pass an event or the answer on to an operation, if it still runs."""
        if number in self._messages:
            self._messages[number].put_nowait(control)

    def fail(self) -> None:
        """End all operations, since the process has ended."""
        gone = error_to_wire(Unavailable("the DIMSE process has ended"))
        for queue in self._messages.values():
            queue.put_nowait({"error": gone})
