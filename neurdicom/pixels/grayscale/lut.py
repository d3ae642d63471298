"""Lookup tables: modality and VOI LUTs (PS3.3 C.11.1, C.11.2) and palettes (PS3.3 C.7.9)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.elements import Elements

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A lookup table; values outside of it take the first or the last entry.

    Attributes
    ----------
    first : int
        The value that maps to the first entry.
    top : int
        The entry that is white where the table's output is shown.
    entries : bytes
        Unsigned 16-bit words in native order.
    """

    first: int
    top: int
    entries: bytes

    def as_array(self) -> npt.NDArray[np.uint16]:
        """View the entries as an array of uint16, shape (entries,)."""
        return np.frombuffer(self.entries, "u2")

    def apply(self, values: Array) -> npt.NDArray[np.uint16]:
        """Map values of any shape and of integers or floats to entries, uint16 of the same shape."""
        entries = self.as_array()
        if values.dtype.kind == "f":
            values = np.rint(np.nan_to_num(values))
        index = np.clip(values.astype("i8", copy=False) - self.first, 0, len(entries) - 1)
        return np.asarray(entries[index])


def read_lut(elements: Elements, *, signed: bool = False) -> LookupTable | None:
    """Read the LUT of an item of a Modality or VOI LUT Sequence; None if it is broken.

    Parameters
    ----------
    elements : Elements
        The item.
    signed : bool
        True if the table's input may be below 0: its first value is read with a sign, whatever VR it has.
    """
    descriptor = elements.words("LUTDescriptor")
    if len(descriptor) < 3:
        return None
    count, first, bits = _descriptor(descriptor, signed=signed or elements.signed("LUTDescriptor"))
    entries = _entries(elements.words("LUTData"), count, bits)
    return LookupTable(first, _top(entries, bits), entries.tobytes()) if len(entries) else None


def read_palette(elements: Elements) -> tuple[int, npt.NDArray[np.uint8]]:
    """Read the palette of PALETTE COLOR pixels.

    Returns
    -------
    first : int
        The pixel value that maps to the first entry.
    colours : ndarray of uint8
        Shape (entries, 3), red, green and blue.

    Raises
    ------
    NotAvailable
        A table is missing or broken.
    """
    tables, first, bits = [], 0, 0
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTable"
        descriptor = elements.words(f"{name}Descriptor")
        if len(descriptor) < 3:
            raise NotAvailable(
                f"the palette can't be read: {colour} Palette Color Lookup Table Descriptor is missing or broken"
            )
        count, first, bits = _descriptor(descriptor, signed=elements.signed(f"{name}Descriptor"))
        if elements.data(f"{name}Data"):
            entries = _entries(elements.words(f"{name}Data"), count, bits)
        else:
            entries = _expand(elements.words(f"Segmented{name}Data"), count, 1 if bits == 8 else 2)
        if not len(entries):
            raise NotAvailable(f"the palette can't be read: {colour} has fewer entries than the {count} described")
        tables.append(entries)
    # One depth for the three: a colour whose entries are all small does not have fewer bits than the others.
    shift = max(_true_bits(np.concatenate(tables), bits) - 8, 0)
    count = min(len(table) for table in tables)
    return first, np.stack([(table[:count] >> shift).astype("u1") for table in tables], axis=1)


def _descriptor(words: npt.NDArray[np.uint16], *, signed: bool) -> tuple[int, int, int]:
    first = int(words[1])
    if signed and first >= 0x8000:
        first -= 0x10000
    # 0 entries means 65536, which the word has no room for.
    return int(words[0]) or 0x10000, first, int(words[2])


def _entries(words: npt.NDArray[np.uint16], count: int, bits: int) -> npt.NDArray[np.uint16]:
    if len(words) < count and (len(words) == (count + 1) // 2 or (bits <= 8 and words.max(initial=0) > 0xFF)):
        # 8-bit entries may be packed two to a word.
        return _bytes(words)[:count].astype("u2")
    # Of a table that is shorter than it says, the last entry goes on.
    return words[:count]


def _bytes(words: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Split words into bytes, the lower first, which is their order in every transfer syntax."""
    return words.astype("<u2").view("u1")


def _top(entries: npt.NDArray[np.uint16], bits: int) -> int:
    """Find the entry that is white: the largest that the descriptor allows, or else the largest that occurs.

    Writers give the size of the word, 16 bits, over entries of 10 or 12 bits (Agfa's CR), or fewer bits than entries
    have. A table that leaves the upper half of its range unused is taken for one of these.
    """
    full, highest = (1 << min(max(bits, 1), 16)) - 1, int(entries.max(initial=0))
    if full // 2 < highest <= full or highest == entries.min(initial=highest):
        return max(full, highest)
    return highest


def _true_bits(entries: npt.NDArray[np.uint16], bits: int) -> int:
    # Real files say 16 bits over entries that never pass 8, and the reverse.
    top = int(entries.max(initial=0))
    if bits > 8 and top < 256 and len(entries) > 1:
        return 8
    return min(max(bits, top.bit_length(), 1), 16)


def _expand(data: npt.NDArray[np.uint16], count: int, size: int) -> npt.NDArray[np.uint16]:
    """Expand segmented LUT data (PS3.3 C.7.9.2): discrete, linear and indirect segments.

    Parameters
    ----------
    data : ndarray of uint16
        Shape (words,), the segments.
    count : int
        Entries to make.
    size : int
        Bytes of an entry, and of an opcode and a length.

    Returns
    -------
    ndarray of uint16
        Shape (count,); empty where the segments are broken.
    """
    entries: list[int] = []
    words = [int(word) for word in (_bytes(data) if size == 1 else data)]
    starts: set[int] = set()

    def run(position: int, limit: int | None) -> bool:
        done = 0
        while position + 1 < len(words) and len(entries) < count and (limit is None or done < limit):
            starts.add(position)
            kind, length = words[position], words[position + 1]
            position += 2
            if kind == 0:
                entries.extend(words[position : position + length])
                position += length
            elif kind == 1 and position < len(words) and entries:
                start, end = entries[-1], words[position]
                entries.extend(round(start + (end - start) * step / length) for step in range(1, length + 1))
                position += 1
            elif kind == 2 and limit is None and position + 4 // size <= len(words):
                # `length` segments are repeated from an offset of 32 bits, its lower word first.
                parts = words[position : position + 4 // size]
                offset = sum(part << 8 * size * place for place, part in enumerate(parts))
                # It counts bytes; there are files that count entries.
                source = offset // size if offset % size == 0 and offset // size in starts else offset
                if source not in starts or not run(source, length):
                    return False
                position += 4 // size
            else:
                return False
            done += 1
        return True

    is_whole = run(0, None) and len(entries) >= count
    return np.array(entries[:count] if is_whole else [], "u2")
