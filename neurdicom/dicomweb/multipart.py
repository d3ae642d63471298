"""multipart/related answers (PS3.18 8.6.1.2, RFC 2387), written part by part in constant memory."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import cast

from tornado.iostream import StreamClosedError

from neurdicom.errors import NotFound
from neurdicom.web.base import ApiHandler


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
        """A part that is at hand."""

        async def read() -> AsyncIterator[bytes]:
            yield bytes(body)

        return cls(media_type, read, len(body), headers)


async def send_multipart(handler: ApiHandler, media_type: str, parts: AsyncIterator[Part]) -> None:
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
    """
    boundary = uuid.uuid4().hex
    handler.set_header("Content-Type", f'multipart/related; type="{media_type}"; boundary={boundary}')
    sent = False
    async with aclosing(cast(AsyncGenerator[Part, None], parts)) as source:
        with suppress(StreamClosedError):
            async for part in source:
                sent = await _send_part(handler, part, boundary, first=not sent) or sent
                if sent and handler.request.method == "HEAD":
                    handler.finish()
                    return
            if not sent:
                raise NotFound("nothing of what was asked for is there any more")
            handler.write(f"\r\n--{boundary}--\r\n")
            handler.finish()


async def _send_part(handler: ApiHandler, part: Part, boundary: str, *, first: bool) -> bool:
    async with aclosing(cast(AsyncGenerator[bytes, None], part.read())) as pieces:
        try:
            piece = await anext(pieces, b"")
        except NotFound:
            return False
        if handler.request.method == "HEAD":
            return True
        handler.write(("" if first else "\r\n") + _head(part, boundary))
        handler.write(piece)
        await handler.flush()
        async for each in pieces:
            handler.write(each)
            await handler.flush()
    return True


def _head(part: Part, boundary: str) -> str:
    fields = {"Content-Type": part.media_type, **(part.headers or {})}
    if part.size is not None:
        fields["Content-Length"] = str(part.size)
    return f"--{boundary}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
