"""Metadata and bulk data in separate parts of a body (PS3.18 10.5.2), assembled to files."""

import asyncio
import codecs
import re
from dataclasses import dataclass
from typing import Any

import orjson

from neurdicom.archive.ingest.service import Inflow, IngestService, disk_error
from neurdicom.archive.upload.bulk_part import BulkPart
from neurdicom.archive.upload.pairing import PairedDataset, pair_bulk
from neurdicom.blobs.base import Spool
from neurdicom.dicom.codec.assemble import assemble_file
from neurdicom.dicom.codec.native_xml import from_xml
from neurdicom.errors import Malformed, TooLarge, Unavailable

#: Most bytes of all metadata in one body; it is held in memory.
MAX_METADATA = 16 * 1024 * 1024
#: Most bytes of one XML document, whose elements take many times their size in memory.
MAX_XML = 4 * 1024 * 1024

#: Most parts with bulk data in one body, and most characters of a part's Content-Location.
MAX_PARTS = 65_535
MAX_LOCATION = 2048

_PIECE = 1024 * 1024
_PIECES_HELD = 1024

#: Names of Python's codecs of text, among those that convert other things.
_TEXT_CODECS = re.compile(r"(utf|iso8859|cp\d|ascii|gb|big5|euc|shift|koi8|latin)")


@dataclass(slots=True)
class _Incoming:
    """Part with bulk data that is still arriving."""

    location: str
    media_type: str
    syntax: str | None
    start: int
    length: int = 0


class MetadataParts:
    """Collector of the parts of one body: metadata in memory, bulk data in one file. Ends in `close`."""

    def __init__(self, ingest: IngestService) -> None:
        self._ingest = ingest
        self._inflow = Inflow(ingest)
        self._received = 0
        self._texts: list[tuple[str, str, bytearray]] = []
        self._metadata_bytes = 0
        self._is_metadata = False
        self._parts: list[_Incoming] = []
        self._spool: Spool | None = None

    def begin_metadata(self, media_type: str, charset: str = "") -> None:
        """Begin a part with datasets, or with the one that an XML document has; its charset is UTF-8 by default."""
        self._is_metadata = True
        self._texts.append((media_type, charset, bytearray()))

    def begin_bulk(self, location: str, media_type: str, syntax: str | None) -> None:
        """Begin a part with bulk data.

        Parameters
        ----------
        location : str
            Content-Location, to which a BulkDataURI refers.
        media_type : str
            Media type of the part.
        syntax : str or None
            Transfer syntax that its Content-Type names.

        Raises
        ------
        TooLarge
            There are too many parts, or the location is too long.
        """
        self._is_metadata = False
        if len(self._parts) >= MAX_PARTS:
            raise TooLarge(f"the body has more than {MAX_PARTS} parts of bulk data; send it in several")
        if len(location) > MAX_LOCATION:
            raise TooLarge(f"the Content-Location of a part has more than {MAX_LOCATION} characters")
        self._parts.append(_Incoming(location, media_type, syntax, self._received))

    async def write(self, data: bytes | memoryview) -> None:
        """Add the next piece of the part. Raises `TooLarge`, or `Unavailable` when the disk refuses it."""
        if self._is_metadata:
            self._metadata_bytes += len(data)
            if self._metadata_bytes > MAX_METADATA:
                raise TooLarge(f"the metadata has more than {MAX_METADATA} bytes; send the instances in several bodies")
            self._texts[-1][-1].extend(data)
            return
        await self._inflow.write(data)
        self._received += len(data)
        self._parts[-1].length += len(data)

    async def datasets(self) -> list[PairedDataset]:
        """Parse the datasets in the DICOM JSON model, when all parts are here, and pair them with bulk data.

        Raises `Malformed`, `Unavailable`.
        """
        self._spool = await self._inflow.complete()
        bulk: dict[str, list[BulkPart]] = {}
        for part in self._parts:
            at = bulk.setdefault(part.location, [])
            at.append(BulkPart(self._spool, part.start, part.length, part.media_type, part.syntax))
        found: list[Any] = []
        for media_type, charset, text in self._texts:
            found += await asyncio.to_thread(_parse, media_type, charset, bytes(text))
        self._texts.clear()
        return await asyncio.to_thread(pair_bulk, found, bulk)

    def assemble(self, paired: PairedDataset) -> Spool:
        """Assemble a file in a spool. Blocks.

        Raises
        ------
        Malformed
            The dataset is broken, or bulk data that it names is missing or can't be told from another's.
        NotAvailable
            The pixel data is in a form that no file can have.
        TooLarge
            The file would be too large.
        Unavailable
            The disk refuses.
        """
        spool: Spool | None = None
        held: list[bytes] = []
        try:
            syntax = paired.transfer_syntax()
            for piece in assemble_file(paired.described(), paired.find, syntax):
                held.append(piece)
                if len(piece) >= _PIECE or len(held) >= _PIECES_HELD:
                    spool = self._ingest.append(spool, tuple(held))
                    held.clear()
            return self._ingest.append(spool, tuple(held))
        except BaseException as error:
            if spool is not None:
                spool.discard()
            if isinstance(error, OSError) and not isinstance(error, Unavailable):
                raise disk_error(error) from error
            raise

    async def close(self) -> None:
        """Discard the bulk data. Idempotent."""
        await self._inflow.abort()
        spool, self._spool = self._spool, None
        if spool is not None:
            await self._ingest.run(spool.discard)


def _parse(media_type: str, charset: str, text: bytes) -> list[Any]:
    if media_type.endswith("xml") and len(text) > MAX_XML:
        raise TooLarge(f"an XML document has {len(text)} bytes; at most {MAX_XML} are allowed")
    if charset:
        text = _as_utf_8(text, charset)
    if media_type.endswith("xml"):
        return [from_xml(text)]
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the metadata is not JSON: {error}") from error
    return value if isinstance(value, list) else [value]


def _as_utf_8(text: bytes, charset: str) -> bytes:
    """Convert metadata to UTF-8, which it should be in already. Raises `Malformed`."""
    try:
        codec = codecs.lookup(charset).name
        if codec == "utf-8":
            return text
        if not _TEXT_CODECS.match(codec):
            raise LookupError(charset)
        return text.decode(codec).encode()
    except (LookupError, UnicodeError, ValueError) as error:
        raise Malformed(f"the metadata can't be read in its charset {charset[:40]!r}; UTF-8 is expected") from error
