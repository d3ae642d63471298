"""Input of native code: a stored file's frame as float64 or float32. Worker processes only."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from neurdicom.dicom.header import Layout
from neurdicom.pixels.decode.codecs import CODECS
from neurdicom.pixels.decode.image_pixel import ImagePixel, as_layout
from neurdicom.pixels.decode.native import native_place
from neurdicom.pixels.decode.source import Source
from neurdicom.pixels.grayscale.modality import Rescale, modality_of
from neurdicom.pixels.kernels import read_grey
from neurdicom.pixels.pipeline import load_stored, to_double
from neurdicom.workers.program import Input

Image = npt.NDArray[Any]

#: Bits Allocated that can be read and converted in one pass.
_CELLS: Final = (8, 16, 32)
_IDENTITY: Final = Rescale()


def read_image(
    path: Path | str,
    layout: Layout | Mapping[str, Any],
    frame: int,
    input: Input,
    place: Callable[[tuple[int, int]], Image],
) -> Image:
    """Read and decode one frame, and convert it once.

    Parameters
    ----------
    path : path
        The DICOM file.
    layout : Layout or mapping
        Where Pixel Data lies in the file, as ingest found it.
    frame : int
        Frame number, from 1.
    input : {"stored", "modality"}
        Stored values, or those after the modality transformation (PS3.3 C.11.1; grey frames only).
    place : callable
        Gives the memory for (rows, columns): a C-contiguous, writable array of float64 or float32.

    Returns
    -------
    ndarray of float64 or float32
        The array that `place` gave, shape (rows, columns), filled; in the unit of `input`. Colour, palette colour too,
        becomes luminance in the range of its samples.

    Raises
    ------
    Invalid
        There is no such frame.
    NotAvailable
        The instance has no pixels, or they can't be decoded.
    NotFound
        The file is gone.
    """
    layout = as_layout(layout)
    form = ImagePixel.of(layout)
    index = form.index(frame)
    if _is_plain(layout, form):
        out = place(form.size)
        if _read_plain(path, layout, form, index, input, out):
            return out
    loaded = load_stored(path, layout, frame)
    out = place(loaded.array.shape[:2])
    if out.dtype == np.float64:
        return to_double(loaded, input, out=out)
    if loaded.array.ndim == 2 and loaded.photometric != "PALETTE COLOR" and input == "stored":
        np.copyto(out, loaded.array, casting="unsafe")
    else:
        np.copyto(out, to_double(loaded, input), casting="unsafe")
    return out


def _is_plain(layout: Layout, form: ImagePixel) -> bool:
    """Tell whether a frame lies in the file as whole little-endian integers, one for each pixel."""
    return (
        form.samples == 1
        and not form.is_float
        and form.bits_allocated in _CELLS
        and form.photometric != "PALETTE COLOR"
        and layout.transfer_syntax not in CODECS
        and layout.pixel_length is not None
        and sys.byteorder == "little"
    )


def _read_plain(path: Path | str, layout: Layout, form: ImagePixel, index: int, input: Input, out: Image) -> bool:
    """Read and convert in one pass; return False where that is not possible."""
    span = native_place(layout, form, index)
    modality = modality_of(path, layout, index) if input == "modality" else _IDENTITY
    if span is None or not isinstance(modality, Rescale):
        return False
    with Source(path, layout) as source:
        return read_grey(
            source.descriptor,
            span[0],
            out,
            cell=form.bits_allocated // 8,
            is_signed=form.signed,
            stored=form.bits_stored,
            shift=form.high_bit + 1 - form.bits_stored,
            slope=modality.slope,
            intercept=modality.intercept,
        )
