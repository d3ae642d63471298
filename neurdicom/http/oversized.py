"""Answers to requests whose head is too large to be read: 414 for the URL, 431 for the headers (RFC 9110, RFC 6585).

Tornado closes such a connection without a word. What the client still sends is read and dropped for a while, since a
close with unread bytes resets the connection, and the reset may overtake the answer.
"""

import asyncio
import logging
from http import HTTPStatus
from socket import SHUT_WR, socket
from typing import Any

import orjson
from tornado.iostream import IOStream, UnsatisfiableReadError

from neurdicom.http.early import LINGER_SECONDS
from neurdicom.http.problems import problem

log = logging.getLogger(__name__)

#: Bytes of request line and headers together.
LARGEST_HEAD = 64 * 1024

_PIECE = 64 * 1024


class RefusedConnections:
    """Connections whose last answer is being sent."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def refuse(self, connection: socket, head: bytes | bytearray) -> None:
        """Answer on a connection, and close it once its client has received that.

        Parameters
        ----------
        connection : socket
            The connection, which is closed here.
        head : bytes or bytearray
            The request's first bytes, more than `LARGEST_HEAD`.
        """
        task = asyncio.create_task(_answer_and_close(connection, *_reason(bytes(head))))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close all connections at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class HeadLimitedStream(IOStream):
    """Stream of a client's connection that answers before it closes, where the head of a request is too large.

    Parameters
    ----------
    connection : socket
        The connection.
    refused : RefusedConnections
        Takes the connection over for the answer.
    **options
        Those of `IOStream`.
    """

    def __init__(self, connection: socket, refused: RefusedConnections, **options: Any) -> None:
        self._refused = refused
        super().__init__(connection, **options)

    def close(self, exc_info: Any = False) -> None:
        """Close, and have the request answered if the reason is the size of its head."""
        # The buffer and the pattern are Tornado's own; it reads by a pattern nothing but heads.
        if isinstance(exc_info, UnsatisfiableReadError) and self._read_regex is not None and not self.closed():
            self._refused.refuse(self.socket.dup(), self._read_buffer)
        super().close(exc_info)


def _reason(head: bytes) -> tuple[HTTPStatus, str, str]:
    """Tell what is too large, with the place of the request as the log shows it."""
    line = head.partition(b"\n")[0]
    place = line[:100].decode("latin-1").partition("?")[0].rstrip()
    if len(line) > LARGEST_HEAD // 2:
        return HTTPStatus.REQUEST_URI_TOO_LONG, f"the URL is too long; at most {LARGEST_HEAD} bytes are read", place
    detail = f"the headers are too large; URL and headers have at most {LARGEST_HEAD} bytes together"
    return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail, place


async def _answer_and_close(connection: socket, status: HTTPStatus, detail: str, place: str) -> None:
    loop = asyncio.get_running_loop()
    body = orjson.dumps(problem(status, detail))
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
        f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    log.info("%s was answered with %d: %s", place, status, detail)
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            await loop.sock_sendall(connection, head.encode() + body)
            connection.shutdown(SHUT_WR)
            while await loop.sock_recv(connection, _PIECE):
                pass
    except (OSError, TimeoutError):
        pass  # the client has gone, or sends for too long
    finally:
        connection.close()
