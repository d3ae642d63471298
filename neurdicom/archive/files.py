"""Files of instances in a transfer syntax that the receiver accepts."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from neurdicom.archive.lookup import locate_instance
from neurdicom.archive.render import RenderService
from neurdicom.archive.retrieve import RetrieveService
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Invalid, NotAvailable, PluginError


class File(Protocol):
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


@dataclass(frozen=True, slots=True)
class FileInSyntax:
    """File to be sent, and the UID of its transfer syntax."""

    download: File
    syntax: str


class FileService:
    """Service that gives files as they are stored where the receiver accepts that, and transcodes others."""

    def __init__(self, catalog: Catalog, retrieve: RetrieveService, render: RenderService) -> None:
        self._catalog = catalog
        self._retrieve = retrieve
        self._render = render

    async def require_all(self, level: Level, entity: str) -> None:
        """Refuse an entity if any of its files is damaged. Raises `Damaged`."""
        await self._retrieve.require_all(level, entity)

    async def give(self, instance: str, syntaxes: Sequence[str] | None = None, *, strict: bool = False) -> FileInSyntax:
        """Give an instance's file, edits applied.

        Parameters
        ----------
        instance : str
            Key or SOP Instance UID.
        syntaxes : sequence of str, optional
            UIDs of transfer syntaxes, the preferred first; None accepts any.
        strict : bool
            Refuse a file that none of the transfer syntaxes can hold; otherwise it is given as stored.

        Raises
        ------
        NotFound
            There is no such instance.
        Damaged
            Its file is damaged.
        NotAvailable
            None of the transfer syntaxes can hold it.
        """
        location = await locate_instance(self._catalog, instance)
        stored = location.layout["transfer_syntax"]
        if syntaxes is None or stored in syntaxes:
            return FileInSyntax(await self._retrieve.file(instance), stored)
        reasons = []
        for syntax in syntaxes:
            try:
                return FileInSyntax(await self._render.transcode(instance, syntax), syntax)
            except (NotAvailable, Invalid) as error:  # what is no UID is no transfer syntax either
                reasons.append(str(error))
            except PluginError as error:  # a worker that crashed
                if strict:
                    raise
                reasons.append(str(error))
        if strict:
            raise NotAvailable("; ".join(dict.fromkeys(reasons)))
        return FileInSyntax(await self._retrieve.file(instance), stored)
