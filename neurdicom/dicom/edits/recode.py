"""Conversion of the text of a dataset's bytes to UTF-8, and what writes an element of text."""

import struct
from mmap import mmap

from neurdicom.dicom.codec.charset import DEFAULT, CharacterSet, character_set
from neurdicom.dicom.codec.dictionary import LONG_VRS, Action, private_vr
from neurdicom.dicom.codec.stream import (
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    ElementSpan,
    ElementStream,
    holds_fragments,
    is_unknown,
)
from neurdicom.dicom.codec.value_readers import read_strings
from neurdicom.errors import TooLarge

#: Most bytes of a new header, and of a deflated dataset once inflated.
MAX_HEADER = 256 * 1024 * 1024

CHARSET_TAG = 0x00080005
#: VRs whose text depends on SpecificCharacterSet (PS3.5 6.1.2.2).
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_SHORT_LIMIT = 0xFFFE


class DatasetBuilder:
    """Builder of the new bytes of a dataset, from new ones and from the old ones up to `copied`."""

    def __init__(self, buffer: bytes | mmap, first: int) -> None:
        self.copied = first
        self._buffer = buffer
        self._parts: list[bytes] = []
        self._size = 0

    def replace(self, start: int, stop: int, new: bytes) -> None:
        """Copy the old bytes up to an element, and replace it.

        Parameters
        ----------
        start, stop : int
            Where the replaced bytes begin and stop in the buffer.
        new : bytes
            What replaces them.
        """
        self._size += start - self.copied + len(new)
        if self._size > MAX_HEADER:
            raise TooLarge(f"a header of more than {MAX_HEADER} bytes can't be edited")
        self._parts += (self._buffer[self.copied : start], new)
        self.copied = stop

    def join(self) -> bytes:
        """Join the bytes that replace the old ones up to `copied`."""
        return b"".join(self._parts)


class Recoder:
    """Converter of the text of one dataset, and of the items in it, to UTF-8."""

    def __init__(self, stream: ElementStream, charset: CharacterSet, explicit: bool, depth: int = 0) -> None:
        self._stream = stream
        self._charset = charset
        self._explicit = explicit
        self._depth = depth
        self._creators: dict[int, str] = {}

    def element(self, span: ElementSpan) -> bytes | None:
        """Convert an element; return None if its bytes stay the same."""
        element, stream = span.element, self._stream
        vr = element.vr
        if element.action == Action.PRIVATE:
            vr = private_vr(element.tag, self._creators.get(element.tag >> 8, ""))
        elif element.action == Action.CREATOR and stream.holds_items(span.value, span.stop - span.value):
            vr = "SQ"
        unknown = is_unknown(stream.buffer, span.start, self._explicit)
        if vr == "SQ" or (span.undefined and not holds_fragments(element)):
            content = self.sequence(span, unknown)
            return None if content is None else self._written(element.tag, "UN" if unknown else "SQ", content)
        if vr not in _TEXT_VRS:
            return None
        raw = stream.buffer[span.value : span.stop]
        if element.action == Action.CREATOR:
            self._creators[element.tag >> 16 << 8 | element.tag & 0xFF] = raw.decode("latin_1").strip(" \0")
        text = self.text(vr, raw)
        return None if text is raw else self._written(element.tag, "UN" if unknown else vr, text)

    def text(self, vr: str, raw: bytes) -> bytes:
        """Convert a value to UTF-8; return the same bytes where they mean the same in UTF-8."""
        if vr not in _TEXT_VRS or (raw.isascii() and b"\x1b" not in raw):
            return raw
        return self._charset.decode(raw).encode("utf_8", "replace")

    def sequence(self, span: ElementSpan, unknown: bool) -> bytes | None:
        """Convert the items of a sequence; return None if all stay the same. Raises `Malformed` if too deep."""
        stream = self._stream
        if unknown and stream.order != "<":
            stream = ElementStream(stream.buffer)
        explicit = self._explicit and not unknown
        parts: list[bytes] = []
        changed = False
        for start, stop, delimited in stream.items(span, explicit=explicit, depth=self._depth + 1):
            old, new = self._item(stream, start, stop, explicit, delimited)
            content = old if new is None else new
            changed = changed or new is not None
            parts += (struct.pack(stream.order + "HHI", ITEM >> 16, ITEM & 0xFFFF, len(content)), content)
        return b"".join(parts) if changed else None

    def _item(
        self, stream: ElementStream, start: int, stop: int, explicit: bool, delimited: bool
    ) -> tuple[bytes, bytes | None]:
        """Return an item's old bytes without a delimiter, and its converted ones, None if they stay the same."""
        explicit = stream.is_explicit(start, stop, explicit)
        charset = charset_of(stream, start, stop, explicit, self._charset, delimited)
        recoder = Recoder(stream, charset, explicit, self._depth + 1)
        parts = DatasetBuilder(stream.buffer, start)
        for span in stream.spans(start, stop, explicit=explicit, delimited=delimited, depth=self._depth + 1):
            if span.element.tag in (ITEM_END, SEQUENCE_END):
                stop = span.start
            elif span.element.tag == CHARSET_TAG:
                parts.replace(span.start, span.stop, b"")  # an item takes over that of the dataset
            elif (recoded := recoder.element(span)) is not None:
                parts.replace(span.start, span.stop, recoded)
        old = stream.buffer[start:stop]
        if parts.copied == start:
            return old, None
        parts.replace(stop, stop, b"")
        return old, parts.join()

    def _written(self, tag: int, vr: str, content: bytes) -> bytes:
        return write_element(tag, vr, content, self._explicit, self._stream.order)


def charset_of(
    stream: ElementStream,
    start: int,
    end: int,
    explicit: bool,
    inherited: CharacterSet = DEFAULT,
    delimited: bool = False,
) -> CharacterSet:
    """Read the character set of a dataset; its element comes before all text.

    Parameters
    ----------
    stream : ElementStream
        The buffer.
    start, end : int
        Where the dataset begins and stops in it.
    explicit : bool
        True for Explicit VR, False for Implicit VR.
    inherited : CharacterSet
        The character set of a dataset that names none.
    delimited : bool
        True for an item of undefined length.
    """
    for span in stream.spans(start, end, explicit=explicit, delimited=delimited):
        if span.element.tag == CHARSET_TAG:
            values = read_strings(stream.buffer[span.value : span.stop], DEFAULT)
            return character_set(tuple(str(term or "") for term in values))
        if span.element.tag > CHARSET_TAG:
            break
    return inherited


def write_element(tag: int, vr: str, content: bytes, explicit: bool, order: str) -> bytes:
    """Write an element of text or a sequence.

    Parameters
    ----------
    tag : int
        `0xGGGGEEEE`.
    vr : str
        Its VR.
    content : bytes
        Its value; a blank makes the length even.
    explicit : bool
        True for Explicit VR, False for Implicit VR.
    order : {"<", ">"}
        Byte order, as in struct.

    Raises
    ------
    TooLarge
        The value is longer than its VR allows.
    """
    if len(content) & 1:
        content += b" "
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack(order + "I", len(content)) + content
    if vr in LONG_VRS:
        return head + vr.encode() + bytes(2) + struct.pack(order + "I", len(content)) + content
    if len(content) > _SHORT_LIMIT:
        raise TooLarge(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is too long for its VR in UTF-8")
    return head + vr.encode() + struct.pack(order + "H", len(content)) + content
