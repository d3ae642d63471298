"""Pixel values for a network: of stored files, and of the datasets that plugins have."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.elements import Elements, FrameHeader
from neurdicom.pixels.grayscale.lut import read_palette
from neurdicom.pixels.grayscale.modality import apply_modality, read_modality
from neurdicom.pixels.grayscale.voi import read_voi
from neurdicom.pixels.pipeline import load_stored
from neurdicom.workers.model.manifest import InputSpec
from neurdicom.workers.model.preprocessing import Values

Array = npt.NDArray[Any]


def values_of_file(arguments: Mapping[str, Any], spec: InputSpec) -> Values:
    """Read the values of one frame of a stored instance; the arguments are a call's (`path`, `layout`, `frame`)."""
    frame = load_stored(arguments["path"], arguments["layout"], arguments.get("frame") or 1)
    return _values(frame.array, frame.photometric, frame.header, spec)


def values_of_dataset(ds: Dataset, spec: InputSpec, frame: int = 1) -> Values:
    """Read the values of one frame of a plugin's dataset.

    Parameters
    ----------
    ds : Dataset
        Has pixels.
    spec : InputSpec
        Stored values, or those after the modality LUT (PS3.3 C.11.1); whether the image's window is wanted.
    frame : int
        Frame number, from 1.

    Raises
    ------
    NotAvailable
        The dataset has no pixels, or no such frame.
    """
    if not any(keyword in ds for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise NotAvailable("the dataset has no pixels")
    array = ds.pixel_array
    frames = int(ds.get("NumberOfFrames") or 1)
    if not 1 <= frame <= frames:
        raise NotAvailable(f"frame is {frame}; the dataset has {frames} frames")
    if frames > 1:
        array = array[frame - 1]
    photometric = "RGB" if array.ndim == 3 else str(ds.get("PhotometricInterpretation", ""))
    signed = ds.get("PixelRepresentation") == 1
    return _values(array, photometric, lambda: _header(Elements(ds, signed=signed), frame - 1), spec)


def _header(top: Elements, index: int) -> FrameHeader:
    return FrameHeader(top, top.item("PerFrameFunctionalGroupsSequence", index))


def _values(array: Array, photometric: str, header: Callable[[], FrameHeader], spec: InputSpec) -> Values:
    if photometric == "PALETTE COLOR":
        first, colours = read_palette(header().top)
        return Values(colours[np.clip(array.astype("i8") - first, 0, len(colours) - 1)], is_colour=True)
    if array.ndim == 3:
        return Values(array, is_colour=True)
    voi = read_voi(header()) if spec.window == "dicom" else None
    if spec.values == "stored":
        return Values(array, voi=voi)
    return Values(apply_modality(array, read_modality(header())), voi=voi)
