"""Encapsulated Pixel Data (PS3.5 A.4): the fragments of each frame.

Offset tables of real files lie: they are all zeros, do not rise, count without the items' heads, or were made for
other bytes. A table is followed where it leaves no doubt; where there are as many filled items as frames none is
needed.
"""

import struct
from functools import cached_property

from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.fragments import Fragment, Fragments, FrameIndex, read_item, walk_fragments
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.offset_tables import Offsets, find_starts, is_plausible, read_offsets
from neurdicom.pixels.decode.source import ByteSource

#: Most bytes of one frame's codestream.
_MAX_FRAME = 1 << 30
#: Bytes of a fragment that tell whether a frame begins there.
_BEGINNING = 12


class Encapsulation:
    """Index of the items of one file's encapsulated Pixel Data, read as they are needed."""

    def __init__(self, source: ByteSource, layout: Layout, form: ImagePixel) -> None:
        assert layout.pixel_offset is not None
        self._source = source
        self._layout = layout
        self._form = form
        self._end = source.size if layout.pixel_length is None else layout.pixel_offset + layout.pixel_length
        first = read_item(source, layout.pixel_offset, self._end)
        if first is None:
            raise NotAvailable(
                f"the pixel data of transfer syntax {layout.transfer_syntax} doesn't begin with an item (FFFE,E000)"
            )
        # Some writers leave the Basic Offset Table out.
        lacks_table = first.length > 0 and self._begins_frame(first)
        self._table = Fragment(layout.pixel_offset, 0) if lacks_table else first
        self._base = self._table.offset + self._table.length

    def fragments(self, index: int) -> list[Fragment]:
        """Find the fragments of a frame.

        Parameters
        ----------
        index : int
            Index of the frame, from 0.

        Returns
        -------
        list of Fragment
            In the order of the codestream, without empty ones.

        Raises
        ------
        NotAvailable
            The frame is missing, or the file does not tell which fragments belong to which frame.
        """
        if self._form.frames == 1 and (only := self._find_only()) is not None:
            return [only]
        found = self._between(index) if self._is_table_trusted else []
        return found or self.index.places(index)

    @cached_property
    def index(self) -> FrameIndex:
        """The fragments of all frames, from a walk over all items. Raises `NotAvailable` as `fragments`."""
        frames, every = self._form.frames, self.items
        filled = every.filled()
        if len(filled) == frames:
            return FrameIndex(filled, range(frames), frames)
        starts = find_starts(self._offsets, every, self._base)
        if starts is not None and len(starts) == frames:
            return FrameIndex(every, starts, frames)
        if len(filled) < frames:
            # An empty item among them stands for its frame, which is missing.
            chosen = every if len(every) == frames else filled
            return FrameIndex(chosen, range(len(chosen)), frames)
        places = filled.places()
        begins = [number for number, place in enumerate(places) if not number or self._begins_frame(place)]
        # In files that hold more frames than declared, the first ones are returned.
        if starts is not None and len(begins) != frames and len(starts) > frames:
            return FrameIndex(every, starts, frames)
        if len(begins) < frames:
            raise NotAvailable(
                f"the fragments can't be assigned to frames: {frames} frames, {len(filled)} fragments, "
                "and no usable offset table"
            )
        return FrameIndex(filled, begins, frames)

    @property
    def is_regular(self) -> bool:
        """True if all items are filled, and each frame is one of them, or begins where the offset table says."""
        every, frames = self.items, self._form.frames
        if self._table.offset == self._layout.pixel_offset or not every.lengths.all():
            return False
        if not len(self._offsets):
            return len(every) == frames
        starts = find_starts(self._offsets, every, self._base)
        return starts is not None and len(starts) == frames

    @cached_property
    def items(self) -> Fragments:
        """All items after the Basic Offset Table."""
        return walk_fragments(self._source, self._base, self._end)

    def read(self, fragments: list[Fragment]) -> bytes:
        """Read fragments and join them. Raises `NotAvailable` if they are cut off or too large."""
        total = sum(fragment.length for fragment in fragments)
        if total > _MAX_FRAME:
            raise NotAvailable(f"the compressed frame has {total} bytes; at most {_MAX_FRAME} are decoded")
        data = b"".join(self._source.read(fragment.offset, fragment.length) for fragment in fragments)
        if len(data) < total:
            raise NotAvailable(f"the pixel data ends within the frame: {len(data)} of its {total} bytes are there")
        return data

    @cached_property
    def _offsets(self) -> Offsets:
        return read_offsets(self._source, self._layout, self._table, self._form.frames)

    @cached_property
    def _is_table_trusted(self) -> bool:
        """Tell whether the table needs no look at all items: its last entry is checked here, the others when used."""
        if not is_plausible(self._offsets, self._form.frames):
            return False
        last = read_item(self._source, self._base + int(self._offsets[-1]), self._end)
        return last is not None and last.length > 0

    def _find_only(self) -> Fragment | None:
        """Find the item of a value that has only one, the usual case of single frames."""
        first = read_item(self._source, self._base, self._end)
        if first is None or not first.length:
            return None
        return first if read_item(self._source, first.offset + first.length, self._end) is None else None

    def _between(self, index: int) -> list[Fragment]:
        """Find the items from an offset of the table to the next; none where the table doesn't point at items."""
        offsets = self._offsets
        position = self._base + int(offsets[index])
        end = self._base + int(offsets[index + 1]) if index + 1 < len(offsets) else None
        found: list[Fragment] = []
        while end is None or position < end:
            fragment = read_item(self._source, position, self._end)
            if fragment is None:
                return found if end is None else []
            if fragment.length:
                found.append(fragment)
            position = fragment.offset + fragment.length
        return found if position == end else []

    def _begins_frame(self, fragment: Fragment) -> bool:
        """Tell whether a frame begins with a fragment."""
        head = bytes(self._source.read(fragment.offset, min(fragment.length, _BEGINNING)))
        # JPEG and JPEG-LS SOI, JPEG 2000 SOC+SIZ, a JP2 box, or an RLE header (count, then 64 as the first offset).
        if head.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")):
            return True
        return len(head) >= 8 and 1 <= struct.unpack_from("<I", head)[0] <= 15 and head[4:8] == b"\x40\0\0\0"
