"""Conversion of a result's numbers to the integers of Pixel Data."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.valuerep import format_number_as_ds

from neurdicom.errors import PluginFailed
from neurdicom.pixels.encode.arrays import to_picture

Array = npt.NDArray[Any]

#: Larger values are clipped to this, since readers of decimal strings may use single precision.
_LARGEST: Final = 1e37
_MOST: Final = 65535


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored values, with the rescale that gives the result's values: slope * stored + intercept.

    Attributes
    ----------
    array : ndarray of uint8, uint16 or int16
        Shape (frames, rows, columns), or (frames, rows, columns, 3) for RGB.
    slope, intercept : float
        Values that a decimal string can express.
    """

    array: Array
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def is_colour(self) -> bool:
        """True if it is RGB."""
        return self.array.ndim == 4

    @property
    def is_rescaled(self) -> bool:
        """True if stored values are not the result's own."""
        return (self.slope, self.intercept) != (1.0, 0.0)


def frames_of(array: Array, *, stack: bool) -> Array:
    """Reshape a result to (frames, rows, columns) or (frames, rows, columns, 3 or 4).

    Parameters
    ----------
    array : ndarray
        2 to 4 axes; bool, integers or floats.
    stack : bool
        Whether the first of three axes is that of the slices; otherwise a last axis of length 1, 3 or 4 is that of
        colours.

    Returns
    -------
    ndarray
        Shape (frames, rows, columns) or (frames, rows, columns, 3 or 4), with the dtype of `array`; a view.

    Raises
    ------
    PluginFailed
        The result is no image.
    """
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3, 4) or not array.size:
        raise PluginFailed(f"a result of shape {array.shape} and type {array.dtype} is no image")
    if array.ndim == 2 or (array.ndim == 3 and not stack and array.shape[2] in (1, 3, 4)):
        array = array[np.newaxis]
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4):
        raise PluginFailed(f"a result of shape {array.shape} is no image: 1, 3 or 4 channels are expected")
    if max(array.shape[1:3]) > _MOST:
        raise PluginFailed(f"a result of shape {array.shape} has more rows or columns than an image can have: {_MOST}")
    return np.asarray(array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array)


def as_picture(frames: Array) -> Stored:
    """Convert frames to the stored values of a picture: 8-bit samples stay, colour becomes 8-bit RGB.

    Other grey values are kept, if need be by a rescale.

    Parameters
    ----------
    frames : ndarray
        From `frames_of`: shape (frames, rows, columns) or (frames, rows, columns, 3 or 4); bool, integers or floats.
    """
    if frames.ndim == 4:
        colours = to_picture(frames.reshape(-1, *frames.shape[2:])).reshape(frames.shape)
        return Stored(np.stack([_opaque(frame) for frame in colours]))
    if frames.dtype.kind == "b":
        return Stored(frames.astype("u1") * np.uint8(255))
    return Stored(frames) if frames.dtype == np.uint8 else quantised(frames)


def _opaque(colours: Array) -> Array:
    """Blend RGBA over black to RGB."""
    if colours.shape[2] == 3:
        return colours
    alpha = colours[..., 3:].astype("u2")
    return np.asarray((colours[..., :3] * alpha + 127) // 255, "u1")


def quantised(frames: Array, *, through_zero: bool = False) -> Stored:
    """Convert grey values to 16 bits: integers that fit stay, others get 65,536 steps from minimum to maximum.

    Not-a-number becomes the minimum, infinities the minimum and maximum of the finite values.

    Parameters
    ----------
    frames : ndarray
        Grey values, shape (frames, rows, columns); bool, integers or floats.
    through_zero : bool
        Use the intercept 0 (required for PET).
    """
    if frames.dtype.kind in "bu" and frames.dtype.itemsize <= 2:
        return Stored(frames.astype("u2", copy=False))
    if frames.dtype.kind == "i" and frames.dtype.itemsize <= 2:
        return Stored(frames.astype("i2", copy=False))
    low, high, is_whole = _range(frames)
    if is_whole and low >= -32768 and high <= _MOST and (low >= 0 or high <= 32767):
        return Stored(np.stack([_finite(frame, low, high).astype("u2" if low >= 0 else "i2") for frame in frames]))
    intercept, least, most, dtype = _decimal(low), 0, _MOST, "u2"
    slope = _decimal((high - intercept) / _MOST) if high > intercept else 1.0
    if through_zero:
        intercept, least, most, dtype = 0.0, -32768, 32767, "i2"
        slope = _decimal(max(-low / 32768, high / 32767))
    stored = np.empty(frames.shape, dtype)
    for frame, out in zip(frames, stored, strict=True):
        values = _finite(frame, low, high)
        values -= intercept
        values /= slope
        out[...] = np.clip(np.rint(values, out=values), least, most, out=values)
    return Stored(stored, slope, intercept)


def _range(frames: Array) -> tuple[float, float, bool]:
    """Compute minimum and maximum of the finite values (0 where there are none), and whether all are whole numbers."""
    low, high, is_whole = math.inf, -math.inf, True
    for frame in frames:
        values = frame[np.isfinite(frame)].astype("f8", copy=False)
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            is_whole = is_whole and bool((values == np.rint(values)).all())
    if low > high:
        return 0.0, 0.0, True
    return max(low, -_LARGEST), min(high, _LARGEST), is_whole


def _finite(frame: Array, low: float, high: float) -> Array:
    """Copy a frame as doubles, with not-a-number and values beyond the range set to its ends."""
    values = np.array(frame, "f8")
    np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
    return np.clip(values, low, high, out=values)


def _decimal(number: float) -> float:
    """Round a number to a decimal string of 16 characters; never to 0 unless it is 0."""
    return float(format_number_as_ds(number)) or (0.0 if number == 0 else 1e-300)


def describe_pixels(ds: Dataset, array: Array) -> None:
    """Set the Image Pixel module (PS3.3 C.7.6.3) for the array of a `Stored`, of one frame or several."""
    colour = array.ndim == 4
    bits = array.dtype.itemsize * 8
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = array.shape[1:3]
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = int(array.dtype.kind == "i")
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    ds.add_new("PixelData", "OW" if bits > 8 else "OB", data + b"\0" * (len(data) % 2))


def describe_rescale(ds: Dataset, stored: Stored, kind: str = "US") -> None:
    """Set the Modality LUT module (PS3.3 C.11.1).

    Parameters
    ----------
    ds : Dataset
        The object.
    stored : Stored
        Has slope and intercept.
    kind : str
        Rescale Type.
    """
    ds.RescaleIntercept = format_number_as_ds(stored.intercept)
    ds.RescaleSlope = format_number_as_ds(stored.slope)
    ds.RescaleType = kind
