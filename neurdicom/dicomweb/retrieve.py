"""WADO-RS instances (PS3.18 10.4.1.1.1): the files of a study, a series or an instance."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from neurdicom.archive.files import FileInSyntax, FileService
from neurdicom.archive.targets import Target, TargetService
from neurdicom.dicomweb.base import ACCEPT, TAG, DicomWebHandler
from neurdicom.errors import NotFound
from neurdicom.http.accept import ANY, Choice, Offer
from neurdicom.http.downloads import MEDIA_TYPE, send_download
from neurdicom.http.multipart import Part, one, send_multipart
from neurdicom.http.operation import BINARY, operation

_MANY = (Offer(MEDIA_TYPE, multipart=True),)
_ONE = (*_MANY, Offer(MEDIA_TYPE))
_CONTENT = {name: {"schema": BINARY} for name in ("multipart/related", MEDIA_TYPE)}
_ANSWERS: dict[int, Any] = {
    200: {"description": "The files, edits applied.", "content": _CONTENT},
    206: {"description": "The requested range of a single file.", "content": _CONTENT},
    304: "The client's copy is current.",
}


class Instances(DicomWebHandler):
    """Handler for the files of a study, a series or an instance."""

    targets: TargetService
    files: FileService

    @operation(
        "Get the files of a study, series or instance",
        tag=TAG,
        description=(
            "Slices are in spatial order. Without a transfer syntax in Accept, files are in Explicit VR Little "
            "Endian (setting `dicomweb_transfer_syntax`), with `transfer-syntax=*` as they are stored. A file that "
            "can't be converted is returned as it is stored too, unless it alone is requested in a transfer syntax; "
            "the Content-Type of its part names the transfer syntax."
        ),
        query=[ACCEPT],
        answers=_ANSWERS,
    )
    async def get(self, study: str, series: str | None = None, instance: str | None = None) -> None:
        """Stream the files."""
        target = Target(study, series, instance)
        choice = self.negotiate(_ONE if instance else _MANY)
        syntaxes = syntaxes_of(choice, self.default_syntax)
        if instance is None:
            # Before the answer begins: afterwards it can only be broken off.
            await self.files.require_all(target.level, await self.targets.key(target))
            await send_multipart(self, MEDIA_TYPE, self._parts(target, syntaxes))
            return
        location = await self.targets.locate(target)
        given = await self.files.give(location.instance, syntaxes, strict=None not in choice.syntaxes)
        if not choice.offer.multipart:
            await send_download(self, given.download)
        elif not self.not_modified(given.download.etag, multipart=True):
            await send_multipart(self, MEDIA_TYPE, one(_part(given)), single=True)

    async def _parts(self, target: Target, syntaxes: Sequence[str] | None) -> AsyncIterator[Part]:
        async for instance in self.targets.instances(target):
            try:
                yield _part(await self.files.give(instance, syntaxes))
            except NotFound:  # it was deleted meanwhile
                continue


def _part(given: FileInSyntax) -> Part:
    return Part(f"{MEDIA_TYPE}; transfer-syntax={given.syntax}", given.download.read, given.download.size)


def syntaxes_of(choice: Choice, default: str) -> Sequence[str] | None:
    """List the transfer syntaxes that a client accepts files in, best first; None for files as they are stored.

    Parameters
    ----------
    choice : Choice
        What the client accepts.
    default : str
        Transfer Syntax UID, or `ANY`, where it names none.
    """
    wanted = [default if each is None else each for each in choice.syntaxes]
    return None if ANY in wanted else wanted
