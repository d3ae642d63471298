"""Bulk data by its path in a dataset: the header in the catalog decides which bytes are read, never a request."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from neurdicom.archive.stored import StoredBytes
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Location
from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, DEFLATED
from neurdicom.dicom.header import Layout
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound
from neurdicom.pixels.decode.fragments import Fragment
from neurdicom.pixels.decode.stored import value_places

#: Path of an element: tags of sequences with the number of an item in each, and the element's tag.
_PATH = re.compile(r"(?:[0-9A-F]{8}/[0-9]{1,6}/){0,64}[0-9A-F]{8}")

_WORDS = {
    **dict.fromkeys(("OW", "US", "SS", "AT"), 2),
    **dict.fromkeys(("OF", "OL", "FL", "UL", "SL"), 4),
    **dict.fromkeys(("OD", "OV", "FD", "UV", "SV"), 8),
}

PIXEL_DATA = "7FE00010"


@dataclass(frozen=True, slots=True)
class InlineBytes:
    """Value that the catalog itself holds."""

    instance: str
    etag: str
    body: bytes

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.body)

    async def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield a part of the value."""
        yield self.body[start : None if length is None else start + length]


class BulkService:
    """Service that finds bulk data: the values that a stored header leaves out."""

    def __init__(self, catalog: Catalog, blobs: BlobStore, guard: FileGuard) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._guard = guard

    async def find(self, location: Location, path: str, **claims: str) -> StoredBytes | InlineBytes:
        """Find the value of one element, in little endian.

        Parameters
        ----------
        location : Location
            Of the instance.
        path : str
            Path of the element, such as `00091010` or `54000100/0/54001010`.
        **claims : str
            `offset` and `length`, where the URI has them: if they are not right, the URI is of another file.

        Raises
        ------
        NotFound
            The instance has no such bulk data (any more).
        Damaged
            The stored file is damaged.
        """
        uid = uid_of(location.instance)
        headers = await self._catalog.headers(Level.INSTANCE, location.instance)
        missing = NotFound(f"the instance {uid!r} has no bulk data at {path[:200]!r}")
        if not headers or not _PATH.fullmatch(path):
            raise missing
        element = await asyncio.to_thread(_element, headers[0], path)
        etag = f"{location.blob.sha256[:32]}-{path.replace('/', '.')}"
        if "InlineBinary" in element:
            return InlineBytes(uid, etag, base64.b64decode(element["InlineBinary"]))
        stored = dict(parse_qsl(element.get("BulkDataURI", "").partition("?")[2]))
        if "offset" not in stored or any(stored.get(name) != value for name, value in claims.items()):
            raise missing
        layout, offset = Layout.from_document(location.layout), int(stored["offset"])
        file = await self._guard.path(location)
        if "length" in stored:
            places = [Fragment(offset, int(stored["length"]))]
        else:
            async with self._guard.decoding(location):
                places = await asyncio.to_thread(value_places, file, layout, offset)
        swap = _WORDS.get(element["vr"], 1) if layout.transfer_syntax == BIG_ENDIAN else 1
        if sum(place.length for place in places) % swap:
            swap = 1
        inflate = layout if layout.transfer_syntax in DEFLATED else None
        return StoredBytes(uid, etag, places, self._blobs, location.blob.key, swap, inflate)


def _element(header: bytes, path: str) -> dict[str, Any]:
    """Find the element at a path in a header; empty where there is none."""
    level: Any = orjson.loads(header)
    *steps, tag = path.split("/")
    for sequence, number in zip(steps[::2], steps[1::2], strict=True):
        items = level.get(sequence, {}).get("Value") or []
        level = items[int(number)] if int(number) < len(items) else None
        if not isinstance(level, dict):
            return {}
    found: dict[str, Any] = level.get(tag, {})
    return found
