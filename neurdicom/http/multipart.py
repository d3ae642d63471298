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

#: Pieces of fewer bytes are sent together with what goes before them.
_COPIED = 32 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One part on its way out.

    Attributes
    ----------
    media_type : str
        Its Content-Type, with parameters.
    read : callable
        Gives its bytes in pieces of bounded size. `NotFound` before the first piece leaves the part out.
    size : int or None
        In bytes, where it is known before.
    headers : mapping
        Further header fields.
    """

    media_type: str
    read: Callable[[], AsyncIterator[bytes]]
    size: int | None = None
    headers: Mapping[str, str] | None = None

    @classmethod
    def of(cls, media_type: str, body: bytes | memoryview, headers: Mapping[str, str] | None = None) -> "Part":
        """Make a part of bytes that are at hand."""

        async def read() -> AsyncIterator[bytes]:
            yield bytes(body)

        return cls(media_type, read, len(body), headers)


async def one(part: Part) -> AsyncIterator[Part]:
    """Give the parts of an answer that has only this one."""
    yield part


async def send_multipart(
    handler: ApiHandler, media_type: str, parts: AsyncIterator[Part], *, single: bool = False
) -> None:
    """Finish with parts of one media type.

    Nothing goes out before the first part's first bytes are here, so that what fails until then gets an answer of its
    own. A part that is gone by the time of its turn is left out; an answer of no parts at all is a `NotFound`. What
    fails later breaks the answer off.

    Parameters
    ----------
    handler : ApiHandler
        Whose status and headers are set.
    media_type : str
        Of the parts, without parameters; the `type` of the answer.
    parts : async iterator of Part
        Closed when the client goes away.
    single : bool
        There is one part, by whose size that of the answer is known.
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
                raise NotFound("nothing of what was asked for is there any more")
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
    """Write a piece and wait until the client has taken it; a large one from where it lies, without a copy."""
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
