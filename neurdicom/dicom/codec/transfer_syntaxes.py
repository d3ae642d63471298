"""Transfer syntaxes (PS3.5 annex A) and the media types of frames in them (PS3.18 8.7.3)."""

from collections.abc import Mapping

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
#: The whole dataset is deflated: Deflated Explicit VR, and the two JPIP syntaxes that build on it (PS3.5 A.5).
DEFLATED_EXPLICIT = "1.2.840.10008.1.2.1.99"
DEFLATED = frozenset({DEFLATED_EXPLICIT, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})

OCTET_STREAM = "application/octet-stream"

_BASE = "1.2.840.10008.1.2"

#: Transfer syntax to the media type of one frame's codestream; the others are native, or deflated as a whole.
FRAME_MEDIA_TYPES: Mapping[str, str] = {
    f"{_BASE}.5": "image/dicom-rle",
    **{f"{_BASE}.4.{number}": "image/jpeg" for number in (50, 51, 57, 70)},
    **{f"{_BASE}.4.{number}": "image/jls" for number in (80, 81)},
    **{f"{_BASE}.4.{number}": "image/jp2" for number in (90, 91)},
    **{f"{_BASE}.4.{number}": "image/jpx" for number in (92, 93)},
    **{f"{_BASE}.4.{number}": "image/jxl" for number in (110, 111, 112)},
    **{f"{_BASE}.4.{number}": "image/jphc" for number in (201, 202, 203)},
}

#: Transfer syntax to the media type of its video, which is one stream for all frames.
VIDEO_MEDIA_TYPES: Mapping[str, str] = {
    **{f"{_BASE}.4.{number}": "video/mpeg" for number in ("100", "100.1", "101", "101.1")},
    **{f"{_BASE}.4.{number}": "video/mp4" for number in (102, 103, 104, 105, 106, 107, 108)},
    **{f"{_BASE}.4.{number}.1": "video/mp4" for number in (102, 103, 104, 105, 106)},
}

#: Media type to the transfer syntaxes that we can encode; the first is used where none is named (PS3.18 8.7.3.4).
ENCODED: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": tuple(f"{_BASE}.4.{number}" for number in (70, 57, 50)),
    "image/jls": (f"{_BASE}.4.80",),
    "image/jp2": (f"{_BASE}.4.90",),
    "image/jphc": (f"{_BASE}.4.201",),
    "image/dicom-rle": (f"{_BASE}.5",),
}

#: Deflated Image Frame Compression, whose frames have no media type of their own.
DEFLATED_FRAME = f"{_BASE}.8.1"

#: Frames in their native form, each in items of its own (PS3.5 A.4.11).
ENCAPSULATED_UNCOMPRESSED = f"{_BASE}.1.98"

#: Transfer syntaxes whose Pixel Data is not encapsulated.
NATIVE = frozenset({IMPLICIT, EXPLICIT, BIG_ENDIAN, *DEFLATED})

#: Transfer syntaxes that a file may be converted to, the preferred first; all of them are lossless.
CONVERSIONS = (
    EXPLICIT,
    IMPLICIT,
    f"{_BASE}.4.90",  # JPEG 2000
    f"{_BASE}.4.80",  # JPEG-LS
    f"{_BASE}.4.70",  # JPEG, first-order prediction
    f"{_BASE}.4.57",  # JPEG
    f"{_BASE}.4.201",  # HTJ2K
    f"{_BASE}.5",  # RLE
)

#: Transfer syntaxes of a decoded frame.
UNCOMPRESSED = frozenset({EXPLICIT, IMPLICIT})


def frame_media_type(syntax: str) -> str:
    """Look up the media type of one frame as it is stored (PS3.18 8.7.3)."""
    return FRAME_MEDIA_TYPES.get(syntax, OCTET_STREAM)
