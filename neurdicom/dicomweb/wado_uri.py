"""WADO-URI (PS3.18 9): one instance by query parameters, as a picture or as its file."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from neurdicom.archive.documents import DOCUMENTS, document_of
from neurdicom.archive.files import FileService
from neurdicom.archive.lookup import check_frames
from neurdicom.archive.render import ImageOptions
from neurdicom.archive.targets import Target, TargetService
from neurdicom.catalog.records import Location
from neurdicom.dicom.uids import UID_FORM, check_conformant_uid
from neurdicom.dicomweb.base import TAG
from neurdicom.dicomweb.pictures import FRAME, NUMBER, QUALITY, SIZE, Region, frame_of, number_of, quality_of, size_of
from neurdicom.dicomweb.rendered import PICTURES, PictureHandler
from neurdicom.errors import Invalid, NotAvailable
from neurdicom.http.accept import ANY, Choice, Offer, choose, parse_accept
from neurdicom.http.downloads import MEDIA_TYPE, send_download
from neurdicom.http.operation import BINARY, operation
from neurdicom.http.parameters import described_parameter, parsed_parameter, text_parameter
from neurdicom.schema import Schema
from neurdicom.schema.texts import whole_text

_REFUSED = {
    "anonymize": "instances are not anonymized here",
    "annotation": "nothing is burned into pictures here",
    "presentationUID": "presentation states are not applied here",
}

_UID: Schema = whole_text(rf"{UID_FORM}(~[0-9a-f]{{8}})?")

_REQUEST_TYPE = text_parameter("requestType", "`WADO`.", None, schema={"const": "WADO"}, required=True)
_STUDY = text_parameter("studyUID", "Study Instance UID.", "", schema=_UID)
_SERIES = text_parameter("seriesUID", "Series Instance UID.", "", schema=_UID)
_OBJECT = text_parameter("objectUID", "SOP Instance UID.", None, schema=_UID, required=True)
_CONTENT_TYPE = text_parameter(
    "contentType",
    f"Accepted media types, preferred first, of {', '.join((*PICTURES, MEDIA_TYPE, *DOCUMENTS.values()))}.",
    None,
)
_FRAME = parsed_parameter("frameNumber", "The frame of a picture, from 1.", frame_of, {**FRAME, "default": 1})
_ROWS = parsed_parameter("rows", "Most rows of a picture.", partial(size_of, name="rows"), SIZE)
_COLUMNS = parsed_parameter("columns", "Most columns of a picture.", partial(size_of, name="columns"), SIZE)
_REGION = text_parameter("region", "Left, top, right and bottom of the region to show, from 0 to 1.", None)
_CENTER = parsed_parameter(
    "windowCenter", "Window center; requires windowWidth.", partial(number_of, name="windowCenter"), NUMBER
)
_WIDTH = parsed_parameter(
    "windowWidth", "Window width; requires windowCenter.", partial(number_of, name="windowWidth"), NUMBER
)
_QUALITY = parsed_parameter(
    "imageQuality", "Quality of lossy formats, 1 to 100.", partial(quality_of, name="imageQuality"), QUALITY
)
_SYNTAX = text_parameter(
    "transferSyntax",
    "Transfer Syntax UID of a file, or `*` as it is stored; by default Explicit VR Little Endian (setting "
    "`dicomweb_transfer_syntax`).",
    None,
)
_PARAMETERS = (
    *(_REQUEST_TYPE, _STUDY, _SERIES, _OBJECT, _CONTENT_TYPE, _FRAME, _ROWS, _COLUMNS, _REGION),
    *(_CENTER, _WIDTH, _QUALITY, _SYNTAX),
    *(described_parameter(name, f"Only `no` is possible: {why}.", {"const": "no"}) for name, why in _REFUSED.items()),
)
_ANSWERS: dict[int, Any] = {
    200: {
        "description": "The picture or the file.",
        "content": {
            name: {"schema": BINARY} for name in (*PICTURES, MEDIA_TYPE, *DOCUMENTS.values(), "video/mp4", "video/mpeg")
        },
    },
    206: {"description": "The requested range of a file.", "content": {MEDIA_TYPE: {"schema": BINARY}}},
    304: "The client's copy is current.",
}


class WadoUri(PictureHandler):
    """Handler for WADO-URI, `/wado?requestType=WADO&...`."""

    targets: TargetService
    files: FileService

    @operation(
        "Get an instance as a picture or as its file (WADO-URI)",
        tag=TAG,
        description=(
            "`studyUID` and `seriesUID` may be left out where the others name one instance. Unknown parameters are "
            "ignored."
        ),
        query=_PARAMETERS,
        answers=_ANSWERS,
    )
    async def get(self) -> None:
        """Answer with the picture or the file."""
        location = await self.targets.locate(self._target())
        for name, why in _REFUSED.items():
            if self.query(name) not in (None, "no"):
                raise Invalid(f"{name} is not possible: {why}", field=name)
        document = document_of(location)
        if document is not None:
            offers = [Offer(document.media_type)]
        elif location.layout.get("pixel_keyword") is not None:
            offers = [Offer(name) for name in PICTURES]
        else:
            offers = []
        media_type = self.negotiate([*offers, Offer(MEDIA_TYPE)]).offer.media_type
        if media_type == MEDIA_TYPE:
            await self._send_file(location)
        elif document is not None:
            await self.send_document(location, document)
        else:
            await self.send_picture(location, self._picture(location, media_type), media_type)

    def query(self, name: str) -> str | None:
        """Get a query parameter; an empty one, which some clients send, counts as absent."""
        return super().query(name) or None

    def negotiate(self, offers: Sequence[Offer], *, in_order: bool = False) -> Choice:
        """Choose by `contentType`, by default the first; the Accept header is ignored. Raises `NotAvailable`."""
        wanted = _CONTENT_TYPE.of(self)
        if wanted is None:
            return Choice(offers[0])
        choice = choose(parse_accept(wanted), offers)
        if choice is None:
            possible = ", ".join(map(str, offers))
            raise NotAvailable(f"contentType is {wanted[:500]!r}; {possible} is available", field="contentType")
        return choice

    async def _send_file(self, location: Location) -> None:
        syntax = _SYNTAX.of(self)
        wanted = syntax or self.default_syntax
        syntaxes = None if wanted == ANY else [check_conformant_uid(wanted, "transferSyntax")]
        given = await self.files.give(location.instance, syntaxes, strict=syntax is not None)
        await send_download(self, given.download)

    def _target(self) -> Target:
        kind = _REQUEST_TYPE.of(self)
        if (kind or "").upper() != "WADO":
            raise Invalid(f"requestType is {kind!r}; WADO is expected", field="requestType")
        instance = _OBJECT.of(self)
        if instance is None:
            raise Invalid("objectUID is missing", field="objectUID")
        return Target(_STUDY.of(self), _SERIES.of(self), instance)

    def _picture(self, location: Location, media_type: str) -> ImageOptions:
        number = _FRAME.of(self)
        frame = 1 if number is None else number
        check_frames(location, [frame])
        options = ImageOptions(
            format=media_type.removeprefix("image/"),
            frame=frame,
            height=_ROWS.of(self),
            width=_COLUMNS.of(self),
            window=self._window(),
            region=self._region(location),
        )
        quality = _QUALITY.of(self)
        return options if quality is None else replace(options, quality=quality)

    def _window(self) -> tuple[float, float] | None:
        center, width = _CENTER.of(self), _WIDTH.of(self)
        if center is None and width is None:
            return None
        if center is None or width is None:
            missing = "windowCenter" if center is None else "windowWidth"
            raise Invalid(f"{missing} is missing; windowCenter and windowWidth require each other", field=missing)
        if not width > 0:
            raise Invalid(f"windowWidth is {width:g}; more than 0 is expected", field="windowWidth")
        return center, width

    def _region(self, location: Location) -> Region | None:
        text = _REGION.of(self)
        if text is None:
            return None
        parts = text.split(",")
        values = [number_of(part.strip(), "region") for part in parts] if len(parts) == 4 else []
        if len(values) != 4 or not (0 <= values[0] < values[2] <= 1 and 0 <= values[1] < values[3] <= 1):
            raise Invalid(f"region is {text[:100]!r}; left,top,right,bottom from 0 to 1 are expected", field="region")
        columns, rows = location.layout.get("columns") or 1, location.layout.get("rows") or 1
        left, top, right, bottom = (value * size for value, size in zip(values, (columns, rows) * 2, strict=True))
        return left, top, right - left, bottom - top
