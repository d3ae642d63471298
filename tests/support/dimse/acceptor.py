"""A node that answers exactly what a test wants, right or wrong (PS3.8 9.3)."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.dimse.peer import command_set
from tests.support.dimse.remotes import add_node
from tests.support.server import Server

#: Gets the connection once the association is there.
Serve = Callable[["RawAcceptor"], None]


class RawAcceptor:
    """A connection that was accepted."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive_pdu(self) -> tuple[int, bytes]:
        """Type and body of the next PDU."""
        kind, length = struct.unpack(">BxI", self._read(6))
        return kind, self._read(length)

    def send_pdu(self, kind: int, body: bytes) -> None:
        """Send a PDU."""
        self.socket.sendall(struct.pack(">BxI", kind, len(body)) + body)

    def receive_command(self) -> int:
        """Read up to the end of a message; the context id of its last value."""
        while True:
            kind, body = self.receive_pdu()
            assert kind == 0x04, f"PDU type {kind}"
            pos, context, flags = 0, 0, 0
            while pos < len(body):
                length, context, flags = struct.unpack_from(">IBB", body, pos)
                pos += 4 + length
            if flags & 2 and (not flags & 1 or b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x01" in body):
                return context

    def send_values(self, context: int, data: bytes, *, command: bool) -> None:
        """Send a command set or dataset as one value."""
        self.send_pdu(0x04, struct.pack(">IBB", len(data) + 2, context, 3 if command else 2) + data)

    def answer(self, context: int, **elements: Any) -> None:
        """Send a command set."""
        self.send_values(context, command_set(**elements), command=True)

    def release(self) -> None:
        """Answer the release."""
        with contextlib.suppress(OSError, EOFError):
            kind, _ = self.receive_pdu()
            if kind == 0x05:
                self.send_pdu(0x06, bytes(4))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data


@contextlib.contextmanager
def acceptor_node(server: Server, ae_title: str, answer: bytes, serve: Serve, kind: int = 0x02) -> Iterator[str]:
    """A node whose answer to each A-ASSOCIATE-RQ is given; gives its name."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError, EOFError):
                acceptor = RawAcceptor(sock)
                acceptor.receive_pdu()
                acceptor.send_pdu(kind, answer)
                serve(acceptor)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield add_node(server, ae_title, listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(20)
