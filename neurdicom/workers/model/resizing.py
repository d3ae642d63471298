"""Resizing of images to a network's input, and of its output back to the image.

Pixels are squares: the centre of pixel i lies at i + 0.5, and a scaled image keeps its edges ("half-pixel" in ONNX,
`align_corners=False` in PyTorch). Images are not smoothed before they shrink. Beyond the outermost centres their values
are repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Method = Literal["bilinear", "nearest"]


@dataclass(frozen=True, slots=True)
class Axis:
    """Place of one axis of an image in the network's input.

    Attributes
    ----------
    source : int
        Pixels of the image.
    scaled : int
        Pixels that the image has in the input.
    before : int
        Pixels of padding before it.
    size : int
        Pixels of the input, padding included.
    """

    source: int
    scaled: int
    before: int
    size: int


def place(source: Sequence[int], size: Sequence[int] | None, *, pad: bool, multiple: int = 1) -> tuple[Axis, ...]:
    """Place an image in a network's input.

    Parameters
    ----------
    source : sequence of int
        The image's shape, without channels.
    size : sequence of int or None
        Spatial size of the input; None: the image's, rounded up to the next `multiple`.
    pad : bool
        Scale all axes by one factor, with equal padding on both sides; otherwise stretch each axis.
    multiple : int
        See `size`.

    Returns
    -------
    tuple of Axis
        One for each axis of `source`.
    """
    if size is None:
        return tuple(_centred(each, each, -(-each // multiple) * multiple) for each in source)
    if not pad:
        return tuple(Axis(each, wanted, 0, wanted) for each, wanted in zip(source, size, strict=True))
    factor = min(wanted / each for each, wanted in zip(source, size, strict=True))
    scaled = [min(wanted, max(1, round(each * factor))) for each, wanted in zip(source, size, strict=True)]
    return tuple(_centred(each, new, wanted) for each, new, wanted in zip(source, scaled, size, strict=True))


def _centred(source: int, scaled: int, size: int) -> Axis:
    return Axis(source, scaled, (size - scaled) // 2, size)


def fit(array: Array, axes: Sequence[Axis], method: Method, fill: float) -> Array:
    """Scale an image to its place in a network's input, and pad it.

    Parameters
    ----------
    array : ndarray
        Shape (..., *source), its last axes being those in `axes`; floats, or any numbers for "nearest".
    axes : sequence of Axis
        The place, from `place`.
    method : {"bilinear", "nearest"}
        Interpolation.
    fill : float
        Value of the padding.

    Returns
    -------
    ndarray
        Shape (..., *size) of `axes`, with the dtype of `array`.
    """
    for index, axis in enumerate(axes, array.ndim - len(axes)):
        if axis.scaled != axis.source:
            centres = (np.arange(axis.scaled) + 0.5) * (axis.source / axis.scaled)
            array = sample(array, index, centres, method)
    widths = [(0, 0)] * (array.ndim - len(axes))
    widths += [(axis.before, axis.size - axis.scaled - axis.before) for axis in axes]
    return np.pad(array, widths, constant_values=fill) if any(map(any, widths)) else array


def unfit(array: Array, axes: Sequence[Axis], method: Method) -> Array:
    """Scale an output, of whatever size, back to that of the image: the reverse of `fit`.

    Parameters
    ----------
    array : ndarray
        Its last axes are those in `axes`, of any length; floats, or any numbers for "nearest".
    axes : sequence of Axis
        The place of the image in the input.
    method : {"bilinear", "nearest"}
        Interpolation.

    Returns
    -------
    ndarray
        Shape (..., *source) of `axes`, with the dtype of `array`.
    """
    for index, axis in enumerate(axes, array.ndim - len(axes)):
        found = array.shape[index]
        if found != axis.source or axis.size != axis.source:
            centres = (np.arange(axis.source) + 0.5) * (axis.scaled / axis.source) + axis.before
            array = sample(array, index, centres * (found / axis.size), method)
    return array


def sample(array: Array, axis: int, centres: Array, method: Method) -> Array:
    """Interpolate an array along one axis.

    Parameters
    ----------
    array : ndarray
        Values of any shape; floats, or any numbers for "nearest". Pixel i reaches from i to i + 1 along the axis.
    axis : int
        The axis.
    centres : ndarray of float64
        Positions to sample at, in pixels of `array`, shape (positions,).
    method : {"bilinear", "nearest"}
        Interpolation.

    Returns
    -------
    ndarray
        The shape of `array`, with one value for each position along the axis, and its dtype.
    """
    last = array.shape[axis] - 1
    if method == "nearest":
        found: Array = np.take(array, np.clip(np.floor(centres).astype("i8"), 0, last), axis)
        return found
    places = np.clip(centres - 0.5, 0, last)
    lower = np.floor(places).astype("i8")
    weight = (places - lower).astype(array.dtype).reshape([-1 if each == axis else 1 for each in range(array.ndim)])
    result: Array = np.take(array, lower, axis)
    result += weight * (np.take(array, np.minimum(lower + 1, last), axis) - result)
    return result
