"""Encoders of one frame, by transfer syntax."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from rle.utils import encode_pixel_data

from neurdicom.pixels.decode.codecs import HTJ2K_LOSSLESS, J2K_LOSSLESS, JPEG_BASELINE, JPEG_LOSSLESS_SV1, JPEG_LS, RLE

Array = npt.NDArray[Any]

_BASELINE_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encoder of frames into a transfer syntax.

    Attributes
    ----------
    encode : callable
        Takes values of shape (rows, columns) or (rows, columns, 3), Bits Stored, and whether the colours are RGB;
        returns a codestream.
    bits : tuple of int
        Values of Bits Allocated that it can encode.
    colour : str
        Photometric Interpretation that RGB becomes.
    lossy : str or None
        Lossy Image Compression Method (0028,2114); None if it is lossless. A lossy encoder takes only unsigned values
        that fill their cells.
    encode_described : callable or None
        Encoder of RGB, as `encode`, for clients whose header says RGB; None where `encode` serves them.
    """

    encode: Callable[[Array, int, bool], bytes]
    bits: tuple[int, ...]
    colour: str = "RGB"
    lossy: str | None = None
    encode_described: Callable[[Array, int, bool], bytes] | None = None


def _unsigned(values: Array, bits: int) -> Array:
    # Codecs without a sign get two's complement in Bits Stored, as PS3.5 8.2 has it.
    cells = values.view(f"u{values.dtype.itemsize}")
    return cells & cells.dtype.type((1 << bits) - 1) if values.dtype.kind == "i" else cells


def _rle(values: Array, _: int, rgb: bool) -> bytes:
    rows, columns = values.shape[:2]
    samples = 1 if values.ndim == 2 else values.shape[2]
    encoded: bytes = encode_pixel_data(
        values.tobytes(),
        byteorder="<",
        rows=rows,
        columns=columns,
        samples_per_pixel=samples,
        bits_allocated=values.dtype.itemsize * 8,
        bits_stored=values.dtype.itemsize * 8,
        number_of_frames=1,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2" if samples == 1 else "RGB" if rgb else "YBR_FULL",
    )
    return encoded


def _jpeg_lossless(values: Array, bits: int, rgb: bool) -> bytes:
    model = "RGB" if values.ndim == 3 else "GRAYSCALE"
    cells = _unsigned(values, bits)
    stream = bytes(
        imagecodecs.jpeg8_encode(
            # Samples of 8 bits and less are bytes to the codec, whatever they are allocated.
            np.ascontiguousarray(cells, "u1" if bits <= 8 else None),
            lossless=True,
            predictor=1,
            bitspersample=max(bits, 2),
            colorspace=model,
            outcolorspace=model,
        )
    )
    return stream if rgb or values.ndim == 2 else _as_ycbcr(stream)


def _as_ycbcr(stream: bytes) -> bytes:
    """Name the components of a lossless JPEG 1, 2 and 3, which are R, G and B, and drop Adobe's marker.

    pydicom takes these for RGB whatever the header says. The library has no other way: the scans of what it encodes as
    YCbCr name wrong Huffman tables.
    """
    marker = stream.index(b"\xff\xee")
    changed = bytearray(stream[:marker] + stream[marker + 2 + int.from_bytes(stream[marker + 2 : marker + 4]) :])
    frame = changed.index(b"\xff\xc3")
    scan = changed.index(b"\xff\xda", frame)
    for number in range(3):
        changed[frame + 10 + 3 * number] = changed[scan + 5 + 2 * number] = number + 1
    return bytes(changed)


def _jpeg_ls(values: Array, _: int, rgb: bool) -> bytes:
    # The codestream has the precision of the cells, so signed values keep the sign in their upper bits, for readers
    # that look no further. Noise grows under compression, which the library's own guess leaves no room for.
    cells = np.ascontiguousarray(values.view(f"u{values.dtype.itemsize}"))
    return bytes(imagecodecs.jpegls_encode(cells, out=2 * values.nbytes + 4096))


def _jpeg_2000(values: Array, bits: int, rgb: bool) -> bytes:
    # Each resolution halves the picture, down to a pixel; OpenJPEG refuses more of them than that.
    resolutions = min(6, min(values.shape[:2]).bit_length())
    return bytes(
        imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(values),
            level=0,
            reversible=True,
            codecformat="J2K",
            bitspersample=bits,
            resolutions=resolutions,
            mct=rgb,
        )
    )


def _htj2k(values: Array, _: int, rgb: bool) -> bytes:
    return bytes(imagecodecs.htj2k_encode(np.ascontiguousarray(values), reversible=True, rgb=rgb and values.ndim == 3))


def _jpeg_baseline(values: Array, _: int, rgb: bool) -> bytes:
    model = "GRAYSCALE" if values.ndim == 2 else "RGB" if rgb else "YCBCR"
    stored = "GRAYSCALE" if values.ndim == 2 else "YCBCR"
    return bytes(
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(values),
            level=_BASELINE_QUALITY,
            subsampling="422",
            colorspace=model,
            outcolorspace=stored,
        )
    )


def _jpeg_baseline_rgb(values: Array, _: int, rgb: bool) -> bytes:
    # libjpeg marks RGB by the components' names and Adobe's marker (transform 0), which all decoders go by.
    return bytes(
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(values),
            level=_BASELINE_QUALITY,
            subsampling="444",
            colorspace="RGB",
            outcolorspace="RGB",
        )
    )


#: Transfer Syntax UID to its encoder.
ENCODERS: Mapping[str, Encoder] = {
    RLE: Encoder(_rle, (8, 16, 32, 64)),
    JPEG_BASELINE: Encoder(_jpeg_baseline, (8,), "YBR_FULL_422", "ISO_10918_1", _jpeg_baseline_rgb),
    "1.2.840.10008.1.2.4.57": Encoder(_jpeg_lossless, (8, 16)),
    JPEG_LOSSLESS_SV1: Encoder(_jpeg_lossless, (8, 16)),
    JPEG_LS: Encoder(_jpeg_ls, (8, 16)),
    J2K_LOSSLESS: Encoder(_jpeg_2000, (8, 16), "YBR_RCT"),
    HTJ2K_LOSSLESS: Encoder(_htj2k, (8, 16), "YBR_RCT"),
}
