"""Encoding of datasets anew: from bytes to bytes in Explicit or Implicit VR Little Endian (PS3.5 chapter 7, annex A).

Values are copied, never read, so that whatever a file has is there afterwards, text in any character set and broken
values too. What changes is their frame: byte order, VR, form of the length.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from mmap import mmap

from neurdicom.dicom.codec.dictionary import KNOWN_VRS, LONG_VRS, PIXEL_KEYWORDS, Action, Element, private_vr
from neurdicom.dicom.codec.stream import ITEM_END, SEQUENCE_END, UNDEFINED, ElementSpan, ElementStream, holds_fragments
from neurdicom.dicom.codec.value_readers import NUMBERS, STREAMS, as_little_endian
from neurdicom.errors import Malformed

#: Digital Signatures, which the new bytes would break, and Data Set Trailing Padding.
LEFT_OUT = frozenset({0xFFFAFFFA, 0xFFFCFFFC})

_SHORT_LIMIT = 0xFFFE
#: A longer value of the top level is copied piece by piece.
_PIECE = 1 << 20
_ITEM = b"\xfe\xff\x00\xe0"
_ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_SIZES = {vr: struct.calcsize(code) for vr, code in NUMBERS.items()} | {"AT": 4}
#: Sizes of the words that byte order swaps; an attribute tag is two.
_WORDS = _SIZES | STREAMS | {"AT": 2}
_PADDED_WITH_ZERO = frozenset({"UI", *_WORDS})
_PIXEL_REPRESENTATION, _LUT_DESCRIPTOR, _LUT_DATA = 0x00280103, 0x00283002, 0x00283006

Replacements = Mapping[int, tuple[str, bytes] | None]
"""New elements of a dataset by tag: VR and little-endian value; None to leave the element out."""


@dataclass(frozen=True, slots=True)
class NestedPixels:
    """Encapsulated Pixel Data of an item of a sequence, such as an icon's.

    Attributes
    ----------
    values : Mapping
        Values of the item's elements of group 0028, by tag, in little endian.
    data : bytes
        The value of Pixel Data: items, and their delimiter.
    """

    values: Mapping[int, bytes]
    data: bytes


ConvertPixels = Callable[[NestedPixels], Replacements | None]
"""Returns the new elements of the item, or None where its pixels can't be converted."""


class _NotConvertible(Exception):
    """An item whose Pixel Data can't be converted."""


@dataclass(slots=True)
class _Level:
    """State of one dataset: the file's own, or an item's."""

    stream: ElementStream
    start: int
    end: int
    explicit: bool
    signed: bool = False
    depth: int = 0
    delimited: bool = False
    creators: dict[int, str] = field(default_factory=dict)
    lut_entries: int = 0

    def spans(self) -> Iterator[ElementSpan]:
        """Walk the elements."""
        return self.stream.spans(
            self.start, self.end, explicit=self.explicit, delimited=self.delimited, depth=self.depth
        )

    def value(self, span: ElementSpan, vr: str) -> bytes:
        """Read a value in little endian."""
        raw = bytes(self.stream.buffer[span.value : span.stop])
        size = _WORDS.get(vr, 1)
        if self.stream.order == "<" or size == 1:
            return raw
        if vr in STREAMS:
            return as_little_endian(raw, vr, self.stream.order)
        whole = len(raw) // size * size
        swapped = bytearray(raw[:whole])
        for index in range(size):
            swapped[index::size] = raw[size - 1 - index : whole : size]
        return bytes(swapped) + raw[whole:]


class Reencoder:
    """Encoder of datasets that lie in a buffer.

    Parameters
    ----------
    buffer : bytes or mmap
        The file, or a part of it.
    explicit : bool
        True for Explicit VR; a dataset that is in the other form is told by its first element.
    order : {"<", ">"}
        Byte order, as in struct.
    to_explicit : bool
        True to write Explicit VR.
    convert : callable, optional
        Converts encapsulated Pixel Data of items; the sequence of an item that can't be converted is left out. By
        default it is copied.
    """

    def __init__(
        self,
        buffer: bytes | mmap,
        *,
        explicit: bool,
        order: str,
        to_explicit: bool,
        convert: ConvertPixels | None = None,
    ) -> None:
        self._stream = ElementStream(buffer, order=order)
        self._explicit = explicit
        self._to_explicit = to_explicit
        self._convert = convert
        self._pixel_tags = tuple(struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) for tag in PIXEL_KEYWORDS)

    def pieces(self, start: int, end: int, replaced: Replacements, *, signed: bool = False) -> Iterator[bytes]:
        """Encode a dataset.

        Parameters
        ----------
        start, end : int
            Where it begins and stops in the buffer.
        replaced : Mapping
            Elements of its top level that are written instead of its own, or besides them.
        signed : bool
            True if pixel values have a sign, until the dataset has a Pixel Representation.

        Yields
        ------
        bytes
            Elements, or parts of a long one; without group lengths, File Meta Information, Digital Signatures and
            trailing padding.

        Raises
        ------
        EndOfBuffer, Malformed
            The dataset is broken.
        """
        return self._elements(self._level(start, end, self._explicit, signed=signed), replaced)

    def tags(self, start: int, end: int) -> set[int]:
        """List the tags of a dataset's top level."""
        return {span.element.tag for span in self._level(start, end, self._explicit).spans()}

    def values(self, start: int, end: int, tags: frozenset[int]) -> dict[int, bytes]:
        """Read values of a dataset's top level.

        Parameters
        ----------
        start, end : int
            Where the dataset begins and stops in the buffer.
        tags : frozenset of int
            The elements.

        Returns
        -------
        dict
            Values in little endian by tag; those of undefined length are left out.
        """
        level = self._level(start, end, self._explicit)
        return {
            span.element.tag: level.value(span, self._vr(level, span))
            for span in level.spans()
            if span.element.tag in tags and not span.undefined
        }

    def _level(self, start: int, end: int, explicit: bool, *, signed: bool = False) -> _Level:
        return _Level(self._stream, start, end, self._stream.is_explicit(start, end, explicit), signed)

    def _elements(self, level: _Level, replaced: Replacements) -> Iterator[bytes]:
        pending = {tag: new for tag, new in sorted(replaced.items()) if new is not None}
        for span in level.spans():
            tag = span.element.tag
            if tag in (ITEM_END, SEQUENCE_END):
                break
            for due in [each for each in pending if each <= tag]:
                yield self._replacement(due, *pending.pop(due))
            if tag not in replaced:
                yield from self._element(level, span)
        for tag, (vr, value) in pending.items():
            yield self._replacement(tag, vr, value)

    def _replacement(self, tag: int, vr: str, value: bytes) -> bytes:
        return self._head(tag, vr, len(value) + len(value) % 2) + value + _padding(vr, len(value))

    def _element(self, level: _Level, span: ElementSpan) -> Iterator[bytes]:
        element = span.element
        if element.action in (Action.LEAVE_OUT, Action.DELIMITER) or element.tag in LEFT_OUT:
            return
        vr = self._vr(level, span)
        if span.undefined and holds_fragments(element) and not self._to_explicit:
            # Without its VR it would be taken for a sequence: the items, without their delimiter, are its value.
            value = level.stream.buffer[span.value : span.stop - len(_SEQUENCE_END)]
            yield self._head(element.tag, vr, len(value)) + value
            return
        if span.undefined and (holds_fragments(element) or (level.explicit and vr == "UN")):
            # UN is in Implicit VR Little Endian in any dataset (PS3.5 6.2.2).
            yield self._head(element.tag, vr, UNDEFINED) + level.stream.buffer[span.value : span.stop]
            return
        if vr == "SQ" or span.undefined:
            written = self._sequence(level, span)
            if written is not None:
                yield written
                return
            vr = "UN"
        yield from self._plain(level, span, vr)

    def _plain(self, level: _Level, span: ElementSpan, vr: str) -> Iterator[bytes]:
        """Write a value of defined length, and keep those that later elements depend on."""
        element, length = span.element, span.stop - span.value
        if vr in _SIZES and length % _SIZES[vr]:
            vr = "UN" if level.stream.order == "<" else vr
        yield self._head(element.tag, vr, length + length % 2)
        if length > _PIECE and (level.stream.order == "<" or _WORDS.get(vr, 1) == 1):
            for start in range(span.value, span.stop, _PIECE):
                yield level.stream.buffer[start : min(start + _PIECE, span.stop)]
        else:
            value = level.value(span, vr)
            yield value
            self._note(level, element, value)
        if length % 2:
            yield _padding(vr, length)

    def _note(self, level: _Level, element: Element, value: bytes) -> None:
        if element.tag == _PIXEL_REPRESENTATION:
            level.signed = value[:1] == b"\1"
        elif element.tag == _LUT_DESCRIPTOR:
            level.lut_entries = int.from_bytes(value[:2], "little")
        elif element.action == Action.CREATOR:
            level.creators[element.tag >> 16 << 8 | element.tag & 0xFF] = value.decode("latin_1").strip(" \0")

    def _vr(self, level: _Level, span: ElementSpan) -> str:
        """Tell the VR of an element: the file's own, or that of the dictionary."""
        element = span.element
        if level.explicit:
            vr = level.stream.buffer[span.start + 4 : span.start + 6].decode("latin_1")
            if vr in KNOWN_VRS:
                return vr
            if vr.isascii() and vr.isalpha() and vr.isupper():
                return "UN"  # one that this version does not know
        if element.action == Action.AMBIGUOUS:
            return "SS" if self._is_signed(level, element) else "US"
        if element.tag == _LUT_DATA:
            return "US" if level.lut_entries == 1 else "OW"
        if element.action == Action.CREATOR and level.stream.holds_items(span.value, span.stop - span.value):
            return "SQ"
        if element.action == Action.PRIVATE:
            vr = private_vr(element.tag, level.creators.get(element.tag >> 8, ""))
            return vr if vr in KNOWN_VRS else "UN"
        return element.vr

    def _is_signed(self, level: _Level, element: Element) -> bool:
        """Tell whether a "US or SS" has a sign, also where its tag comes before that of Pixel Representation."""
        if element.tag < _PIXEL_REPRESENTATION:
            for span in level.spans():
                if span.element.tag == _PIXEL_REPRESENTATION:
                    return level.value(span, "US")[:1] == b"\1"
                if span.element.tag > _PIXEL_REPRESENTATION:
                    break
        return level.signed

    def _sequence(self, level: _Level, span: ElementSpan) -> bytes | None:
        """Write a sequence; empty where an item can't be converted, None where a private element is none after all."""
        buffer = level.stream.buffer
        has_pixels = self._convert is not None and any(
            buffer.find(tag, span.value, span.stop) >= 0 for tag in self._pixel_tags
        )
        parts = []
        try:
            for start, stop, delimited in level.stream.items(span, explicit=level.explicit, depth=level.depth + 1):
                explicit = level.stream.is_explicit(start, stop, level.explicit)
                item = _Level(level.stream, start, stop, explicit, level.signed, level.depth + 1, delimited)
                content = b"".join(self._elements(item, self._converted(item) if has_pixels else {}))
                parts.append(_ITEM + struct.pack("<I", UNDEFINED if delimited else len(content)))
                parts.append(content + _ITEM_END if delimited else content)
        except _NotConvertible:
            return b""
        except Malformed:
            if span.element.action == Action.PRIVATE and not span.undefined:
                return None
            raise
        if span.undefined:
            return b"".join((self._head(span.element.tag, "SQ", UNDEFINED), *parts, _SEQUENCE_END))
        return b"".join((self._head(span.element.tag, "SQ", sum(map(len, parts))), *parts))

    def _converted(self, level: _Level) -> Replacements:
        """Convert an item's Pixel Data where it is encapsulated."""
        values: dict[int, bytes] = {}
        for span in level.spans():
            tag = span.element.tag
            if tag >> 16 == 0x0028 and not span.undefined:
                values[tag] = level.value(span, self._vr(level, span))
            elif tag in PIXEL_KEYWORDS and span.undefined and self._convert is not None:
                converted = self._convert(NestedPixels(values, bytes(level.stream.buffer[span.value : span.stop])))
                if converted is None:
                    raise _NotConvertible
                return converted
        return {}

    def _head(self, tag: int, vr: str, length: int) -> bytes:
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if not self._to_explicit:
            return head + struct.pack("<I", length)
        if vr not in LONG_VRS and length > _SHORT_LIMIT:
            vr = "UN"  # as PS3.5 6.2.2 has it
        if vr in LONG_VRS:
            return head + vr.encode() + struct.pack("<HI", 0, length)
        return head + vr.encode() + struct.pack("<H", length)


def _padding(vr: str, length: int) -> bytes:
    """Return the byte that makes a value's length even."""
    return (b"\0" if vr in _PADDED_WITH_ZERO else b" ") * (length % 2)
