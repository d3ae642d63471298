"""Headers of JPEG, JPEG-LS and JPEG 2000 codestreams, as far as decoding depends on them."""

import struct
from dataclasses import dataclass, replace

#: Enumerated Colourspace of a JP2 file's Colour Specification box (ISO/IEC 15444-1 I.5.3.3).
_SYCC = b"\0\0\0\x12"

_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """The frame header of a JPEG or JPEG-LS codestream (ITU-T T.81 B.2.2, T.87 C.2.2).

    Attributes
    ----------
    process : int
        Second byte of the SOF marker: 0xC0 baseline, 0xC1 extended, 0xC3 lossless, 0xF7 JPEG-LS.
    precision, rows, columns : int
        Bits per sample, height and width.
    components : tuple of int
        Component identifiers.
    jfif : bool
        True if there is a JFIF marker, which makes three components YCbCr.
    adobe : int or None
        Transform of the Adobe marker: 0 none, 1 YCbCr, 2 YCCK; None without a marker.
    near : int
        NEAR of JPEG-LS: the largest difference of a decoded value from the original; 0 is lossless.
    sampling : tuple of int
        Sampling factors of the components, across in the upper four bits and down in the lower ones.
    """

    process: int
    precision: int
    rows: int
    columns: int
    components: tuple[int, ...]
    jfif: bool = False
    adobe: int | None = None
    near: int = 0
    sampling: tuple[int, ...] = ()

    @property
    def subsampled(self) -> bool:
        """True if a component has fewer samples than another."""
        return len(set(self.sampling)) > 1

    @property
    def lossless(self) -> bool:
        """True for a lossless process, which has no component transform."""
        return self.process not in (0xC0, 0xC1, 0xC2)

    @property
    def is_ycbcr(self) -> bool | None:
        """True for YCbCr and False for RGB, of three components; None where the codestream does not tell."""
        if self.components in ((82, 71, 66), (114, 103, 98)):
            return False
        if self.adobe is not None:
            return self.adobe != 0
        # Nobody subsamples green and blue.
        return True if self.jfif or self.subsampled else None


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Read the markers up to the first scan; return None if there is no frame header."""
    jfif, adobe, frame = False, None, None
    position = data.find(b"\xff\xd8") + 2
    if position < 2:
        return None
    while position + 4 <= len(data):
        marker = data[position + 1]
        if data[position] != 0xFF or marker == 0xDA:
            break
        if marker == 0xFF:
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        length = struct.unpack_from(">H", data, position + 2)[0]
        body = data[position + 4 : position + 2 + length]
        if marker in _FRAMES and len(body) >= 6:
            precision, rows, columns, count = struct.unpack_from(">BHHB", body)
            components, factors = tuple(body[6 : 6 + 3 * count : 3]), tuple(body[7 : 6 + 3 * count : 3])
            near = _near(data, position + 2 + length) if marker == 0xF7 else 0
            frame = JpegHeader(marker, precision, rows, columns, components, near=near, sampling=factors)
        elif marker == 0xE0 and body.startswith(b"JFIF\0"):
            jfif = True
        # A marker shorter than Adobe's own form has no transform byte; real files have such.
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        position += 2 + length
    return None if frame is None else replace(frame, jfif=jfif, adobe=adobe)


def _near(data: bytes, position: int) -> int:
    """Read NEAR of the first scan of a JPEG-LS codestream (T.87 C.2.3), after its frame header."""
    scan = data.find(b"\xff\xda", position)
    place = scan + 5 + 2 * data[scan + 4] if 0 <= scan < len(data) - 4 else len(data)
    return data[place] if place < len(data) else 0


@dataclass(frozen=True, slots=True)
class J2kHeader:
    """The SIZ and COD markers of a JPEG 2000 codestream (ISO/IEC 15444-1 A.5.1, A.6.1).

    Attributes
    ----------
    precision : int
        Bits per sample.
    signed : bool
        True if samples have a sign.
    rows, columns, components : int
        Height, width and number of components.
    transformed : bool
        True if a component transform was applied, whose input is RGB, or if a JP2 file says sYCC, which codecs convert.
    reversible : bool
        True for the 5-3 wavelet; values decoded from the 9-7 wavelet differ from the originals.
    """

    precision: int
    signed: bool
    rows: int
    columns: int
    components: int
    transformed: bool
    reversible: bool


def read_j2k_header(data: bytes) -> J2kHeader | None:
    """Read the SIZ and COD markers of a codestream or a JP2 file; return None if there are none."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 43:
        return None
    x1, y1, x0, y0 = struct.unpack_from(">4I", data, start + 8)
    components, depth = struct.unpack_from(">HB", data, start + 40)
    reversible, box = True, data.find(b"colr\x01", 0, start)
    transformed = box >= 0 and data[box + 7 : box + 11] == _SYCC
    position = start + 2
    while position + 14 <= len(data) and data[position] == 0xFF and data[position + 1] != 0x90:
        if data[position + 1] == 0x52:
            transformed, reversible = transformed or data[position + 8] == 1, data[position + 13] == 1
            break
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    precision, signed = (depth & 0x7F) + 1, bool(depth & 0x80)
    return J2kHeader(precision, signed, y1 - y0, x1 - x0, components, transformed, reversible)
