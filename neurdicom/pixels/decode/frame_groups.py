"""Per-frame functional groups (PS3.3 C.7.6.16), of which one frame's item is read at a time.

A slide has hundreds of thousands of them: as objects they would fill the memory.
"""

from array import array
from functools import lru_cache
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from neurdicom.dicom.codec.stream import ITEM_END, ElementStream, holds_fragments, is_unknown
from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, DEFLATED, IMPLICIT
from neurdicom.dicom.header import Layout
from neurdicom.errors import Malformed
from neurdicom.pixels.decode.source import Source

_TAG = 0x52009230


class FrameGroups:
    """Places of the items of one file's Per-Frame Functional Groups Sequence.

    Parameters
    ----------
    buffer : bytes or mmap
        The file, or its elements before Pixel Data.
    layout : Layout
        Its layout.
    shift : int
        Offset in the file of the buffer's first byte.
    """

    def __init__(self, buffer: bytes | mmap, layout: Layout, shift: int) -> None:
        self._shift = shift
        self._starts, self._stops = array("Q"), array("Q")
        self._explicit = layout.transfer_syntax != IMPLICIT
        self._order = ">" if layout.transfer_syntax == BIG_ENDIAN else "<"
        start = layout.dataset_offset - shift
        end = min(layout.header_end - shift, len(buffer)) if layout.pixel_keyword else len(buffer)
        tag = b"\x52\x00\x92\x30" if self._order == ">" else b"\x00\x52\x30\x92"
        if buffer.find(tag, start, end) < 0:
            return
        try:
            self._find(ElementStream(buffer, order=self._order), start, end)
        except Malformed:
            self._starts, self._stops = array("Q"), array("Q")

    def _find(self, stream: ElementStream, start: int, end: int) -> None:
        self._explicit = stream.is_explicit(start, end, self._explicit)
        for span in stream.spans(start, end, explicit=self._explicit):
            if span.element.tag != _TAG or holds_fragments(span.element):
                continue
            if is_unknown(stream.buffer, span.start, self._explicit):
                self._explicit, self._order = False, "<"
                stream = ElementStream(stream.buffer)
            for first, stop, _ in stream.items(span, explicit=self._explicit, depth=1):
                self._starts.append(first)
                self._stops.append(stop)
            return

    def item(self, source: Source, index: int) -> Dataset | None:
        """Read the item of a frame (index from 0); None if there is none."""
        if not 0 <= index < len(self._starts):
            return None
        start, stop = self._starts[index], self._stops[index]
        data = BytesIO(source.read(self._shift + start, stop - start))
        return read_dataset(data, not self._explicit, self._order == "<", stop_when=_at_end)


def _at_end(tag: BaseTag, vr: str | None, length: int) -> bool:
    return int(tag) == ITEM_END


@lru_cache(maxsize=16)
def find_groups(path: str, identity: tuple[int, ...], layout: Layout, most: int) -> FrameGroups:
    """Find the per-frame functional groups of a file.

    Parameters
    ----------
    path : str
        The DICOM file.
    identity : tuple of int
        Key of its present content, `Source.identity`.
    layout : Layout
        Its layout.
    most : int
        Most bytes of a deflated header that are held.
    """
    if layout.transfer_syntax in DEFLATED:
        with Source(path, layout) as source:
            length = layout.header_end - layout.dataset_offset if layout.pixel_keyword else most
            header = bytes(source.read(layout.dataset_offset, min(length, most)))
        return FrameGroups(header, layout, layout.dataset_offset)
    with Path(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
        return FrameGroups(whole, layout, 0)
