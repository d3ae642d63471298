"""Several short calls in one message to a worker, and their answers in one: for work that nobody waits for.

Between two calls lie four system calls and two changes of process, which for a short call take as long as the call.

The worker puts each answer into the arena as soon as it is there. When a call crashes, hangs or takes too much memory,
the server finds there what the calls before it gave, and only that one has failed.
"""

import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from neurdicom.errors import NeurdicomError
from neurdicom.workers import protocol
from neurdicom.workers.arena import SIZE, Arena

Answer = tuple[dict[str, Any], protocol.Body]

#: Number of the batch, answers so far.
_HEAD: Final = struct.Struct("<QQ")
HEAD_SIZE: Final = _HEAD.size
#: Lengths of an answer's control part and body.
_RECORD: Final = struct.Struct("<QQ")

#: Bytes of answers, and seconds, past which a worker leaves the rest of a batch.
_MOST: Final = 1 << 20
_LONGEST: Final = 0.1


def answer(request: Mapping[str, Any], arena: Arena, call: Callable[[Any], Answer]) -> Answer:
    """Do the calls of a batch in turn; the worker's side.

    Parameters
    ----------
    request : Mapping
        `batch`, its number, and `calls`, the arguments of each.
    arena : Arena
        Gets the answers.
    call : callable
        Does one; answers the control part and the body, of an error too. After one with `spent` the rest is left.

    Returns
    -------
    control : dict
        `meta` with the `size` of the answers in the arena, the `seconds` that it took, and the control part of the
        `last` answer where the arena had no room for it; `spent` as the last one had it.
    body : bytes-like
        Of that last answer. What was not answered at all was not done.
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
    """Put an answer into the arena; how many bytes it takes there, 0 where there is no room for it."""
    text, views = protocol.dumps(control), protocol.pieces(body)
    length = sum(map(len, views))
    size = _RECORD.size + len(text) + length
    if start + size > SIZE:
        return 0
    parts: list[bytes | memoryview] = [_RECORD.pack(len(text), length), text, *views]
    for piece in parts:
        arena.write(piece, start)
        start += len(piece)
    return size


def answers_in(data: bytes, number: int) -> list[tuple[dict[str, Any], bytes]]:
    """What the arena holds of a batch; the server's side, which believes nothing. Ends where it makes no sense."""
    if len(data) < _HEAD.size:
        return []
    batch, done = _HEAD.unpack_from(data)
    found: list[tuple[dict[str, Any], bytes]] = []
    start = _HEAD.size
    while batch == number and len(found) < done and start + _RECORD.size <= len(data):
        length, size = _RECORD.unpack_from(data, start)
        start += _RECORD.size
        if length + size > len(data) - start:
            break
        try:
            control = orjson.loads(data[start : start + length])
        except ValueError:
            break
        if not isinstance(control, dict):
            break
        found.append((control, data[start + length : start + length + size]))
        start += length + size
    return found


def progress(data: bytes, number: int) -> int:
    """How many calls of a batch are done, going by the beginning of the arena."""
    if len(data) < _HEAD.size:
        return 0
    batch, done = _HEAD.unpack_from(data)
    return done if batch == number else 0


class Broken(Exception):
    """The worker was lost in a batch.

    Attributes
    ----------
    error : NeurdicomError
        Outcome of the call that it was at.
    answers : list
        Those of the calls before it.
    """

    def __init__(self, error: NeurdicomError, answers: list[tuple[dict[str, Any], bytes]]) -> None:
        super().__init__(str(error))
        self.error = error
        self.answers = answers
