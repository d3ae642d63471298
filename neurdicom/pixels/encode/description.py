"""Description of pixels as they are written: new elements of an Image Pixel module (PS3.3 C.7.6.3)."""

import struct

from neurdicom.dicom.codec.reencode import Replacements
from neurdicom.pixels.decode.image_pixel import ImagePixel

#: Extended Offset Table, its lengths, and the total length, which do not hold for other pixel data.
_STALE = (0x7FE00001, 0x7FE00002, 0x7FE00003)


def describe_pixels(form: ImagePixel, photometric: str, bits: int, *, planar: bool) -> Replacements:
    """Describe decoded pixels.

    Parameters
    ----------
    form : ImagePixel
        The Image Pixel module as it was.
    photometric : str
        Photometric Interpretation of the new pixel data.
    bits : int
        Its Bits Allocated.
    planar : bool
        True if its samples lie plane by plane.

    Returns
    -------
    Mapping
        New elements by tag.
    """
    new: dict[int, tuple[str, bytes] | None] = dict.fromkeys(_STALE)
    new[0x00280004] = "CS", photometric.encode()
    if form.samples > 1:
        new[0x00280006] = "US", struct.pack("<H", planar)
    if not form.is_float:
        values = ((0x00280100, bits), (0x00280101, form.bits_stored), (0x00280102, form.bits_stored - 1))
        new |= {tag: ("US", struct.pack("<H", value)) for tag, value in values}
    return new


def pixel_element(form: ImagePixel, bits: int) -> tuple[int, str]:
    """Return the tag and the VR of native pixel data."""
    if form.is_float:
        return (0x7FE00008, "OF") if bits == 32 else (0x7FE00009, "OD")
    return 0x7FE00010, "OW" if bits > 8 else "OB"
