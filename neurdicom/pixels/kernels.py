"""What the compiled loops do in one pass through memory, where numpy would take several."""

from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom import _pixels

Image = npt.NDArray[Any]


def read_grey(
    descriptor: int,
    offset: int,
    out: Image,
    *,
    cell: int,
    is_signed: bool,
    stored: int,
    shift: int,
    slope: float,
    intercept: float,
) -> bool:
    """Read grey samples from a file into an image and convert them.

    Parameters
    ----------
    descriptor, offset : int
        The file, and the first byte of the samples, which are little-endian integers.
    out : ndarray of float64 or float32
        Shape (rows, columns), C-contiguous; filled with `stored value * slope + intercept`.
    cell : {1, 2, 4}
        Bytes of a sample.
    is_signed : bool
        Pixel Representation is 1.
    stored, shift : int
        Bits Stored, and how many bits lie below them in the cell (PS3.5 8.1.1).
    slope, intercept : float
        1 and 0 for stored values.

    Returns
    -------
    bool
        False when the file ends too early or can't be read; then `out` holds anything.
    """
    return _pixels.read_grey(descriptor, offset, out, cell, is_signed, stored, shift, slope, intercept)


def scale_to_bytes(samples: Image) -> npt.NDArray[np.uint8] | None:
    """Scale samples so that the least becomes 0 and the greatest 255; all 0 where they are the same.

    Parameters
    ----------
    samples : ndarray
        Any shape with two dimensions at least.

    Returns
    -------
    ndarray of uint8 or None
        The same shape. None for what needs more care: other types than float64 and float32, samples that are not
        finite, arrays that are not C-contiguous.
    """
    if samples.dtype not in (np.float64, np.float32) or not samples.flags.c_contiguous or not samples.size:
        return None
    result = np.empty(samples.shape, "u1")
    rows = len(samples)
    return result if _pixels.scale8(samples.reshape(rows, -1), result.reshape(rows, -1)) else None
