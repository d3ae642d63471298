"""Files on their way out: streamed in constant memory, resumable (RFC 9110 section 14), with a validator."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Protocol, cast

import orjson
from tornado.httputil import HTTPConnection
from tornado.iostream import StreamClosedError

from neurdicom.http.base import ApiHandler
from neurdicom.http.problems import problem
from neurdicom.http.ranges import Span, parse_range

#: Bytes that are copied so that they go out with the headers: that costs less than a call of the kernel for each.
_COPIED = 1 << 20

MEDIA_TYPE = "application/dicom"


class Download(Protocol):
    """A DICOM file on its way out."""

    @property
    def instance(self) -> str:
        """SOP Instance UID."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    @property
    def etag(self) -> str:
        """A strong validator, without quotes."""

    def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part in pieces of bounded size."""


async def send_download(
    handler: ApiHandler, download: Download, *, media_type: str = MEDIA_TYPE, filename: str | None = None
) -> None:
    """Finish with a file, or with the part of it that the request asks for.

    Without a `filename` it is that of a DICOM file; an empty one leaves it to the client.
    """
    etag = f'"{download.etag}"'
    handler.set_header("ETag", etag)
    handler.set_header("Accept-Ranges", "bytes")
    if handler.check_etag_header():
        handler.set_status(HTTPStatus.NOT_MODIFIED)
        handler.finish()
        return
    headers = handler.request.headers
    # A part of a file that has changed since would not fit what the client already has.
    current = headers.get("If-Range", etag) == etag
    span = parse_range(headers.get("Range"), download.size) if current else None
    if span is None:
        span = Span(0, download.size)
    elif not span.length:
        _refuse_range(handler, download.size)
        return
    else:
        handler.set_status(HTTPStatus.PARTIAL_CONTENT)
        last = span.start + span.length - 1
        handler.set_header("Content-Range", f"bytes {span.start}-{last}/{download.size}")
    handler.set_header("Content-Type", media_type)
    handler.set_header("Content-Length", str(span.length))
    filename = f"{download.instance}.dcm" if filename is None else filename
    if filename:
        handler.set_header("Content-Disposition", f'attachment; filename="{filename}"')
    if handler.request.method == "HEAD":
        await send_head(handler)
        return
    await send_stream(handler, download.read(span.start, span.length))
    handler.finish()


async def send_head(handler: ApiHandler) -> None:
    """Finish a HEAD by hand: Tornado would give the length, and the hash, of the empty body for those of the answer."""
    if await handler.flush_to_client():
        handler.finish()


async def send_stream(handler: ApiHandler, pieces: AsyncIterator[bytes]) -> None:
    """Write pieces as fast as the client takes them; stop quietly when it goes away."""
    # Closed here and now where they come from a generator, so that no file stays open behind a client that left.
    async with aclosing(cast(AsyncGenerator[bytes, None], pieces)) as source:
        async for piece in source:
            handler.write(piece)
            try:
                await handler.flush()
            except StreamClosedError:
                return


async def send_buffer(handler: ApiHandler, body: bytes | memoryview) -> None:
    """Write a body whole; stop quietly when the client goes away."""
    handler.set_header("Content-Length", str(len(body)))
    with suppress(StreamClosedError):
        if len(body) <= _COPIED:
            handler.write(bytes(body))
            await handler.flush()
            return
        await handler.flush()
        if handler.request.method != "HEAD":
            # RequestHandler.write takes bytes only; the stream below takes any buffer, from where it lies.
            await cast(HTTPConnection, handler.request.connection).write(cast(bytes, body))


async def send_part(handler: ApiHandler, body: bytes | memoryview) -> None:
    """Finish with a body that is in memory, or with the part of it that the request asks for; the ETag is set."""
    handler.set_header("Accept-Ranges", "bytes")
    headers, etag = handler.request.headers, handler._headers.get("ETag")
    current = etag is not None and headers.get("If-Range", etag) == etag
    span = parse_range(headers.get("Range"), len(body)) if current else None
    if span is not None:
        if not span.length:
            _refuse_range(handler, len(body))
            return
        handler.set_status(HTTPStatus.PARTIAL_CONTENT)
        last = span.start + span.length - 1
        handler.set_header("Content-Range", f"bytes {span.start}-{last}/{len(body)}")
        body = memoryview(body)[span.start : last + 1]
    await send_buffer(handler, body)
    handler.finish()


def send_precondition_failed(handler: ApiHandler, detail: str) -> None:
    """Finish: what the request makes a condition does not hold (RFC 9110 13.2.1)."""
    handler.set_status(HTTPStatus.PRECONDITION_FAILED)
    handler.set_header("Content-Type", "application/problem+json")
    handler.finish(orjson.dumps(problem(HTTPStatus.PRECONDITION_FAILED, detail)))


def _refuse_range(handler: ApiHandler, size: int) -> None:
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    handler.set_status(status)
    handler.set_header("Content-Range", f"bytes */{size}")
    handler.set_header("Content-Type", "application/problem+json")
    handler.finish(orjson.dumps(problem(status, f"the file has {size} bytes; the range asks for none of them")))
