"""A frame of an instance as the grey values that plugins compute on."""

import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, pixel_array


def as_grey(ds: Dataset, frame: int = 1) -> np.ndarray:
    """Read a frame in the modality's units, such as Hounsfield units; colour is converted to its luminance.

    Parameters
    ----------
    ds : Dataset
        The instance.
    frame : int
        Number of the frame, from 1.

    Returns
    -------
    ndarray of float64
        Shape (rows, columns).

    Raises
    ------
    ValueError
        There is no such frame.
    """
    frames = int(ds.get("NumberOfFrames") or 1)
    if not 1 <= frame <= frames:
        raise ValueError(f"frame is {frame}; the instance has {frames}")
    image = pixel_array(ds, index=frame - 1)
    if ds.get("SamplesPerPixel", 1) > 1:
        return image[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return apply_modality_lut(image, ds).astype(np.float64)


def pixel_area(ds: Dataset) -> float | None:
    """Compute the area of a pixel in mm2 from Pixel Spacing (PS3.3 section 10.7.1.3); None where it is absent."""
    spacing = ds.get("PixelSpacing")
    return float(spacing[0]) * float(spacing[1]) if spacing else None
