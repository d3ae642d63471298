"""Compiled loops that go through memory once, where numpy would several times."""

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
        File descriptor, and offset of the first byte of the samples, which are little-endian integers.
    out : ndarray of float64 or float32
        Shape (rows, columns), C-contiguous; filled with `stored value * slope + intercept`.
    cell : {1, 2, 4}
        Bytes of a sample.
    is_signed : bool
        True if Pixel Representation is 1.
    stored, shift : int
        Bits Stored, and the number of bits below them in the cell (PS3.5 8.1.1).
    slope, intercept : float
        Rescale slope and intercept; 1 and 0 for stored values.

    Returns
    -------
    bool
        False if the file ends too early or can't be read; the content of `out` is undefined then.
    """
    return _pixels.read_grey(descriptor, offset, out, cell, is_signed, stored, shift, slope, intercept)


def scale_to_bytes(samples: Image) -> npt.NDArray[np.uint8] | None:
    """Scale samples so that the least becomes 0 and the greatest 255; all become 0 where they are equal.

    Parameters
    ----------
    samples : ndarray
        Two dimensions or more; float64 or float32.

    Returns
    -------
    ndarray of uint8 or None
        The same shape. None where the loop does not apply: other dtypes than float64 and float32, samples that are not
        finite, arrays that are not C-contiguous.
    """
    if samples.dtype not in (np.float64, np.float32) or not samples.flags.c_contiguous or not samples.size:
        return None
    result = np.empty(samples.shape, "u1")
    rows = len(samples)
    return result if _pixels.scale8(samples.reshape(rows, -1), result.reshape(rows, -1)) else None
