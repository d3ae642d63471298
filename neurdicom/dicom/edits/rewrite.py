"""Rewriting of an edited header's bytes: unedited elements are copied, never parsed into objects."""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from neurdicom.dicom.codec.charset import UTF_8, CharacterSet
from neurdicom.dicom.codec.pixel_end import find_pixel_end
from neurdicom.dicom.codec.stream import ITEM, ITEM_END, SEQUENCE_END, ElementSpan, ElementStream, is_unknown
from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, DEFLATED, IMPLICIT
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
from neurdicom.dicom.edits.recode import (
    CHARSET_TAG,
    MAX_HEADER,
    DatasetBuilder,
    Recoder,
    charset_of,
    write_element,
)
from neurdicom.dicom.header import Layout
from neurdicom.errors import Malformed, TooLarge


class EditedDataset(NamedTuple):
    """A dataset with edits applied, in three parts.

    Attributes
    ----------
    header : bytes
        Its beginning, from the first element to the last change; empty where nothing changes.
    copy_from : int
        Offset in the old buffer of the bytes that follow unchanged.
    tail_from : int
        Offset in the old buffer of the elements after Pixel Data, where `tail` replaces them.
    tail : bytes or None
        The elements after Pixel Data where their text changes to another character set; None where they stay the same.
    """

    header: bytes
    copy_from: int
    tail_from: int = 0
    tail: bytes | None = None

    def join(self, buffer: bytes | mmap) -> bytes:
        """Join all of the dataset."""
        if self.tail is None:
            return self.header + buffer[self.copy_from :]
        return self.header + buffer[self.copy_from : self.tail_from] + self.tail


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
        The file's new beginning, or all of it; empty where nothing changes.
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
        start, size = layout.dataset_offset, len(whole)
        if layout.transfer_syntax in DEFLATED:
            inflated = _inflate(whole[start:])
            end = layout.header_end - start if layout.pixel_keyword else len(inflated)
            end = min(end, len(inflated))
            edited = edit_bytes(inflated, layout.transfer_syntax, changes, (0, end), lambda: _tail(layout, start))
            if not edited.header:
                return b"", 0
            deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            deflated = deflater.compress(edited.join(inflated)) + deflater.flush()
            # Deflated datasets are padded to even length (PS3.5 A.5).
            return whole[:start] + deflated + bytes(len(deflated) & 1), size
        header = start, min(layout.header_end, size)
        descriptor = file.fileno()
        edited = edit_bytes(whole, layout.transfer_syntax, changes, header, lambda: _tail(layout, 0, descriptor, size))
        if not edited.header:
            return b"", 0
        if edited.tail is None:
            return whole[:start] + edited.header, edited.copy_from
        if size > MAX_HEADER:
            raise TooLarge(f"a file of more than {MAX_HEADER} bytes with text after Pixel Data can't be edited")
        return whole[:start] + edited.join(whole), size


def edit_bytes(
    buffer: bytes | mmap,
    transfer_syntax: str,
    changes: Sequence[Change],
    header: tuple[int, int],
    find_tail: Callable[[], int | None],
) -> EditedDataset:
    """Apply changes to the bytes of a dataset.

    Parameters
    ----------
    buffer : bytes or mmap
        The dataset, not deflated, or its elements before and after Pixel Data.
    transfer_syntax : str
        Its Transfer Syntax UID.
    changes : sequence of Change
        The changes.
    header : tuple of (int, int)
        Where the elements before Pixel Data begin and stop in the buffer.
    find_tail : callable
        Returns where those after Pixel Data begin, None if there are none; called where the character set changes.

    Returns
    -------
    EditedDataset

    Raises
    ------
    Malformed, TooLarge
        As `rewrite`.
    """
    writer = _Writer(buffer, transfer_syntax, changes)
    new, copy_from = writer.write(*header)
    start = find_tail() if new and writer.has_recoded else None
    tail = None if start is None else writer.recode(start, len(buffer))
    return EditedDataset(new, copy_from, start or 0, tail)


def _tail(layout: Layout, shift: int, descriptor: int | None = None, size: int = 0) -> int | None:
    """Find where the elements after Pixel Data begin, in a buffer that begins at an offset; None without any."""
    offset, length = layout.pixel_offset, layout.pixel_length
    if layout.pixel_keyword is None or offset is None:
        return None
    if descriptor is None:
        return None if length is None else offset + length - shift
    try:
        return find_pixel_end(descriptor, size, keyword=layout.pixel_keyword, offset=offset, length=length)
    except Malformed:
        return None


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, MAX_HEADER)
    except zlib.error as error:
        raise Malformed(f"the deflated dataset is broken: {error}") from error
    if inflater.unconsumed_tail:
        raise TooLarge(f"a deflated dataset of more than {MAX_HEADER} bytes can't be edited")
    return inflated


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
        return write_element(tag, vr, content, self.explicit, self.order)

    def item(self, content: bytes) -> bytes:
        """Write an item of a sequence."""
        return struct.pack(self.order + "HHI", ITEM >> 16, ITEM & 0xFFFF, len(content)) + content


class _Writer:
    """Writer of the edited top level of a dataset."""

    def __init__(self, buffer: bytes | mmap, transfer_syntax: str, changes: Sequence[Change]) -> None:
        self._stream = ElementStream(buffer, order=">" if transfer_syntax == BIG_ENDIAN else "<")
        self._expected = transfer_syntax != IMPLICIT
        self._changes = changes
        self._replaced: CharacterSet | None = None  # by UTF-8

    @property
    def has_recoded(self) -> bool:
        """True if the text of the header has changed to UTF-8."""
        return self._replaced is not None

    def recode(self, start: int, end: int) -> bytes | None:
        """Convert elements after Pixel Data to the header's character set; None if they stay the same."""
        if self._replaced is None or not 0 <= start < end:
            return None
        stream = self._stream
        explicit = stream.is_explicit(start, end, self._expected)
        recoder, parts = Recoder(stream, self._replaced, explicit), DatasetBuilder(stream.buffer, start)
        try:
            for span in stream.spans(start, end, explicit=explicit):
                if (recoded := recoder.element(span)) is not None:
                    parts.replace(span.start, span.stop, recoded)
        except Malformed:
            return None  # padding or garbage
        if parts.copied == start:
            return None
        parts.replace(end, end, b"")
        return parts.join()

    def write(self, start: int, end: int) -> tuple[bytes, int]:
        """Write the bytes from `start`, where the dataset begins, to its last change."""
        stream = self._stream
        explicit = stream.is_explicit(start, end, self._expected)
        charset = charset_of(stream, start, end, explicit)
        old, earlier = self._old(start, end, explicit, charset)
        changes = [
            change for change in self._changes if change.alters(old[change.tag].previous if change.tag in old else None)
        ]
        if not changes:
            return b"", 0
        recoder = None if fits(charset, changes) else Recoder(stream, charset, explicit)
        new = UTF_8 if recoder else charset
        self._replaced = charset if recoder else None
        form = _ElementForm(explicit, stream.order)
        pending = {
            change.tag: form.element(change.tag, change.vr, new.encode(change.text) or b"") for change in changes
        }
        if recoder:
            pending[CHARSET_TAG] = form.element(CHARSET_TAG, "CS", b"ISO_IR 192")
        pending[ORIGINAL_ATTRIBUTES] = _History(stream, form, recoder).element(earlier, changes, old)
        pending = dict(sorted(pending.items()))
        replaced = frozenset(pending)
        parts = DatasetBuilder(stream.buffer, start)
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

    def __init__(self, stream: ElementStream, form: _ElementForm, recoder: Recoder | None) -> None:
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


def _items(stream: ElementStream, span: ElementSpan, explicit: bool) -> Iterator[bytes]:
    """Yield the datasets of a sequence's items, without delimiters."""
    for start, stop, delimited in stream.items(span, explicit=explicit, depth=1):
        end = stop
        if delimited:
            for each in stream.spans(start, stop, explicit=explicit, delimited=True, depth=1):
                if each.element.tag in (ITEM_END, SEQUENCE_END):
                    end = each.start
        yield stream.buffer[start:end]
