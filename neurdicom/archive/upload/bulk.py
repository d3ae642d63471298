"""Metadata and bulk data in separate parts of a body (PS3.18 10.5.2), assembled to files."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydicom.uid import UID, AllTransferSyntaxes

from neurdicom.archive.ingest.service import Inflow, IngestService, disk_error
from neurdicom.blobs.base import Spool
from neurdicom.dicom.codec.assemble import BulkValue, assemble_file
from neurdicom.dicom.codec.native_xml import from_xml
from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED, DEFLATED_FRAME, EXPLICIT, IMPLICIT
from neurdicom.errors import Malformed, NotAvailable, TooLarge, Unavailable
from neurdicom.pixels.decode.codestream import read_j2k_header, read_jpeg_header

#: Most bytes of all metadata in one body; it is held in memory.
MAX_METADATA = 16 * 1024 * 1024
#: Most bytes of one XML document, whose elements take many times their size in memory.
MAX_XML = 4 * 1024 * 1024

#: Most parts with bulk data in one body, and most characters of a part's Content-Location.
MAX_PARTS = 65_535
MAX_LOCATION = 2048

_PIECE = 1024 * 1024
_PIECES_HELD = 1024
_PROBE = 64 * 1024
_PIXEL_DATA = "7FE00010"

#: Transfer syntaxes by media type, for parts that name none (PS3.18 8.7.3.3); the codestream may tell another.
_SYNTAXES = {
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/x-dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/x-jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mpeg2": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
}
_NATIVE = frozenset({None, IMPLICIT, EXPLICIT})
_JPEG_PROCESSES = {
    0xC0: "1.2.840.10008.1.2.4.50",
    0xC1: "1.2.840.10008.1.2.4.51",
    0xC3: "1.2.840.10008.1.2.4.70",
}
_LOSSY = {"1.2.840.10008.1.2.4.80": "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90": "1.2.840.10008.1.2.4.91"}


@dataclass(frozen=True, slots=True)
class BulkPart:
    """Part with bulk data, in one spool with all others; a `dicom.codec.assemble.Bulk`."""

    spool: Spool
    start: int
    length: int
    media_type: str
    syntax: str | None

    def pieces(self) -> Iterator[bytes]:
        """Read the bytes piece by piece. Blocks."""
        position, end = self.start, self.start + self.length
        while position < end:
            piece = os.pread(self.spool.descriptor, min(_PIECE, end - position), position)
            if not piece:
                raise OSError(f"the spool ends at {position}, before its {end}")
            position += len(piece)
            yield piece

    def transfer_syntax(self) -> str:
        """Determine the transfer syntax for a file with this pixel data. Blocks. Raises `NotAvailable`."""
        if self.media_type == "application/octet-stream":
            if self.syntax == DEFLATED_FRAME:
                return DEFLATED_FRAME
            if self.syntax not in _NATIVE:
                raise NotAvailable(f"bulk data of transfer syntax {self.syntax!r:.80} can't be stored as octet-stream")
            return EXPLICIT
        known = _SYNTAXES.get(self.media_type)
        if known is None:
            known_types = ", ".join(_SYNTAXES)
            raise NotAvailable(f"pixel data can't be stored as {self.media_type!r}; {known_types} are expected")
        if self.syntax is None:
            return _syntax_of(known, os.pread(self.spool.descriptor, min(_PROBE, self.length), self.start))
        if not _is_encapsulated(self.syntax):
            raise NotAvailable(f"{self.syntax!r:.80} is no transfer syntax of compressed pixel data")
        return self.syntax


def _is_encapsulated(syntax: str) -> bool:
    uid = UID(syntax)
    return uid in AllTransferSyntaxes and uid.is_compressed and syntax not in DEFLATED


def _syntax_of(default: str, head: bytes) -> str:
    """Correct the transfer syntax of a media type by the codestream."""
    if default == "1.2.840.10008.1.2.4.70" and (jpeg := read_jpeg_header(head)) is not None:
        return _JPEG_PROCESSES.get(jpeg.process, default)
    if default == "1.2.840.10008.1.2.4.80" and (jpeg := read_jpeg_header(head)) is not None and jpeg.near:
        return _LOSSY[default]
    if default == "1.2.840.10008.1.2.4.90" and (j2k := read_j2k_header(head)) is not None and not j2k.reversible:
        return _LOSSY[default]
    return default


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
        self._texts: list[tuple[str, bytearray]] = []
        self._metadata_bytes = 0
        self._is_metadata = False
        self._parts: list[_Incoming] = []
        self._spool: Spool | None = None
        self._bulk: dict[str, list[BulkPart]] = {}

    def begin_metadata(self, media_type: str) -> None:
        """Begin a part with datasets, or with the one that an XML document has."""
        self._is_metadata = True
        self._texts.append((media_type, bytearray()))

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
            self._texts[-1][1].extend(data)
            return
        await self._inflow.write(data)
        self._received += len(data)
        self._parts[-1].length += len(data)

    async def datasets(self) -> list[Any]:
        """Parse the datasets in the DICOM JSON model, when all parts are here. Raises `Malformed`, `Unavailable`."""
        self._spool = await self._inflow.complete()
        for part in self._parts:
            at = self._bulk.setdefault(part.location, [])
            at.append(BulkPart(self._spool, part.start, part.length, part.media_type, part.syntax))
        found: list[Any] = []
        for media_type, text in self._texts:
            found += await asyncio.to_thread(_parse, media_type, bytes(text))
        self._texts.clear()
        return found

    def assemble(self, dataset: Mapping[str, Any]) -> Spool:
        """Assemble a file in a spool. Blocks.

        Raises
        ------
        Malformed
            The dataset is broken, or bulk data that it names is missing.
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
            for piece in assemble_file(dataset, self._find, self._transfer_syntax(dataset)):
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

    def _find(self, uri: str) -> list[BulkValue]:
        parts = self._bulk.get(uri)
        if parts is None:
            raise Malformed(f"a BulkDataURI names {uri[:200]!r}, which is the Content-Location of no part")
        return list(parts)

    def _transfer_syntax(self, dataset: Mapping[str, Any]) -> str:
        element = dataset.get(_PIXEL_DATA) if isinstance(dataset, Mapping) else None
        uri = element.get("BulkDataURI") if isinstance(element, Mapping) else None
        parts = self._bulk.get(uri, []) if isinstance(uri, str) else []
        syntax = parts[0].transfer_syntax() if parts else EXPLICIT
        if syntax != EXPLICIT and not parts[0].media_type.startswith("video/"):
            frames = _number_of_frames(dataset)
            if frames != len(parts):
                raise Malformed(
                    f"there are {len(parts)} parts of compressed pixel data; {frames}, one for each frame, are expected"
                )
        return syntax

    async def close(self) -> None:
        """Discard the bulk data. Idempotent."""
        await self._inflow.abort()
        spool, self._spool = self._spool, None
        if spool is not None:
            await self._ingest.run(spool.discard)


def _number_of_frames(dataset: Mapping[str, Any]) -> int:
    element = dataset.get("00280008")
    values = element.get("Value") if isinstance(element, Mapping) else None
    try:
        return int(values[0]) if isinstance(values, list) and values else 1
    except (TypeError, ValueError) as error:
        raise Malformed("NumberOfFrames (0028,0008) is not a number") from error


def _parse(media_type: str, text: bytes) -> list[Any]:
    if media_type.endswith("xml"):
        if len(text) > MAX_XML:
            raise TooLarge(f"an XML document has {len(text)} bytes; at most {MAX_XML} are allowed")
        return [from_xml(text)]
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the metadata is not JSON: {error}") from error
    return value if isinstance(value, list) else [value]
