"""Headers of videos: MPEG-2, MP4, and elementary or transport streams of H.264 and H.265."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: Bytes in which the headers of a stream lie, and most bytes of an MP4's tables.
_PROBE = 1 << 20
_MOST_TABLES = 64 << 20
_PIECE = 1 << 20
_MOST_BOXES = 10_000

_MPEG2_SEQUENCE, _MPEG2_PICTURE = b"\0\0\1\xb3", b"\0\0\1\0"
#: Profiles of H.264 whose header tells chroma format and bit depth (ITU-T H.264 7.3.2.1.1).
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
#: Luma samples for each chroma sample, across and down, by chroma format.
_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}

ReadAt = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """Rows, columns and bits per sample of a video, with the number of frames if its container states it."""

    rows: int
    columns: int
    bits: int = 8
    frames: int | None = None


def read_video_header(read: ReadAt, size: int) -> VideoHeader | None:
    """Read the header of a video.

    Parameters
    ----------
    read : callable
        Reads bytes of it: offset and length to bytes.
    size : int
        Its size in bytes.

    Returns
    -------
    VideoHeader or None
        None where it is of no known form.
    """
    head = read(0, min(size, _PROBE))
    try:
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide"):
            return _of_mp4(read, size)
        start = head.find(_MPEG2_SEQUENCE)
        if start >= 0:
            return _of_mpeg2(head[start + 4 :], read, size)
        return _of_nal_units(head)
    except (struct.error, IndexError, ValueError):
        return None  # cut off


def _of_mpeg2(header: bytes, read: ReadAt, size: int) -> VideoHeader:
    """Read a sequence header and its extension (ITU-T H.262 6.2.2), and count the pictures."""
    columns, rows = header[0] << 4 | header[1] >> 4, (header[1] & 15) << 8 | header[2]
    extension = header.find(b"\0\0\1\xb5")
    if extension >= 0 and header[extension + 4] >> 4 == 1:
        bits = int.from_bytes(header[extension + 4 : extension + 8], "big")
        columns |= (bits >> 15 & 3) << 12
        rows |= (bits >> 13 & 3) << 12
    frames, before, position = 0, b"", 0
    while position < size and (piece := read(position, _PIECE)):
        frames += (before + piece).count(_MPEG2_PICTURE)
        before, position = piece[-3:], position + len(piece)
    return VideoHeader(rows, columns, frames=frames or None)


def _of_mp4(read: ReadAt, size: int) -> VideoHeader | None:
    """Read the video track of an MP4 file (ISO/IEC 14496-12)."""
    position = 0
    for _ in range(_MOST_BOXES):
        head = read(position, 16) if position + 8 <= size else b""
        if len(head) < 8:
            return None
        length, kind, start = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), 16
        if length == 0:
            length = size - position
        if length < start:
            return None
        if kind == b"moov":
            if length > _MOST_TABLES:
                return None
            tracks = (data for name, data in _boxes(read(position + start, length - start)) if name == b"trak")
            return next((found for track in tracks if (found := _of_track(track)) is not None), None)
        position += length
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if length < 8:
            return
        yield data[position + 4 : position + 8], data[position + 8 : position + length]
        position += length


def _of_track(track: bytes) -> VideoHeader | None:
    media = dict(_boxes(dict(_boxes(track)).get(b"mdia", b"")))
    if media.get(b"hdlr", b"")[8:12] != b"vide":
        return None
    tables = dict(_boxes(dict(_boxes(media.get(b"minf", b""))).get(b"stbl", b"")))
    entry = tables.get(b"stsd", b"")[8:]
    columns, rows = struct.unpack_from(">HH", entry, 32)
    extensions = dict(_boxes(entry[86:]))
    hevc = extensions.get(b"hvcC", b"")
    bits = 8 + (hevc[17] & 7) if len(hevc) > 17 else 8
    sizes = tables.get(b"stsz", tables.get(b"stz2", b""))
    frames = struct.unpack_from(">I", sizes, 8)[0] if len(sizes) >= 12 else 0
    return VideoHeader(rows, columns, bits, frames or None)


def _of_nal_units(head: bytes) -> VideoHeader | None:
    """Read the sequence parameter set of H.264 or H.265 in a stream of NAL units (annex B of both)."""
    position = head.find(b"\0\0\1")
    while 0 <= position < len(head) - 8:
        unit = head[position + 3 : position + 515].replace(b"\0\0\3", b"\0\0")
        if unit[0] & 0x9F == 7 and unit[0] & 0x60:
            return _of_h264(_Bits(unit[1:]))
        if unit[0] == 0x42 and unit[1] == 1:
            return _of_h265(_Bits(unit[2:]))
        position = head.find(b"\0\0\1", position + 3)
    return None


def _of_h264(bits: "_Bits") -> VideoHeader:
    """Read a sequence parameter set (ITU-T H.264 7.3.2.1.1)."""
    profile = bits.take(8)
    bits.take(16)
    bits.unsigned()
    chroma, depth = 1, 0
    if profile in _HIGH_PROFILES:
        chroma = bits.unsigned()
        if chroma == 3:
            bits.take(1)
        depth = bits.unsigned()
        bits.unsigned()
        bits.take(1)
        if bits.take(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.unsigned()
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1)
        bits.unsigned()
        bits.unsigned()
        for _ in range(min(bits.unsigned(), 255)):
            bits.unsigned()
    bits.unsigned()
    bits.take(1)
    columns, rows = 16 * (bits.unsigned() + 1), 16 * (bits.unsigned() + 1)
    fields = 1 if bits.take(1) else 2
    if fields == 2:
        bits.take(1)
    bits.take(1)
    across, down = _SUBSAMPLING.get(chroma, (1, 1))
    left, right, top, bottom = bits.crop()
    return VideoHeader(rows * fields - (top + bottom) * down * fields, columns - (left + right) * across, 8 + depth)


def _skip_scaling_list(bits: "_Bits", size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.unsigned()
            following = (last + (code + 1 >> 1) * (1 if code & 1 else -1)) % 256
        last = following or last


def _of_h265(bits: "_Bits") -> VideoHeader:
    """Read a sequence parameter set (ITU-T H.265 7.3.2.2)."""
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.unsigned()
    chroma = bits.unsigned()
    if chroma == 3:
        bits.take(1)
    columns, rows = bits.unsigned(), bits.unsigned()
    across, down = _SUBSAMPLING.get(chroma, (1, 1))
    left, right, top, bottom = bits.crop()
    return VideoHeader(rows - (top + bottom) * down, columns - (left + right) * across, 8 + bits.unsigned())


class _Bits:
    """Reader of the bits of a parameter set. Raises `ValueError` past its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """Read an unsigned number of so many bits."""
        self._left -= count
        if self._left < 0:
            raise ValueError("the parameter set is cut off")
        return self._value >> self._left & (1 << count) - 1

    def unsigned(self) -> int:
        """Read an Exp-Golomb code (ITU-T H.264 9.1); of a signed one the code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def crop(self) -> tuple[int, int, int, int]:
        """Read the margins of a window, if there is one: left, right, top, bottom."""
        if not self.take(1):
            return 0, 0, 0, 0
        return self.unsigned(), self.unsigned(), self.unsigned(), self.unsigned()
