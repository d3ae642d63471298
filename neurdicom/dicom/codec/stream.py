"""Element streams of datasets (PS3.5 chapter 7): where elements, items and fragments begin and end."""

import struct
from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

from neurdicom.dicom.codec.dictionary import ELEMENTS, KNOWN_VRS, Action, Element, describe
from neurdicom.dicom.codec.value_readers import STREAMS
from neurdicom.errors import Malformed

UNDEFINED = 0xFFFFFFFF
#: Sequences nested deeper are refused.
MAX_DEPTH = 64
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

_UNPACKERS = {
    order: tuple(struct.Struct(order + form).unpack_from for form in ("6sH", "4sI", "HHI", "I")) for order in "<>"
}
_ITEM_DELIMITERS = {order: struct.pack(order + "HHI", 0xFFFE, 0xE00D, 0) for order in "<>"}


class EndOfBuffer(Malformed):
    """An element that goes past the end of the buffer, which holds a part of the file, or all of a cut-off one."""


class ElementSpan(NamedTuple):
    """An element with the offsets of its tag (`start`), its value (`value`) and of what follows it (`stop`)."""

    element: Element
    start: int
    value: int
    stop: int
    undefined: bool


class ElementStream:
    """A buffer of elements in one byte order.

    Parameters
    ----------
    buffer : bytes or mmap
        The file, or its beginning, or a part of it.
    order : {"<", ">"}
        Byte order, as in struct.
    shift : int
        File offset of the buffer's first byte.
    """

    def __init__(self, buffer: bytes | mmap, *, order: str = "<", shift: int = 0) -> None:
        self.buffer = buffer
        self.order = order
        self.shift = shift
        self.elements = ELEMENTS[order]
        self.explicit_head, self.implicit_head, self.item_head, self.read_length = _UNPACKERS[order]

    def is_explicit(self, pos: int, end: int, expected: bool) -> bool:
        """Tell from its first element whether a dataset is in Explicit VR.

        Some files, and items of some private sequences, are not in the form that their transfer syntax demands.

        Parameters
        ----------
        pos, end : int
            Where the dataset begins and stops in the buffer.
        expected : bool
            The form that the transfer syntax demands, which counts where the element fits both.
        """
        if pos + 8 > end:
            return expected
        group, _, length = self.item_head(self.buffer, pos)
        if group == 0xFFFE:
            return expected
        looks_explicit = self.buffer[pos + 4 : pos + 6].decode("latin_1") in KNOWN_VRS
        # In implicit VR those two bytes belong to the length, which must fit, and is even.
        if looks_explicit != expected:
            return bool(pos + 8 + length > end or length & 1)
        return expected

    def spans(
        self, pos: int, end: int, *, explicit: bool, delimited: bool = False, depth: int = 0
    ) -> Iterator[ElementSpan]:
        """Walk the elements of one dataset or item.

        Parameters
        ----------
        pos, end : int
            Where the dataset begins and stops in the buffer.
        explicit : bool
            True for Explicit VR, False for Implicit VR.
        delimited : bool
            True for an item of undefined length; the last span is that of its delimiter.
        depth : int
            Number of sequences around it.

        Yields
        ------
        ElementSpan

        Raises
        ------
        EndOfBuffer
            An element goes past `end`, or the delimiter is missing.
        Malformed
            A sequence holds something other than items, or sequences are nested deeper than `MAX_DEPTH`.
        """
        explicit = self.is_explicit(pos, end, explicit)
        head = self.explicit_head if explicit else self.implicit_head
        while pos + 8 <= end:
            prefix, length = head(self.buffer, pos)
            element = self.elements[prefix]
            value = pos + 8
            if element.long_form:
                if pos + 12 > end:
                    raise self.cut(element, pos)
                (length,) = self.read_length(self.buffer, value)
                value += 4
            elif element.action == Action.NO_VR:
                element, length = self.without_vr(element, pos, end)
            if element.tag in (ITEM_END, SEQUENCE_END):
                if delimited:
                    yield ElementSpan(element, pos, value, value if element.tag == ITEM_END else pos, False)
                    return
                pos = value
                continue
            undefined = length == UNDEFINED
            stop = self._end(element, pos, value, end, explicit, depth) if undefined else value + length
            if element.action in (Action.SEQUENCE, Action.PRIVATE) and not undefined:
                stop = self.sequence_stop(stop)
            if stop > end:
                raise self.cut(element, pos)
            yield ElementSpan(element, pos, value, stop, undefined)
            pos = stop
        if delimited:
            raise EndOfBuffer(f"the item that ends at offset {self.shift + end} lacks its delimiter")

    def items(self, span: ElementSpan, *, explicit: bool, depth: int) -> Iterator[tuple[int, int, bool]]:
        """Walk the items of a sequence.

        Parameters
        ----------
        span : ElementSpan
            The sequence.
        explicit : bool
            True for Explicit VR, False for Implicit VR.
        depth : int
            Number of sequences around the items.

        Yields
        ------
        start, stop : int
            Where the item's dataset begins and stops in the buffer, its delimiter included.
        delimited : bool
            True if the item ends at a delimiter.

        Raises
        ------
        EndOfBuffer, Malformed
            As `spans`.
        """
        pos, end = span.value, span.stop
        while pos + 8 <= end:
            tag, length, pos = self._item(span.element, pos)
            if tag == SEQUENCE_END:
                return
            if length != UNDEFINED:
                if pos + length > end:
                    raise self.cut(span.element, pos)
                yield pos, pos + length, False
                pos += length
                continue
            after = self._item_end(pos, end, explicit, depth)
            yield pos, after, True
            pos = after

    def holds_items(self, pos: int, length: int) -> bool:
        """Tell whether a value that no VR describes consists of items of defined length, and so is a sequence."""
        end = pos + length
        while pos + 8 <= end:
            group, number, size = self.item_head(self.buffer, pos)
            if group << 16 | number != ITEM:
                return False
            pos += 8 + size
        return length >= 8 and pos == end

    def sequence_stop(self, stop: int) -> int:
        """Correct the end of a sequence whose declared length is 4 bytes short and so ends in its last delimiter."""
        return stop + 4 if self.buffer[stop - 4 : stop + 4] == _ITEM_DELIMITERS[self.order] else stop

    def skip_fragments(self, element: Element, start: int, pos: int, end: int) -> int:
        """Find the end of encapsulated data outside the file's own Pixel Data, such as an icon's.

        Parameters
        ----------
        element : Element
            The element that holds the fragments.
        start, pos : int
            Offsets of its tag and of its value in the buffer.
        end : int
            End of what the buffer holds of it.

        Returns
        -------
        int
            Offset after its Sequence Delimitation Item.

        Raises
        ------
        EndOfBuffer
            The delimiter is missing.
        Malformed
            A fragment has no length, or something other than an item is among them.
        """
        while pos + 8 <= end:
            tag, length, pos = self._item(element, pos)
            if tag == SEQUENCE_END:
                return pos
            if length == UNDEFINED:
                raise Malformed(f"{self.at(element, start)} holds a fragment without a length")
            pos += length
        raise self.cut(element, start)

    def without_vr(self, element: Element, pos: int, end: int) -> tuple[Element, int]:
        """Describe an element of an explicit dataset that has no VR, and read its length.

        Some writers leave the VR of single elements out, as in implicit VR; others write blanks in its place.

        Parameters
        ----------
        element : Element
            The description made from the invalid VR.
        pos, end : int
            Offset of its tag, and end of the dataset, in the buffer.

        Returns
        -------
        element : Element
            The description by the dictionary's VR.
        length : int
            Length of its value in bytes.
        """
        (length,) = self.read_length(self.buffer, pos + 4)
        (short,) = struct.unpack_from(self.order + "H", self.buffer, pos + 6)
        after = pos + 8 + short
        if pos + 8 + length > end and self.buffer[after + 4 : after + 6].decode("latin_1") in KNOWN_VRS:
            length = short
        return describe(element.tag, None, self.order), length

    def cut(self, element: Element, pos: int) -> EndOfBuffer:
        """Make the error for an element that goes past the end of the buffer."""
        return EndOfBuffer(f"{self.at(element, pos)} goes past the end of the file or of its sequence")

    def at(self, element: Element, pos: int) -> str:
        """Write an element's tag and file offset, for messages."""
        tag = element.tag
        return f"({tag >> 16:04X},{tag & 0xFFFF:04X}) at offset {self.shift + pos}"

    def _item(self, element: Element, pos: int) -> tuple[int, int, int]:
        group, number, length = self.item_head(self.buffer, pos)
        tag = group << 16 | number
        if tag not in (ITEM, SEQUENCE_END):
            found = f"({group:04X},{number:04X})"
            raise Malformed(f"{self.at(element, pos)}: expected an item (FFFE,E000), found {found}")
        return tag, length, pos + 8

    def _item_end(self, pos: int, end: int, explicit: bool, depth: int) -> int:
        last = pos
        for span in self.spans(pos, end, explicit=explicit, delimited=True, depth=depth):
            last = span.stop
        return last

    def _end(self, element: Element, pos: int, value: int, end: int, explicit: bool, depth: int) -> int:
        """Find the end of an element of undefined length."""
        if depth >= MAX_DEPTH:
            raise Malformed(f"sequences are nested deeper than {MAX_DEPTH}, at {self.at(element, pos)}")
        if holds_fragments(element):
            return self.skip_fragments(element, pos, value, end)
        if is_unknown(self.buffer, pos, explicit) and self.order != "<":
            return ElementStream(self.buffer, shift=self.shift)._end(element, pos, value, end, False, depth)
        explicit = explicit and not is_unknown(self.buffer, pos, explicit)
        at = value
        while at + 8 <= end:
            tag, length, at = self._item(element, at)
            if tag == SEQUENCE_END:
                return at
            at = self._item_end(at, end, explicit, depth + 1) if length == UNDEFINED else at + length
        raise EndOfBuffer(f"the sequence {self.at(element, pos)} has no end")


def holds_fragments(element: Element) -> bool:
    """Tell whether an element of undefined length holds fragments of encapsulated data, and not items."""
    return element.action != Action.SEQUENCE and element.vr in STREAMS and element.vr != "UN"


def is_unknown(buffer: bytes | mmap, pos: int, explicit: bool) -> bool:
    """Tell whether an element has VR UN in the stream: its value is in Implicit VR Little Endian (PS3.5 6.2.2).

    Parameters
    ----------
    buffer : bytes or mmap
        The element stream.
    pos : int
        Offset of the element's tag.
    explicit : bool
        Whether the stream is in Explicit VR; in Implicit VR no element has a VR.
    """
    return explicit and buffer[pos + 4 : pos + 6] == b"UN"
