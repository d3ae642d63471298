"""Encapsulated Pixel Data (PS3.5 A.4): the fragments of each frame."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.source import Source

_ITEM = b"\xfe\xff\x00\xe0"
_DELIMITER = b"\xfe\xff\xdd\xe0"

#: Most bytes of one frame's codestream.
_MAX_FRAME = 1 << 30


@dataclass(frozen=True, slots=True)
class Fragment:
    """Place of the value of one item: offset from the beginning of the file, and length, in bytes."""

    offset: int
    length: int


class Encapsulation:
    """Index of the items of one file's encapsulated Pixel Data, read as they are needed."""

    def __init__(self, source: Source, layout: Layout, form: ImagePixel) -> None:
        assert layout.pixel_offset is not None
        self._source = source
        self._form = form
        self._end = source.size if layout.pixel_length is None else layout.pixel_offset + layout.pixel_length
        first = self._item(layout.pixel_offset)
        if first is None:
            raise NotAvailable(
                f"the pixel data of transfer syntax {layout.transfer_syntax} doesn't begin with an item (FFFE,E000)"
            )
        self._known_offsets: tuple[int, ...] | None = None
        self._table = first
        self._base = first.offset + first.length

    def fragments(self, index: int, extended: bytes | None = None) -> list[Fragment]:
        """Find the fragments of a frame.

        Parameters
        ----------
        index : int
            Index of the frame, from 0.
        extended : bytes, optional
            The value of the Extended Offset Table (7FE0,0001); that of the first call counts.

        Returns
        -------
        list of Fragment
            In the order of the codestream.

        Raises
        ------
        NotAvailable
            The frame is missing, or the file does not tell which fragments belong to which frame.
        """
        if self._known_offsets is None:
            self._known_offsets = self._offsets(extended)
        offsets = self._known_offsets
        if len(offsets) == self._form.frames:
            found = self._between(offsets, index)
            if found:
                return found
        groups = self._groups
        if index >= len(groups):
            raise NotAvailable(
                f"frame {index + 1} is missing: {self._form.frames} frames are declared, "
                f"the pixel data holds {len(groups)}"
            )
        return groups[index]

    def all_fragments(self) -> Iterator[list[Fragment]]:
        """Yield the fragments of each frame, up to the first missing one."""
        for index in range(self._form.frames):
            try:
                found = self.fragments(index)
            except NotAvailable:
                return
            yield found

    def read(self, fragments: list[Fragment]) -> bytes:
        """Read fragments and join them. Raises `NotAvailable` if they are cut off or too large."""
        total = sum(fragment.length for fragment in fragments)
        if total > _MAX_FRAME:
            raise NotAvailable(f"the compressed frame has {total} bytes; at most {_MAX_FRAME} are decoded")
        data = b"".join(self._source.read(fragment.offset, fragment.length) for fragment in fragments)
        if len(data) < total:
            raise NotAvailable(f"the pixel data ends within the frame: {len(data)} of its {total} bytes are there")
        return data

    def _item(self, offset: int) -> Fragment | None:
        return _item_at(self._source, offset, self._end)

    def _offsets(self, extended: bytes | None) -> tuple[int, ...]:
        if extended:
            return struct.unpack(f"<{len(extended) // 8}Q", extended[: len(extended) // 8 * 8])
        if self._table.length != self._form.frames * 4:
            return ()
        table = self._source.read(self._table.offset, self._table.length)
        return struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])

    def _between(self, offsets: tuple[int, ...], index: int) -> list[Fragment] | None:
        # None if the table doesn't point at items; real files have such tables.
        position = self._base + offsets[index]
        end = self._base + offsets[index + 1] if index + 1 < len(offsets) else None
        found: list[Fragment] = []
        while end is None or position < end:
            fragment = self._item(position)
            if fragment is None:
                return found if end is None else None
            found.append(fragment)
            position = fragment.offset + fragment.length
        return found if position == end else None

    @cached_property
    def _groups(self) -> list[list[Fragment]]:
        fragments = walk_fragments(self._source, self._base, self._end)
        frames = self._form.frames
        if len(fragments) <= frames:
            return [[fragment] for fragment in fragments]
        # Also where one frame is declared: in files that hold more, the first one is returned.
        groups: list[list[Fragment]] = []
        for fragment in fragments:
            if not groups or _begins_frame(bytes(self._source.read(fragment.offset, min(fragment.length, 12)))):
                groups.append([])
            groups[-1].append(fragment)
        if len(groups) < frames:
            raise NotAvailable(
                f"the fragments can't be assigned to frames: {frames} frames, {len(fragments)} fragments, "
                "and no usable offset table"
            )
        return groups


def walk_fragments(source: Source, start: int, end: int) -> list[Fragment]:
    """List the items that follow each other from an offset on.

    Parameters
    ----------
    source : Source
        The file.
    start, end : int
        Offsets of the first item and of the end of the value or the file.

    Returns
    -------
    list of Fragment
        Up to the first place that does not begin with an item (FFFE,E000).
    """
    fragments = []
    while (fragment := _item_at(source, start, end)) is not None:
        fragments.append(fragment)
        start = fragment.offset + fragment.length
    return fragments


def _item_at(source: Source, offset: int, end: int) -> Fragment | None:
    header = source.read(offset, 8) if offset + 8 <= end else b""
    if len(header) < 8 or header[:4] != _ITEM:
        return None
    return Fragment(offset + 8, struct.unpack_from("<I", header, 4)[0])


def find_extended_offsets(source: Source, layout: Layout, frames: int) -> bytes | None:
    """Read the Extended Offset Table (PS3.3 C.7.6.3.1.8) where it lies right before Pixel Data.

    Parameters
    ----------
    source : Source
        The file.
    layout : Layout
        Its layout.
    frames : int
        Number of frames; the table, and that of lengths after it, have 8 bytes for each.

    Returns
    -------
    bytes or None
        The table's value; None where there is none, and the frames are found by their fragments.
    """
    size = 12 + 8 * frames
    start = layout.header_end - 2 * size
    if start < layout.dataset_offset or size > 0xFFFFFFFF:
        return None
    tables = source.read(start, 2 * size)
    for number, head in ((1, tables[:12]), (2, tables[size : size + 12])):
        if head != struct.pack("<HH4sI", 0x7FE0, number, b"OV\0\0", 8 * frames):
            return None
    return bytes(tables[12:size])


def _begins_frame(head: bytes) -> bool:
    # JPEG and JPEG-LS SOI, JPEG 2000 SOC+SIZ, a JP2 box, or an RLE header (count, then 64 as the first offset).
    if head.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")):
        return True
    return len(head) >= 8 and 1 <= struct.unpack_from("<I", head)[0] <= 15 and head[4:8] == b"\x40\0\0\0"
