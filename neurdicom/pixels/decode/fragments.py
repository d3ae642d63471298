"""Fragments of encapsulated Pixel Data (PS3.5 A.4): the items of one value, and which of them belong to a frame."""

import os
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.source import ByteSource

Offsets = npt.NDArray[Any]

HEAD = 8
_ITEM = b"\xfe\xff\x00\xe0"
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Fragment:
    """Place of the value of one item: offset from the beginning of the file, and length, in bytes."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Fragments:
    """Places of the items that follow each other in a file.

    Attributes
    ----------
    offsets, lengths : ndarray of uint64
        Offset from the beginning of the file, and length, of each value in bytes; shape (items,).
    end : int
        Offset of the first byte after the last item.
    """

    offsets: Offsets
    lengths: Offsets
    end: int

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.offsets)

    def places(self) -> list[Fragment]:
        """List the fragments."""
        return [Fragment(int(offset), int(length)) for offset, length in zip(self.offsets, self.lengths, strict=True)]

    def filled(self) -> "Fragments":
        """Return the items that are not empty."""
        kept = self.lengths > 0
        return self if kept.all() else Fragments(self.offsets[kept], self.lengths[kept], self.end)


class FrameIndex:
    """Compact index of the fragments of all frames of a file, 16 bytes for each fragment.

    Parameters
    ----------
    fragments : Fragments
        All items.
    starts : sequence of int
        Index of each frame's first item, rising; a frame's items end where those of the next one begin.
    frames : int
        Number of Frames as declared.
    """

    def __init__(self, fragments: Fragments, starts: Sequence[int] | Offsets, frames: int) -> None:
        self._fragments = fragments
        self._starts = np.append(np.asarray(starts, "u8"), np.uint64(len(fragments)))
        self._frames = frames

    def __len__(self) -> int:
        """Return the number of fragments."""
        return len(self._fragments)

    def places(self, index: int) -> list[Fragment]:
        """List the fragments of a frame (index from 0), without empty ones. Raises `NotAvailable` if there are none."""
        found: list[Fragment] = []
        if index < len(self._starts) - 1:
            items, part = self._fragments, slice(int(self._starts[index]), int(self._starts[index + 1]))
            found = Fragments(items.offsets[part], items.lengths[part], items.end).filled().places()
        if not found:
            raise NotAvailable(
                f"frame {index + 1} is missing: {self._frames} frames are declared, "
                f"the pixel data holds {len(self._starts) - 1}"
            )
        return found


def read_item(source: ByteSource, offset: int, end: int) -> Fragment | None:
    """Read the head of an item; return None where there is none.

    Parameters
    ----------
    source : ByteSource
        The file.
    offset, end : int
        Offsets of the item, and of the end of the value or the file.
    """
    head = source.read(offset, HEAD) if offset + HEAD <= end else b""
    if len(head) < HEAD or head[:4] != _ITEM:
        return None
    return Fragment(offset + HEAD, _LENGTH.unpack_from(head, 4)[0])


def walk_fragments(source: ByteSource, start: int, end: int) -> Fragments:
    """Find the items that follow each other from an offset on.

    Parameters
    ----------
    source : ByteSource
        The file.
    start, end : int
        Offsets of the first item and of the end of the value or the file.

    Returns
    -------
    Fragments
        Up to the first place that does not begin with an item (FFFE,E000).
    """
    offsets, lengths = array("Q"), array("Q")
    descriptor = source.plain_descriptor
    while start + HEAD <= end:
        head = source.read(start, HEAD) if descriptor is None else os.pread(descriptor, HEAD, start)
        if len(head) < HEAD or head[:4] != _ITEM:
            break
        (length,) = _LENGTH.unpack_from(head, 4)
        offsets.append(start + HEAD)
        lengths.append(length)
        start += HEAD + length
    return Fragments(np.frombuffer(offsets, "u8"), np.frombuffer(lengths, "u8"), start)
