"""Loading of one frame from a file: its stored values, and the doubles that a native plugin gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neurdicom.dicom.header import Layout
from neurdicom.errors import Invalid
from neurdicom.pixels.decode.codecs import CODECS, decode_uncoloured
from neurdicom.pixels.decode.colour import rgb_to_ycbcr, to_luminance, to_rgb
from neurdicom.pixels.decode.elements import FrameHeader, read_header
from neurdicom.pixels.decode.encapsulated import Encapsulation
from neurdicom.pixels.decode.image_pixel import ImagePixel, as_layout
from neurdicom.pixels.decode.native import read_native, stored_values
from neurdicom.pixels.decode.source import ByteSource, Source
from neurdicom.pixels.grayscale.lut import read_palette
from neurdicom.pixels.grayscale.modality import Rescale, apply_modality, modality_of

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

#: Alignment of a buffer's first byte in bytes, as the plugin ABI promises.
ALIGNMENT = 64

_STEP = 1 << 15


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame.

    Attributes
    ----------
    array : ndarray
        Stored values, shape (rows, columns), or (rows, columns, samples) for colour; may be read-only.
    photometric : str
        Photometric Interpretation of `array`: MONOCHROME1, MONOCHROME2, PALETTE COLOR (indices), or RGB, which every
        YBR_* is converted to.
    form : ImagePixel
        The Image Pixel module of the file.
    path : Path
        The file.
    layout : Layout
        Its layout.
    index : int
        Index of the frame, from 0.
    """

    array: Array
    photometric: str
    form: ImagePixel
    path: Path
    layout: Layout
    index: int

    def header(self) -> FrameHeader:
        """Read the elements that determine the meaning and the presentation of this frame."""
        return read_header(self.path, self.layout, self.index)


def load_stored(path: Path | str, layout: Layout | Mapping[str, Any], frame: int = 1) -> Frame:
    """Read and decode one frame; no other frame is touched.

    Parameters
    ----------
    path : path
        The DICOM file.
    layout : Layout or mapping
        Layout of the file, as ingest recorded it.
    frame : int
        Frame number, from 1.

    Returns
    -------
    Frame

    Raises
    ------
    Invalid
        The frame number is out of range.
    NotAvailable
        The instance has no pixels, or they can't be decoded.
    NotFound
        The file is gone.
    """
    layout, path = as_layout(layout), Path(path)
    form = ImagePixel.of(layout)
    index = form.index(frame)
    with Source(path, layout) as source:
        array, photometric = _decode(source, layout, form, index)
    if form.samples == 3:
        array, photometric = to_rgb(array, photometric, form.bits_stored), "RGB"
    return Frame(array, photometric, form, path, layout, index)


def _decode(source: ByteSource, layout: Layout, form: ImagePixel, index: int) -> tuple[Array, str]:
    """Decode a frame without a conversion of its colours; return it and its Photometric Interpretation."""
    if layout.transfer_syntax in CODECS:
        encapsulation = Encapsulation(source, layout, form)
        data = encapsulation.read(encapsulation.fragments(index))
        return decode_uncoloured(data, form, layout.transfer_syntax)
    return stored_values(read_native(source, layout, form, index), form), form.photometric


def load_uncoloured(path: Path | str, layout: Layout, frame: int) -> tuple[Array, str]:
    """Decode one frame as `load_stored` does, but keep YBR_FULL unless its codec converts it itself.

    Parameters
    ----------
    path : path
        The DICOM file.
    layout : Layout
        Its layout.
    frame : int
        Frame number, from 1.

    Returns
    -------
    array : ndarray
        Stored values, shape (rows, columns) or (rows, columns, samples), with the dtype of Pixel Data as
        `ImagePixel.dtype` gives it; 4:2:2 chroma is expanded.
    photometric : str
        Photometric Interpretation of `array`.
    """
    with Source(path, layout) as source:
        return load_from_source(source, layout, ImagePixel.of(layout).index(frame))


def load_from_source(source: ByteSource, layout: Layout, index: int) -> tuple[Array, str]:
    """Decode one frame as `load_uncoloured` does.

    Parameters
    ----------
    source : ByteSource
        The file, or the bytes that `layout` describes.
    layout : Layout
        Its layout.
    index : int
        Index of the frame, from 0.

    Returns
    -------
    array : ndarray
    photometric : str
        As of `load_uncoloured`.
    """
    form = ImagePixel.of(layout)
    array, photometric = _decode(source, layout, form, index)
    if form.samples != 3:
        return array, photometric
    if photometric in ("YBR_FULL", "YBR_FULL_422"):
        return array, "YBR_FULL"
    return to_rgb(array, photometric, form.bits_stored), "RGB"


def load_described(path: Path | str, layout: Layout, frame: int) -> tuple[Array, str]:
    """Decode one frame for clients that have the file's header: YBR_FULL as such, every other YBR_* as RGB.

    Three samples for every pixel can't be YBR_FULL_422, which is how clients tell that they are RGB.

    Parameters
    ----------
    path, layout, frame
        As for `load_uncoloured`.

    Returns
    -------
    array, photometric
        As of `load_uncoloured`.
    """
    form = ImagePixel.of(layout)
    array, photometric = load_uncoloured(path, layout, frame)
    wanted = "YBR_FULL" if form.photometric == "YBR_FULL" else "RGB"
    if form.samples != 3 or photometric == wanted:
        return array, photometric
    convert = rgb_to_ycbcr if wanted == "YBR_FULL" else partial(to_rgb, photometric=photometric)
    return convert(array, bits=form.bits_stored), wanted


def aligned_doubles(shape: tuple[int, ...]) -> Doubles:
    """Make an uninitialised array of float64 of the given shape whose first byte is 64-byte aligned."""
    size = int(np.prod(shape)) * 8
    buffer = np.empty(size + ALIGNMENT, "u1")
    offset = -buffer.ctypes.data % ALIGNMENT
    return buffer[offset : offset + size].view("f8").reshape(shape)


def to_double(frame: Frame, input: Literal["stored", "modality"] = "stored", out: Doubles | None = None) -> Doubles:
    """Convert a frame to doubles in one pass through memory.

    Parameters
    ----------
    frame : Frame
        The frame, from `load_stored`.
    input : {"stored", "modality"}
        Stored values, or those after the modality transformation (grey frames only).
    out : ndarray of float64, optional
        Array to fill, shape (rows, columns), C-contiguous; by default a new one, 64-byte aligned.

    Returns
    -------
    ndarray of float64
        Shape (rows, columns). Colour, palette colour too, becomes luminance (BT.601) in the range of its samples;
        grey is in the unit of `input`: stored values, or what the modality transformation gives, such as HU.

    Raises
    ------
    Invalid
        `input` is something else.
    NotAvailable
        A palette is broken.
    """
    if input not in ("stored", "modality"):
        raise Invalid(f"input is {input!r}; 'stored' or 'modality' is expected", field="input")
    shape = frame.array.shape[:2]
    if out is None:
        out = aligned_doubles(shape)
    elif out.shape != shape or out.dtype != np.float64 or not out.flags.c_contiguous:
        raise ValueError(f"out has shape {out.shape} and dtype {out.dtype}; C-contiguous {shape} float64 is expected")
    if frame.photometric == "PALETTE COLOR":
        to_luminance(palette_colours(frame), out)
    elif frame.array.ndim == 3:
        to_luminance(frame.array, out)
    elif input == "modality":
        _modality(frame, out)
    else:
        np.copyto(out, frame.array)
    return out


def palette_colours(frame: Frame) -> npt.NDArray[np.uint8]:
    """Map the indices of a PALETTE COLOR frame to RGB, uint8 of shape (rows, columns, 3). Raises `NotAvailable`."""
    first, colours = read_palette(frame.header().top)
    index = np.clip(frame.array.astype("i8") - first, 0, len(colours) - 1)
    return np.asarray(colours[index])


def _modality(frame: Frame, out: Doubles) -> None:
    modality = modality_of(frame.path, frame.layout, frame.index)
    if isinstance(modality, Rescale) and modality.is_identity:
        np.copyto(out, frame.array)
        return
    source, target = frame.array.reshape(-1), out.reshape(-1)
    for start in range(0, len(source), _STEP):
        part, result = source[start : start + _STEP], target[start : start + _STEP]
        if isinstance(modality, Rescale):
            np.multiply(part, modality.slope, out=result)
            result += modality.intercept
        else:
            np.copyto(result, apply_modality(part, modality))
