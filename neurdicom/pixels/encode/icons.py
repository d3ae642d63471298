"""Conversion of the compressed pixels of items, such as an icon's (PS3.3 F.7), to native ones."""

import struct
from collections.abc import Mapping

from neurdicom.dicom.codec.reencode import NestedPixels, Replacements
from neurdicom.dicom.header import Layout
from neurdicom.errors import NeurdicomError
from neurdicom.pixels.decode.codecs import CODECS, J2K_LOSSLESS, JPEG_BASELINE, JPEG_LOSSLESS_SV1, JPEG_LS, RLE
from neurdicom.pixels.decode.codestream import read_j2k_header, read_jpeg_header
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.source import HeldBytes
from neurdicom.pixels.encode.description import describe_pixels, pixel_element
from neurdicom.pixels.encode.outgoing import native_bytes_of
from neurdicom.pixels.pipeline import load_from_source

#: Most bytes of all frames of an item.
_MOST = 1 << 28
_NUMBERS = {
    "rows": 0x00280010,
    "columns": 0x00280011,
    "samples_per_pixel": 0x00280002,
    "planar_configuration": 0x00280006,
    "bits_allocated": 0x00280100,
    "bits_stored": 0x00280101,
    "high_bit": 0x00280102,
    "pixel_representation": 0x00280103,
}


def convert_item(pixels: NestedPixels, transfer_syntax: str) -> Replacements | None:
    """Decode the pixels of an item.

    Parameters
    ----------
    pixels : NestedPixels
        The item's pixels.
    transfer_syntax : str
        Transfer Syntax UID of the file; in one without a codec the codestream tells its own.

    Returns
    -------
    Mapping or None
        New elements of the item; None where its pixels can't be decoded.
    """
    try:
        syntax = transfer_syntax if transfer_syntax in CODECS else _syntax_of(pixels.data)
        layout = _layout(pixels, syntax)
        form = ImagePixel.of(layout)
        if form.frames * form.count * form.dtype.itemsize > _MOST:
            return None
        source = HeldBytes(pixels.data)
        decoded = [load_from_source(source, layout, index) for index in range(form.frames)]
    except NeurdicomError:
        return None
    photometric = decoded[0][1]
    bits = 1 if form.bits_allocated == 1 else decoded[0][0].dtype.itemsize * 8
    tag, vr = pixel_element(form, bits)
    value = b"".join(native_bytes_of((array for array, _ in decoded), bits, planar=form.planar))
    return {**describe_pixels(form, photometric, bits, planar=form.planar), tag: (vr, value)}


def _layout(pixels: NestedPixels, syntax: str) -> Layout:
    values = pixels.values
    frames = _text(values, 0x00280008)
    return Layout(
        transfer_syntax=syntax,
        sop_class="",
        dataset_offset=0,
        header_end=0,
        pixel_keyword="PixelData",
        pixel_offset=0,
        photometric_interpretation=_text(values, 0x00280004),
        number_of_frames=int(frames) if frames and frames.isdecimal() else None,
        **{name: _number(values, tag) for name, tag in _NUMBERS.items()},
    )


def _number(values: Mapping[int, bytes], tag: int) -> int | None:
    value = values.get(tag, b"")
    return int(struct.unpack_from("<H", value)[0]) if len(value) >= 2 else None


def _text(values: Mapping[int, bytes], tag: int) -> str | None:
    return values[tag].decode("latin_1").strip(" \0") if tag in values else None


def _syntax_of(data: bytes) -> str:
    """Tell the transfer syntax of a codestream; RLE, which has no mark, where it is no other."""
    if (jpeg := read_jpeg_header(data)) is not None:
        if jpeg.process == 0xF7:
            return JPEG_LS
        return JPEG_LOSSLESS_SV1 if jpeg.lossless else JPEG_BASELINE
    return RLE if read_j2k_header(data) is None else J2K_LOSSLESS
