"""Files of instances in a transfer syntax that the receiver takes."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from neurdicom.archive.lookup import locate_instance
from neurdicom.archive.render import RenderService
from neurdicom.archive.retrieve import RetrieveService
from neurdicom.catalog.base import Catalog
from neurdicom.errors import NotAvailable


class File(Protocol):
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


@dataclass(frozen=True, slots=True)
class Given:
    """A file, and the transfer syntax that it is in."""

    download: File
    syntax: str


class FileService:
    """Gives files as they are stored where that will do, and transcodes them where it will not."""

    def __init__(self, catalog: Catalog, retrieve: RetrieveService, render: RenderService) -> None:
        self._catalog = catalog
        self._retrieve = retrieve
        self._render = render

    async def give(self, instance: str, syntaxes: Sequence[str] | None = None, *, strict: bool = False) -> Given:
        """Give an instance's file, edits applied.

        Parameters
        ----------
        instance : str
            SOP Instance UID.
        syntaxes : sequence of str, optional
            UIDs of transfer syntaxes, best first; None takes any.
        strict : bool
            What can be given in none of them is refused; otherwise it comes as it is stored.

        Raises
        ------
        NotFound
            There is no such instance.
        NotAvailable
            It can be given in none of the transfer syntaxes.
        """
        location = await locate_instance(self._catalog, instance)
        stored = location.layout["transfer_syntax"]
        if syntaxes is None or stored in syntaxes:
            return Given(await self._retrieve.file(instance), stored)
        reasons = []
        for syntax in syntaxes:
            try:
                return Given(await self._render.transcode(instance, syntax), syntax)
            except NotAvailable as error:
                reasons.append(str(error))
        if strict:
            raise NotAvailable("; ".join(dict.fromkeys(reasons)))
        return Given(await self._retrieve.file(instance), stored)
