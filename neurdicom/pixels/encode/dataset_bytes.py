"""Bytes of a stored dataset around its Pixel Data, with edits applied."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from neurdicom.dicom.codec.pixel_end import find_pixel_end
from neurdicom.dicom.codec.reencode import LEFT_OUT, ConvertPixels, Reencoder, Replacements
from neurdicom.dicom.codec.scan import Scanner
from neurdicom.dicom.codec.stream import ElementStream
from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, DEFLATED, IMPLICIT
from neurdicom.dicom.edits.changes import changes_of
from neurdicom.dicom.edits.rewrite import edit_bytes
from neurdicom.dicom.header import Layout
from neurdicom.errors import Malformed, NotAvailable
from neurdicom.pixels.decode.source import Source

#: Most bytes of the elements before or after Pixel Data that are held in memory, where the dataset is deflated.
_MAX_HELD = 1 << 28
_PIXEL_GROUP = 0x7FE00000


@dataclass(frozen=True, slots=True)
class DatasetBytes:
    """The elements of a stored dataset before and after its Pixel Data.

    Attributes
    ----------
    buffer : bytes or mmap
        The file, or the elements alone.
    transfer_syntax : str
        Transfer Syntax UID of the file.
    header, tail : tuple of (int, int)
        Where the elements before and after Pixel Data begin and stop in the buffer.
    signed : bool
        True if Pixel Representation is 1.
    """

    buffer: bytes | mmap
    transfer_syntax: str
    header: tuple[int, int]
    tail: tuple[int, int]
    signed: bool = False

    def values(self, *tags: int) -> dict[int, bytes]:
        """Read values before Pixel Data by tag, in little endian."""
        return self._reencoder(True, None).values(*self.header, frozenset(tags))

    def encode_header(self, replaced: Replacements, convert: ConvertPixels, *, explicit: bool) -> Iterator[bytes]:
        """Encode the elements before Pixel Data.

        Parameters
        ----------
        replaced : Mapping
            Elements that are written instead of the file's own.
        convert : callable
            Converts the pixels of items.
        explicit : bool
            True for Explicit VR, False for Implicit VR.
        """
        return self._reencoder(explicit, convert).pieces(*self.header, replaced)

    def encode_tail(self, convert: ConvertPixels, *, explicit: bool) -> Iterator[bytes]:
        """Encode the elements after Pixel Data; parameters as of `encode_header`."""
        reencoder = self._reencoder(explicit, convert)
        tags = reencoder.tags(*self.tail)
        # An element that comes twice counts as it is before Pixel Data, as in the metadata.
        twice = tags & reencoder.tags(*self.header) if tags and min(tags) < _PIXEL_GROUP else ()
        return reencoder.pieces(*self.tail, dict.fromkeys(twice), signed=self.signed)

    def _reencoder(self, to_explicit: bool, convert: ConvertPixels | None) -> Reencoder:
        return Reencoder(
            self.buffer,
            explicit=self.transfer_syntax != IMPLICIT,
            order=">" if self.transfer_syntax == BIG_ENDIAN else "<",
            to_explicit=to_explicit,
            convert=convert,
        )


@contextmanager
def open_dataset(path: Path, layout: Layout, edits: Sequence[Any]) -> Iterator[DatasetBytes]:
    """Open a stored dataset for encoding.

    Parameters
    ----------
    path : Path
        The DICOM file.
    layout : Layout
        Its layout.
    edits : sequence
        Edits, as for `dicom.edits.apply.rewrite_header`.

    Yields
    ------
    DatasetBytes

    Raises
    ------
    NotAvailable
        The elements of a deflated dataset are longer than 256 MiB.
    Malformed
        A sequence is broken.
    """
    signed = layout.pixel_representation == 1
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
        if layout.transfer_syntax in DEFLATED:
            header, tail = _inflate(path, layout)
            ranges = (0, len(header)), (len(header), len(header) + len(tail))
            found = DatasetBytes(header + tail, layout.transfer_syntax, *ranges, signed)
        else:
            end = min(layout.header_end, len(whole))
            start = _pixel_end(file.fileno(), layout, len(whole))
            ranges = (layout.dataset_offset, end), (start, len(whole))
            found = DatasetBytes(whole, layout.transfer_syntax, *ranges, signed)
        found = replace(found, tail=_valid_tail(found))
        yield _edited(found, edits) if edits else found


def _inflate(path: Path, layout: Layout) -> tuple[bytes, bytes]:
    """Inflate the elements before and after Pixel Data."""
    # Without pixels the layout has only the end of the file, not that of the deflated dataset in it.
    length = layout.header_end - layout.dataset_offset if layout.pixel_keyword else _MAX_HELD + 1
    with Source(path, layout) as source:
        header = bytes(source.read(layout.dataset_offset, min(length, _MAX_HELD + 1)))
        tail = b""
        if layout.pixel_offset is not None and layout.pixel_length is not None:
            tail = bytes(source.read(layout.pixel_offset + layout.pixel_length, _MAX_HELD + 1))
    if max(len(header), len(tail)) > _MAX_HELD:
        raise NotAvailable(f"the deflated elements have more than {_MAX_HELD} bytes, the most that are read")
    return header, tail


def _pixel_end(descriptor: int, layout: Layout, size: int) -> int:
    offset, length = layout.pixel_offset, layout.pixel_length
    if layout.pixel_keyword is None or offset is None:
        return size
    try:
        return find_pixel_end(descriptor, size, keyword=layout.pixel_keyword, offset=offset, length=length)
    except Malformed:
        return size


def _valid_tail(found: DatasetBytes) -> tuple[int, int]:
    """Check the elements after Pixel Data as ingest does: bytes that are not well-formed are padding or garbage."""
    start, end = found.tail
    if start >= end:
        return start, start
    explicit, order = found.transfer_syntax != IMPLICIT, ">" if found.transfer_syntax == BIG_ENDIAN else "<"
    stop = start
    try:
        Scanner(found.buffer, explicit=explicit, order=order).scan(start)
        for span in ElementStream(found.buffer, order=order).spans(start, end, explicit=explicit):
            stop = span.stop if span.element.tag not in LEFT_OUT and span.element.tag else stop
    except Malformed:
        return start, start
    return start, stop


def _edited(found: DatasetBytes, edits: Sequence[Any]) -> DatasetBytes:
    end = found.header[1]
    tail_start, tail_end = found.tail
    edited = edit_bytes(found.buffer, found.transfer_syntax, changes_of(edits), found.header, lambda: tail_start)
    if not edited.header:
        return found
    header = edited.header + found.buffer[edited.copy_from : end]
    tail = found.buffer[tail_start:tail_end] if edited.tail is None else edited.tail
    ranges = (0, len(header)), (len(header), len(header) + len(tail))
    return DatasetBytes(header + tail, found.transfer_syntax, *ranges, found.signed)
