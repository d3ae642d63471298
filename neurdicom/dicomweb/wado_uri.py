"""WADO-URI (PS3.18 9): one instance by query parameters, as a picture or as its file."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from neurdicom.archive.files import FileService
from neurdicom.archive.render import ImageOptions
from neurdicom.archive.targets import Target, TargetService
from neurdicom.catalog.base import Location
from neurdicom.dicom.uids import check_uid
from neurdicom.dicomweb.accept import ANY, Choice, Offer, choose, parse_accept
from neurdicom.dicomweb.base import TAG
from neurdicom.dicomweb.pictures import Region, number_of, quality_of, size_of
from neurdicom.dicomweb.rendered import PDF, PICTURES, PictureHandler, document_of
from neurdicom.errors import Invalid, NotAvailable, NotFound
from neurdicom.http.downloads import MEDIA_TYPE, send_download
from neurdicom.http.operation import BINARY, Parameter, operation

_REFUSED = {
    "anonymize": "instances are not anonymized here",
    "annotation": "nothing is burned into pictures here",
    "presentationUID": "presentation states are not applied here",
}

_PARAMETERS = (
    Parameter("requestType", "`WADO`.", {"const": "WADO"}, required=True),
    Parameter("studyUID", "Study Instance UID."),
    Parameter("seriesUID", "Series Instance UID."),
    Parameter("objectUID", "SOP Instance UID.", required=True),
    Parameter("contentType", f"Media types, best first: {', '.join((*PICTURES, MEDIA_TYPE, PDF))}."),
    Parameter("frameNumber", "The frame of a picture, from 1.", {"type": "integer", "minimum": 1, "default": 1}),
    Parameter("rows", "Most rows of a picture.", {"type": "integer", "minimum": 1}),
    Parameter("columns", "Most columns of a picture.", {"type": "integer", "minimum": 1}),
    Parameter("region", "Left, top, right and bottom of what is shown, from 0 to 1."),
    Parameter("windowCenter", "Goes with windowWidth.", {"type": "number"}),
    Parameter("windowWidth", "Goes with windowCenter.", {"type": "number"}),
    Parameter("imageQuality", "Of lossy formats.", {"type": "integer", "minimum": 1, "maximum": 100}),
    Parameter("transferSyntax", "Of a file; as it is stored without."),
    *(Parameter(name, f"Refused: {why}.") for name, why in _REFUSED.items()),
)
_ANSWERS: dict[int, Any] = {
    200: {
        "description": "The picture or the file.",
        "content": {name: {"schema": BINARY} for name in (*PICTURES, MEDIA_TYPE, PDF, "video/mp4", "video/mpeg")},
    },
    206: {"description": "The part asked for, of a file.", "content": {MEDIA_TYPE: {"schema": BINARY}}},
    304: "The client's copy is current.",
}


class WadoUri(PictureHandler):
    """`/wado?requestType=WADO&...`."""

    targets: TargetService
    files: FileService

    @operation(
        "Get an instance as a picture or as its file (WADO-URI)",
        tag=TAG,
        description="`studyUID` and `seriesUID` may be left out. Unknown parameters are ignored.",
        query=_PARAMETERS,
        answers=_ANSWERS,
    )
    async def get(self) -> None:
        """Answer it."""
        location = await self.targets.locate(self._target())
        for name, why in _REFUSED.items():
            if self.query(name) not in (None, "", "no"):
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

    def negotiate(self, offers: Sequence[Offer], *, in_order: bool = False) -> Choice:
        """Choose by `contentType`; the first without it, whatever a browser's Accept says. Raises `NotAvailable`."""
        wanted = self.query("contentType")
        if not wanted:
            return Choice(offers[0])
        choice = choose(parse_accept(wanted), offers)
        if choice is None:
            possible = ", ".join(map(str, offers))
            raise NotAvailable(f"contentType is {wanted[:500]!r}; {possible} can be given", field="contentType")
        return choice

    async def _send_file(self, location: Location) -> None:
        syntax = self.query("transferSyntax")
        syntaxes = None if syntax in (None, "", ANY) else [check_uid(syntax or "", "transferSyntax")]
        given = await self.files.give(location.instance, syntaxes, strict=True)
        await send_download(self, given.download)

    def _target(self) -> Target:
        kind = self.query("requestType")
        if (kind or "").upper() != "WADO":
            raise Invalid(f"requestType is {kind!r}; WADO is expected", field="requestType")
        instance = self.query("objectUID")
        if not instance:
            raise Invalid("objectUID is missing", field="objectUID")
        return Target(self.query("studyUID") or "", self.query("seriesUID") or "", instance)

    def _picture(self, location: Location, media_type: str) -> ImageOptions:
        options = ImageOptions(format=media_type.removeprefix("image/"))
        frame = self.query("frameNumber") or "1"
        count = max(location.layout.get("number_of_frames") or 1, 1)
        if not re.fullmatch(r"[0-9]{1,9}", frame):
            raise Invalid(f"frameNumber is {frame[:50]!r}; an integer from 1 is expected", field="frameNumber")
        if not 1 <= int(frame) <= count:
            raise NotFound(f"there is no frame {frame}; the instance {location.instance!r} has 1 to {count}")
        options = replace(options, frame=int(frame))
        if rows := self.query("rows"):
            options = replace(options, height=size_of(rows, "rows"))
        if columns := self.query("columns"):
            options = replace(options, width=size_of(columns, "columns"))
        if quality := self.query("imageQuality"):
            options = replace(options, quality=quality_of(quality, "imageQuality"))
        return replace(options, window=self._window(), region=self._region(location))

    def _window(self) -> tuple[float, float] | None:
        center, width = self.query("windowCenter"), self.query("windowWidth")
        if not center and not width:
            return None
        if not center or not width:
            missing = "windowWidth" if center else "windowCenter"
            raise Invalid(f"{missing} is missing; windowCenter and windowWidth go together", field=missing)
        values = number_of(center, "windowCenter"), number_of(width, "windowWidth")
        if not values[1] > 0:
            raise Invalid(f"windowWidth is {width[:50]}; more than 0 is expected", field="windowWidth")
        return values

    def _region(self, location: Location) -> Region | None:
        text = self.query("region")
        if not text:
            return None
        parts = text.split(",")
        values = [number_of(part.strip(), "region") for part in parts] if len(parts) == 4 else []
        if len(values) != 4 or not (0 <= values[0] < values[2] <= 1 and 0 <= values[1] < values[3] <= 1):
            raise Invalid(f"region is {text[:100]!r}; left,top,right,bottom from 0 to 1 are expected", field="region")
        columns, rows = location.layout.get("columns") or 1, location.layout.get("rows") or 1
        left, top, right, bottom = (value * size for value, size in zip(values, (columns, rows) * 2, strict=True))
        return left, top, right - left, bottom - top
