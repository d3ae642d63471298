"""WADO-RS bulk data (PS3.18 10.4.1.1.5): the value of an element, or a part of it."""

from http import HTTPStatus
from typing import Any

from neurdicom.archive.bulk import PIXEL_DATA, BulkService
from neurdicom.archive.targets import Target, TargetService
from neurdicom.dicom.codec.transfer_syntaxes import EXPLICIT, NATIVE, OCTET_STREAM, VIDEO_MEDIA_TYPES
from neurdicom.dicomweb.base import ACCEPT, TAG
from neurdicom.dicomweb.frames import Frames
from neurdicom.http.accept import Offer
from neurdicom.http.downloads import Download, send_download
from neurdicom.http.multipart import Part, one, send_multipart
from neurdicom.http.operation import BINARY, operation
from neurdicom.http.parameters import text_parameter
from neurdicom.http.ranges import parse_range

_CONTENT = {
    name: {"schema": BINARY}
    for name in ("multipart/related", OCTET_STREAM, "image/*", *dict.fromkeys(VIDEO_MEDIA_TYPES.values()))
}
_CLAIMS = (
    text_parameter(
        "offset",
        "Offset of the value in the file, as in the URI of the metadata; 404 if the file was replaced since.",
        None,
    ),
    text_parameter("length", "Length of the value in bytes, as in the URI of the metadata.", None),
)
_ANSWERS: dict[int, Any] = {
    200: {"description": "The value, in little endian.", "content": _CONTENT},
    206: {"description": "The requested range of the value.", "content": _CONTENT},
    304: "The client's copy is current.",
}


class Bulk(Frames):
    """Handler for the value of one element of an instance."""

    targets: TargetService
    bulk: BulkService

    @operation(
        "Get the bulk data of one element",
        tag=TAG,
        description=(
            "The URIs are those of the metadata. `path` is the element's tag; for an element in a sequence it follows "
            "the sequence's tag and the number of the item. Encapsulated Pixel Data is returned as frames are."
        ),
        query=[
            ACCEPT,
            *_CLAIMS,
        ],
        answers=_ANSWERS,
    )
    async def get(self, study: str, series: str, instance: str, path: str | None = None) -> None:
        """Stream the value."""
        location = await self.targets.locate(Target(study, series, instance))
        claims = {each.name: claim for each in _CLAIMS if (claim := each.of(self)) is not None}
        path = (path or "").rstrip("/").upper()
        value = await self.bulk.find(location, path, **claims)
        syntax = location.layout["transfer_syntax"]
        media_type = OCTET_STREAM
        if path == PIXEL_DATA and syntax not in NATIVE:
            if syntax not in VIDEO_MEDIA_TYPES:
                await self.send_frames(location, None)
                return
            media_type = VIDEO_MEDIA_TYPES[syntax]
        await self._send_value(value, media_type, syntax if media_type != OCTET_STREAM else EXPLICIT)

    async def _send_value(self, value: Download, media_type: str, syntax: str) -> None:
        syntaxes = frozenset({syntax})
        choice = self.negotiate([Offer(media_type, False, syntaxes), Offer(media_type, True, syntaxes)])
        if not choice.offer.multipart:
            await send_download(self, value, media_type=media_type, filename="")
            return
        self.set_header("Accept-Ranges", "bytes")
        if self.not_modified(value.etag, multipart=True):
            return
        span = parse_range(self.request.headers.get("Range"), value.size)
        part = Part(media_type, value.read, value.size)
        if span is not None and span.length:
            self.set_status(HTTPStatus.PARTIAL_CONTENT)
            last = span.start + span.length - 1
            headers = {"Content-Range": f"bytes {span.start}-{last}/{value.size}"}
            part = Part(media_type, lambda: value.read(span.start, span.length), span.length, headers)
        await send_multipart(self, media_type, one(part), single=True)
