"""Rewriting of an edited header's bytes: unedited elements are copied, never parsed into objects."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from neurdicom.dicom.codec.charset import DEFAULT, UTF_8, CharacterSet, character_set
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
from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, DEFLATED, IMPLICIT
from neurdicom.dicom.codec.value_readers import read_strings
from neurdicom.dicom.edits.changes import (
    MODIFICATION_REASON,
    MODIFICATION_TIME,
    MODIFIED_ATTRIBUTES,
    MODIFYING_SYSTEM,
    ORIGINAL_ATTRIBUTES,
    REASON,
    SOURCE_OF_PREVIOUS_VALUES,
    SYSTEM,
    Change,
    Previous,
    by_modification,
    fits,
)
from neurdicom.dicom.header import Layout
from neurdicom.errors import Malformed, TooLarge

#: Most bytes of a new header, and of a deflated dataset once inflated.
MAX_HEADER = 256 * 1024 * 1024

_CHARSET_TAG = 0x00080005
#: VRs whose text depends on SpecificCharacterSet (PS3.5 6.1.2.2).
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_SHORT_LIMIT = 0xFFFE


def rewrite(path: Path, layout: Layout, changes: Sequence[Change]) -> tuple[bytes, int]:
    """Write a file's header with text elements of its top level replaced or added, and their previous values recorded.

    Where the file's character set can't write a new value, all text of the header changes to UTF-8.

    Parameters
    ----------
    path : Path
        The file.
    layout : Layout
        Its layout.
    changes : sequence of Change
        The changes; those to the value that this file has are left out.

    Returns
    -------
    header : bytes
        The file's new beginning; empty where nothing changes.
    copy_from : int
        Offset in the old file of the bytes that follow the header unchanged.

    Raises
    ------
    Malformed
        The header is not well-formed.
    TooLarge
        The new header or the inflated dataset is longer than `MAX_HEADER`, or a value longer than its VR allows.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
        start = layout.dataset_offset
        if layout.transfer_syntax not in DEFLATED:
            return _Writer(whole, layout, changes).write(0, start, min(layout.header_end, len(whole)))
        inflated = _inflate(whole[start:])
        end = layout.header_end - start if layout.pixel_keyword else len(inflated)
        header, copied = _Writer(inflated, layout, changes).write(0, 0, min(end, len(inflated)))
        if not header:
            return b"", 0
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        deflated = deflater.compress(header) + deflater.compress(inflated[copied:]) + deflater.flush()
        # Deflated datasets are padded to even length (PS3.5 A.5).
        return whole[:start] + deflated + bytes(len(deflated) & 1), len(whole)


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, MAX_HEADER)
    except zlib.error as error:
        raise Malformed(f"the deflated dataset is broken: {error}") from error
    if inflater.unconsumed_tail:
        raise TooLarge(f"a deflated dataset of more than {MAX_HEADER} bytes can't be edited")
    return inflated


class _HeaderBuilder:
    """Builder of the new bytes, from new ones and from the old ones up to `copied`."""

    def __init__(self, buffer: bytes | mmap, first: int) -> None:
        self.copied = first
        self._buffer = buffer
        self._parts: list[bytes] = []
        self._size = 0

    def replace(self, start: int, stop: int, new: bytes) -> None:
        """Copy the old bytes up to `start`, and replace those from there to `stop` by new ones."""
        self._size += start - self.copied + len(new)
        if self._size > MAX_HEADER:
            raise TooLarge(f"a header of more than {MAX_HEADER} bytes can't be edited")
        self._parts += (self._buffer[self.copied : start], new)
        self.copied = stop

    def join(self) -> bytes:
        """Join the bytes that replace the old ones up to `copied`."""
        return b"".join(self._parts)


class _OldElement(NamedTuple):
    """The old state of an edited element."""

    span: ElementSpan
    previous: Previous


class _ElementForm(NamedTuple):
    """The encoding in which elements are written."""

    explicit: bool
    order: str

    def element(self, tag: int, vr: str, content: bytes) -> bytes:
        """Write an element of text or a sequence."""
        return _element(tag, vr, content, self.explicit, self.order)

    def item(self, content: bytes) -> bytes:
        """Write an item of a sequence."""
        return struct.pack(self.order + "HHI", ITEM >> 16, ITEM & 0xFFFF, len(content)) + content


class _Writer:
    """Writer of the edited top level of a dataset."""

    def __init__(self, buffer: bytes | mmap, layout: Layout, changes: Sequence[Change]) -> None:
        self._stream = ElementStream(buffer, order=">" if layout.transfer_syntax == BIG_ENDIAN else "<")
        self._expected = layout.transfer_syntax != IMPLICIT
        self._changes = changes

    def write(self, first: int, start: int, end: int) -> tuple[bytes, int]:
        """Write the bytes from `first` to the last change in the dataset, which lies from `start` to `end`."""
        stream = self._stream
        explicit = stream.is_explicit(start, end, self._expected)
        charset = _charset_of(stream, start, end, explicit)
        old, earlier = self._old(start, end, explicit, charset)
        changes = [
            change for change in self._changes if change.alters(old[change.tag].previous if change.tag in old else None)
        ]
        if not changes:
            return b"", 0
        recoder = None if fits(charset, changes) else _Recoder(stream, charset, explicit)
        new = UTF_8 if recoder else charset
        form = _ElementForm(explicit, stream.order)
        pending = {
            change.tag: form.element(change.tag, change.vr, new.encode(change.text) or b"") for change in changes
        }
        if recoder:
            pending[_CHARSET_TAG] = form.element(_CHARSET_TAG, "CS", b"ISO_IR 192")
        pending[ORIGINAL_ATTRIBUTES] = _History(stream, form, recoder).element(earlier, changes, old)
        pending = dict(sorted(pending.items()))
        replaced = frozenset(pending)
        parts = _HeaderBuilder(stream.buffer, first)
        for span in stream.spans(start, end, explicit=explicit):
            tag = span.element.tag
            due = [each for each in pending if each <= tag]
            if due:
                parts.replace(span.start, span.start, b"".join(map(pending.pop, due)))
            # The retired group lengths are no longer right.
            if tag in replaced or (tag and not tag & 0xFFFF):
                parts.replace(span.start, span.stop, b"")
            elif recoder and (recoded := recoder.element(span)) is not None:
                parts.replace(span.start, span.stop, recoded)
        if pending:
            parts.replace(end, end, b"".join(pending.values()))
        return parts.join(), parts.copied

    def _old(
        self, start: int, end: int, explicit: bool, charset: CharacterSet
    ) -> tuple[dict[int, _OldElement], ElementSpan | None]:
        """Find the elements to change, the last one of each tag, and the Original Attributes Sequence if any."""
        wanted = {change.tag for change in self._changes}
        found: dict[int, _OldElement] = {}
        earlier = None
        for span in self._stream.spans(start, end, explicit=explicit):
            element = span.element
            if element.tag == ORIGINAL_ATTRIBUTES:
                earlier = span if element.vr == "SQ" else None
            elif element.tag in wanted:
                is_read = element.read is not None and not span.undefined and span.stop - span.value <= element.limit
                raw = self._stream.buffer[span.value : span.stop] if is_read else b""
                values = element.read(raw, charset) if element.read is not None and is_read else None
                found[element.tag] = _OldElement(span, Previous(element.vr, values))
        return found, earlier


class _History:
    """Writer of the Original Attributes Sequence (PS3.3 C.12.1.1.9)."""

    def __init__(self, stream: ElementStream, form: _ElementForm, recoder: "_Recoder | None") -> None:
        self._stream = stream
        self._form = form
        self._recoder = recoder

    def element(self, earlier: ElementSpan | None, changes: Sequence[Change], old: dict[int, _OldElement]) -> bytes:
        """Write the sequence: the items of the file's own one first, then an item for each time and user.

        Parameters
        ----------
        earlier : ElementSpan or None
            The file's own Original Attributes Sequence.
        changes : sequence of Change
            The changes.
        old : dict of int to _OldElement
            The previous state of the changed elements, by tag.
        """
        form, vr, content = self._form, "SQ", b""
        if earlier is not None:
            if is_unknown(self._stream.buffer, earlier.start, form.explicit):
                form, vr = _ElementForm(False, "<"), "UN"
            content = self._earlier(earlier, form, vr == "UN")
        content += b"".join(self._item(form, time, group, old) for time, group in by_modification(changes))
        return self._form.element(ORIGINAL_ATTRIBUTES, vr, content)

    def _earlier(self, span: ElementSpan, form: _ElementForm, unknown: bool) -> bytes:
        recoded = self._recoder.sequence(span, unknown) if self._recoder else None
        if recoded is not None:
            return recoded
        stream = ElementStream(self._stream.buffer, order=form.order)
        return b"".join(map(form.item, _items(stream, span, form.explicit)))

    def _item(self, form: _ElementForm, time: str, changes: Sequence[Change], old: dict[int, _OldElement]) -> bytes:
        modified = b"".join(self._original(form, change, old.get(change.tag)) for change in changes)
        return form.item(
            form.element(MODIFIED_ATTRIBUTES, "SQ", form.item(modified))
            + form.element(MODIFICATION_TIME, "DT", time.encode())
            + form.element(MODIFYING_SYSTEM, "LO", SYSTEM.encode())
            + form.element(SOURCE_OF_PREVIOUS_VALUES, "LO", b"")
            + form.element(MODIFICATION_REASON, "CS", REASON.encode())
        )

    def _original(self, form: _ElementForm, change: Change, old: _OldElement | None) -> bytes:
        if old is None or not old.previous.is_kept:
            return form.element(change.tag, change.vr, b"")
        raw = self._stream.buffer[old.span.value : old.span.stop]
        vr = old.previous.vr
        return form.element(change.tag, vr, self._recoder.text(vr, raw) if self._recoder else raw)


class _Recoder:
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
        charset = _charset_of(stream, start, stop, explicit, self._charset, delimited)
        recoder = _Recoder(stream, charset, explicit, self._depth + 1)
        parts = _HeaderBuilder(stream.buffer, start)
        for span in stream.spans(start, stop, explicit=explicit, delimited=delimited, depth=self._depth + 1):
            if span.element.tag in (ITEM_END, SEQUENCE_END):
                stop = span.start
            elif span.element.tag == _CHARSET_TAG:
                parts.replace(span.start, span.stop, b"")  # an item takes over that of the dataset
            elif (recoded := recoder.element(span)) is not None:
                parts.replace(span.start, span.stop, recoded)
        old = stream.buffer[start:stop]
        if parts.copied == start:
            return old, None
        parts.replace(stop, stop, b"")
        return old, parts.join()

    def _written(self, tag: int, vr: str, content: bytes) -> bytes:
        return _element(tag, vr, content, self._explicit, self._stream.order)


def _charset_of(
    stream: ElementStream,
    start: int,
    end: int,
    explicit: bool,
    inherited: CharacterSet = DEFAULT,
    delimited: bool = False,
) -> CharacterSet:
    """Read the character set of a dataset; its element comes before all text."""
    for span in stream.spans(start, end, explicit=explicit, delimited=delimited):
        if span.element.tag == _CHARSET_TAG:
            values = read_strings(stream.buffer[span.value : span.stop], DEFAULT)
            return character_set(tuple(str(term or "") for term in values))
        if span.element.tag > _CHARSET_TAG:
            break
    return inherited


def _items(stream: ElementStream, span: ElementSpan, explicit: bool) -> Iterator[bytes]:
    """Yield the datasets of a sequence's items, without delimiters."""
    for start, stop, delimited in stream.items(span, explicit=explicit, depth=1):
        end = stop
        if delimited:
            for each in stream.spans(start, stop, explicit=explicit, delimited=True, depth=1):
                if each.element.tag in (ITEM_END, SEQUENCE_END):
                    end = each.start
        yield stream.buffer[start:end]


def _element(tag: int, vr: str, content: bytes, explicit: bool, order: str) -> bytes:
    """Write an element of text or a sequence."""
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
