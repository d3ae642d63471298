"""Single frames as a file holds them, for those who decode elsewhere (PS3.18 10.4.1.1.6). Nothing is decoded here."""

from collections.abc import Sequence
from pathlib import Path

from neurdicom.dicom.header import Layout
from neurdicom.pixels.encapsulated import Encapsulation, Fragment, find_extended_offsets, walk_fragments
from neurdicom.pixels.form import PixelForm
from neurdicom.pixels.native import native_place
from neurdicom.pixels.source import Source


def frame_places(path: Path, layout: Layout, frames: Sequence[int]) -> list[list[Fragment]] | None:
    """Find the bytes of frames; no pixel is read. Blocks; for a thread.

    Parameters
    ----------
    path : Path
        The DICOM file.
    layout : Layout
        Its layout.
    frames : sequence of int
        Numbers from 1.

    Returns
    -------
    list or None
        For each frame the places in the file whose bytes, joined, are its codestream, or its native cells in little
        endian. None where they lie there in no such form: `native_bytes` gives them.

    Raises
    ------
    NotAvailable
        The instance has no pixels, or a frame is not there, or the frames can't be told apart.
    NotFound
        The file is gone.
    """
    form = PixelForm.of(layout)
    indexes = [form.index(frame) for frame in frames]
    if layout.pixel_length is not None:
        found = [native_place(layout, form, index) for index in indexes]
        return None if None in found else [[Fragment(*place)] for place in found if place is not None]
    with Source(path, layout) as source:
        encapsulation = Encapsulation(source, layout, form)
        extended = find_extended_offsets(source, layout, form.frames) if form.frames > 1 else None
        return [encapsulation.fragments(index, extended) for index in indexes]


def value_places(path: Path, layout: Layout, offset: int) -> list[Fragment]:
    """Find the fragments of an encapsulated value of undefined length (PS3.5 A.4), its offset table left out.

    Parameters
    ----------
    path : Path
        The DICOM file.
    layout : Layout
        Its layout.
    offset : int
        First byte of the value.
    """
    with Source(path, layout) as source:
        return walk_fragments(source, offset, source.size)[1:]
