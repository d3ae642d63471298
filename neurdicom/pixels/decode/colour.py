"""Colour models: YCbCr to RGB, and luminance."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: ITU-R BT.601 weights of red, green and blue.
LUMINANCE = (0.299, 0.587, 0.114)

_STEP = 1 << 15


def to_rgb(pixels: Array, photometric: str, bits: int) -> Array:
    """Convert any YBR_* of which every pixel has three samples to RGB; other colours stay as they are.

    Parameters
    ----------
    pixels : ndarray
        Unsigned integers of any size, shape (rows, columns, 3).
    photometric : str
        Their Photometric Interpretation. YBR_ICT and YBR_RCT are RGB once they are decoded.
    bits : int
        Bits Stored.

    Returns
    -------
    ndarray
        The same shape and dtype.
    """
    if photometric in ("YBR_FULL", "YBR_FULL_422"):
        return ycbcr_to_rgb(pixels, bits)
    if photometric in ("YBR_PARTIAL_422", "YBR_PARTIAL_420"):
        return partial_to_rgb(pixels, bits)
    return pixels


def ycbcr_to_rgb(pixels: Array, bits: int) -> Array:
    """Convert YBR_FULL to RGB (PS3.3 C.7.6.3.1.2).

    Parameters
    ----------
    pixels : ndarray
        Unsigned integers of any size, shape (rows, columns, 3).
    bits : int
        Bits Stored; zero of the chroma is at half of their range.

    Returns
    -------
    ndarray
        The same shape and dtype.
    """
    half, top = float(1 << (bits - 1)), float((1 << bits) - 1)
    source, result = pixels.reshape(-1, 3), np.empty(pixels.shape, pixels.dtype)
    target = result.reshape(-1, 3)
    for start in range(0, len(source), _STEP):
        y, cb, cr = source[start : start + _STEP].T.astype("f8")
        cb -= half
        cr -= half
        rgb = np.stack((y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb), axis=1)
        target[start : start + _STEP] = np.clip(np.rint(rgb), 0, top)
    return result


def rgb_to_ycbcr(pixels: Array, bits: int) -> Array:
    """Convert RGB to YBR_FULL (PS3.3 C.7.6.3.1.2); arrays as of `ycbcr_to_rgb`."""
    half, top = float(1 << (bits - 1)), float((1 << bits) - 1)
    red, green, blue = (pixels[..., sample].astype("f8") for sample in range(3))
    y = LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue
    ycbcr = np.stack((y, (blue - y) / 1.772 + half, (red - y) / 1.402 + half), axis=-1)
    return np.clip(np.rint(ycbcr), 0, top).astype(pixels.dtype)


def partial_to_rgb(pixels: Array, bits: int) -> Array:
    """Convert YBR_PARTIAL_422 (ITU-R BT.601: black at 16, white at 235) to RGB; arrays as of `ycbcr_to_rgb`."""
    scale = 2.0 ** (bits - 8)
    y, cb, cr = (pixels[..., sample] / scale for sample in range(3))
    y, cb, cr = (y - 16) * (255 / 219), (cb - 128) * (255 / 224), (cr - 128) * (255 / 224)
    rgb = np.stack((y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb), axis=-1)
    return np.clip(np.rint(rgb * scale), 0, (1 << bits) - 1).astype(pixels.dtype)


def to_luminance(pixels: Array, out: npt.NDArray[np.float64]) -> None:
    """Write the luminance of RGB pixels into an array.

    Parameters
    ----------
    pixels : ndarray
        Shape (..., samples), three samples or more, of which the first three count; any numbers.
    out : ndarray of float64
        Shape (...), C-contiguous; filled in the unit of `pixels`.
    """
    source, target = pixels.reshape(-1, pixels.shape[-1]), out.reshape(-1)
    # In steps that stay in the cache, so that memory is gone through once.
    for start in range(0, len(source), _STEP):
        part, result = source[start : start + _STEP], target[start : start + _STEP]
        np.multiply(part[:, 0], LUMINANCE[0], out=result)
        for sample in (1, 2):
            result += part[:, sample] * LUMINANCE[sample]
