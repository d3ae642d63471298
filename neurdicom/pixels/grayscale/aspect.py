"""The proportions of a pixel, which a picture has in squares (PS3.3 C.7.6.3.1.7)."""

from typing import Final

from neurdicom.pixels.decode.elements import FrameHeader

#: Attributes that give the height and the width of a pixel, or their ratio, and the macros that may hold them.
#: The ratio is last, since it counts only where there is no spacing.
_ATTRIBUTES: Final = (
    ("PixelMeasuresSequence", "PixelSpacing"),
    ("FramePixelDataPropertiesSequence", "ImagerPixelSpacing"),
    ("", "NominalScannedPixelSpacing"),
    ("", "PixelAspectRatio"),
)

#: Ratios that differ less from a square are roundings; what is further from one is no pixel but a mistake.
_SQUARE: Final = 0.01
_LONGEST: Final = 100.0


def read_aspect(header: FrameHeader) -> float:
    """Read the height of a frame's pixels in relation to their width.

    Parameters
    ----------
    header : FrameHeader
        Elements that apply to the frame.

    Returns
    -------
    float
        1 where the pixels are squares, or nothing that makes sense says more.
    """
    for macro, keyword in _ATTRIBUTES:
        for elements in header.having(macro, keyword):
            height, width, *_ = [*elements.numbers(keyword), 0.0, 0.0]
            if height > 0 < width and 1 / _LONGEST <= height / width <= _LONGEST:
                aspect = height / width
                return 1.0 if abs(aspect - 1) < _SQUARE else aspect
    return 1.0
