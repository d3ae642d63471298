"""The VOI transformation, from values of interest to shades of grey (PS3.3 C.11.2)."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.pixels.decode.elements import Elements, FrameHeader
from neurdicom.pixels.grayscale.lut import LookupTable, read_lut
from neurdicom.pixels.grayscale.modality import Rescale, read_modality

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]


class WindowFunction(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """Window center and width, and their function; LINEAR requires a width of at least 1."""

    center: float
    width: float
    function: WindowFunction = WindowFunction.LINEAR

    @property
    def is_valid(self) -> bool:
        """True if the function allows the width (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
        return self.width >= 1 if self.function is WindowFunction.LINEAR else self.width > 0

    def as_valid(self) -> "Window | None":
        """Return the window, as LINEAR_EXACT where LINEAR is too narrow; None if no function allows its width."""
        found = self if self.is_valid else replace(self, function=WindowFunction.LINEAR_EXACT)
        return found if found.is_valid else None


@dataclass(frozen=True, slots=True)
class Range:
    """Range of values from black to white; a frame's minimum and maximum where the file has neither LUT nor window."""

    low: float
    high: float


Voi = Window | Range | LookupTable


def read_voi(header: FrameHeader) -> Voi | None:
    """Read the first VOI LUT, else the first valid window; None where a file has neither."""
    modality = read_modality(header)
    signed = isinstance(modality, Rescale) and (modality.slope < 0 or modality.intercept < 0)
    for elements in header.having("FrameVOILUTSequence", "WindowCenter", "VOILUTSequence"):
        tables = (read_lut(item, signed=signed) for item in elements.items("VOILUTSequence"))
        table = next((table for table in tables if table is not None), None)
        if table is not None:
            return table
        window = read_window(elements)
        if window is not None:
            return window
    return None


def read_window(elements: Elements) -> Window | None:
    """Read the first valid of several windows; those without a center or a width are left out."""
    function = read_function(elements)
    centers, widths = elements.values("WindowCenter"), elements.values("WindowWidth")
    pairs = ((center, width) for center, width in zip(centers, widths, strict=False) if None not in (center, width))
    windows = (Window(center or 0.0, width or 0.0, function).as_valid() for center, width in pairs)
    return next((window for window in windows if window is not None), None)


def read_function(elements: Elements) -> WindowFunction:
    """Read the VOI LUT Function; LINEAR where it is absent or unknown."""
    name = elements.text("VOILUTFunction")
    return next((function for function in WindowFunction if function == name), WindowFunction.LINEAR)


def apply_voi(values: Array, voi: Voi) -> Doubles:
    """Transform values, numbers of any shape, to shades: float64, 0 (black) to 1 (white)."""
    if isinstance(voi, LookupTable):
        return voi.apply(values) / float(voi.top)
    if isinstance(voi, Range):
        shades = np.subtract(values, voi.low, dtype="f8")
        shades *= 1 / (voi.high - voi.low) if voi.high > voi.low else 0.0
    elif voi.function is WindowFunction.SIGMOID:
        shades = np.subtract(values, voi.center, dtype="f8")
        # Beyond 700 the exponential overflows, and the shade is 0 or 1 long before.
        exponent = np.clip(shades * (-4 / voi.width), -700, 700)
        return np.asarray(1 / (1 + np.exp(exponent)), "f8")
    elif voi.function is WindowFunction.LINEAR_EXACT:
        shades = np.subtract(values, voi.center, dtype="f8")
        shades *= 1 / voi.width
        shades += 0.5
    elif voi.width <= 1:
        # One step: black up to center - 0.5, white above it.
        return np.asarray(values > voi.center - 0.5, "f8")
    else:
        shades = np.subtract(values, voi.center - 0.5, dtype="f8")
        shades *= 1 / (voi.width - 1)
        shades += 0.5
    return np.clip(shades, 0, 1, out=shades)
