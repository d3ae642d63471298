"""Native (uncompressed) frames (PS3.5 8.1, A.1 to A.3)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.source import ByteSource

BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

Array = npt.NDArray[Any]


def read_native(source: ByteSource, layout: Layout, form: ImagePixel, index: int) -> Array:
    """Read one frame of native Pixel Data as an array of cells.

    Parameters
    ----------
    source : ByteSource
        The file.
    layout : Layout
        Its layout.
    form : ImagePixel
        Its Image Pixel module.
    index : int
        Index of the frame, from 0.

    Returns
    -------
    ndarray
        Cells of Bits Allocated, shape (rows, columns) or (rows, columns, samples), unsigned or float, in native byte
        order; they still hold the bits outside Bits Stored.

    Raises
    ------
    NotAvailable
        The pixel data ends before the frame does, or is not native.
    """
    cells, halved = _read_cells(source, layout, form, index)
    if halved:
        return _expand_422(cells, form)
    return arrange(cells, form, planar=form.planar)


def native_bytes(source: ByteSource, layout: Layout, form: ImagePixel, index: int) -> bytes:
    """Read the bytes of one frame of native Pixel Data, in little endian, its first cell at the first bit.

    Parameters
    ----------
    source, layout, form, index
        As for `read_native`.

    Returns
    -------
    bytes
        The cells in the order of the file.

    Raises
    ------
    NotAvailable
        The pixel data ends before the frame does, or is not native, or Bits Allocated is not 1, 8, 16, 32 or 64.
    """
    cells, _ = _read_cells(source, layout, form, index)
    if form.bits_allocated == 1:
        return np.packbits(cells, bitorder="little").tobytes()
    if form.bits_allocated not in (8, 16, 32, 64):
        raise NotAvailable(
            f"frames with Bits Allocated {form.bits_allocated} may begin within a byte; 1, 8, 16, 32 or 64 is expected"
        )
    return cells.astype(cells.dtype.newbyteorder("<"), copy=False).tobytes()


def native_place(layout: Layout, form: ImagePixel, index: int) -> tuple[int, int] | None:
    """Find the place of a native frame whose bytes in the file are those that `native_bytes` would return.

    Parameters
    ----------
    layout : Layout
        Layout of the file.
    form : ImagePixel
        Its Image Pixel module.
    index : int
        Index of the frame, from 0.

    Returns
    -------
    tuple of (int, int) or None
        Offset and length in bytes; None where the bytes must be converted: big endian, deflated, or within a byte.

    Raises
    ------
    NotAvailable
        The pixel data ends before the frame does.
    """
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


def _read_cells(source: ByteSource, layout: Layout, form: ImagePixel, index: int) -> tuple[Array, bool]:
    """Read the cells of one frame in the order of the file, and tell whether its chroma is subsampled (4:2:2)."""
    assert layout.pixel_offset is not None
    if layout.pixel_length is None:
        raise NotAvailable(
            f"the pixel data is encapsulated; native pixel data is expected in transfer syntax {layout.transfer_syntax}"
        )
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
    """Check that native Pixel Data is long enough for all declared frames. Raises `NotAvailable`."""
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
    """Cut bytes into cells of Bits Allocated; a view where the cells are whole types.

    Parameters
    ----------
    data : bytes or bytearray
        Native pixel data.
    form : ImagePixel
        Its Image Pixel module.
    count : int
        Number of cells.
    big : bool
        True for big endian.
    skip : int
        Bits before the first cell.

    Returns
    -------
    ndarray
        Shape (count,), unsigned or float, in native byte order; 8 bits where Bits Allocated is 1.
    """
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
    """Reshape a frame's cells to (rows, columns) or (rows, columns, samples).

    Parameters
    ----------
    cells : ndarray
        Shape (rows * columns * samples,), of any dtype, in the order of the file.
    form : ImagePixel
        The Image Pixel module.
    planar : bool
        True if `cells` has the samples plane by plane.

    Returns
    -------
    ndarray
        Shape (rows, columns) or (rows, columns, samples), with the dtype of `cells`.
    """
    if form.samples == 1:
        return cells.reshape(form.rows, form.columns)
    if planar:
        planes = cells.reshape(form.samples, form.rows, form.columns)
        # A copy even of a single pixel, whose strides would otherwise stay those of planes, which codecs refuse.
        return planes.transpose(1, 2, 0).copy()
    return cells.reshape(form.rows, form.columns, form.samples)


def stored_values(cells: Array, form: ImagePixel, *, precision: int | None = None, exact: bool = True) -> Array:
    """Extract Bits Stored from cells: shift, mask, extend the sign (PS3.5 8.1.1).

    Parameters
    ----------
    cells : ndarray
        Integer or float cells, of any shape. Signed ones are values already and only change their type.
    form : ImagePixel
        The Image Pixel module.
    precision : int, optional
        Precision of the codestream in bits, which overrides a larger Bits Stored.
    exact : bool
        False for cells from a lossy codec, whose values may lie outside Bits Stored and are clipped.

    Returns
    -------
    ndarray
        The same shape, with `form.dtype`; stored values, before any rescale.
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


def _is_ow(source: ByteSource, layout: Layout) -> bool:
    # Big endian swaps OW by words, OB not at all; only the file's own VR tells which it is.
    return bytes(source.read(layout.header_end + 4, 2)) == b"OW"
