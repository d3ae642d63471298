"""Responses with one value of a dataset: whole or a range of it, by itself or as the part of a multipart response."""

from collections.abc import Sequence
from http import HTTPStatus

from neurdicom.archive.documents import PDF
from neurdicom.dicomweb.base import DicomWebHandler
from neurdicom.http.accept import Offer
from neurdicom.http.downloads import Download, send_download
from neurdicom.http.multipart import Part, one, send_multipart
from neurdicom.http.ranges import parse_range

#: Types that browsers show without running anything in them, or in a place of its own.
_HARMLESS = (PDF, "application/octet-stream")


async def send_value(
    handler: DicomWebHandler, value: Download, media_types: Sequence[str], syntax: str | None = None
) -> None:
    """Finish with a value in one of several media types, as the client prefers.

    Parameters
    ----------
    handler : DicomWebHandler
        Answers the request.
    value : Download
        The value.
    media_types : sequence of str
        Those that it can be given as, the preferred first.
    syntax : str, optional
        Transfer Syntax UID that a client may name; by default any.

    Raises
    ------
    NotAvailable
        The client accepts none of them.
    """
    syntaxes = None if syntax is None else frozenset({syntax})
    forms = [(name, multipart) for multipart in (False, True) for name in media_types]
    choice = handler.negotiate([Offer(name, multipart, syntaxes) for name, multipart in forms])
    media_type = choice.offer.media_type
    if not media_type.startswith("video/") and media_type not in _HARMLESS:
        handler.set_header("Content-Security-Policy", "sandbox")  # XML may bring scripts
    if not choice.offer.multipart:
        await send_download(handler, value, media_type=media_type, filename="")
        return
    handler.set_header("Accept-Ranges", "bytes")
    if handler.not_modified(value.etag, multipart=True):
        return
    span = parse_range(handler.request.headers.get("Range"), value.size)
    part = Part(media_type, value.read, value.size)
    if span is not None and span.length:
        handler.set_status(HTTPStatus.PARTIAL_CONTENT)
        last = span.start + span.length - 1
        headers = {"Content-Range": f"bytes {span.start}-{last}/{value.size}"}
        part = Part(media_type, lambda: value.read(span.start, span.length), span.length, headers)
    await send_multipart(handler, media_type, one(part), single=True)
