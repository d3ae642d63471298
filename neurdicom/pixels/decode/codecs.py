"""Decoders of one compressed frame, and the colour model of their output."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.codestream import JpegHeader, read_j2k_header, read_jpeg_header
from neurdicom.pixels.decode.colour import to_rgb
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.native import arrange, as_cells, stored_values

Array = npt.NDArray[Any]
Colours = tuple[Array, str]
Decode = Callable[[bytes, ImagePixel], Colours]

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"

#: Exceptions that the codecs' libraries raise for a codestream that they can't read.
FAILURES = (RuntimeError, ValueError, TypeError, IndexError, OverflowError, NotImplementedError)


def _jpeg(data: bytes, form: ImagePixel) -> Colours:
    header = read_jpeg_header(data)
    if header is None:
        raise NotAvailable("no JPEG frame header")
    _check_size(header.rows, header.columns, len(header.components), form)
    if form.samples == 3 and not header.lossless:
        # Where the codestream declares its colour model, that is more reliable than the header of the file.
        is_ycbcr = form.photometric != "RGB" if header.is_ycbcr is None else header.is_ycbcr
        model = "YCBCR" if is_ycbcr else "RGB"
        decoded = imagecodecs.jpeg8_decode(data, colorspace=model, outcolorspace="RGB")
        return stored_values(decoded, form, precision=header.precision), "RGB"
    model = {1: "GRAYSCALE", 3: "RGB", 4: "CMYK"}[form.samples]
    decoded = imagecodecs.jpeg8_decode(data, colorspace=model, outcolorspace=model)
    return stored_values(decoded, form, precision=header.precision), _lossless_colour(header, form)


def _jpeg_lossless(data: bytes, form: ImagePixel) -> Colours:
    header = read_jpeg_header(data)
    if header is None:
        raise NotAvailable("no JPEG frame header")
    _check_size(header.rows, header.columns, len(header.components), form)
    decoded = imagecodecs.jpegsof3_decode(data)
    return stored_values(decoded, form, precision=header.precision), _lossless_colour(header, form)


def _lossless_colour(header: JpegHeader, form: ImagePixel) -> str:
    # A lossless process has no component transform, so that JFIF's marker is no sign of one.
    return "RGB" if form.samples == 3 and header.is_ycbcr is False else form.photometric


def _jpeg_ls(data: bytes, form: ImagePixel) -> Colours:
    header = read_jpeg_header(data)
    if header is None:
        raise NotAvailable("no JPEG-LS frame header")
    _check_size(header.rows, header.columns, len(header.components), form)
    decoded = imagecodecs.jpegls_decode(data)
    return stored_values(decoded, form, precision=header.precision, exact=header.near == 0), form.photometric


def _jpeg_2000(data: bytes, form: ImagePixel) -> Colours:
    header = read_j2k_header(data)
    if header is None:
        raise NotAvailable("no JPEG 2000 codestream")
    _check_size(header.rows, header.columns, header.components, form)
    decoded = stored_values(imagecodecs.jpeg2k_decode(data), form, precision=header.precision, exact=header.reversible)
    # The codec reverses a component transform, whose input is RGB.
    return decoded, "RGB" if header.transformed and form.samples == 3 else form.photometric


def _rle(data: bytes, form: ImagePixel) -> Colours:
    """Decode RLE (PS3.5 annex G): one PackBits segment for each byte of a sample, most significant first."""
    if form.bits_allocated == 1:
        packed = _segment(data, 0, 1, (form.count + 7) // 8)
        return arrange(as_cells(packed, form, form.count), form, planar=False), form.photometric
    if form.bits_allocated % 8:
        raise NotAvailable(f"RLE with Bits Allocated {form.bits_allocated}; 1 or a multiple of 8 is expected")
    size = form.bits_allocated // 8
    pixels = form.rows * form.columns
    cells = np.zeros((pixels, form.samples, form.dtype.itemsize), "u1")
    for sample in range(form.samples):
        for byte in range(size):
            segment = _segment(data, sample * size + byte, form.samples * size, pixels)
            cells[:, sample, size - 1 - byte] = np.frombuffer(segment, "u1", pixels)
    values = cells.view(f"<u{form.dtype.itemsize}").reshape(-1)
    return stored_values(arrange(values, form, planar=False), form), form.photometric


def _segment(data: bytes, index: int, expected: int, length: int) -> bytes:
    if len(data) < 64:
        raise NotAvailable(f"the RLE header is cut off: {len(data)} of 64 bytes")
    header = np.frombuffer(data, "<u4", 16)
    if header[0] != expected:
        raise NotAvailable(f"the RLE header has {header[0]} segments; {expected} are expected")
    start, end = int(header[index + 1]), int(header[index + 2]) if index + 1 < expected else len(data)
    # No encoder makes a segment longer than this of so many bytes; the rest can only be a bomb, or another frame.
    end = min(end, start + 2 * length + 64)
    segment = bytes(imagecodecs.packbits_decode(data[start:end]))
    if len(segment) < length:
        raise NotAvailable(f"RLE segment {index + 1} has {len(segment)} bytes; {length} are expected")
    return segment


def _deflated_frame(data: bytes, form: ImagePixel) -> Colours:
    """Decode Deflated Image Frame Compression (PS3.5 A.4.13): the native form of one frame, deflated."""
    native = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, _native_length(form))
    return _uncompressed_frame(native, form)


def _uncompressed_frame(data: bytes, form: ImagePixel) -> Colours:
    """Decode Encapsulated Uncompressed (PS3.5 A.4.11): the native form of one frame, from its first byte on."""
    length = _native_length(form)
    if len(data) < length:
        raise NotAvailable(f"the frame has {len(data)} bytes; {length} are expected")
    native = data[:length]
    cells = stored_values(as_cells(native, form, form.count), form)
    return arrange(cells, form, planar=form.planar), form.photometric


def _native_length(form: ImagePixel) -> int:
    """Compute the bytes of one frame in native form."""
    return (form.count * form.bits_allocated + 7) // 8


def _check_size(rows: int, columns: int, samples: int, form: ImagePixel) -> None:
    # Checked before the codec allocates what the codestream declares. Tiles at the edge of a slide may be smaller.
    fits = rows <= form.rows and columns <= form.columns if form.frames > 1 else (rows, columns) == form.size
    if not (fits and samples == form.samples):
        raise NotAvailable(
            f"the codestream has {columns} x {rows} pixels of {samples} samples, "
            f"the header {form.columns} x {form.rows} of {form.samples}"
        )


_JPEG: tuple[Decode, ...] = (_jpeg, _jpeg_lossless)

#: Transfer Syntax UID to the codecs to try, in order.
CODECS: Mapping[str, tuple[Decode, ...]] = {
    RLE: (_rle,),
    DEFLATED_FRAME: (_deflated_frame,),
    ENCAPSULATED_UNCOMPRESSED: (_uncompressed_frame,),
    **{f"1.2.840.10008.1.2.4.{number}": _JPEG for number in (50, 51, 57, 70)},
    **{f"1.2.840.10008.1.2.4.{number}": (_jpeg_ls,) for number in (80, 81)},
    **{f"1.2.840.10008.1.2.4.{number}": (_jpeg_2000,) for number in (90, 91, 92, 93, 201, 202, 203)},
}


def decode(data: bytes, form: ImagePixel, transfer_syntax: str) -> Array:
    """Decode one compressed frame to RGB, a grey value, or an index of a palette.

    Parameters
    ----------
    data, form, transfer_syntax
        As for `decode_uncoloured`.

    Returns
    -------
    ndarray
        As of `decode_uncoloured`, every YBR_* converted to RGB.

    Raises
    ------
    NotAvailable
        As `decode_uncoloured`.
    """
    pixels, photometric = decode_uncoloured(data, form, transfer_syntax)
    return to_rgb(pixels, photometric, form.bits_stored) if form.samples == 3 else pixels


def decode_uncoloured(data: bytes, form: ImagePixel, transfer_syntax: str) -> Colours:
    """Decode one compressed frame; colours become RGB only where the codec converts them itself.

    Parameters
    ----------
    data : bytes
        The frame's codestream.
    form : ImagePixel
        The Image Pixel module of the file.
    transfer_syntax : str
        Transfer Syntax UID.

    Returns
    -------
    pixels : ndarray
        Stored values with `form.dtype`, shape (rows, columns) or (rows, columns, samples). A smaller codestream, as of
        a tile at a slide's edge, is padded with 0.
    photometric : str
        Their Photometric Interpretation; a YBR_* has three samples for every pixel.

    Raises
    ------
    NotAvailable
        There is no codec for the transfer syntax, or none can read the codestream; the message has each one's reason.
    """
    codecs = CODECS.get(transfer_syntax)
    if codecs is None:
        raise NotAvailable(
            f"pixel data of transfer syntax {transfer_syntax} can't be decoded; there is no codec for it"
        )
    reasons = []
    for codec in codecs:
        try:
            pixels, photometric = codec(data, form)
        except (*FAILURES, zlib.error) as error:
            reasons.append(f"{codec.__name__.strip('_')}: {error}")
            continue
        if pixels.shape == form.shape:
            return pixels, photometric
        if pixels.ndim == len(form.shape) and all(
            have <= want for have, want in zip(pixels.shape, form.shape, strict=True)
        ):
            whole = np.zeros(form.shape, pixels.dtype)
            whole[: pixels.shape[0], : pixels.shape[1]] = pixels
            return whole, photometric
        reasons.append(f"{codec.__name__.strip('_')}: shape {pixels.shape}, expected {form.shape}")
    raise NotAvailable(f"the frame can't be decoded ({transfer_syntax}): {'; '.join(reasons)}")
