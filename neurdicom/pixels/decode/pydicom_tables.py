"""Offset tables of pydicom datasets, so that `ds.pixel_array` has the frames that the server finds."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from neurdicom.dicom.header import Layout
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import NeurdicomError
from neurdicom.pixels.decode.codecs import CODECS
from neurdicom.pixels.decode.encapsulated import Encapsulation
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.source import Source

_EXTENDED = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


def mend_tables(ds: Dataset, path: Path | str, layout: Layout | None = None) -> None:
    """Encapsulate the frames of a dataset anew where pydicom would take others by its offset table; else do nothing.

    Parameters
    ----------
    ds : Dataset
        The dataset, as read from the file.
    path : path
        The DICOM file.
    layout : Layout, optional
        Its layout, where it is known.
    """
    if str(ds.file_meta.get("TransferSyntaxUID", "")) not in CODECS or "NumberOfFrames" not in ds:
        return
    try:
        layout = layout or read_header(Path(path)).layout
        form = ImagePixel.of(layout)
        if form.frames == 1 or layout.pixel_keyword != "PixelData":
            return
        with Source(path, layout) as source:
            encapsulation = Encapsulation(source, layout, form)
            if _is_followed(ds, encapsulation):
                return
            frames = [encapsulation.read(encapsulation.fragments(index)) for index in range(form.frames)]
    except NeurdicomError:
        return  # what the server can't tell either
    for keyword in _EXTENDED:
        if keyword in ds:
            delattr(ds, keyword)
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].is_undefined_length = True


def _is_followed(ds: Dataset, encapsulation: Encapsulation) -> bool:
    """Tell whether pydicom finds the same frames."""
    if not encapsulation.is_regular:
        return False
    if _EXTENDED[0] not in ds:
        return True
    offsets, lengths = (np.frombuffer(ds.get(keyword) or b"", "<u8") for keyword in _EXTENDED)
    items = encapsulation.items
    if not len(offsets) == len(lengths) == len(items):
        return False
    is_padded = (lengths == items.lengths) | (lengths + 1 == items.lengths)
    return bool(is_padded.all() and (offsets == items.offsets - items.offsets[0]).all())
