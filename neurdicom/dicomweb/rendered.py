"""WADO-RS rendered resources and thumbnails (PS3.18 10.4)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, ClassVar

from neurdicom.archive.bulk import BulkService
from neurdicom.archive.documents import DOCUMENTS, PDF, Document, document_of
from neurdicom.archive.lookup import check_frames, frame_count
from neurdicom.archive.render import ImageOptions, RenderService
from neurdicom.archive.targets import Target, TargetService
from neurdicom.catalog.records import Location
from neurdicom.dicom.codec.transfer_syntaxes import VIDEO_MEDIA_TYPES
from neurdicom.dicom.identity import uid_of
from neurdicom.dicomweb.base import ACCEPT, TAG, DicomWebHandler
from neurdicom.dicomweb.frames import FRAMES, parse_frames
from neurdicom.dicomweb.pictures import PARAMETERS, QUALITY_OF_LOSSY, VIEWPORT, WINDOW
from neurdicom.dicomweb.values import send_value
from neurdicom.errors import Invalid, NotAvailable
from neurdicom.http.accept import Offer
from neurdicom.http.downloads import send_buffer
from neurdicom.http.multipart import Part, send_multipart
from neurdicom.http.operation import BINARY, operation

PICTURES = ("image/jpeg", "image/png", "image/webp")

THUMBNAIL_SIZE = 200

_ANSWERS: dict[int, Any] = {
    200: {
        "description": "The picture.",
        "content": {
            name: {"schema": BINARY}
            for name in (
                *(*PICTURES, "multipart/related"),
                *dict.fromkeys((*DOCUMENTS.values(), *VIDEO_MEDIA_TYPES.values())),
            )
        },
    },
    206: {"description": "The requested range of a document or video.", "content": {PDF: {"schema": BINARY}}},
    304: "The client's copy is current.",
}


class PictureHandler(DicomWebHandler):
    """Base class of handlers that send pictures and documents."""

    stops_with_client = True
    renderer: RenderService
    bulk: BulkService

    async def send_picture(self, location: Location, options: ImageOptions, media_type: str) -> None:
        """Finish with the picture of one frame.

        Parameters
        ----------
        location : Location
            The instance.
        options : ImageOptions
            Frame, size, window and format.
        media_type : str
            Media type of the format.
        """
        if self.not_modified(await self.renderer.identity(location, options)):
            return
        reply = await self.renderer.image_at(location, options)
        self.set_header("Content-Type", media_type)
        await send_buffer(self, reply.body)
        self.finish()

    async def send_document(self, location: Location, document: Document) -> None:
        """Finish with a document, or with the requested range of it. Raises `NotAvailable`."""
        await send_value(self, await self.bulk.find(location, document.path), [document.media_type])


class Rendered(PictureHandler):
    """Handler for the picture of an instance or its frames, or of a representative one of a series or a study."""

    targets: TargetService

    thumbnail: ClassVar[bool] = False

    @operation(
        "Get a picture",
        tag=TAG,
        description=(
            "A series or a study is represented by the middle slice of its first series with pixels. Several frames "
            "are the parts of one multipart response. An encapsulated document and a video are returned as they are. "
            "`annotation` is refused: nothing is burned into pictures."
        ),
        path=FRAMES,
        query=[ACCEPT, *PARAMETERS],
        answers=_ANSWERS,
    )
    async def get(
        self, study: str, series: str | None = None, instance: str | None = None, frames: str | None = None
    ) -> None:
        """Answer with the picture."""
        options = self._options()
        numbers = None if frames is None else parse_frames(frames)
        location = await self.targets.representative(Target(study, series, instance))
        document = document_of(location)
        if document is not None and self.thumbnail:
            raise NotAvailable(f"this is {document.media_type}, of which there is no thumbnail")
        if document is not None:
            await self.send_document(location, document)
            return
        frames_of = self._frames(location, numbers, middle=self.thumbnail or instance is None)
        several = len(frames_of) > 1
        forms = (True,) if several else (False, True)
        choice = self.negotiate([Offer(name, multipart) for multipart in forms for name in PICTURES])
        media_type = choice.offer.media_type
        options = replace(options, format=media_type.removeprefix("image/"), frame=frames_of[0])
        if choice.offer.multipart:
            await send_multipart(self, media_type, self._parts(location, options, frames_of))
        else:
            await self.send_picture(location, options, media_type)

    def _frames(self, location: Location, numbers: list[int] | None, *, middle: bool) -> list[int]:
        """List the frames to render. Raises `NotFound` or `NotAvailable`."""
        if location.layout.get("pixel_keyword") is None:
            raise NotAvailable(f"the instance {uid_of(location.instance)!r} has no pixels and can't be rendered")
        check_frames(location, numbers or ())
        return numbers or [(frame_count(location) + 1) // 2 if middle else 1]

    def _options(self) -> ImageOptions:
        if self.query("annotation") is not None:
            raise Invalid("annotation is not possible: nothing is burned into pictures here", field="annotation")
        options = ImageOptions()
        if (window := WINDOW.of(self)) is not None:
            values, function = window
            options = replace(options, window=values, function=function)
        if (quality := QUALITY_OF_LOSSY.of(self)) is not None:
            options = replace(options, quality=quality)
        if (viewport := VIEWPORT.of(self)) is not None:
            width, height, region = viewport
            options = replace(options, width=width, height=height, region=region)
        elif self.thumbnail:
            options = replace(options, width=THUMBNAIL_SIZE, height=THUMBNAIL_SIZE, enlarge=False)
        return options

    async def _parts(self, location: Location, options: ImageOptions, frames: list[int]) -> AsyncIterator[Part]:
        for frame in frames:
            reply = await self.renderer.image_at(location, replace(options, frame=frame))
            yield Part.of(f"image/{options.format}", reply.body)


class Thumbnail(Rendered):
    """Handler for a small picture; of several frames, the middle one."""

    thumbnail = True

    @operation(
        "Get a thumbnail",
        tag=TAG,
        description=f"It fits into {THUMBNAIL_SIZE} x {THUMBNAIL_SIZE} pixels unless `viewport` gives another size.",
        path=FRAMES,
        query=[ACCEPT, *PARAMETERS],
        answers=_ANSWERS,
    )
    async def get(
        self, study: str, series: str | None = None, instance: str | None = None, frames: str | None = None
    ) -> None:
        """Answer with the picture."""
        await super().get(study, series, instance, frames)
