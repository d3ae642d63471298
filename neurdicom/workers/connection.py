"""The server's end of the connection to a worker process."""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

from neurdicom.workers import protocol
from neurdicom.workers.arena import SIZE
from neurdicom.workers.forkserver_client import Child
from neurdicom.workers.output import Output
from neurdicom.workers.program import Program


class Connection:
    """Socket of a worker, the memory that it shares, and the pipe that it prints to.

    Parameters
    ----------
    child : Child
        The process at the other end.
    program : Program
        Its title prefixes printed lines in the log; its memory limit bounds the size of a reply.
    on_readable : callable
        Called when something has arrived.
    """

    def __init__(self, child: Child, program: Program, on_readable: Callable[[], None]) -> None:
        self._socket = child.connection
        self._receiver = protocol.Receiver(self._socket, max(1, program.memory) << 20)
        self._output = Output(child.output, program.title)
        self._unsent = b""
        self._passing: list[int] = []
        asyncio.get_running_loop().add_reader(self._socket, on_readable)

    @property
    def has_ended(self) -> bool:
        """True if the worker's end is closed."""
        return self._receiver.ended

    @property
    def is_sending(self) -> bool:
        """True if part of a message is still to be sent."""
        return bool(self._unsent)

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message, now or as soon as the socket takes it.

        Parameters
        ----------
        data : bytes
            The message.
        descriptors : sequence of int
            Passed with it; they stay the caller's, who may close them at any time.
        """
        try:
            sent = self._socket.sendmsg([data], protocol.rights_of(descriptors))
        except BlockingIOError:
            sent = 0
            self._passing = [os.dup(descriptor) for descriptor in descriptors]
        except OSError:  # the worker is gone, which its end will tell
            return
        if sent < len(data):
            self._unsent = data[sent:]
            asyncio.get_running_loop().add_writer(self._socket, self._send_on)

    def _send_on(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.sendmsg([self._unsent], protocol.rights_of(self._passing)) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = b""
        self._drop_passing()
        if not self._unsent:
            asyncio.get_running_loop().remove_writer(self._socket)

    def _drop_passing(self) -> None:
        """Close descriptors that have gone with the first byte of a message."""
        while self._passing:
            os.close(self._passing.pop())

    def receive(self) -> tuple[dict[str, Any], bytes | memoryview] | None:
        """Take a message if it has arrived whole. Raises `ProtocolError` for anything else than a message."""
        return self._receiver.poll()

    def shared(self, size: int = SIZE) -> bytes:
        """Copy the first `size` bytes of the shared memory."""
        return self._receiver.arena(size)

    def stop_reading(self) -> None:
        """Stop reading from the worker."""
        asyncio.get_running_loop().remove_reader(self._socket)

    def close(self) -> None:
        """Close the socket, the pipe and the shared memory."""
        loop = asyncio.get_running_loop()
        self._receiver.close()
        self._drop_passing()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        self._socket.close()
        self._output.close()
