"""WADO-RS frames (PS3.18 10.4.1.1.6): as they are stored, or decoded and encoded in the accepted transfer syntax."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

from neurdicom.archive.frames import FrameData, FrameService
from neurdicom.archive.targets import Target, TargetService
from neurdicom.catalog.records import Location
from neurdicom.dicom.codec.transfer_syntaxes import (
    ENCODED,
    EXPLICIT,
    FRAME_MEDIA_TYPES,
    NATIVE,
    OCTET_STREAM,
    UNCOMPRESSED,
    frame_media_type,
)
from neurdicom.dicomweb.base import ACCEPT, TAG, DicomWebHandler
from neurdicom.errors import Malformed
from neurdicom.http.accept import ANY, Choice, Offer
from neurdicom.http.downloads import send_head, send_stream
from neurdicom.http.multipart import Part, send_multipart
from neurdicom.http.operation import BINARY, operation
from neurdicom.schema.texts import whole_text

#: Most frames that one request may name.
MAX_FRAMES = 10_000

#: Frame lists in paths.
FRAMES = {"frames": whole_text("[0-9]{1,10}(,[0-9]{1,10})*")}
_LIST = re.compile(FRAMES["frames"]["pattern"])

_ANSWERS: dict[int, Any] = {
    200: {
        "description": "The frames.",
        "content": {
            name: {"schema": BINARY}
            for name in ("multipart/related", OCTET_STREAM, *dict.fromkeys(FRAME_MEDIA_TYPES.values()))
        },
    },
    304: "The client's copy is current.",
}


class Frames(DicomWebHandler):
    """Handler for frames of an instance."""

    stops_with_client = True
    frames: FrameService
    targets: TargetService

    @operation(
        "Get frames of an instance",
        tag=TAG,
        description=(
            "`frames` are numbers from 1, separated by commas. Without a transfer syntax in Accept, they are returned "
            "in Explicit VR Little Endian (setting `dicomweb_transfer_syntax`), or as they are stored where they can't "
            "be decoded; with `transfer-syntax=*` as they are stored."
        ),
        query=[ACCEPT],
        path=FRAMES,
        answers=_ANSWERS,
    )
    async def get(self, study: str, series: str, instance: str, frames: str | None = None) -> None:
        """Stream the frames."""
        numbers = None if frames is None else parse_frames(frames)
        location = await self.targets.locate(Target(study, series, instance))
        await self.send_frames(location, numbers)

    async def send_frames(self, location: Location, frames: list[int] | None) -> None:
        """Finish with frames of an instance, all of them for None."""
        stored, numbers = self.frames.check(location, frames)
        decoded = self.default_syntax != ANY and not self._names(frame_media_type(stored))
        choice = self.negotiate(offers(stored, single=len(numbers) == 1, decoded=decoded), in_order=True)
        syntax = syntax_of(choice, stored)
        lenient = syntax == EXPLICIT and choice.syntaxes[0] is None and self.default_syntax != ANY
        validator = f"{location.blob.sha256[:32]}-{syntax}{'-or-stored' if lenient else ''}"
        if self.not_modified(validator, multipart=choice.offer.multipart):
            return
        found = self.frames.read(location, numbers, syntax, lenient=lenient)
        async with aclosing(cast(AsyncGenerator[FrameData, None], found)) as source:
            # The first one tells whether they can be decoded, and so the type of the answer.
            frame = await anext(source)
            if choice.offer.multipart:
                parts = _parts(frame, source)
                await send_multipart(self, frame_media_type(frame.syntax), parts, single=len(numbers) == 1)
                return
            self.set_header("Content-Type", _content_type(frame))
            self.set_header("Content-Length", str(frame.size))
            if self.request.method == "HEAD":
                await send_head(self)
                return
            await send_stream(self, frame.read())
            self.finish()

    def _names(self, media_type: str) -> bool:
        """Tell whether the client names a media type, rather than taking any."""
        return any(each.media_type == media_type for each in self.accepted())


async def _parts(first: FrameData, rest: AsyncIterator[FrameData]) -> AsyncIterator[Part]:
    yield Part(_content_type(first), first.read, first.size)
    async for frame in rest:
        yield Part(_content_type(frame), frame.read, frame.size)


def _content_type(frame: FrameData) -> str:
    # Native cells are returned in little endian, whatever they are stored in.
    syntax = EXPLICIT if frame.syntax in NATIVE else frame.syntax
    return f"{frame_media_type(frame.syntax)}; transfer-syntax={syntax}"


def offers(stored: str, *, single: bool, decoded: bool = False) -> list[Offer]:
    """List the representations of frames that are stored in a transfer syntax, the preferred first.

    Parameters
    ----------
    stored : str
        Transfer Syntax UID.
    single : bool
        One frame is requested, which needs no multipart response.
    decoded : bool
        Prefer decoded frames to stored ones.
    """
    given = [(frame_media_type(stored), frozenset({stored})), (OCTET_STREAM, UNCOMPRESSED | {stored})]
    if stored in NATIVE:
        del given[0]
    elif decoded:
        given.reverse()
    given += [(media_type, frozenset(syntaxes)) for media_type, syntaxes in ENCODED.items()]
    forms = (True, False) if single else (True,)
    return [Offer(media_type, multipart, syntaxes) for multipart in forms for media_type, syntaxes in given]


def syntax_of(choice: Choice, stored: str) -> str:
    """Choose the transfer syntax of the returned frames."""
    media_type, wanted = choice.offer.media_type, choice.syntaxes[0]
    if wanted == stored or (stored in NATIVE and media_type == OCTET_STREAM):
        return stored
    if wanted == ANY and media_type == OCTET_STREAM:
        return stored  # viewers expect the codestream, whatever its type
    if wanted not in (None, ANY):
        return str(wanted)
    if media_type == frame_media_type(stored) and stored in (choice.offer.syntaxes or ()):
        # Octets without a transfer syntax are decoded, unless a codestream has no other type.
        return stored if media_type != OCTET_STREAM or len(choice.offer.syntaxes or ()) == 1 else EXPLICIT
    return EXPLICIT if media_type == OCTET_STREAM else ENCODED[media_type][0]


def parse_frames(text: str) -> list[int]:
    """Read a frame list. Raises `Malformed`."""
    if not _LIST.fullmatch(text):
        raise Malformed(f"the frame list is {text[:100]!r}; numbers from 1, separated by commas, are expected")
    numbers = [int(number) for number in text.split(",")]
    if len(numbers) > MAX_FRAMES:
        raise Malformed(f"the frame list names {len(numbers)} frames; at most {MAX_FRAMES} are expected")
    return numbers
