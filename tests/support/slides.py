"""Slides of many frames, each with a place of its own (TILED_SPARSE, PS3.3 C.7.6.17.3)."""

import struct

from tests.support.dicom.files import ElementWriter


def sparse_slide(frames: int, *, undefined: bool = False) -> bytes:
    """Write a slide of frames of one pixel, the value of each its number modulo 251."""
    w = ElementWriter()
    numbers = range(frames)
    groups = b"".join(w.item(_frame_groups(w, number), undefined=undefined) for number in numbers)
    image = (
        w.us(0x00280002, 1)
        + w.element(0x00280004, "CS", "MONOCHROME2")
        + w.element(0x00280008, "IS", str(frames))
        + b"".join(w.us(tag, 1) for tag in (0x00280010, 0x00280011))
        + b"".join(w.us(0x00280100 + number, value) for number, value in enumerate((8, 8, 7, 0)))
        + w.sequence(0x52009230, groups, undefined=True)
        + w.element(0x7FE00010, "OB", bytes(number % 251 for number in numbers))
    )
    return w.file(w.dataset() + image)


def _frame_groups(w: ElementWriter, number: int) -> bytes:
    column, row = number % 1000, number // 1000
    content = w.element(0x00209157, "UL", struct.pack("<2I", column + 1, row + 1))
    place = w.element(0x0048021E, "SL", struct.pack("<i", column + 1)) + w.element(
        0x0048021F, "SL", struct.pack("<i", row + 1)
    )
    path = w.element(0x00480106, "SH", "1")
    return b"".join(
        w.sequence(tag, w.item(each))
        for tag, each in ((0x00209111, content), (0x0048021A, place), (0x00480207, path))
    )  # fmt: skip
