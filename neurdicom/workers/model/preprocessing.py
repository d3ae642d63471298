"""Preprocessing of an image's values to the array that a network takes.

In this order: window, channels, resizing, padding, normalisation, layout, the input's own type.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.colour import to_luminance
from neurdicom.pixels.grayscale.voi import Voi, Window, WindowFunction, apply_voi
from neurdicom.workers.model.manifest import InputSpec, Normalisation
from neurdicom.workers.model.resizing import Axis, fit, place

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Values:
    """Pixel values of an image or a volume.

    Attributes
    ----------
    array : ndarray
        Shape (rows, columns), or (depth, rows, columns) for a volume, or with three samples at the end if `is_colour`.
    is_colour : bool
        Whether the last axis is that of samples (RGB).
    voi : Voi or None
        The image's own window, PS3.3 C.11.2.
    """

    array: Array
    is_colour: bool = False
    voi: Voi | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape, without the samples."""
        return self.array.shape[:-1] if self.is_colour else self.array.shape


@dataclass(frozen=True, slots=True)
class Prepared:
    """Input of a network, and the place of the image in it."""

    array: Array
    axes: tuple[Axis, ...]


def prepare(values: Values, spec: InputSpec, channels: int, size: Sequence[int] | None, dtype: str) -> Prepared:
    """Convert an image to the input of a network.

    Parameters
    ----------
    values : Values
        Of the image.
    spec : InputSpec
        `input` of META.json.
    channels : int
        1 or 3.
    size : sequence of int or None
        Spatial size of the network's input; None: the image's own.
    dtype : str
        Numpy's name of the input's type.

    Returns
    -------
    Prepared
        The array in `spec.layout`, and where the image lies in it.

    Raises
    ------
    NotAvailable
        The image has other axes than the network takes.
    """
    wanted = 3 if "D" in spec.layout else 2
    if len(values.shape) != wanted:
        kind = "a volume" if wanted == 3 else "an image"
        raise NotAvailable(f"the values have the shape {list(values.shape)}; {kind} with {wanted} axes is expected")
    array = _channels(_windowed(values, spec), values.is_colour, channels)
    axes = place(values.shape, size, pad=spec.aspect == "pad", multiple=spec.multiple)
    scale, shift, clip = _affine(array, spec.normalisation)
    fill = spec.pad_value if spec.pad_value is not None else _least(array)
    array = fit(array, axes, spec.interpolation, fill)
    array = array * _column(scale, array.ndim) + _column(shift, array.ndim)
    if clip is not None:
        array = np.clip(array, *clip)
    return Prepared(_laid_out(_typed(array, dtype), spec.layout), axes)


def _windowed(values: Values, spec: InputSpec) -> Array:
    window = spec.window
    if window is None or (window == "dicom" and values.voi is None):
        return values.array.astype("f4")
    if isinstance(window, tuple):
        voi: Voi = Window(*window, WindowFunction.LINEAR_EXACT)
    else:
        assert values.voi is not None
        voi = values.voi
    return apply_voi(values.array, voi).astype("f4")


def _channels(array: Array, is_colour: bool, channels: int) -> Array:
    """Move the samples to the front, in the number that the network takes."""
    if is_colour and channels == 3:
        return np.moveaxis(array, -1, 0)
    if is_colour:
        grey = np.empty(array.shape[:-1])
        to_luminance(array, grey)
        array = grey.astype("f4")
    return np.broadcast_to(array, (channels, *array.shape))


def _affine(array: Array, how: Normalisation) -> tuple[Sequence[float], Sequence[float], tuple[float, float] | None]:
    """Compute the factor and the summand of each channel, or of all, and the limits of clipping."""
    if how.kind == "none":
        return (1.0,), (0.0,), None
    if how.kind == "mean":
        channels = max(len(how.mean), len(how.std))
        mean, std = np.broadcast_to(how.mean, channels), np.broadcast_to(how.std, channels)
        return list(1 / std), list(-mean / std), None
    finite = array[np.isfinite(array)] if not np.isfinite(array).all() else array
    if not finite.size:
        return (0.0,), (0.0,), None
    if how.kind == "z-score":
        mean_, std_ = float(finite.mean(dtype="f8")), float(finite.std(dtype="f8"))
        return ((1 / std_,), (-mean_ / std_,), None) if std_ > 0 else ((0.0,), (0.0,), None)
    low = float(finite.min()) if how.low is None else how.low
    high = float(finite.max()) if how.high is None else how.high
    first, last = how.range
    factor = (last - first) / (high - low) if high > low else 0.0
    return (factor,), (first - low * factor,), (min(first, last), max(first, last))


def _column(numbers: Sequence[float], ndim: int) -> Array:
    """Shape one number for each channel to multiply with an array whose first axis is that of channels."""
    return np.asarray(numbers, "f4").reshape(-1, *[1] * (ndim - 1))


def _least(array: Array) -> float:
    least = float(array.min()) if array.size else 0.0
    return least if np.isfinite(least) else 0.0


def _typed(array: Array, dtype: str) -> Array:
    kind = np.dtype(dtype)
    if kind.kind not in "iu":
        return array.astype(kind, copy=False)
    info = np.iinfo(kind)
    rounded: Array = np.clip(np.rint(np.nan_to_num(array)), info.min, info.max)
    return rounded.astype(kind)


def _laid_out(array: Array, layout: str) -> Array:
    """Order the axes (channels, depth, height, width) as the layout says, with one for the number of images."""
    own = "CDHW" if array.ndim == 4 else "CHW"
    if "C" not in layout:
        array, own = array[0], own[1:]
    if "N" in layout:
        array, own = array[np.newaxis], "N" + own
    return np.ascontiguousarray(array.transpose([own.index(axis) for axis in layout]))
