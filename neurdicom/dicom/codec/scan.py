"""Scanner of datasets: from bytes (PS3.5 chapter 7) straight to the DICOM JSON model (PS3.18 F).

It exists for speed: ingest parses a header in a fraction of a millisecond. It never copies a value that is too
large for a header, and its memory is bounded whatever the input.
"""

import base64
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

import orjson

from neurdicom.dicom.codec.charset import DEFAULT, CharacterSet, character_set
from neurdicom.dicom.codec.dictionary import KNOWN_VRS, PIXEL_KEYWORDS, Action, Element, describe, private_vr
from neurdicom.dicom.codec.stream import (
    ITEM_END,
    MAX_DEPTH,
    SEQUENCE_END,
    UNDEFINED,
    ElementStream,
    EndOfBuffer,
    holds_fragments,
    is_unknown,
)
from neurdicom.dicom.codec.value_readers import as_little_endian
from neurdicom.errors import Malformed

#: Elements of one dataset or item, items of one header, and bytes of a sequence in the JSON model; more are refused. A
#: sparse slide (PS3.3 C.7.6.17.3) has four items and 400 bytes for each of its frames, or more.
MAX_ELEMENTS = 1 << 14
MAX_ITEMS = 1 << 22
MAX_TEXT = 384 * 1024 * 1024
#: Bytes of a header that are kept; past them values longer than SHORT are named, not kept.
MAX_KEPT = 16 * 1024 * 1024
SHORT = 64
#: Values up to this length are read in the scanner's inner loop, others with more care.
_USUAL = 1024

Dataset = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pixels:
    """The Pixel Data element at which a scan ended; offsets count from the beginning of the file."""

    keyword: str
    start: int
    offset: int
    length: int | None


@dataclass(slots=True)
class _DatasetScan:
    """State of the scan of one dataset: the file's own, or an item's."""

    explicit: bool
    charset: CharacterSet = DEFAULT
    signed: bool = False
    depth: int = 0
    path: str = ""
    delimited: bool = False  # ends at an Item Delimitation Item
    ended: bool = False
    creators: dict[int, str] = field(default_factory=dict)
    out: Dataset = field(default_factory=dict)

    def item(self, path: str, *, explicit: bool, delimited: bool) -> "_DatasetScan":
        """Make the state for an item of a sequence, which inherits the character set and PixelRepresentation."""
        return _DatasetScan(explicit, self.charset, self.signed, self.depth + 1, path, delimited)


class Scanner(ElementStream):
    """Scanner of one buffer in one encoding.

    Parameters
    ----------
    buffer : bytes or mmap
        The file, or its beginning, or a part of it.
    explicit : bool
        True for Explicit VR, False for Implicit VR.
    order : {"<", ">"}
        Byte order, as in struct.
    shift : int
        File offset of the buffer's first byte.

    Attributes
    ----------
    pixels : Pixels or None
        Pixel Data, once a scan has reached it.
    """

    def __init__(self, buffer: bytes | mmap, *, explicit: bool, order: str = "<", shift: int = 0) -> None:
        super().__init__(buffer, order=order, shift=shift)
        self.pixels: Pixels | None = None
        self._explicit = explicit
        self._usual = _USUAL
        self._kept = 0
        self._items = 0

    def scan(self, start: int, charset: CharacterSet = DEFAULT) -> Dataset:
        """Scan a dataset up to Pixel Data, or to the end of the buffer.

        Parameters
        ----------
        start : int
            Offset of the dataset's first byte in the buffer.
        charset : CharacterSet
            The character set in force until the dataset has a SpecificCharacterSet.

        Returns
        -------
        dict
            The DICOM JSON model; the values of a sequence are one `orjson.Fragment`.

        Raises
        ------
        EndOfBuffer
            An element goes past the end of the buffer.
        Malformed
            The stream is broken, nested too deeply, or has too many elements.
        """
        level = _DatasetScan(self._explicit, charset)
        self._dataset(level, start, len(self.buffer))
        return level.out

    def _dataset(self, level: _DatasetScan, pos: int, end: int) -> int:
        """Scan elements into `level.out` and return the position after them."""
        level.explicit = explicit = self.is_explicit(pos, end, level.explicit)
        buffer, elements, out, usual = self.buffer, self.elements, level.out, self._usual
        head = self.explicit_head if explicit else self.implicit_head
        read_length, charset = self.read_length, level.charset
        while pos + 8 <= end:
            prefix, length = head(buffer, pos)
            element = elements[prefix]
            key, vr, read, plain, long_form, _, _, _ = element
            value = pos + 8
            if long_form:
                if pos + 12 > end:
                    raise self.cut(element, pos)
                (length,) = read_length(buffer, value)
                value += 4
            stop = value + length
            if not plain or length > usual or stop > end:
                pos = self._special(level, element, pos, value, length, end)
                if level.ended:
                    return pos
                charset = level.charset
                if len(out) > MAX_ELEMENTS:
                    raise Malformed(f"more than {MAX_ELEMENTS} elements in one dataset, at {self.at(element, pos)}")
                continue
            if length:
                values = read(buffer[value:stop], charset)  # type: ignore[misc]  # plain ones have it
                out[key] = {"vr": vr, "Value": values} if values else {"vr": vr}
            else:
                out[key] = {"vr": vr}
            pos = stop
        if len(out) > MAX_ELEMENTS:
            raise Malformed(f"more than {MAX_ELEMENTS} elements in one dataset")
        # A few zero bytes after the last element are padding.
        if any(buffer[pos:end]):
            raise EndOfBuffer(f"{end - pos} bytes at offset {self.shift + pos} are too few for an element")
        if level.delimited:
            raise EndOfBuffer(f"the item that ends at offset {self.shift + end} lacks its delimiter")
        return end

    def _special(self, level: _DatasetScan, element: Element, pos: int, value: int, length: int, end: int) -> int:
        """Read an element that is not a short value of text or numbers; return the position of the next one."""
        action = element.action
        if action == Action.NO_VR:
            element, length = self.without_vr(element, pos, end)
            action = element.action
        if action == Action.DELIMITER:
            return self._delimiter(level, element, pos, value, length, end)
        if action == Action.PIXELS and level.depth == 0:
            self.pixels = Pixels(
                PIXEL_KEYWORDS[element.tag],
                self.shift + pos,
                self.shift + value,
                None if length == UNDEFINED else length,
            )
            level.out[element.key] = self._bulk(element, element.key, value, length)
            level.ended = True
            return pos
        if action == Action.AMBIGUOUS:
            element = describe(element.tag, "SS" if level.signed else "US", self.order)
        elif action == Action.PRIVATE:
            vr = private_vr(element.tag, level.creators.get(element.tag >> 8, ""))
            if vr in KNOWN_VRS and vr != "UN":
                order = "<" if level.explicit else self.order  # explicit UN holds little endian
                element = describe(element.tag, vr, order)
        elif action == Action.CREATOR and self.holds_items(value, min(length, end - value)):
            element = describe(element.tag, "SQ", self.order)
        if length == UNDEFINED or element.action == Action.SEQUENCE:
            return self._container(level, element, pos, value, length, end)
        stop = value + length
        if stop > end:
            raise self.cut(element, pos)
        if element.action == Action.LEAVE_OUT:
            if element.tag == 0 and not length and not any(self.buffer[pos : min(end, pos + 4096)]):
                return end  # zeros to the end of a disk block
            return stop
        self._value(level, element, value, length)
        return stop

    def _value(self, level: _DatasetScan, element: Element, value: int, length: int) -> None:
        """Read a value of any length, and keep those that later elements depend on (character set, sign, creator)."""
        key, vr, action, read = element.key, element.vr, element.action, element.read
        values: list[Any] = []
        if not length:
            level.out[key] = {"vr": vr}
        elif length > element.limit or (length > SHORT and self._is_full(length)):
            level.out[key] = self._bulk(element, level.path + key, value, length)
        elif read is None:
            raw = as_little_endian(self.buffer[value : value + length], vr, self.order)
            level.out[key] = {"vr": vr, "InlineBinary": base64.b64encode(raw).decode("ascii")}
        else:
            values = read(self.buffer[value : value + length], level.charset)
            level.out[key] = {"vr": vr, "Value": values} if values else {"vr": vr}
        if action == Action.CHARSET:
            level.charset = character_set(tuple(str(term or "") for term in values))
        elif action == Action.SIGN:
            level.signed = values[:1] == [1]
        elif action == Action.CREATOR and values:
            # The block that it reserves: (gggg,xx00) to (gggg,xxFF) (PS3.5 7.8.1).
            level.creators[element.tag >> 16 << 8 | element.tag & 0xFF] = str(values[0])

    def _delimiter(self, level: _DatasetScan, element: Element, pos: int, value: int, length: int, end: int) -> int:
        if level.delimited and element.tag in (ITEM_END, SEQUENCE_END):
            level.ended = True
            return value if element.tag == ITEM_END else pos  # the sequence reads its own delimiter
        if element.tag in (ITEM_END, SEQUENCE_END) and not length:
            return value  # a stray one
        raise Malformed(f"an item outside a sequence at offset {self.shift + pos}")

    def _container(self, level: _DatasetScan, element: Element, pos: int, value: int, length: int, end: int) -> int:
        """Read a sequence, or skip encapsulated fragments; return the position after it."""
        if level.depth >= MAX_DEPTH:
            raise Malformed(f"sequences are nested deeper than {MAX_DEPTH}, at {self.at(element, pos)}")
        stop = end if length == UNDEFINED else self.sequence_stop(value + length)
        if stop > end:
            raise self.cut(element, pos)
        key = element.key
        if length == UNDEFINED and holds_fragments(element):
            after = self.skip_fragments(element, pos, value, end)
            level.out[key] = self._bulk(element, level.path + key, value, UNDEFINED)
            return after
        scanner, explicit = self, level.explicit
        if is_unknown(self.buffer, pos, explicit):
            explicit = False
            if self.order != "<":
                scanner = Scanner(self.buffer, explicit=False, shift=self.shift)
        items, after = scanner._sequence(level, element, explicit, value, stop, length == UNDEFINED)
        level.out[key] = {"vr": "SQ", "Value": orjson.Fragment(items)} if items else {"vr": "SQ"}
        return after

    def _sequence(
        self, level: _DatasetScan, element: Element, explicit: bool, pos: int, stop: int, delimited: bool
    ) -> tuple[bytes, int]:
        """Read a sequence's items; each is serialised at once, which takes a tenth of the memory of its objects."""
        text = bytearray()
        count = 0
        while pos + 8 <= stop:
            tag, length, pos = self._item(element, pos)
            if tag == SEQUENCE_END:
                return _array(text), pos if delimited else stop
            item_stop = stop if length == UNDEFINED else pos + length
            if item_stop > stop:
                raise self.cut(element, pos - 8)
            self._items += 1
            if self._items > MAX_ITEMS:
                raise Malformed(f"more than {MAX_ITEMS} items, at {self.at(element, pos)}")
            path = f"{level.path}{element.key}/{count}/"
            item = level.item(path, explicit=explicit, delimited=length == UNDEFINED)
            pos = self._dataset(item, pos, item_stop)
            written = orjson.dumps(item.out, option=orjson.OPT_SORT_KEYS)
            text += b"," if count else b"["
            text += written
            if len(text) > MAX_TEXT:
                raise Malformed(f"more than {MAX_TEXT} bytes of items, at {self.at(element, pos)}")
            count += 1
            if level.depth == 0:
                self._is_full(len(written))
        if delimited:
            raise EndOfBuffer(f"the sequence {self.at(element, pos)} has no end")
        return _array(text), stop

    def _is_full(self, length: int) -> bool:
        self._kept += length
        if self._kept > MAX_KEPT:
            self._usual = SHORT
        return self._kept > MAX_KEPT

    def _bulk(self, element: Element, path: str, value: int, length: int) -> dict[str, str]:
        """Write the BulkDataURI, relative to the instance's, of a value that the header leaves out."""
        size = "" if length == UNDEFINED else f"&length={length}"
        return {"vr": element.vr, "BulkDataURI": f"bulk/{path}?offset={self.shift + value}{size}"}


def _array(text: bytearray) -> bytes:
    text += b"]" if text else b""
    return bytes(text)
