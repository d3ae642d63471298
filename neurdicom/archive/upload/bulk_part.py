"""A part with bulk data of a body of metadata and bulk data (PS3.18 10.5), and the transfer syntax of its pixels."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.uid import UID, AllTransferSyntaxes

from neurdicom.blobs.base import Spool
from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED, DEFLATED_FRAME, EXPLICIT, IMPLICIT, OCTET_STREAM
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.codestream import read_j2k_header, read_jpeg_header

_PIECE = 1024 * 1024
_PROBE = 64 * 1024

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
    "image/jph": "1.2.840.10008.1.2.4.201",
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

    @property
    def is_one_frame(self) -> bool:
        """True for compressed pixel data of which each frame is a part."""
        return self.media_type.startswith("image/") or self.syntax == DEFLATED_FRAME

    def read(self, start: int, length: int) -> bytes:
        """Read some of the bytes. Blocks."""
        length = max(min(length, self.length - start), 0)
        return os.pread(self.spool.descriptor, length, self.start + start)

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
        if self.media_type == OCTET_STREAM:
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
            return _syntax_of(known, self.read(0, _PROBE))
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
