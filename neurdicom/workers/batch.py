"""Batches: several short background calls in one message to a worker, and their answers in one reply.

Two calls are apart by four system calls and two context switches, which for a short call take as long as the call.

The worker puts each answer into the arena as soon as it has it. When a call crashes, hangs or takes too much memory,
the server finds the answers of the calls before it there, and only that one call has failed.
"""

import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from neurdicom import wire
from neurdicom.errors import NeurdicomError
from neurdicom.workers import protocol
from neurdicom.workers.arena import SIZE, Arena

Answer = tuple[dict[str, Any], protocol.Body]

#: Number of the batch, number of answers so far.
_HEAD: Final = struct.Struct("<QQ")
HEAD_SIZE: Final = _HEAD.size

#: Bytes of answers, and seconds, past which a worker leaves the rest of a batch undone.
_MOST: Final = 1 << 20
_LONGEST: Final = 0.1


def answer(request: Mapping[str, Any], arena: Arena, call: Callable[[Any], Answer]) -> Answer:
    """Do the calls of a batch in turn, in the worker.

    Parameters
    ----------
    request : Mapping
        `batch`, the batch's number, and `calls`, the arguments of each call.
    arena : Arena
        Receives the answers.
    call : callable
        Does one call; returns the control part and the body of its answer, or of its error. After an answer with
        `spent` the rest of the batch is left undone.

    Returns
    -------
    control : dict
        `meta` with the `size` of the answers in the arena (bytes), the `seconds` that the batch took, and the control
        part of the `last` answer where the arena had no room for it; `spent` as the last answer had it.
    body : bytes-like
        Body of that `last` answer. A call without an answer was not done.
    """
    begun = time.perf_counter()
    size = _HEAD.size
    arena.write(_HEAD.pack(request["batch"], 0))
    meta: dict[str, Any] = {"last": None}
    control: dict[str, Any] = {}
    left: protocol.Body = b""
    for number, arguments in enumerate(request["calls"]):
        control, body = call(arguments)
        written = _write(control, body, size, arena)
        if not written:
            meta["last"], left = control, body
            break
        del body  # it may be memory of the plugin's, which takes no call while that is in use
        size += written
        arena.write(_HEAD.pack(request["batch"], number + 1))
        if size > _MOST or control.get("spent") or time.perf_counter() - begun > _LONGEST:
            break
    meta |= {"size": size, "seconds": time.perf_counter() - begun}
    return {"meta": meta, **({"spent": True} if control.get("spent") else {})}, left


def _write(control: dict[str, Any], body: protocol.Body, start: int, arena: Arena) -> int:
    """Put an answer into the arena; return its size there in bytes, 0 where there is no room for it."""
    text, views = wire.dumps(control), protocol.pieces(body)
    length = sum(map(len, views))
    size = wire.HEAD.size + len(text) + length
    if start + size > SIZE:
        return 0
    parts: list[bytes | memoryview] = [wire.HEAD.pack(len(text), length), text, *views]
    for piece in parts:
        arena.write(piece, start)
        start += len(piece)
    return size


def answers_in(data: bytes, number: int) -> list[tuple[dict[str, Any], bytes]]:
    """Read the answers of a batch from the arena's bytes, in the server.

    Nothing is believed: reading ends at the first answer that makes no sense.

    Parameters
    ----------
    data : bytes
        Beginning of the arena.
    number : int
        Number of the batch; answers of any other batch are ignored.

    Returns
    -------
    list of (dict, bytes)
        Control part and body of each answer.
    """
    if len(data) < _HEAD.size:
        return []
    batch, done = _HEAD.unpack_from(data)
    found: list[tuple[dict[str, Any], bytes]] = []
    start = _HEAD.size
    while batch == number and len(found) < done:
        try:
            control, body, start = wire.unpack(data, start)
        except ValueError:
            break
        found.append((control, data[body:start]))
    return found


def progress(data: bytes, number: int) -> int:
    """Read from the arena's first bytes how many calls of a batch are done."""
    if len(data) < _HEAD.size:
        return 0
    batch, done = _HEAD.unpack_from(data)
    return done if batch == number else 0


class Broken(Exception):
    """Loss of a worker within a batch.

    Attributes
    ----------
    error : NeurdicomError
        Outcome of the call that the worker was at.
    answers : list
        Answers of the calls before that one.
    """

    def __init__(self, error: NeurdicomError, answers: list[tuple[dict[str, Any], bytes]]) -> None:
        super().__init__(str(error))
        self.error = error
        self.answers = answers
