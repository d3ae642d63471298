"""Messages between the server and a worker: a fixed head, a JSON control part, and a body of raw bytes.

File descriptors go with a message both ways: a large body's from the worker, and from the server those of memory that
the worker is to map. Nothing is ever unpickled. The worker's side runs beside plugin code and may be taken over by it,
so the server checks every length and every descriptor: `Receiver` refuses what is out of bounds, and takes a body by
descriptor only from a sealed memory file, since one that could still shrink would kill the server that reads it.
"""

import fcntl
import mmap
import os
import socket
import struct
from array import array
from collections.abc import Sequence
from typing import Any, Final

import orjson

from neurdicom.errors import Invalid
from neurdicom.wire import dumps
from neurdicom.workers.arena import SIZE as ARENA_SIZE
from neurdicom.workers.arena import Arena, ArenaView

#: Body of a reply; the parts of a tuple are joined.
Body = bytes | bytearray | memoryview | tuple[bytes | bytearray | memoryview, ...]

HEAD: Final = struct.Struct("<IIQ")  # length of the control part, place of the body, length of the body
INLINE: Final = 0
BY_DESCRIPTOR: Final = 1
IN_ARENA: Final = 2

MAX_CONTROL: Final = 1 << 20
MAX_INLINE: Final = 64 << 10
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_RIGHTS: Final = socket.CMSG_SPACE(4 * array("i").itemsize)

#: Member of the control part under which the worker finds the descriptors of a request.
DESCRIPTORS: Final = "descriptors"


class ProtocolError(Exception):
    """Violation of the message format by the other side."""


def message(control: dict[str, Any]) -> bytes:
    """Encode a whole message without a body.

    Raises
    ------
    Invalid
        The control part holds what JSON can't carry, such as an integer of more than 64 bits.
    """
    try:
        text = dumps(control)
    except orjson.JSONEncodeError as error:
        raise Invalid(f"the arguments can't be handed to a worker: {error}") from error
    return HEAD.pack(len(text), INLINE, 0) + text


def send(sock: socket.socket, control: dict[str, Any], body: Body = b"", arena: Arena | None = None) -> None:
    """Send a message over a blocking socket; a large body goes through the arena, or in a memory file of its own.

    Parameters
    ----------
    sock : socket
        Blocking.
    control : dict
        Control part; JSON-able.
    body : bytes-like or tuple of bytes-like
        The payload; up to `MAX_INLINE` bytes go over the socket itself.
    arena : Arena, optional
        Takes larger bodies of up to `arena.SIZE` bytes.

    Raises
    ------
    OSError
        The server has closed the connection.
    """
    views = pieces(body)
    size = sum(map(len, views))
    text = dumps(control)
    if size <= MAX_INLINE:
        parts: list[bytes | memoryview] = [HEAD.pack(len(text), INLINE, size) + text, *views]
        sent = sock.sendmsg(parts)
        if sent < len(parts[0]) + size:
            sock.sendall(b"".join(parts)[sent:])
        return
    if arena is not None and size <= ARENA_SIZE:
        arena.write(views[0] if len(views) == 1 else memoryview(b"".join(views)))
        _send_head(sock, HEAD.pack(len(text), IN_ARENA, size) + text, arena.descriptor)
        arena.passed_on()
        return
    descriptor = _seal(views)
    try:
        _send_head(sock, HEAD.pack(len(text), BY_DESCRIPTOR, size) + text, descriptor)
    finally:
        os.close(descriptor)


def introduce(sock: socket.socket, control: dict[str, Any], arena: Arena) -> None:
    """Send the first message, without a body, and pass the arena's descriptor with it.

    Parameters
    ----------
    sock : socket
        Blocking.
    control : dict
        Control part; JSON-able.
    arena : Arena
        Its descriptor is closed here afterwards.

    Raises
    ------
    OSError
        The server has closed the connection.
    """
    _send_head(sock, HEAD.pack(len(text := dumps(control)), IN_ARENA, 0) + text, arena.descriptor)
    arena.passed_on()


def pieces(body: Body) -> list[memoryview]:
    """View the parts of a body as bytes, in order."""
    return [memoryview(part).cast("B") for part in (body if isinstance(body, tuple) else (body,))]


def rights_of(descriptors: Sequence[int]) -> "list[tuple[int, int, array[int]]]":
    """Make the ancillary data with which `sendmsg` passes descriptors on; they stay the caller's to close."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []


def _send_head(sock: socket.socket, head: bytes, descriptor: int | None) -> None:
    """Send the head of a message whose body does not go over the socket, with the body's descriptor."""
    sent = sock.sendmsg([head], rights_of([] if descriptor is None else [descriptor]))
    if sent < len(head):
        sock.sendall(head[sent:])


def _seal(views: Sequence[memoryview]) -> int:
    """Copy bytes, joined, into a memory file, and seal it against changes."""
    descriptor = os.memfd_create("result", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for view in views:
            left = view
            while left:
                left = left[os.write(descriptor, left) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def receive(sock: socket.socket) -> dict[str, Any] | None:
    """Receive the server's next message on the worker's blocking socket; None when the server has closed it.

    Descriptors that came with it are in its member `DESCRIPTORS`; the caller closes them.
    """
    head, descriptors, _, _ = socket.recv_fds(sock, MAX_INLINE, 4, socket.MSG_CMSG_CLOEXEC)
    if not head:
        return None
    while len(head) < HEAD.size:
        head += _more(sock, HEAD.size - len(head))
    length, _, _ = HEAD.unpack_from(head)
    text = bytearray(head[HEAD.size :])
    while len(text) < length:
        text += _more(sock, min(length - len(text), 1 << 20))
    control: dict[str, Any] = orjson.loads(text)
    if descriptors:
        control[DESCRIPTORS] = descriptors
    return control


def _more(sock: socket.socket, count: int) -> bytes:
    data = sock.recv(count)
    if not data:
        raise ProtocolError("the connection ended inside a message")
    return data


class Receiver:
    """Reader of one worker's messages in the server, on a socket that does not block.

    Parameters
    ----------
    sock : socket
        Non-blocking.
    limit : int
        Most bytes that a body may have.
    """

    def __init__(self, sock: socket.socket, limit: int) -> None:
        self._sock = sock
        self._limit = limit
        self._buffer = bytearray(HEAD.size + MAX_INLINE + 4096)
        self._filled = 0
        self._needed = HEAD.size
        self._descriptors: list[int] = []
        self._arena: ArenaView | None = None
        self.ended = False

    def poll(self) -> tuple[dict[str, Any], bytes | memoryview] | None:
        """Read the bytes that have arrived; return a message once it is whole. Sets `ended` at the end of the stream.

        Raises
        ------
        ProtocolError
            Something other than a message arrived.
        """
        while not self.ended:
            try:
                with memoryview(self._buffer) as whole, whole[self._filled :] as free:
                    count, rights, flags, _ = self._sock.recvmsg_into([free], _RIGHTS, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return None
            except ConnectionError:
                count, rights, flags = 0, [], 0
            for level, kind, data in rights:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    numbers = array("i")
                    numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
                    self._descriptors += numbers
            if flags & socket.MSG_CTRUNC or len(self._descriptors) > 1:
                raise ProtocolError("it sent more descriptors with a message than the one that it may have")
            self.ended = count == 0
            self._filled += count
            if self._filled >= self._needed and (self._needed > HEAD.size or self._measure()):
                return self._take()
        return None

    def _measure(self) -> bool:
        """Read the head; return whether the rest has arrived too."""
        control, place, body = HEAD.unpack_from(self._buffer)
        if control > MAX_CONTROL or place > IN_ARENA or body > (MAX_INLINE, self._limit, ARENA_SIZE)[place]:
            raise ProtocolError(f"a head of {control}, {place}, {body} is out of bounds")
        self._needed = HEAD.size + control + (0 if place else body)
        if self._needed > len(self._buffer):
            self._buffer.extend(bytes(self._needed - len(self._buffer)))
        return self._filled >= self._needed

    def _take(self) -> tuple[dict[str, Any], bytes | memoryview]:
        if self._filled > self._needed:
            raise ProtocolError(f"{self._filled - self._needed} bytes after the end of a message")
        length, place, size = HEAD.unpack_from(self._buffer)
        with memoryview(self._buffer) as view:
            try:
                control = orjson.loads(view[HEAD.size : HEAD.size + length])
            except ValueError as error:
                raise ProtocolError(f"the control part is not JSON: {error}") from None
            body: bytes | memoryview = bytes(view[HEAD.size + length : self._needed])
        if not isinstance(control, dict):
            raise ProtocolError("the control part is not an object")
        if place == BY_DESCRIPTOR:
            if not self._descriptors:
                raise ProtocolError("a body by descriptor without a descriptor")
            body = _open(self._descriptors[0], size)
        elif place == IN_ARENA:
            body = self._read_arena(size)
        self.drop()
        self._filled, self._needed = 0, HEAD.size
        if len(self._buffer) > 4 * MAX_INLINE:
            self._buffer = bytearray(HEAD.size + MAX_INLINE + 4096)
        return control, body

    def _read_arena(self, size: int) -> bytes:
        """Copy a body out of the arena, whose descriptor comes with the first message."""
        if self._arena is None:
            if not self._descriptors:
                raise ProtocolError("a body in shared memory without a descriptor of it")
            try:
                self._arena = ArenaView(self._descriptors[0])
            except ValueError as error:
                raise ProtocolError(str(error)) from None
        return self._arena.read(size)

    def arena(self, size: int = ARENA_SIZE) -> bytes:
        """Copy the first bytes of the arena; empty where there is none, and no more than it has."""
        return b"" if self._arena is None else self._arena.read(min(max(size, 0), ARENA_SIZE))

    def close(self) -> None:
        """Close the descriptors and the arena, but not the socket. Idempotent."""
        self.drop()
        if self._arena is not None:
            self._arena.close()

    def drop(self) -> None:
        """Close descriptors that arrived and were not used."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def _open(descriptor: int, size: int) -> memoryview:
    """Map a sealed memory file of exactly this size, read-only; the descriptor stays the caller's."""
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        raise ProtocolError("the body's descriptor is not a memory file") from None
    if seals & _SEALS != _SEALS:
        raise ProtocolError("the body's memory file is not sealed")
    if size == 0 or os.fstat(descriptor).st_size != size:
        raise ProtocolError(f"the body's memory file does not have the {size} bytes that were announced")
    return memoryview(mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ))
