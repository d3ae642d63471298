"""Attributes of the Image Pixel Description Macro (PS3.3 C.7-11c), derived from codestreams (PS3.18 10.5.2)."""

from collections.abc import Callable
from dataclasses import dataclass

from neurdicom.pixels.decode.codestream import JpegHeader, read_j2k_header, read_jpeg_header
from neurdicom.pixels.decode.video import read_video_header

ReadAt = Callable[[int, int], bytes]
"""Reads bytes of a codestream: offset and length to bytes, fewer at its end."""

#: Bytes in which the header of a still image lies; a JPEG may have a profile and a thumbnail before.
_PROBE = 1 << 20

_JPEG = ("image/jpeg", "image/jls")
_JPEG_2000 = ("image/jp2", "image/jpx", "image/jphc")


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """Description of the pixels in a codestream.

    Attributes
    ----------
    rows, columns : int
        Height and width.
    samples_per_pixel : int
        Number of components.
    photometric_interpretation : str
        Of the codestream's components.
    bits_stored : int
        Bits of a sample.
    signed : bool
        True if samples have a sign.
    number_of_frames : int or None
        Of a video, where that can be told.
    """

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    bits_stored: int
    signed: bool = False
    number_of_frames: int | None = None

    @property
    def bits_allocated(self) -> int:
        """Bits of a cell."""
        return 8 if self.bits_stored <= 8 else 16 if self.bits_stored <= 16 else 32


def describe_codestream(media_type: str, read: ReadAt, size: int) -> PixelDescription | None:
    """Describe the pixels of a codestream.

    Parameters
    ----------
    media_type : str
        Media type of a frame (PS3.18 8.7.3), such as `image/jpeg`, or of a video.
    read : callable
        Reads bytes of it.
    size : int
        Its size in bytes.

    Returns
    -------
    PixelDescription or None
        None where the codestream does not tell, as RLE, or is none.
    """
    if media_type.startswith("video/"):
        video = read_video_header(read, size)
        if video is None or not (video.rows and video.columns):
            return None
        return PixelDescription(
            video.rows, video.columns, 3, "YBR_PARTIAL_420", video.bits, number_of_frames=video.frames
        )
    head = read(0, min(size, _PROBE))
    found = None
    if media_type in _JPEG and (jpeg := read_jpeg_header(head)) is not None:
        found = _of_jpeg(jpeg)
    elif media_type in _JPEG_2000 and (j2k := read_j2k_header(head)) is not None:
        colour = ("YBR_RCT" if j2k.reversible else "YBR_ICT") if j2k.transformed else "RGB"
        interpretation = {1: "MONOCHROME2", 3: colour}.get(j2k.components)
        if interpretation is not None:
            found = PixelDescription(
                j2k.rows, j2k.columns, j2k.components, interpretation, j2k.precision, signed=j2k.signed
            )
    return found if found is not None and found.rows > 0 and found.columns > 0 else None


def _of_jpeg(jpeg: JpegHeader) -> PixelDescription | None:
    count = len(jpeg.components)
    if count == 1:
        interpretation = "MONOCHROME2"
    elif count != 3:
        return None
    elif jpeg.lossless or jpeg.adobe == 0 or jpeg.components == tuple(b"RGB"):
        interpretation = "RGB"
    else:
        # Subsampled in height, too, as most are: the standard has no term of its own for that.
        interpretation = "YBR_FULL" if len(set(jpeg.sampling)) == 1 else "YBR_FULL_422"
    return PixelDescription(jpeg.rows, jpeg.columns, count, interpretation, jpeg.precision)
