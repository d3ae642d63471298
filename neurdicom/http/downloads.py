"""Downloads of files: streamed in constant memory, resumable (RFC 9110 section 14), with a validator."""

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

#: Most bytes that are copied to be sent with the headers, which costs less than another system call.
_COPIED = 1 << 20

MEDIA_TYPE = "application/dicom"


class Download(Protocol):
    """DICOM file to be sent."""

    @property
    def instance(self) -> str:
        """SOP Instance UID."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    @property
    def etag(self) -> str:
        """Strong validator, without quotes."""

    def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part in pieces of bounded size."""


async def send_download(
    handler: ApiHandler, download: Download, *, media_type: str = MEDIA_TYPE, filename: str | None = None
) -> None:
    """Finish with a file, or with the requested range of it.

    Parameters
    ----------
    handler : ApiHandler
        Answers the request.
    download : Download
        The file.
    media_type : str
        Content-Type.
    filename : str, optional
        For Content-Disposition; by default made from the SOP Instance UID, empty: none.
    """
    etag = f'"{download.etag}"'
    handler.set_header("ETag", etag)
    handler.set_header("Accept-Ranges", "bytes")
    if handler.check_etag_header():
        handler.set_status(HTTPStatus.NOT_MODIFIED)
        handler.finish()
        return
    headers = handler.request.headers
    # A range of a file that has changed would not fit the client's other ranges.
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
    """Finish a HEAD by hand: Tornado would send the length, and the hash, of the empty body."""
    if await handler.flush_to_client():
        handler.finish()


async def send_stream(handler: ApiHandler, pieces: AsyncIterator[bytes]) -> None:
    """Write pieces as fast as the client takes them; stop quietly when it disconnects."""
    # A generator is closed at once, so that no file stays open when the client disconnects.
    async with aclosing(cast(AsyncGenerator[bytes, None], pieces)) as source:
        async for piece in source:
            handler.write(piece)
            try:
                await handler.flush()
            except StreamClosedError:
                return


async def send_buffer(handler: ApiHandler, body: bytes | memoryview) -> None:
    """Write a body whole; stop quietly when the client disconnects."""
    handler.set_header("Content-Length", str(len(body)))
    with suppress(StreamClosedError):
        if len(body) <= _COPIED:
            handler.write(bytes(body))
            await handler.flush()
            return
        await handler.flush()
        if handler.request.method != "HEAD":
            # RequestHandler.write takes bytes only; the stream below takes any buffer without a copy.
            await cast(HTTPConnection, handler.request.connection).write(cast(bytes, body))


async def send_part(handler: ApiHandler, body: bytes | memoryview) -> None:
    """Finish with a body in memory, or with the requested range of it; the ETag is set already."""
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
    """Finish with 412, since a condition of the request does not hold (RFC 9110 13.2.1)."""
    handler.set_status(HTTPStatus.PRECONDITION_FAILED)
    handler.set_header("Content-Type", "application/problem+json")
    handler.finish(orjson.dumps(problem(HTTPStatus.PRECONDITION_FAILED, detail)))


def _refuse_range(handler: ApiHandler, size: int) -> None:
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    handler.set_status(status)
    handler.set_header("Content-Range", f"bytes */{size}")
    handler.set_header("Content-Type", "application/problem+json")
    handler.finish(orjson.dumps(problem(status, f"the file has {size} bytes; the requested range has none of them")))
