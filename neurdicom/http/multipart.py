"""multipart/related answers (PS3.18 8.6.1.2, RFC 2387), written part by part in constant memory."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import cast

from tornado.httputil import HTTPConnection
from tornado.iostream import StreamClosedError

from neurdicom.errors import NotFound
from neurdicom.http.base import ApiHandler
from neurdicom.http.downloads import send_head

#: Pieces of fewer bytes are copied, to be sent together with what precedes them.
_COPIED = 32 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a multipart answer.

    Attributes
    ----------
    media_type : str
        Its Content-Type, with parameters.
    read : callable
        Returns its bytes in pieces of bounded size. `NotFound` before the first piece omits the part.
    size : int or None
        Size in bytes, where known in advance.
    headers : mapping
        Further header fields.
    """

    media_type: str
    read: Callable[[], AsyncIterator[bytes]]
    size: int | None = None
    headers: Mapping[str, str] | None = None

    @classmethod
    def of(cls, media_type: str, body: bytes | memoryview, headers: Mapping[str, str] | None = None) -> "Part":
        """Make a part of bytes in memory.

        Parameters
        ----------
        media_type : str
            Its Content-Type, with parameters.
        body : bytes-like
            Its bytes.
        headers : mapping, optional
            Further header fields.
        """

        async def read() -> AsyncIterator[bytes]:
            yield bytes(body)

        return cls(media_type, read, len(body), headers)


async def one(part: Part) -> AsyncIterator[Part]:
    """Yield the only part of an answer."""
    yield part


async def send_multipart(
    handler: ApiHandler, media_type: str, parts: AsyncIterator[Part], *, single: bool = False
) -> None:
    """Finish with parts of one media type.

    Nothing is sent before the first bytes of the first part are there, so that an error until then gets an answer of
    its own. A part that is gone when its turn comes is omitted; an answer without parts is a `NotFound`. A later error
    closes the connection.

    Parameters
    ----------
    handler : ApiHandler
        Its status and headers are set.
    media_type : str
        Of the parts, without parameters; the `type` of the answer.
    parts : async iterator of Part
        Closed when the client disconnects.
    single : bool
        There is one part, from whose size that of the answer follows.
    """
    boundary = uuid.uuid4().hex
    handler.set_header("Content-Type", f'multipart/related; type="{media_type}"; boundary={boundary}')
    last = f"\r\n--{boundary}--\r\n".encode()
    sent = False
    async with aclosing(cast(AsyncGenerator[Part, None], parts)) as source:
        with suppress(StreamClosedError):
            async for part in source:
                head = (b"\r\n" if sent else b"") + _head(part, boundary)
                if single and part.size is not None:
                    handler.set_header("Content-Length", str(len(head) + part.size + len(last)))
                sent = await _send_part(handler, part, head) or sent
                if sent and handler.request.method == "HEAD":
                    await send_head(handler)
                    return
            if not sent:
                handler.clear_header("Content-Length")
                raise NotFound("all of the requested instances have been deleted meanwhile")
            handler.write(last)
            handler.finish()


async def _send_part(handler: ApiHandler, part: Part, head: bytes) -> bool:
    async with aclosing(cast(AsyncGenerator[bytes, None], part.read())) as pieces:
        try:
            piece = await anext(pieces, b"")
        except NotFound:
            return False
        if handler.request.method == "HEAD":
            return True
        handler.write(head)
        while piece:
            await _write(handler, piece)
            piece = await anext(pieces, b"")
        await handler.flush()
    return True


async def _write(handler: ApiHandler, piece: bytes) -> None:
    """Write a piece and wait until the client has received it; a large one without a copy."""
    if len(piece) < _COPIED:
        handler.write(piece)
        await handler.flush()
    else:
        await handler.flush()
        await cast(HTTPConnection, handler.request.connection).write(piece)


def _head(part: Part, boundary: str) -> bytes:
    fields = {"Content-Type": part.media_type, **(part.headers or {})}
    if part.size is not None:
        fields["Content-Length"] = str(part.size)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"--{boundary}\r\n{lines}\r\n".encode()
