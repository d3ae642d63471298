"""Images brought to the size that a network takes, and its output brought back.

Pixels are squares: the centre of pixel i lies at i + 0.5, and a scaled image keeps its edges ("half-pixel" in ONNX,
`align_corners=False` in PyTorch). Nothing is smoothed beforehand when an image shrinks. Beyond the outermost centres
their values go on.
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
    """Where one axis of an image lies in the network's input.

    Attributes
    ----------
    source : int
        Pixels of the image.
    scaled : int
        Pixels that it has in the input.
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
    """Where an image goes.

    Parameters
    ----------
    source : sequence of int
        Its shape, without channels.
    size : sequence of int or None
        The network's; None: as large as the image, up to the next `multiple`.
    pad : bool
        Scale by one factor so that it fits, with padding on both sides alike; otherwise stretch it.
    multiple : int
        See `size`.
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
    """Bring an image, whose last axes are those given, to its place; around it is `fill`."""
    for index, axis in enumerate(axes, array.ndim - len(axes)):
        if axis.scaled != axis.source:
            centres = (np.arange(axis.scaled) + 0.5) * (axis.source / axis.scaled)
            array = sample(array, index, centres, method)
    widths = [(0, 0)] * (array.ndim - len(axes))
    widths += [(axis.before, axis.size - axis.scaled - axis.before) for axis in axes]
    return np.pad(array, widths, constant_values=fill) if any(map(any, widths)) else array


def unfit(array: Array, axes: Sequence[Axis], method: Method) -> Array:
    """Bring an output, of whatever size, back to that of the image: the reverse of `fit`."""
    for index, axis in enumerate(axes, array.ndim - len(axes)):
        found = array.shape[index]
        if found != axis.source or axis.size != axis.source:
            centres = (np.arange(axis.source) + 0.5) * (axis.scaled / axis.source) + axis.before
            array = sample(array, index, centres * (found / axis.size), method)
    return array


def sample(array: Array, axis: int, centres: Array, method: Method) -> Array:
    """Values along one axis at these places, where pixel i reaches from i to i + 1."""
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
