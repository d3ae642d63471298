"""Bulk data by its path in a dataset: the header in the catalog decides which bytes are read, never a request."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from neurdicom.archive.documents import DOCUMENT_LENGTH, ENCAPSULATED_DOCUMENT
from neurdicom.archive.stored import StoredBytes
from neurdicom.archive.text import TextValue, to_utf_8
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Location
from neurdicom.dicom.codec.charset import CharacterSet
from neurdicom.dicom.codec.encode import CHARSET_KEY, TEXT_VRS, charset_of
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

    async def find(self, location: Location, path: str, **claims: str) -> StoredBytes | InlineBytes | TextValue:
        """Find the value of one element, in little endian, text in UTF-8; a document without its padding.

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
        element, charset, most = await asyncio.to_thread(_element, headers[0], path)
        etag = f"{location.blob.sha256[:32]}-{path.replace('/', '.')}"
        if "InlineBinary" in element:
            return InlineBytes(uid, etag, base64.b64decode(element["InlineBinary"])[:most])
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
        if most is not None and len(places) == 1:
            places = [Fragment(places[0].offset, min(places[0].length, most))]
        stored_bytes = StoredBytes(uid, etag, places, self._blobs, location.blob.key, swap, inflate)
        return await to_utf_8(stored_bytes, charset) if element["vr"] in TEXT_VRS else stored_bytes


def _element(header: bytes, path: str) -> tuple[dict[str, Any], CharacterSet, int | None]:
    """Find the element at a path in a header, empty where there is none, and how its value is to be read.

    Returns
    -------
    element : dict
        The element in the DICOM JSON model.
    charset : CharacterSet
        The character set in force there.
    most : int or None
        Encapsulated Document Length, if it is that of this value.
    """
    level: Any = orjson.loads(header)
    charset = charset_of(level)
    *steps, tag = path.split("/")
    for sequence, number in zip(steps[::2], steps[1::2], strict=True):
        items = level.get(sequence, {}).get("Value") or []
        level = items[int(number)] if int(number) < len(items) else None
        if not isinstance(level, dict):
            return {}, charset, None
        charset = charset_of(level) if CHARSET_KEY in level else charset
    length = level.get(DOCUMENT_LENGTH, {}).get("Value") if path == ENCAPSULATED_DOCUMENT else None
    most = length[0] if length and isinstance(length[0], int) and length[0] > 0 else None
    return level.get(tag, {}), charset, most
