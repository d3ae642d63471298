"""The modality transformation, from stored values to the units of the modality (PS3.3 C.11.1)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.dicom.header import Layout
from neurdicom.pixels.decode.elements import FrameHeader, read_header
from neurdicom.pixels.grayscale.lut import LookupTable, read_lut

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Rescale:
    """Linear modality transformation: `value * slope + intercept`."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def is_identity(self) -> bool:
        """True if the transformation changes no value."""
        return self.slope == 1 and self.intercept == 0


Modality = Rescale | LookupTable


def read_modality(header: FrameHeader) -> Modality:
    """Read the modality LUT, else slope and intercept, else the identity."""
    for elements in header.having("PixelValueTransformationSequence", "RescaleSlope", "RescaleIntercept"):
        item = elements.item("ModalityLUTSequence")
        table = read_lut(item) if item is not None else None
        if table is not None:
            return table
        slope, intercept = elements.number("RescaleSlope"), elements.number("RescaleIntercept")
        if slope is not None or intercept is not None:
            # A slope of 0 would make all pixels one; real files have it where nothing was meant.
            return Rescale(slope or 1.0, intercept or 0.0)
    return Rescale()


def modality_of(path: Path | str, layout: Layout, index: int) -> Modality:
    """Find the modality transformation of a frame, in the layout if that has it, else in the file.

    Parameters
    ----------
    path : path
        The DICOM file.
    layout : Layout
        Its layout.
    index : int
        Index of the frame, from 0.
    """
    if layout.rescale_slope is not None and layout.rescale_intercept is not None:
        return Rescale(layout.rescale_slope, layout.rescale_intercept)
    return read_modality(read_header(path, layout, index))


def apply_modality(values: Array, modality: Modality) -> npt.NDArray[np.float64]:
    """Transform stored values, numbers of any shape, to float64 of the same shape, in the modality's unit (as HU)."""
    if isinstance(modality, LookupTable):
        return modality.apply(values).astype("f8")
    if modality.is_identity:
        return values.astype("f8")
    result = np.multiply(values, modality.slope, dtype="f8")
    result += modality.intercept
    return result
