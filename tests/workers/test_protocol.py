"""The server's side of a worker's socket believes nothing."""

import fcntl
import mmap
import os
import socket
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurdicom.workers.arena import SIZE as ARENA
from neurdicom.workers.arena import Arena
from neurdicom.workers.protocol import HEAD, MAX_CONTROL, MAX_INLINE, ProtocolError, Receiver, message, receive, send

LIMIT = 8 << 20
ALL = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Receiver]]:
    worker, server = socket.socketpair()
    server.setblocking(False)
    with worker, server:
        before = len(list(Path("/proc/self/fd").iterdir()))
        receiver = Receiver(server, LIMIT)
        yield worker, receiver
        receiver.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def memory_file(size: int, seals: int = ALL) -> int:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.truncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def pass_on(worker: socket.socket, data: bytes, descriptors: list[int]) -> None:
    worker.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))])
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.mark.parametrize("size", [0, 1, MAX_INLINE, MAX_INLINE + 1, LIMIT])
def test_a_message_arrives_as_it_was(pair: tuple[socket.socket, Receiver], size: int) -> None:
    worker, receiver = pair
    body = bytes(range(256)) * (size // 256 + 1)
    sending = threading.Thread(target=send, args=(worker, {"meta": {"ä": [1, 2.5, None]}}, body[:size]))
    sending.start()
    while (got := receiver.poll()) is None:
        pass
    sending.join()
    control, data = got
    assert control == {"meta": {"ä": [1, 2.5, None]}}
    assert data == body[:size]
    if isinstance(data, memoryview):
        assert data.readonly


def test_requests_arrive_in_pieces(pair: tuple[socket.socket, Receiver]) -> None:
    worker, receiver = pair
    server = receiver._sock
    server.setblocking(True)
    data = message({"verb": "x", "arguments": {"text": "y" * 300_000}})
    sending = threading.Thread(
        target=lambda: [server.sendall(data[at : at + 70_001]) for at in range(0, len(data), 70_001)]
    )
    sending.start()
    got = receive(worker)
    sending.join()
    assert got is not None
    assert got["arguments"]["text"] == "y" * 300_000


def test_the_end_is_seen(pair: tuple[socket.socket, Receiver]) -> None:
    worker, receiver = pair
    worker.sendall(HEAD.pack(100, 0, 0) + b"cut")
    worker.shutdown(socket.SHUT_WR)
    assert receiver.poll() is None
    assert receiver.ended


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (HEAD.pack(MAX_CONTROL + 1, 0, 0), "out of bounds"),
        (HEAD.pack(2, 0, MAX_INLINE + 1), "out of bounds"),
        (HEAD.pack(2, 1, LIMIT + 1), "out of bounds"),
        (HEAD.pack(2, 7, 0), "out of bounds"),
        (HEAD.pack(2, 1, 10) + b"{}", "without a descriptor"),
        (HEAD.pack(2, 0, 0) + b"[]", "not an object"),
        (HEAD.pack(2, 0, 0) + b"{x", "not JSON"),
        (HEAD.pack(2, 0, 0) + b"{}more", "after the end"),
        (HEAD.pack(4, 0, 0) + b'"\xff"}', "not JSON"),
    ],
)
def test_what_is_no_message(pair: tuple[socket.socket, Receiver], data: bytes, says: str) -> None:
    worker, receiver = pair
    worker.sendall(data)
    with pytest.raises(ProtocolError, match=says):
        receiver.poll()


@pytest.mark.parametrize(
    ("size", "announced", "seals", "says"),
    [
        (10, 10, 0, "not sealed"),
        (10, 10, fcntl.F_SEAL_SHRINK, "not sealed"),
        (10, 11, ALL, "11 bytes"),
        (10, 9, ALL, "9 bytes"),
        (0, 0, ALL, "0 bytes"),
    ],
)
def test_a_memory_file_that_could_change(
    pair: tuple[socket.socket, Receiver], size: int, announced: int, seals: int, says: str
) -> None:
    """The server maps it; one that could shrink would take the server down with SIGBUS."""
    worker, receiver = pair
    pass_on(worker, HEAD.pack(2, 1, announced) + b"{}", [memory_file(size, seals)])
    with pytest.raises(ProtocolError, match=says):
        receiver.poll()


def test_a_descriptor_of_something_else(pair: tuple[socket.socket, Receiver]) -> None:
    worker, receiver = pair
    pass_on(worker, HEAD.pack(2, 1, 10) + b"{}", [os.open("/dev/zero", os.O_RDONLY)])
    with pytest.raises(ProtocolError, match="not a memory file"):
        receiver.poll()


def test_too_many_descriptors(pair: tuple[socket.socket, Receiver]) -> None:
    worker, receiver = pair
    pass_on(worker, HEAD.pack(2, 1, 10) + b"{}", [memory_file(10) for _ in range(20)])
    with pytest.raises(ProtocolError, match="more descriptors"):
        receiver.poll()


def test_a_descriptor_that_nobody_asked_for_is_closed(pair: tuple[socket.socket, Receiver]) -> None:
    worker, receiver = pair
    pass_on(worker, HEAD.pack(2, 0, 0) + b"{}", [memory_file(10)])
    assert receiver.poll() == ({}, b"")


def test_a_sealed_body_cannot_be_written(pair: tuple[socket.socket, Receiver]) -> None:
    worker, receiver = pair
    body = b"x" * (MAX_INLINE + 1)
    send(worker, {}, body)
    got = receiver.poll()
    assert got is not None
    view = got[1]
    assert isinstance(view, memoryview)
    assert isinstance(view.obj, mmap.mmap)
    with pytest.raises(TypeError):
        view[0] = 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_do_more_than_be_refused(data: bytes) -> None:
    worker, server = socket.socketpair()
    server.setblocking(False)
    with worker, server:
        worker.sendall(data)
        worker.close()
        receiver = Receiver(server, LIMIT)
        try:
            while not receiver.ended:
                receiver.poll()
        except ProtocolError:
            pass


def test_bodies_pass_through_the_arena_one_after_another(pair: tuple[socket.socket, Receiver]) -> None:
    worker, receiver = pair
    arena = Arena()
    kept = []
    for size in (MAX_INLINE + 1, ARENA, MAX_INLINE + 2, 5):
        body = os.urandom(size)
        send(worker, {"size": size}, body, arena)
        got = receiver.poll()
        assert got is not None
        assert got[0] == {"size": size}
        kept.append((body, got[1]))
    assert all(body == data for body, data in kept)  # a later body does not change an earlier one
    assert arena.descriptor is None


@pytest.mark.parametrize(
    ("size", "seals", "body"),
    [
        (ARENA, 0, 10),
        (ARENA, fcntl.F_SEAL_GROW, 10),
        (ARENA - 4096, ALL, 10),
        (0, ALL, 10),
        (ARENA, ALL, ARENA + 1),
        (ARENA, ALL, 1 << 63),
    ],
)
def test_an_arena_that_is_none(pair: tuple[socket.socket, Receiver], size: int, seals: int, body: int) -> None:
    worker, receiver = pair
    pass_on(worker, HEAD.pack(2, 2, body) + b"{}", [memory_file(size, seals)])
    with pytest.raises(ProtocolError):
        receiver.poll()


def test_an_arena_without_its_descriptor(pair: tuple[socket.socket, Receiver]) -> None:
    worker, receiver = pair
    worker.send(HEAD.pack(2, 2, 10) + b"{}")
    with pytest.raises(ProtocolError, match="without a descriptor"):
        receiver.poll()
