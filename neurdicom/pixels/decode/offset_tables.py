"""Offset tables of encapsulated Pixel Data: the basic one (PS3.5 A.4) and the extended one (PS3.3 C.7.6.3.1.8)."""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.dicom.header import Layout
from neurdicom.pixels.decode.fragments import HEAD, Fragment, Fragments
from neurdicom.pixels.decode.source import ByteSource

Offsets = npt.NDArray[Any]

#: Offsets that lie closer together may point at empty items, which only a look at all items tells.
_LEAST_GAP = 64
_ELEMENT_HEAD = 12
_TOTAL_LENGTH = _ELEMENT_HEAD + 8


def read_offsets(source: ByteSource, layout: Layout, table: Fragment, frames: int) -> Offsets:
    """Read the offset table of a file.

    Parameters
    ----------
    source : ByteSource
        The file.
    layout : Layout
        Its layout.
    table : Fragment
        The first item of its Pixel Data, which is the Basic Offset Table.
    frames : int
        Number of Frames as declared.

    Returns
    -------
    ndarray of uint64
        Offsets of the first items of frames from the end of the Basic Offset Table, as they are in the file; empty
        without a table. The extended table counts where it has an entry for each frame, and rises.
    """
    extended = _extended(source, layout, frames)
    if extended is not None and is_rising(extended):
        return extended
    length = table.length // 4 * 4
    return np.frombuffer(source.read(table.offset, length), "<u4", -1 if length else 0).astype("u8")


def _extended(source: ByteSource, layout: Layout, frames: int) -> Offsets | None:
    """Read the Extended Offset Table where it lies right before Pixel Data, with or without what may follow it."""
    size = _ELEMENT_HEAD + 8 * frames
    end = layout.header_end
    if frames == 1 or layout.dataset_offset > end - size:
        return None
    if _is_element(source, end - _TOTAL_LENGTH, 3, 8):
        end -= _TOTAL_LENGTH
    if _is_element(source, end - size, 2, 8 * frames):
        end -= size
    if end - size < layout.dataset_offset or not _is_element(source, end - size, 1, 8 * frames):
        return None
    value = source.read(end - size + _ELEMENT_HEAD, 8 * frames)
    return np.frombuffer(value, "<u8") if len(value) == 8 * frames else None


def _is_element(source: ByteSource, offset: int, number: int, length: int) -> bool:
    """Tell whether an element (7FE0,number) of a VR with a long head, and of a length, begins at an offset."""
    if offset < 0 or length > 0xFFFFFFFF:
        return False
    head = bytes(source.read(offset, _ELEMENT_HEAD))
    return head[:4] == struct.pack("<HH", 0x7FE0, number) and head[6:] == struct.pack("<HI", 0, length)


def is_rising(offsets: Offsets, least: int = HEAD) -> bool:
    """Tell whether each offset is greater than the one before by so many bytes at least, and the first is 0.

    By default an item's head: that of an empty one.
    """
    if not len(offsets) or offsets[0] != 0:
        return False
    # Numbers past 2^63 become negative, or lie far outside the file.
    return len(offsets) == 1 or int(np.diff(offsets.view("i8")).min()) >= least


def is_plausible(offsets: Offsets, frames: int) -> bool:
    """Tell whether a table alone, without a look at the items, leaves no doubt where a frame lies."""
    return len(offsets) == frames and is_rising(offsets, _LEAST_GAP)


def find_starts(offsets: Offsets, fragments: Fragments, base: int) -> Offsets | None:
    """Find the items that the offsets of a table point at.

    Parameters
    ----------
    offsets : ndarray of uint64
        The table.
    fragments : Fragments
        All items after the Basic Offset Table.
    base : int
        Offset in the file from which the table counts.

    Returns
    -------
    ndarray or None
        Index of each frame's first item; None where the table does not rise or points elsewhere.
    """
    if not is_rising(offsets) or not len(fragments):
        return None
    heads = fragments.offsets - np.uint64(base + HEAD)
    places = np.minimum(np.searchsorted(heads, offsets), len(heads) - 1)
    return places if (heads[places] == offsets).all() else None
