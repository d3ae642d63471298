"""Frames of a file in the form of another transfer syntax."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.dicom.codec.reencode import Replacements
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.codecs import CODECS
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.native import check_frames
from neurdicom.pixels.encode.codecs import Encoder
from neurdicom.pixels.encode.description import describe_pixels
from neurdicom.pixels.pipeline import load_described, load_uncoloured

Array = npt.NDArray[Any]


class OutgoingFrames:
    """Frames of a file, or one of them, decoded and in the form of the new file, and their description for its header.

    Parameters
    ----------
    path : path
        The DICOM file.
    layout : Layout
        Its layout.
    encoder : Encoder or None
        Encoder of the frames; None for native ones, which have the planar configuration of the file.
    only : int, optional
        Number of the only frame, from 1.

    Raises
    ------
    NotAvailable
        The pixels can't be decoded, or the encoder can't hold them.
    """

    def __init__(self, path: str | Path, layout: Layout, encoder: Encoder | None, only: int | None = None) -> None:
        self.form = form = ImagePixel.of(layout)
        self._numbers = range(1, form.frames + 1) if only is None else (only,)
        self._path, self._layout, self._encoder = path, layout, encoder
        if layout.transfer_syntax not in CODECS and only is None:
            # Not halfway through the output.
            check_frames(layout, form)
        self._load = load_uncoloured if only is None else load_described
        first, self._photometric = self._load(path, layout, self._numbers[0])
        self._first: Array | None = first
        self._is_rgb = self._photometric == "RGB"
        self.bits = 1 if form.bits_allocated == 1 else first.dtype.itemsize * 8
        if encoder is not None:
            self._check(encoder)
            # YBR_FULL is kept in a lossless codestream; a baseline one is 4:2:2 whatever its input was.
            if form.samples == 3 and (self._is_rgb or encoder.lossy):
                self._photometric = encoder.colour

    def _check(self, encoder: Encoder) -> None:
        form = self.form
        if form.is_float or form.samples == 4 or self.bits not in encoder.bits:
            kind = "float" if form.is_float else f"{self.bits}-bit"
            raise NotAvailable(f"{kind} pixels of {form.samples} samples can't be given in this transfer syntax")
        if encoder.lossy and (form.signed or form.bits_stored != self.bits):
            # PS3.5 8.2.1: the values of a lossy codec may exceed fewer bits, or change their sign.
            sign = "signed" if form.signed else "unsigned"
            raise NotAvailable(
                f"{sign} pixels with Bits Stored {form.bits_stored} can't be given in this transfer syntax; "
                f"it takes unsigned ones of {self.bits} bits"
            )
        if encoder.lossy and form.photometric == "PALETTE COLOR":
            raise NotAvailable("a lossy transfer syntax would change the indices of a palette")

    @property
    def length(self) -> int:
        """Length of the native value in bytes, before padding."""
        return (self.form.frames * self.form.count * self.bits + 7) // 8

    def description(self) -> Replacements:
        """Describe the frames as they are written, by the new elements of the Image Pixel module."""
        planar = self.form.planar and self._encoder is None
        return describe_pixels(self.form, self._photometric, self.bits, planar=planar)

    def __iter__(self) -> Iterator[Array]:
        for number in self._numbers:
            first, self._first = self._first, None
            yield first if first is not None else self._load(self._path, self._layout, number)[0]

    def encoded(self) -> Iterator[bytes]:
        """Yield each frame's codestream, padded to even length."""
        assert self._encoder is not None
        for values in self:
            data = self._encoder.encode(values, self.form.bits_stored, self._is_rgb)
            yield data + bytes(len(data) % 2)

    def native(self) -> Iterator[bytes]:
        """Yield the bytes of the native value; frames of single bits share bytes."""
        return native_bytes_of(self, self.bits, planar=self.form.planar)


def native_bytes_of(frames: Iterable[Array], bits: int, *, planar: bool) -> Iterator[bytes]:
    """Yield the bytes of decoded frames as they lie in native Pixel Data, in little endian (PS3.5 8.1, 8.2).

    Parameters
    ----------
    frames : iterable of ndarray
        Each of shape (rows, columns) or (rows, columns, samples).
    bits : int
        Bits Allocated, which is 1 or that of the arrays; frames of single bits share bytes.
    planar : bool
        True for Planar Configuration 1: the samples of a frame plane by plane.
    """
    rest = np.empty(0, "u1")
    for values in frames:
        if planar and values.ndim == 3:
            values = values.transpose(2, 0, 1)
        if bits != 1:
            yield values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
            continue
        single = np.concatenate((rest, values.reshape(-1).astype("u1")))
        whole = len(single) // 8 * 8
        yield np.packbits(single[:whole], bitorder="little").tobytes()
        rest = single[whole:]
    if len(rest):
        yield np.packbits(rest, bitorder="little").tobytes()
