"""Native (uncompressed) frames: PS3.5 8.1 and A.1 to A.3."""

from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.source import Source

BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

Array = npt.NDArray[Any]


def read_native(source: Source, layout: Layout, form: ImagePixel, index: int) -> Array:
    """Read one frame of native pixel data.

    Returns
    -------
    ndarray
        Stored cells, shape (rows, columns) or (rows, columns, samples), of the cell's width, unsigned (floats
        aside), in native byte order; bits outside Bits Stored are still there.

    Raises
    ------
    NotAvailable
        The pixel data ends before the frame does.
    """
    cells, halved = _read_cells(source, layout, form, index)
    if halved:
        return _expand_422(cells, form)
    return arrange(cells, form, planar=form.planar)


def native_bytes(source: Source, layout: Layout, form: ImagePixel, index: int) -> bytes:
    """Read one frame of native pixel data as it lies in the file, but little-endian and from a first bit on.

    Raises
    ------
    NotAvailable
        The pixel data ends before the frame does.
    """
    cells, _ = _read_cells(source, layout, form, index)
    if form.bits_allocated == 1:
        return np.packbits(cells, bitorder="little").tobytes()
    if form.bits_allocated not in (8, 16, 32, 64):
        raise NotAvailable(f"a single frame of {form.bits_allocated} Bits Allocated begins within a byte")
    return cells.astype(cells.dtype.newbyteorder("<"), copy=False).tobytes()


def native_place(layout: Layout, form: ImagePixel, index: int) -> tuple[int, int] | None:
    """Where a native frame's bytes lie in the file, as offset and length; None where `native_bytes` is needed."""
    if layout.transfer_syntax in (BIG_ENDIAN, *DEFLATED) or layout.pixel_offset is None or layout.pixel_length is None:
        return None
    bits = (form.rows * form.columns * 2 if _is_halved(layout, form) else form.count) * form.bits_allocated
    if bits * index % 8 or (bits % 8 and form.frames > 1):
        return None
    start, length = bits * index // 8, (bits + 7) // 8
    if start + length > layout.pixel_length:
        raise NotAvailable(
            f"the pixel data ends before frame {index + 1} does: it needs {start + length} bytes, "
            f"and there are {layout.pixel_length}"
        )
    return layout.pixel_offset + start, length


def _read_cells(source: Source, layout: Layout, form: ImagePixel, index: int) -> tuple[Array, bool]:
    """Read the cells of one frame in the order of the file, and tell whether its chroma is halved."""
    assert layout.pixel_offset is not None
    if layout.pixel_length is None:
        raise NotAvailable(f"encapsulated pixel data in the native transfer syntax {layout.transfer_syntax}")
    big = layout.transfer_syntax == BIG_ENDIAN
    halved = _is_halved(layout, form)
    count = form.rows * form.columns * 2 if halved else form.count
    first_bit, bits = index * count * form.bits_allocated, count * form.bits_allocated
    start, end = first_bit // 8, (first_bit + bits + 7) // 8
    swapped = big and form.bits_allocated <= 8 and _is_ow(source, layout)
    if swapped:
        start, end = start - start % 2, end + end % 2
    held = min(end, layout.pixel_length + (swapped and layout.pixel_length % 2))
    data = source.read(layout.pixel_offset + start, max(held - start, 0))
    if len(data) < (first_bit + bits + 7) // 8 - start:
        raise NotAvailable(
            f"the pixel data ends before frame {index + 1} does: it needs {end} bytes, "
            f"and there are {min(layout.pixel_length, start + len(data))}"
        )
    if swapped:
        data += bytes(len(data) % 2)
        data = bytearray(np.frombuffer(data, "u2").byteswap().tobytes())
    cells = as_cells(data, form, count, big=big, skip=first_bit - start * 8)
    return cells, halved


def check_frames(layout: Layout, form: ImagePixel) -> None:
    """Raise `NotAvailable` if native pixel data has no room for all the frames that are declared."""
    count = form.rows * form.columns * 2 if _is_halved(layout, form) else form.count
    needed = (form.frames * count * form.bits_allocated + 7) // 8
    if layout.pixel_length is not None and layout.pixel_length < needed:
        raise NotAvailable(f"{form.frames} frames need {needed} bytes; the pixel data has {layout.pixel_length}")


def _is_halved(layout: Layout, form: ImagePixel) -> bool:
    # With 4:2:2 two pixels share their chroma: Y1 Y2 CB CR (PS3.3 C.7.6.3.1.2). Files that were once compressed
    # have the name without being so, which their length tells.
    if form.photometric not in ("YBR_FULL_422", "YBR_PARTIAL_422") or form.samples != 3:
        return False
    whole = (form.frames * form.count * form.bits_allocated + 7) // 8
    return layout.pixel_length not in (whole, whole + whole % 2)


def as_cells(data: bytes | bytearray, form: ImagePixel, count: int, *, big: bool = False, skip: int = 0) -> Array:
    """Cut bytes into `count` cells of Bits Allocated, after `skip` bits; a view where the cells are whole types."""
    if form.bits_allocated in (8, 16, 32, 64):
        kind = "f" if form.is_float else "u"
        cells = np.frombuffer(data, f"{'>' if big else '<'}{kind}{form.bits_allocated // 8}", count, skip // 8)
        return cells.astype(cells.dtype.newbyteorder("="), copy=False)
    unpacked = np.unpackbits(np.frombuffer(data, "u1"), bitorder="little")[skip : skip + count * form.bits_allocated]
    if form.bits_allocated == 1:
        return unpacked
    wide = np.zeros((count, form.dtype.itemsize * 8), "u1")
    wide[:, : form.bits_allocated] = unpacked.reshape(count, form.bits_allocated)
    return np.packbits(wide, axis=1, bitorder="little").view(f"<u{form.dtype.itemsize}").reshape(count)


def arrange(cells: Array, form: ImagePixel, *, planar: bool) -> Array:
    """Shape a frame's cells into rows, columns and interleaved samples."""
    if form.samples == 1:
        return cells.reshape(form.rows, form.columns)
    if planar:
        planes = cells.reshape(form.samples, form.rows, form.columns)
        # A copy even of a single pixel, whose strides would otherwise stay those of planes, which codecs refuse.
        return planes.transpose(1, 2, 0).copy()
    return cells.reshape(form.rows, form.columns, form.samples)


def stored_values(cells: Array, form: ImagePixel, *, precision: int | None = None, exact: bool = True) -> Array:
    """Take Bits Stored out of their cells: shift, mask, extend the sign (PS3.5 8.1.1).

    Parameters
    ----------
    cells : ndarray
        Integer or float cells. Signed ones are values already and only change their type.
    precision : int, optional
        Bits that a codestream says it has; no more than those hold a value, whatever the header says.
    exact : bool
        False for cells from a lossy codec: values may have come to lie outside Bits Stored, and are limited to them.

    Returns
    -------
    ndarray
        The same shape, with `form.dtype`.
    """
    if form.is_float:
        return cells
    stored, shift = form.bits_stored, form.high_bit + 1 - form.bits_stored
    if precision is not None and precision <= stored:
        stored, shift = precision, 0
    if not exact and shift == 0 and form.signed == (cells.dtype.kind == "i"):
        low, high = (-(1 << stored - 1), (1 << stored - 1) - 1) if form.signed else (0, (1 << stored) - 1)
        limits = np.iinfo(cells.dtype)
        cells = np.clip(cells, max(low, limits.min), min(high, limits.max))
    if cells.dtype.kind == "i":
        if form.signed:
            return cells.astype(form.dtype, copy=False)
        cells = cells.view(f"u{cells.dtype.itemsize}")
    width = cells.dtype.itemsize * 8
    if stored + shift > width:
        stored, shift = min(stored, width), 0
    if not form.signed:
        if stored == width:
            return cells.astype(form.dtype, copy=False)
        if shift:
            cells = cells >> cells.dtype.type(shift)
        return np.asarray(cells & cells.dtype.type((1 << stored) - 1), form.dtype)
    signed = cells.view(f"i{cells.dtype.itemsize}")
    if width > stored:
        signed = (signed << signed.dtype.type(width - stored - shift)) >> signed.dtype.type(width - stored)
    return signed.astype(form.dtype, copy=False)


def _expand_422(cells: Array, form: ImagePixel) -> Array:
    if form.columns % 2:
        raise NotAvailable(f"{form.photometric} with {form.columns} columns; an even number is expected")
    groups = cells.reshape(form.rows, form.columns // 2, 4)
    pixels = np.empty((form.rows, form.columns, 3), cells.dtype)
    pixels[:, 0::2, 0], pixels[:, 1::2, 0] = groups[..., 0], groups[..., 1]
    for sample in (1, 2):
        pixels[:, 0::2, sample] = pixels[:, 1::2, sample] = groups[..., sample + 1]
    return pixels


def _is_ow(source: Source, layout: Layout) -> bool:
    # Big endian swaps OW by words, OB not at all; only the file's own VR tells which it is.
    return bytes(source.read(layout.header_end + 4, 2)) == b"OW"
