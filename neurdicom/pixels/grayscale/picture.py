"""Rendering of a frame to 8-bit grey or RGB, by the grayscale transformations of PS3.3 C.11 and PS3.4 N.2."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from neurdicom.errors import Invalid, NotAvailable
from neurdicom.pixels.decode.elements import Elements, FrameHeader
from neurdicom.pixels.decode.image_pixel import MONOCHROME, ImagePixel
from neurdicom.pixels.decode.native import stored_values
from neurdicom.pixels.grayscale.lut import LookupTable
from neurdicom.pixels.grayscale.modality import Modality, Rescale, apply_modality, read_modality
from neurdicom.pixels.grayscale.voi import Range, Voi, Window, apply_voi, read_function, read_voi
from neurdicom.pixels.pipeline import Frame, palette_colours

Array = npt.NDArray[Any]
Picture = npt.NDArray[np.uint8]

#: Most pixels of a resized picture.
MAX_PIXELS = 1 << 26

#: Colours of three samples that are not converted to RGB (retired from the standard).
_NOT_RGB = ("HSV",)
_ROWS = 64

#: Segmentation, and Label Map Segmentation.
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

#: X-Ray Angiographic and Radiofluoroscopic Image, whose modality transformation leads back to the beam's intensity, and
#: is no part of their presentation (PS3.3 C.8.7.1.1.2).
_FOR_INTENSITY = ("1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2")


@dataclass(frozen=True, slots=True)
class Padding:
    """Range of stored values that are padding: Pixel Padding Value to its Range Limit (PS3.3 C.7.5.1.1.2)."""

    low: float
    high: float

    def mask(self, values: Array) -> npt.NDArray[np.bool_]:
        """Return a mask (bool) of the shape of stored values, numbers of any shape; True where one is padding."""
        if self.low == self.high:
            return np.asarray(values == self.low)
        return np.asarray((values >= self.low) & (values <= self.high))


@dataclass(frozen=True, slots=True)
class GrayscaleTransform:
    """The whole transformation of a stored grey value to its shade; hashable, so that tables can be cached."""

    modality: Modality
    voi: Voi
    inverse: bool
    padding: Padding | None

    def shades(self, values: Array) -> Picture:
        """Transform stored values, numbers of any shape, to shades: uint8, 0 (black) to 255 (white); padding is 0."""
        shades = apply_voi(apply_modality(values, self.modality), self.voi)
        np.nan_to_num(shades, copy=False, nan=0.0)
        if self.inverse:
            np.subtract(1, shades, out=shades)
        shades *= 255
        shades += 0.5
        picture = shades.astype("u1")
        if self.padding is not None:
            picture[self.padding.mask(values)] = 0
        return picture


def render(
    frame: Frame,
    window: Window | None = None,
    edits: Mapping[str, Any] | None = None,
    *,
    keep_function: bool = False,
) -> Picture:
    """Render a frame.

    Parameters
    ----------
    frame : Frame
        The frame, from `load_stored`.
    window : Window, optional
        The window to use instead of the file's; its function is replaced by the file's own where that allows its width.
    edits : mapping, optional
        Edited attributes by field name, of which `window_center` and `window_width` are used.
    keep_function : bool
        True to keep the function of `window`.

    Returns
    -------
    ndarray of uint8
        Shape (rows, columns), or (rows, columns, 3) for colour.

    Raises
    ------
    NotAvailable
        The photometric interpretation can't be rendered, or a palette is broken.
    """
    photometric, samples = frame.form.photometric, frame.form.samples
    if samples == 1 and photometric in MONOCHROME:
        return _grey(frame, window, edits or {}, keep_function)
    if samples == 1 and photometric == "PALETTE COLOR":
        return _windowed(palette_colours(frame), window)
    if samples == 3 and photometric not in _NOT_RGB:
        return _windowed(_eight_bits(frame.array, frame.form.bits_stored), window)
    raise NotAvailable(
        f"Photometric Interpretation (0028,0004) {photometric!r} with {samples} samples per pixel can't be rendered"
    )


def crop(picture: Picture, region: tuple[float, float, float | None, float | None]) -> Picture:
    """Cut a region out (PS3.18 8.3.5.1.3).

    Parameters
    ----------
    picture : ndarray of uint8
        Shape (rows, columns) or (rows, columns, 3).
    region : tuple
        Left, top, width and height in pixels; a width or height of None reaches to the edge, a negative one mirrors
        the region.

    Returns
    -------
    ndarray of uint8
        Shape (rows, columns) of the region, or (rows, columns, 3).

    Raises
    ------
    Invalid
        The region lies outside the picture.
    """
    rows, columns = picture.shape[:2]
    left, top, width, height = region
    width, height = (
        rest if given is None else given for given, rest in ((width, columns - left), (height, rows - top))
    )
    x, y = (max(math.floor(start), 0) for start in (left, top))
    right, bottom = min(math.ceil(left + abs(width)), columns), min(math.ceil(top + abs(height)), rows)
    if x >= right or y >= bottom:
        raise Invalid(f"the region {region} lies outside the picture of {columns} x {rows} pixels", field="viewport")
    part = picture[y:bottom, x:right]
    return np.ascontiguousarray(part[:: -1 if height < 0 else 1, :: -1 if width < 0 else 1])


def resize(
    picture: Picture,
    width: int | None = None,
    height: int | None = None,
    *,
    enlarge: bool = True,
    aspect: float = 1.0,
) -> Picture:
    """Scale a picture to a width or a height, or to fit into both, in the proportions of what it shows.

    Parameters
    ----------
    picture : ndarray of uint8
        Shape (rows, columns) or (rows, columns, 3).
    width, height : int, optional
        Pixels; at least one is given.
    enlarge : bool
        False to leave a smaller picture as it is, but for its proportions.
    aspect : float
        Height of a pixel in relation to its width, see `aspect.read_aspect`; the pixels of the result are squares.

    Returns
    -------
    ndarray of uint8
        Shape (rows, columns) of the new size, or (rows, columns, 3).

    Raises
    ------
    Invalid
        The result would have more than `MAX_PIXELS` pixels.
    """
    rows, columns = picture.shape[:2]
    # In squares as long as a pixel's shorter side, so that none is lost.
    tall, wide = rows * max(aspect, 1), columns * max(1 / aspect, 1)
    scale = min(size / given for size, given in ((width, wide), (height, tall)) if size is not None)
    scale = scale if enlarge else min(scale, 1)
    width, height = max(round(wide * scale), 1), max(round(tall * scale), 1)
    if width * height > MAX_PIXELS:
        raise Invalid(
            f"the picture would have {width} x {height} pixels; at most {MAX_PIXELS} are allowed", field="width"
        )
    if (width, height) == (columns, rows):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _grey(frame: Frame, window: Window | None, edits: Mapping[str, Any], keep_function: bool) -> Picture:
    header = frame.header()
    modality = Rescale() if frame.layout.sop_class in _FOR_INTENSITY else read_modality(header)
    padding = _padding(header.top, frame.form) if not frame.form.is_float else None
    given = window if keep_function else _with_function(window, header)
    voi: Voi | None = given or _edited(edits, header) or read_voi(header)
    if voi is None:
        voi = _labels(frame, header) or _range(frame.array, modality, padding)
    inverse = frame.photometric == "MONOCHROME1" or header.top.text("PresentationLUTShape") == "INVERSE"
    transform = GrayscaleTransform(modality, voi, inverse, padding)
    if frame.array.dtype.kind != "f" and frame.array.dtype.itemsize <= 2:
        table = _table(transform, frame.array.dtype.str)
        return table.take(frame.array.view(f"u{frame.array.dtype.itemsize}"))
    picture = np.empty(frame.array.shape, "u1")
    for row in range(0, len(picture), _ROWS):
        picture[row : row + _ROWS] = transform.shades(frame.array[row : row + _ROWS])
    return picture


@lru_cache(maxsize=64)
def _table(transform: GrayscaleTransform, dtype: str) -> Picture:
    # All possible stored values, in the order of their bit patterns.
    size = np.dtype(dtype).itemsize
    return transform.shades(np.arange(1 << 8 * size, dtype=f"u{size}").view(dtype))


def _padding(elements: Elements, form: ImagePixel) -> Padding | None:
    values = [elements.number("PixelPaddingValue"), elements.number("PixelPaddingRangeLimit")]
    if values[0] is None:
        return None
    # In some files they have the wrong sign or more bits than Bits Stored; they are compared by the pixels' own bits.
    bits = np.array([int(value) & ((1 << form.bits_stored) - 1) for value in values if value is not None], "u8")
    ends = stored_values(bits, replace(form, bits_allocated=64, high_bit=form.bits_stored - 1))
    return Padding(float(ends.min()), float(ends.max()))


def _with_function(window: Window | None, header: FrameHeader) -> Window | None:
    if window is None:
        return None
    elements = next(header.having("FrameVOILUTSequence", "VOILUTFunction"))
    with_function = Window(window.center, window.width, read_function(elements))
    return with_function if with_function.is_valid else window


def _edited(edits: Mapping[str, Any], header: FrameHeader) -> Window | None:
    numbers = [_first(edits.get(field)) for field in ("window_center", "window_width")]
    if numbers == [None, None]:
        return None
    stored = read_voi(header)
    known = (stored.center, stored.width) if isinstance(stored, Window) else (None, None)
    center, width = (edited if edited is not None else own for edited, own in zip(numbers, known, strict=True))
    if center is None or width is None:
        return None
    window = _with_function(Window(center, width), header)
    return window if window is not None and window.is_valid else None


def _first(value: Any) -> float | None:
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return float(value) if isinstance(value, (int, float)) else None


def _labels(frame: Frame, header: FrameHeader) -> Range | None:
    """Return the range of bits and of segments, which begins with 0 whatever occurs in a frame; None for others."""
    if frame.form.bits_stored == 1:
        return Range(0, 1)
    if frame.layout.sop_class not in _SEGMENTATIONS:
        return None
    return Range(0, header.top.number("MaximumFractionalValue") or max(float(frame.array.max()), 1))


def _range(array: Array, modality: Modality, padding: Padding | None) -> Range:
    if padding is not None:
        array = array[~padding.mask(array)]
    if array.dtype.kind == "f":
        array = array[np.isfinite(array)]
    if not array.size:
        return Range(0, 0)
    # Rescaling keeps the order or reverses it, so the ends are enough; a table may do anything.
    ends = array if isinstance(modality, LookupTable) else np.array([array.min(), array.max()])
    values = apply_modality(ends, modality)
    return Range(float(values.min()), float(values.max()))


def _eight_bits(array: Array, bits: int) -> Picture:
    array = array.view(f"u{array.dtype.itemsize}")
    if bits == 8:
        return array.astype("u1", copy=False)
    if bits > 8:
        return np.right_shift(array, bits - 8).astype("u1")
    return np.asarray(array * (255 / ((1 << bits) - 1)) + 0.5).astype("u1")


def _windowed(picture: Picture, window: Window | None) -> Picture:
    if window is None:
        return picture
    table = (apply_voi(np.arange(256), window) * 255 + 0.5).astype("u1")
    return np.asarray(table[picture])
