"""WADO-RS bulk data (PS3.18 10.4.1.1.5): the value of an element, or a part of it."""

from typing import Any

from neurdicom.archive.bulk import BulkService
from neurdicom.archive.documents import DOCUMENTS, ENCAPSULATED_DOCUMENT, PIXEL_DATA
from neurdicom.archive.targets import Target, TargetService
from neurdicom.dicom.codec.transfer_syntaxes import EXPLICIT, NATIVE, OCTET_STREAM, VIDEO_MEDIA_TYPES
from neurdicom.dicomweb.base import ACCEPT, TAG
from neurdicom.dicomweb.frames import Frames
from neurdicom.dicomweb.values import send_value
from neurdicom.http.operation import BINARY, operation
from neurdicom.http.parameters import text_parameter

_CONTENT = {
    name: {"schema": BINARY}
    for name in (
        *("multipart/related", OCTET_STREAM, "image/*"),
        *dict.fromkeys((*VIDEO_MEDIA_TYPES.values(), *DOCUMENTS.values())),
    )
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
            "the sequence's tag and the number of the item. Encapsulated Pixel Data is returned as frames are; a video "
            "and an encapsulated document as octets or in their own media types. Text is in UTF-8, as in the metadata."
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
        if path != PIXEL_DATA or syntax in NATIVE:
            document = DOCUMENTS.get(location.layout.get("sop_class", "")) if path == ENCAPSULATED_DOCUMENT else None
            await send_value(self, value, [OCTET_STREAM, *([document] if document else [])], EXPLICIT)
        elif syntax in VIDEO_MEDIA_TYPES:
            await send_value(self, value, [VIDEO_MEDIA_TYPES[syntax], OCTET_STREAM], syntax)
        else:
            await self.send_frames(location, None)
