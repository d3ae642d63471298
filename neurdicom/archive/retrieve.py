"""Headers and files of instances, as received or with their edits."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

import orjson

from neurdicom.archive.lookup import locate_instance, missing
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Edit, Location
from neurdicom.dicom.codec.json_model import to_tags
from neurdicom.dicom.edits.apply import apply_to_json, rewrite_header
from neurdicom.dicom.header import Layout
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: A header of more bytes would hold the event loop, so a thread edits it.
_LARGE = 64 * 1024


@dataclass(frozen=True, slots=True)
class InstanceDownload:
    """File to be sent: a new header, empty where nothing was edited, then stored bytes.

    Attributes
    ----------
    instance : str
        SOP Instance UID.
    size : int
        Bytes in all.
    etag : str
        Strong validator, without quotes.
    """

    instance: str
    size: int
    etag: str
    _blobs: BlobStore
    _key: str
    _header: bytes
    _copy_from: int

    async def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part of the file in pieces of bounded size.

        Raises
        ------
        NotFound
            It was deleted meanwhile; before the first piece.
        OSError
            The stored file is shorter than it was.
        """
        end = self.size if length is None else min(self.size, start + length)
        skipped = max(start - len(self._header), 0)
        wanted = max(end - len(self._header) - skipped, 0)
        stored = self._blobs.read(self._key, self._copy_from + skipped, wanted)
        async with aclosing(cast(AsyncGenerator[bytes, None], stored)) as pieces:
            # The file is opened before anything is sent: an answer that has begun can't become a 404.
            first = await anext(pieces, b"")
            yield self._header[start:end] + first
            read = len(first)
            async for piece in pieces:
                yield piece
                read += len(piece)
        if read < wanted:
            raise OSError(f"the file {self._key} ends {wanted - read} bytes before its {self.size}")


class RetrieveService:
    """Service that returns headers and files, with the edits applied."""

    def __init__(self, catalog: Catalog, blobs: BlobStore, guard: FileGuard) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._guard = guard

    async def header(self, instance: str) -> bytes:
        """Return all elements but bulk data in the DICOM JSON model (PS3.18 F), UTF-8. Raises `NotFound`."""
        stored, edits = await self._header_and_edits(instance)
        if not edits:
            return stored
        return await _run(len(stored), _edited_json, stored, edits)

    async def tags(self, instance: str) -> dict[str, Any]:
        """Return all elements but bulk data by keyword, sequences included. Raises `NotFound`."""
        stored, edits = await self._header_and_edits(instance)
        return await _run(len(stored), _edited_tags, stored, edits)

    async def file(self, instance: str, *, original: bool = False) -> InstanceDownload:
        """Return the DICOM file, with edits applied, or as received if `original`. Raises `NotFound`, `Damaged`."""
        location = await locate_instance(self._catalog, instance)
        await self._guard.require(location)
        blob = location.blob
        edits = await self._catalog.edits(location.instance) if location.edited and not original else []
        header, copy_from = await self._rewritten(location, edits) if edits else (b"", 0)
        uid = uid_of(location.instance)
        if not header:
            return InstanceDownload(uid, blob.size, blob.sha256, self._blobs, blob.key, b"", 0)
        etag = hashlib.sha256(blob.sha256.encode() + header).hexdigest()
        size = len(header) + blob.size - copy_from
        return InstanceDownload(uid, size, etag, self._blobs, blob.key, header, copy_from)

    async def require_all(self, level: Level, entity: str) -> None:
        """Refuse an entity if any of its files is damaged. Raises `Damaged`."""
        await self._guard.require_all(level, entity)

    async def edited_header(self, location: Location) -> tuple[bytes, int]:
        """Rewrite the beginning of an instance's file with its edits. Raises `NotFound`, `Damaged`.

        Returns
        -------
        header : bytes
            The new beginning; empty where nothing is edited.
        offset : int
            Offset in the stored file at which the rest follows.
        """
        edits = await self._catalog.edits(location.instance) if location.edited else []
        return await self._rewritten(location, edits) if edits else (b"", 0)

    async def _rewritten(self, location: Location, edits: list[Edit]) -> tuple[bytes, int]:
        path = await self._guard.path(location)
        try:
            async with self._guard.decoding(location):
                return await asyncio.to_thread(rewrite_header, path, Layout.from_document(location.layout), edits)
        except FileNotFoundError as error:
            raise NotFound(f"the instance {uid_of(location.instance)!r} was deleted meanwhile") from error

    async def _header_and_edits(self, instance: str) -> tuple[bytes, list[Edit]]:
        headers = await self._catalog.headers(Level.INSTANCE, instance)
        if not headers:
            raise missing(Level.INSTANCE, instance)
        return headers[0], await self._catalog.edits(instance)


def _edited_json(stored: bytes, edits: list[Edit]) -> bytes:
    return orjson.dumps(apply_to_json(orjson.loads(stored), edits))


def _edited_tags(stored: bytes, edits: list[Edit]) -> dict[str, Any]:
    header = orjson.loads(stored)
    return to_tags(apply_to_json(header, edits) if edits else header)


async def _run(
    size: int, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    if size < _LARGE:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
