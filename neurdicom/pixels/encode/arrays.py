"""Encoding of arrays as pictures or raw samples: the results of plugins and `GET /instances/:id/raw`."""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from neurdicom.errors import Invalid, NotAvailable
from neurdicom.pixels.decode.colour import to_luminance
from neurdicom.pixels.encode.formats import FORMATS, MEDIA_TYPES, PICTURES
from neurdicom.pixels.kernels import scale_to_bytes

Array = npt.NDArray[Any]
Picture = npt.NDArray[np.uint8]

_SAMPLES = {each.name: each.samples for each in FORMATS}
_QUALITY = 90
_WEBP_LIMIT = 16383
_JPEG_LIMIT = 65500
_STEP = 64


def encode(array: Array, format: str = "png", *, picture: bool = False) -> tuple[str, bytes | memoryview]:
    """Encode an array.

    Parameters
    ----------
    array : ndarray
        Shape (rows, columns) or (rows, columns, 1, 3 or 4); for f32, f64 and npy any shape. Bool or numbers.
    format : str
        One of `formats.FORMATS`. Pictures and lum8 (8-bit grey samples) are scaled from the array's minimum and
        maximum to 0 to 255; colour of 8 bits is not scaled. The others keep the values, little-endian.
    picture : bool
        True if the array is a picture already, whose 8-bit samples are not scaled, grey ones neither.

    Returns
    -------
    media_type : str
    body : bytes or memoryview

    Raises
    ------
    Invalid
        The format is unknown.
    NotAvailable
        The format can't hold an array of this dtype or shape.
    """
    if format not in MEDIA_TYPES:
        raise Invalid(f"format is {format!r}; one of {', '.join(MEDIA_TYPES)} is expected", field="format")
    if array.dtype.kind not in "biuf":
        raise NotAvailable(f"an array of {array.dtype} can't be given as {format}")
    if format in PICTURES:
        return MEDIA_TYPES[format], encode_picture(to_picture(array, keep=picture), format)
    return MEDIA_TYPES[format], _RAW[format](array, picture)


def describe(array: Array, format: str) -> dict[str, Any]:
    """Describe the output of `encode` in a raw format for an array of any shape: shape, and dtype as numpy has it."""
    shape, dtype = list(array.shape), _SAMPLES.get(format)
    if format == "lum8":
        shape = shape[:2]
    return {"shape": shape, "dtype": dtype or _little(array).dtype.str}


def to_picture(array: Array, *, keep: bool = False) -> Picture:
    """Scale an array to 8 bits: minimum to 0, maximum to 255; NaN becomes 0, and so does a constant array.

    Parameters
    ----------
    array : ndarray
        Shape (rows, columns), (rows, columns, 1, 3 or 4). Bool or numbers.
    keep : bool
        True to leave 8-bit samples, grey ones too, as they are.

    Returns
    -------
    ndarray of uint8
        Shape (rows, columns) or (rows, columns, 3 or 4).

    Raises
    ------
    NotAvailable
        The array has another shape.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if not (array.ndim == 2 or colour) or not array.size:
        raise NotAvailable(
            f"the array has shape {array.shape}, which makes no picture; (rows, columns) or (rows, columns, 3 or 4)"
            " is expected. The formats f32, f64 and npy take any shape"
        )
    if array.dtype == np.uint8 and (colour or keep):
        return np.ascontiguousarray(array)
    if array.dtype.kind == "b":
        return array.astype("u1") * np.uint8(255)
    return _scale(array)


def encode_picture(picture: Picture, format: str, quality: int | None = None) -> bytes:
    """Encode 8-bit samples as a picture.

    Parameters
    ----------
    picture : ndarray of uint8
        Shape (rows, columns) or (rows, columns, 3 or 4).
    format : {"png", "jpeg", "webp"}
        JPEG drops a fourth sample.
    quality : int, optional
        Quality of JPEG and WebP, 1 to 100.

    Returns
    -------
    bytes

    Raises
    ------
    NotAvailable
        The picture has more rows or columns than the format allows.
    """
    if format == "png":
        # Sub filter and run lengths: the fastest there is, at the size of zlib's default on medical images.
        return bytes(imagecodecs.png_encode(picture, level=1, strategy=3, filter=16))
    limit = _WEBP_LIMIT if format == "webp" else _JPEG_LIMIT
    if max(picture.shape[:2]) > limit:
        rows, columns = picture.shape[:2]
        raise NotAvailable(
            f"the picture has {rows} rows and {columns} columns; {format} allows at most {limit} of each"
        )
    if format == "webp":
        if picture.ndim == 2:
            picture = np.repeat(picture[..., np.newaxis], 3, axis=2)
        return bytes(imagecodecs.webp_encode(picture, level=quality or _QUALITY, method=2))
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(picture[..., :3]) if picture.ndim == 3 else picture,
                                          level=quality or _QUALITY))  # fmt: skip


def _scale(array: Array) -> Picture:
    scaled = scale_to_bytes(array)
    if scaled is not None:
        return scaled
    low, high, is_finite = _extremes(array)
    result = np.zeros(array.shape, "u1")
    # Halves, where the whole difference is more than a double can hold.
    factor = 1.0 if np.isfinite(high - low) else 0.5
    low, high = low * factor, high * factor
    scale = 255 / (high - low) if high > low else np.inf
    if not np.isfinite(scale):
        return result
    # A step at a time stays in the cache, and keeps the temporary doubles small whatever the size of the array.
    for row in range(0, len(array), _STEP):
        part = np.multiply(array[row : row + _STEP], factor, dtype="f8")
        part -= low
        part *= scale
        part += 0.5
        if not is_finite:
            np.clip(np.nan_to_num(part, copy=False, nan=0.0), 0, 255, out=part)
        result[row : row + _STEP] = part
    return result


def _extremes(array: Array) -> tuple[float, float, bool]:
    """Find the least and the greatest finite value, (0, 0) without any, and tell whether all are finite."""
    low, high = float(array.min()), float(array.max())
    if np.isfinite(low) and np.isfinite(high):
        return low, high, True
    finite = array[np.isfinite(array)]
    return (float(finite.min()), float(finite.max()), False) if finite.size else (0.0, 0.0, False)


def _lum8(array: Array, keep: bool) -> memoryview:
    if array.ndim == 3 and array.shape[2] >= 3:
        grey = np.empty(array.shape[:2])
        to_luminance(array, grey)
        array = np.rint(grey).astype("u1") if array.dtype == np.uint8 else grey
        keep = keep or array.dtype == np.uint8
    return np.ascontiguousarray(to_picture(array, keep=keep)).reshape(-1).data


def _npy(array: Array, _: bool) -> bytes:
    file = BytesIO()
    np.save(file, _little(array), allow_pickle=False)
    return file.getvalue()


def _little(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


_RAW: Mapping[str, Callable[[Array, bool], bytes | memoryview]] = {
    "lum8": _lum8,
    "f32": lambda array, _: array.astype("<f4").tobytes(),
    "f64": lambda array, _: array.astype("<f8").tobytes(),
    "npy": _npy,
}
