"""The scanner: from the bytes of a dataset (PS3.5 chapter 7) straight to the DICOM JSON model (PS3.18 F).

It exists for speed: ingest parses a header in a fraction of a millisecond. It never copies a value that is too
large for a header, and its memory is bounded whatever the input.
"""

import base64
import struct
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

import orjson

from neurdicom.dicom.charset import DEFAULT, CharacterSet, character_set
from neurdicom.dicom.dictionary import ELEMENTS, KNOWN_VRS, PIXEL_KEYWORDS, Action, Element, describe, private_vr
from neurdicom.dicom.readers import STREAMS, as_little_endian
from neurdicom.errors import Malformed

UNDEFINED = 0xFFFFFFFF
#: Sequences nested deeper are refused.
MAX_DEPTH = 64
#: Elements of one dataset or item, and items of one header; more are refused.
MAX_ELEMENTS = 1 << 16
MAX_ITEMS = 1 << 20
#: Bytes of a header that are kept; past them longer values than SHORT are named, not kept.
MAX_KEPT = 16 * 1024 * 1024
SHORT = 64
#: Values up to this length are read in the scanner's inner loop, others with more care.
_USUAL = 1024

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

Dataset = dict[str, Any]


class EndOfBuffer(Malformed):
    """An element goes past the end of the bytes at hand: there is more of the file, or it is cut off."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """The Pixel Data element at which a scan ended; offsets are the file's."""

    keyword: str
    start: int
    offset: int
    length: int | None


@dataclass(slots=True)
class _Level:
    """A dataset being scanned: the file's own, or an item's."""

    explicit: bool
    charset: CharacterSet = DEFAULT
    signed: bool = False
    depth: int = 0
    path: str = ""
    delimited: bool = False  # ends at an Item Delimitation Item
    ended: bool = False
    creators: dict[int, str] = field(default_factory=dict)
    out: Dataset = field(default_factory=dict)

    def item(self, path: str, *, explicit: bool, delimited: bool) -> "_Level":
        """An item of one of its sequences, which takes over the character set and the sign of the pixels."""
        return _Level(explicit, self.charset, self.signed, self.depth + 1, path, delimited)


class Scanner:
    """Scans one buffer in one encoding.

    Parameters
    ----------
    buffer : bytes or mmap
        The file, or its beginning, or a part of it.
    explicit : bool
        Explicit VR.
    order : str
        `<` or `>`, as in struct.
    shift : int
        File offset of the buffer's first byte.

    Attributes
    ----------
    pixels : Pixels or None
        Set when a scan met Pixel Data.
    """

    def __init__(self, buffer: bytes | mmap, *, explicit: bool, order: str = "<", shift: int = 0) -> None:
        self.pixels: Pixels | None = None
        self._buffer = buffer
        self._explicit = explicit
        self._order = order
        self._shift = shift
        self._elements = ELEMENTS[order]
        self._explicit_head = struct.Struct(order + "6sH").unpack_from
        self._implicit_head = struct.Struct(order + "4sI").unpack_from
        self._item_head = struct.Struct(order + "HHI").unpack_from
        self._length = struct.Struct(order + "I").unpack_from
        self._usual = _USUAL
        self._kept = 0
        self._items = 0

    def scan(self, start: int, charset: CharacterSet = DEFAULT) -> Dataset:
        """Scan a dataset up to Pixel Data, or to the end of the buffer.

        Parameters
        ----------
        start : int
            Its first byte in the buffer.
        charset : CharacterSet
            In force until SpecificCharacterSet says otherwise.

        Returns
        -------
        dict
            The DICOM JSON model; items of sequences are `orjson.Fragment`.

        Raises
        ------
        EndOfBuffer
            An element goes past the end of the buffer.
        Malformed
            The stream is broken, nested too deeply, or has too many elements.
        """
        level = _Level(self._explicit, charset)
        self._dataset(level, start, len(self._buffer))
        return level.out

    def _dataset(self, level: _Level, pos: int, end: int) -> int:
        """Scan elements into `level.out` and answer where they ended."""
        level.explicit = explicit = self._is_explicit(pos, end, level.explicit)
        buffer, elements, out, usual = self._buffer, self._elements, level.out, self._usual
        head = self._explicit_head if explicit else self._implicit_head
        read_length, charset = self._length, level.charset
        while pos + 8 <= end:
            prefix, length = head(buffer, pos)
            element = elements[prefix]
            key, vr, action, long_form, read = element[:5]
            value = pos + 8
            if long_form:
                if pos + 12 > end:
                    raise self._cut(element, pos)
                (length,) = read_length(buffer, value)
                value += 4
            stop = value + length
            if action or length > usual or stop > end or read is None:
                pos = self._special(level, element, pos, value, length, end)
                if level.ended:
                    return pos
                charset = level.charset
                if len(out) > MAX_ELEMENTS:
                    raise Malformed(f"more than {MAX_ELEMENTS} elements in one dataset, at {self._at(element, pos)}")
                continue
            if length:
                values = read(buffer[value:stop], charset)
                out[key] = {"vr": vr, "Value": values} if values else {"vr": vr}
            else:
                out[key] = {"vr": vr}
            pos = stop
        if len(out) > MAX_ELEMENTS:
            raise Malformed(f"more than {MAX_ELEMENTS} elements in one dataset")
        # A few zero bytes after the last element are padding.
        if any(buffer[pos:end]):
            raise EndOfBuffer(f"{end - pos} bytes at offset {self._shift + pos} are too few for an element")
        if level.delimited:
            raise EndOfBuffer(f"the item that ends at offset {self._shift + end} lacks its delimiter")
        return end

    def _is_explicit(self, pos: int, end: int, expected: bool) -> bool:
        """Look at the first element: datasets, and items of private sequences, that belie their syntax exist."""
        if pos + 8 > end:
            return expected
        group, _, length = self._item_head(self._buffer, pos)
        if group == 0xFFFE:
            return expected
        looks_explicit = self._buffer[pos + 4 : pos + 6].decode("latin_1") in KNOWN_VRS
        if expected or not looks_explicit:
            # In implicit VR those two bytes belong to the length.
            return looks_explicit or (expected and bool(pos + 8 + length > end))
        return bool(pos + 8 + length > end)

    def _special(self, level: _Level, element: Element, pos: int, value: int, length: int, end: int) -> int:
        """Handle what is not a short value of text or numbers; answer the position of the next element."""
        action = element.action
        if action is Action.NO_VR:
            # A single element without its VR: the length lies in the VR's place.
            (length,) = self._length(self._buffer, pos + 4)
            value = pos + 8
            element = describe(element.tag, None, self._order)
            action = element.action
        if action is Action.DELIMITER:
            return self._delimiter(level, element, pos, value, length, end)
        if action is Action.PIXELS and level.depth == 0:
            self.pixels = Pixels(
                PIXEL_KEYWORDS[element.tag],
                self._shift + pos,
                self._shift + value,
                None if length == UNDEFINED else length,
            )
            level.out[element.key] = self._bulk(element, element.key, value, length)
            level.ended = True
            return pos
        if action is Action.AMBIGUOUS:
            element = describe(element.tag, "SS" if level.signed else "US", self._order)
        elif action is Action.PRIVATE:
            vr = private_vr(element.tag, level.creators.get(element.tag >> 8, ""))
            if vr in KNOWN_VRS and vr != "UN":
                order = "<" if level.explicit else self._order  # explicit UN holds little endian
                element = describe(element.tag, vr, order)
        if length == UNDEFINED or element.action is Action.SEQUENCE:
            return self._container(level, element, pos, value, length, end)
        stop = value + length
        if stop > end:
            raise self._cut(element, pos)
        if element.action is Action.LEAVE_OUT:
            if element.tag == 0 and not length and not any(self._buffer[pos : min(end, pos + 4096)]):
                return end  # zeros to the end of a disk block
            return stop
        self._value(level, element, value, length)
        return stop

    def _value(self, level: _Level, element: Element, value: int, length: int) -> None:
        """Read a value of any length and size, and what follows from it for the rest of the dataset."""
        key, vr, action, read = element.key, element.vr, element.action, element.read
        values: list[Any] = []
        if not length:
            level.out[key] = {"vr": vr}
        elif length > element.limit or (length > SHORT and self._is_full(length)):
            level.out[key] = self._bulk(element, level.path + key, value, length)
        elif read is None:
            raw = as_little_endian(self._buffer[value : value + length], vr, self._order)
            level.out[key] = {"vr": vr, "InlineBinary": base64.b64encode(raw).decode("ascii")}
        else:
            values = read(self._buffer[value : value + length], level.charset)
            level.out[key] = {"vr": vr, "Value": values} if values else {"vr": vr}
        if action is Action.CHARSET:
            level.charset = character_set(tuple(str(term or "") for term in values))
        elif action is Action.SIGN:
            level.signed = values[:1] == [1]
        elif action is Action.CREATOR and values:
            # The block that it reserves: (gggg,xx00) to (gggg,xxFF) (PS3.5 7.8.1).
            level.creators[element.tag >> 16 << 8 | element.tag & 0xFF] = str(values[0])

    def _delimiter(self, level: _Level, element: Element, pos: int, value: int, length: int, end: int) -> int:
        if level.delimited and element.tag in (_ITEM_END, _SEQUENCE_END):
            level.ended = True
            return value if element.tag == _ITEM_END else pos  # the sequence reads its own delimiter
        if element.tag in (_ITEM_END, _SEQUENCE_END) and not length:
            return value  # a stray one
        raise Malformed(f"an item outside a sequence at offset {self._shift + pos}")

    def _container(self, level: _Level, element: Element, pos: int, value: int, length: int, end: int) -> int:
        """Read a sequence, or skip encapsulated fragments; answer the position after it."""
        if level.depth >= MAX_DEPTH:
            raise Malformed(f"sequences are nested deeper than {MAX_DEPTH}, at {self._at(element, pos)}")
        stop = end if length == UNDEFINED else value + length
        if stop > end:
            raise self._cut(element, pos)
        key = element.key
        if element.action is not Action.SEQUENCE and element.vr in STREAMS and element.vr != "UN":
            after = self._skip_fragments(element, pos, value, end)
            level.out[key] = self._bulk(element, level.path + key, value, UNDEFINED)
            return after
        stored_vr = self._buffer[pos + 4 : pos + 6] if level.explicit else b""
        scanner, explicit = self, level.explicit
        if stored_vr == b"UN":
            # A sequence of VR UN is in implicit VR little endian, whatever the dataset is (PS3.5 6.2.2).
            explicit = False
            if self._order != "<":
                scanner = Scanner(self._buffer, explicit=False, shift=self._shift)
        items, after = scanner._sequence(level, element, explicit, value, stop, length == UNDEFINED)
        level.out[key] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        return after

    def _sequence(
        self, level: _Level, element: Element, explicit: bool, pos: int, end: int, delimited: bool
    ) -> tuple[list[Any], int]:
        items: list[Any] = []
        while pos + 8 <= end:
            group, number, length = self._item_head(self._buffer, pos)
            tag, pos = group << 16 | number, pos + 8
            if tag == _SEQUENCE_END:
                return items, pos if delimited else end
            if tag != _ITEM:
                raise Malformed(
                    f"{self._at(element, pos - 8)}: expected an item (FFFE,E000), found ({group:04X},{number:04X})"
                )
            undefined = length == UNDEFINED
            stop = end if undefined else pos + length
            if stop > end:
                raise self._cut(element, pos - 8)
            self._items += 1
            if self._items > MAX_ITEMS:
                raise Malformed(f"more than {MAX_ITEMS} items, at {self._at(element, pos)}")
            path = f"{level.path}{element.key}/{len(items)}/"
            item = level.item(path, explicit=explicit, delimited=undefined)
            pos = self._dataset(item, pos, stop)
            items.append(self._finished(item) if level.depth == 0 else item.out)
        if delimited:
            raise EndOfBuffer(f"the sequence {self._at(element, pos)} has no end")
        return items, end

    def _finished(self, item: _Level) -> orjson.Fragment:
        """Write an item out at once: its text takes a tenth of the memory of its objects."""
        if not item.out:
            return _EMPTY_ITEM
        text = orjson.dumps(item.out)
        self._is_full(len(text))
        return orjson.Fragment(text)

    def _is_full(self, length: int) -> bool:
        self._kept += length
        if self._kept > MAX_KEPT:
            self._usual = SHORT
        return self._kept > MAX_KEPT

    def _skip_fragments(self, element: Element, pos: int, value: int, end: int) -> int:
        """Answer the position after encapsulated data outside the file's own Pixel Data, such as an icon's."""
        start = pos
        pos = value
        while pos + 8 <= end:
            group, number, length = self._item_head(self._buffer, pos)
            tag, pos = group << 16 | number, pos + 8
            if tag == _SEQUENCE_END:
                return pos
            if tag != _ITEM or length == UNDEFINED:
                raise Malformed(f"{self._at(element, pos - 8)}: expected a fragment, found ({group:04X},{number:04X})")
            pos += length
        raise self._cut(element, start)

    def _bulk(self, element: Element, path: str, value: int, length: int) -> dict[str, str]:
        """Name a value that is not kept, with where in the file it lies; relative to the instance."""
        size = "" if length == UNDEFINED else f"&length={length}"
        return {"vr": element.vr, "BulkDataURI": f"bulk/{path}?offset={self._shift + value}{size}"}

    def _cut(self, element: Element, pos: int) -> EndOfBuffer:
        return EndOfBuffer(f"{self._at(element, pos)} goes past the end of the file or of its sequence")

    def _at(self, element: Element, pos: int) -> str:
        tag = element.tag
        return f"({tag >> 16:04X},{tag & 0xFFFF:04X}) at offset {self._shift + pos}"


_EMPTY_ITEM = orjson.Fragment(b"{}")
