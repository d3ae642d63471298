"""Places of single frames in a file, for clients that decode them (PS3.18 10.4.1.1.6). Nothing is decoded here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neurdicom.dicom.header import Layout
from neurdicom.pixels.decode.encapsulated import Encapsulation
from neurdicom.pixels.decode.fragments import Fragment, FrameIndex, walk_fragments
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.native import native_place
from neurdicom.pixels.decode.source import Source

#: Least number of frames of a file whose index is worth caching.
_MANY = 32


@dataclass(frozen=True, slots=True)
class FramePlaces:
    """Places of requested frames.

    Attributes
    ----------
    places : list or None
        For each frame the places in the file whose bytes, joined, are its codestream or its native cells in little
        endian. None where the file does not hold them in that form; `native_bytes` converts them.
    index : FrameIndex or None
        Index of the whole file, where it is worth caching.
    """

    places: list[list[Fragment]] | None
    index: FrameIndex | None = None


def find_frames(path: Path, layout: Layout, frames: Sequence[int], index: FrameIndex | None = None) -> FramePlaces:
    """Find the bytes of frames; no pixel is read. Blocks; call it in a thread.

    Parameters
    ----------
    path : Path
        The DICOM file.
    layout : Layout
        Its layout.
    frames : sequence of int
        Frame numbers, from 1.
    index : FrameIndex, optional
        The index of the same file from an earlier call.

    Returns
    -------
    FramePlaces

    Raises
    ------
    Invalid
        A frame number is out of range.
    NotAvailable
        The instance has no pixels, or a frame is missing, or the fragments can't be assigned to frames.
    NotFound
        The file is gone.
    """
    form = ImagePixel.of(layout)
    # The last one first, so that frames that are declared but missing take no memory.
    last = form.index(frames[-1] if isinstance(frames, range) else max(frames))
    if layout.pixel_length is not None:
        if native_place(layout, form, last) is None:
            return FramePlaces(None)
        places = [native_place(layout, form, form.index(frame)) for frame in frames]
        return FramePlaces(None if None in places else [[Fragment(*place)] for place in places if place is not None])
    if index is None:
        with Source(path, layout) as source:
            encapsulation = Encapsulation(source, layout, form)
            if form.frames < _MANY:
                encapsulation.fragments(last)
                return FramePlaces([encapsulation.fragments(form.index(frame)) for frame in frames])
            index = encapsulation.index
    index.places(last)
    return FramePlaces([index.places(form.index(frame)) for frame in frames], index)


def value_places(path: Path, layout: Layout, offset: int) -> list[Fragment]:
    """Find the fragments of an encapsulated value of undefined length (PS3.5 A.4), its offset table left out.

    Parameters
    ----------
    path : Path
        The DICOM file.
    layout : Layout
        Its layout.
    offset : int
        Offset of the first byte of the value.

    Returns
    -------
    list of Fragment
    """
    with Source(path, layout) as source:
        return walk_fragments(source, offset, source.size).places()[1:]
