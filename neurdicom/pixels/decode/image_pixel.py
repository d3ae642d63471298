"""The Image Pixel module (PS3.3 C.7.6.3), checked once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from neurdicom.dicom.header import Layout
from neurdicom.errors import Invalid, NotAvailable

#: Most samples of one frame that are decoded: twice a 16384 x 8192 picture. As doubles they take 2 GiB.
MAX_SAMPLES = 1 << 28

#: Photometric interpretations whose single sample is a grey value.
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")

#: Photometric interpretation of colours that a file does not describe, by transfer syntax; RGB of the others.
_COLOURS = dict.fromkeys(("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"), "YBR_FULL_422")

#: Keyword of float pixel data to the bits of a sample.
_FLOATS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}


@dataclass(frozen=True, slots=True)
class ImagePixel:
    """Attributes of the Image Pixel module, complete and consistent.

    Attributes
    ----------
    rows, columns, samples : int
        Height, width and samples per pixel.
    frames : int
        Number of Frames as declared, at least 1; the file may hold fewer.
    bits_allocated, bits_stored, high_bit : int
        As in PS3.5 8.1.1; for float pixels the size of the type.
    signed : bool
        True if Pixel Representation is 1.
    planar : bool
        True if native colour samples lie plane by plane (Planar Configuration 1).
    photometric : str
        Photometric Interpretation, upper case; MONOCHROME2 or RGB where the file lacks it, YBR_FULL_422 of lossy JPEG.
    is_float : bool
        True for Float or Double Float Pixel Data.
    """

    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: bool
    photometric: str
    is_float: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a decoded frame: rows, columns, and samples if there are several."""
        return self.size if self.samples == 1 else (*self.size, self.samples)

    @property
    def count(self) -> int:
        """Number of samples of one frame."""
        return self.rows * self.columns * self.samples

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the stored values, in native byte order."""
        if self.is_float:
            return np.dtype(f"f{self.bits_allocated // 8}")
        size = next(size for size in (8, 16, 32, 64) if size >= self.bits_allocated)
        return np.dtype(f"{'i' if self.signed else 'u'}{size // 8}")

    @property
    def mono(self) -> bool:
        """True if the sample is a grey value."""
        return self.samples == 1 and self.photometric in MONOCHROME

    @classmethod
    def of(cls, layout: Layout) -> Self:
        """Check a file's attributes and complete them.

        Raises
        ------
        NotAvailable
            There are no pixels, or attributes are missing or contradict each other, or a frame is too large to decode.
        """
        if layout.pixel_keyword is None or layout.pixel_offset is None:
            raise NotAvailable("this instance has no pixel data")
        rows = _positive("Rows (0028,0010)", layout.rows)
        columns = _positive("Columns (0028,0011)", layout.columns)
        samples = layout.samples_per_pixel or 1
        if samples not in (1, 3, 4):
            raise NotAvailable(f"Samples per Pixel (0028,0002) is {samples}; 1, 3 or 4 is expected")
        if rows * columns * samples > MAX_SAMPLES:
            raise NotAvailable(
                f"a frame has {columns} x {rows} pixels with {samples} samples each; at most "
                f"{MAX_SAMPLES} samples are decoded"
            )
        is_float = layout.pixel_keyword in _FLOATS
        if is_float:
            allocated = stored = _FLOATS[layout.pixel_keyword]
        else:
            allocated = _positive("Bits Allocated (0028,0100)", layout.bits_allocated)
            if allocated > 64:
                raise NotAvailable(f"Bits Allocated (0028,0100) is {allocated}; at most 64 is expected")
            stored = layout.bits_stored or allocated
            stored = min(stored, allocated)
        high = layout.high_bit
        if high is None or not stored - 1 <= high < allocated:
            high = stored - 1
        photometric = (layout.photometric_interpretation or "").strip(" \0").upper()
        return cls(
            rows=rows,
            columns=columns,
            samples=samples,
            frames=max(layout.number_of_frames or 1, 1),
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=high,
            signed=not is_float and layout.pixel_representation == 1,
            planar=samples > 1 and layout.planar_configuration == 1,
            photometric=photometric or ("MONOCHROME2" if samples == 1 else _COLOURS.get(layout.transfer_syntax, "RGB")),
            is_float=is_float,
        )

    def index(self, frame: int) -> int:
        """Convert a frame number (from 1) to an index (from 0). Raises `Invalid` out of range."""
        if not 1 <= frame <= self.frames:
            raise Invalid(f"frame is {frame}; this instance has frames 1 to {self.frames}", field="frame")
        return frame - 1


def _positive(name: str, value: int | None) -> int:
    if not value or value < 0:
        raise NotAvailable(f"the pixel data can't be read: {name} is {'missing' if value is None else value}")
    return value


def as_layout(layout: Layout | Mapping[str, Any]) -> Layout:
    """Return a layout, read from its JSON object where a worker got it as such."""
    return layout if isinstance(layout, Layout) else Layout.from_document(layout)
