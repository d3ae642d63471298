"""Output that a worker prints, copied line by line to the server's log."""

import asyncio
import contextlib
import logging
import os
from typing import Final

_log = logging.getLogger("neurdicom.plugin")

LONGEST_LINE: Final = 2000
LINES_A_SECOND: Final = 100
_PIECE: Final = 64 << 10
_PAUSE: Final = 0.02


class Output:
    """Reader that copies a worker's printed lines to the log, prefixed with the program's name.

    A program that prints without end is slowed down by its full pipe. Lines past `LINES_A_SECOND` and characters past
    `LONGEST_LINE` are dropped, and the log says how many lines.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._rest = b""
        self._second = 0.0
        self._lines = 0
        self._dropped = 0
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._resume()

    def close(self) -> None:
        """Log the output that is left in the pipe, up to a bound, and close it."""
        self._loop.remove_reader(self._descriptor)
        if self._pause is not None:
            self._pause.cancel()
        with contextlib.suppress(BlockingIOError):
            for _ in range(4):  # a pipe holds no more than this, unless a process is still writing
                piece = os.read(self._descriptor, _PIECE)
                if not piece:
                    break
                self._split(piece)
        os.close(self._descriptor)
        if self._rest:
            self._line(self._rest)
        self._settle()

    def _read(self) -> None:
        try:
            piece = os.read(self._descriptor, _PIECE)
        except BlockingIOError:
            return
        self._loop.remove_reader(self._descriptor)
        if piece:
            self._pause = self._loop.call_later(_PAUSE, self._resume)
            self._split(piece)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._descriptor, self._read)

    def _split(self, piece: bytes) -> None:
        now = self._loop.time()
        if now - self._second >= 1.0:
            self._settle()
            self._second, self._lines = now, 0
        if self._lines >= LINES_A_SECOND:
            self._dropped += piece.count(b"\n")
            self._rest = piece.rpartition(b"\n")[2][:LONGEST_LINE]
            return
        *lines, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[: LONGEST_LINE + 1]
        for line in lines[: LINES_A_SECOND - self._lines]:
            self._line(line)
        self._dropped += max(0, len(lines) - (LINES_A_SECOND - self._lines))
        self._lines += len(lines)

    def _line(self, line: bytes) -> None:
        text = line[:LONGEST_LINE].decode("utf-8", "backslashreplace")
        printable = "".join(each if each.isprintable() or each == "\t" else f"\\x{ord(each):02x}" for each in text)
        _log.info("%s: %s%s", self._name, printable, " …" if len(line) > LONGEST_LINE else "")

    def _settle(self) -> None:
        if self._dropped:
            _log.warning(
                "%s: more than %d lines were printed in a second; %d more lines were left out",
                self._name,
                LINES_A_SECOND,
                self._dropped,
            )
            self._dropped = 0
