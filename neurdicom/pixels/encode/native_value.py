"""The native value of a stored file's Pixel Data, copied byte by byte in little endian."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neurdicom.dicom.codec.dictionary import LONG_VRS
from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, IMPLICIT
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.codecs import CODECS
from neurdicom.pixels.decode.source import Source

_PIECE = 1 << 20
_TAGS = {"PixelData": 0x7FE00010, "FloatPixelData": 0x7FE00008, "DoubleFloatPixelData": 0x7FE00009}
_FLOATS = {"FloatPixelData": ("OF", 4), "DoubleFloatPixelData": ("OD", 8)}


class NativeValue:
    """Native Pixel Data of a file, whose bytes stay as they are but for their order.

    Parameters
    ----------
    path : Path
        The DICOM file.
    layout : Layout
        Its layout; `is_native` tells whether its Pixel Data is native.

    Attributes
    ----------
    tag : int
        Tag of the element.
    vr : str
        Its VR in Explicit VR.
    length : int
        Length of the value in bytes, before padding.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        assert layout.pixel_keyword is not None and layout.pixel_length is not None
        self._path = path
        self._layout = layout
        self.tag = _TAGS[layout.pixel_keyword]
        self.length = layout.pixel_length
        self.vr = self._find_vr()

    def pieces(self) -> Iterator[bytes]:
        """Yield the value in pieces of bounded size. Raises `NotAvailable` where the file ends within it."""
        layout, left, word = self._layout, self.length, self._word()
        assert layout.pixel_offset is not None
        with Source(self._path, layout) as source:
            if source.plain_descriptor is None:
                for inflated in source.stream(layout.pixel_offset, self.length):
                    left -= len(inflated)
                    yield inflated
            while source.plain_descriptor is not None and left:
                piece = source.read(layout.pixel_offset + self.length - left, min(_PIECE, left))
                if not piece:
                    break
                left -= len(piece)
                yield _swapped(piece, word)
        if left:
            raise NotAvailable(f"the pixel data ends {left} bytes before its {self.length}")

    def _find_vr(self) -> str:
        keyword, bits = self._layout.pixel_keyword, self._layout.bits_allocated or 16
        if keyword in _FLOATS:
            return _FLOATS[keyword][0]
        if self._layout.transfer_syntax != IMPLICIT:
            with Source(self._path, self._layout) as source:
                vr = bytes(source.read(self._layout.header_end + 4, 2)).decode("latin_1")
            if vr in LONG_VRS and vr not in ("SQ", "UN"):
                return vr
        return "OW" if bits > 8 else "OB"

    def _word(self) -> int:
        """Tell the bytes of the words that big endian swaps: cells, or those of OW where cells are smaller."""
        if self._layout.transfer_syntax != BIG_ENDIAN:
            return 1
        keyword, bits = self._layout.pixel_keyword, self._layout.bits_allocated
        if keyword in _FLOATS:
            return _FLOATS[keyword][1]
        return bits // 8 if bits in (16, 32, 64) else 2 if self.vr == "OW" else 1


def is_native(layout: Layout) -> bool:
    """Tell whether a file's Pixel Data is native."""
    return layout.pixel_length is not None and layout.transfer_syntax not in CODECS


def _swapped(piece: bytes | bytearray, word: int) -> bytes:
    """Swap the bytes of whole words."""
    whole = len(piece) // word * word
    if word == 1:
        return bytes(piece)
    return np.frombuffer(piece[:whole], f"u{word}").byteswap().tobytes() + piece[whole:]
