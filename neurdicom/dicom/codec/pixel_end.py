"""End of Pixel Data in a file, behind which more elements may follow."""

import os
import struct

from neurdicom.errors import Malformed

#: Fragments of encapsulated Pixel Data whose presence is checked; a whole slide has tens of thousands.
MAX_FRAGMENTS = 1 << 22

_ITEM = struct.Struct("<HHI")


def find_pixel_end(descriptor: int, size: int, *, keyword: str, offset: int, length: int | None) -> int:
    """Find the offset of the first byte after Pixel Data; only the heads of its items are read. Blocks.

    Parameters
    ----------
    descriptor : int
        Descriptor of the file, whose dataset is not deflated.
    size : int
        Size of the file in bytes.
    keyword : str
        Keyword of the element, for messages.
    offset : int
        Offset of the first byte of its value.
    length : int or None
        Its length in bytes; None if undefined (encapsulated).

    Returns
    -------
    int

    Raises
    ------
    Malformed
        The file ends within Pixel Data: an image that is not whole must not be acknowledged.
    """
    if length is not None:
        if offset + length > size:
            raise Malformed(
                f"{keyword} is cut off: it declares {length} bytes, and the file has {max(size - offset, 0)} of them"
            )
        return offset + length
    pos = offset
    for number in range(MAX_FRAGMENTS):
        head = os.pread(descriptor, _ITEM.size, pos)
        if 0 < len(head) < _ITEM.size:
            raise Malformed(f"{keyword} is cut off: the file ends in the head of its item {number}")
        group, element, item_length = _ITEM.unpack(head) if head else (0, 0, 0)
        if (group, element) != (0xFFFE, 0xE000):
            # Its delimiter, or, where a writer left that out, the end of the file or garbage: all fragments are whole.
            return pos + _ITEM.size if (group, element) == (0xFFFE, 0xE0DD) else size
        pos += _ITEM.size + item_length
        if pos > size:
            raise Malformed(
                f"{keyword} is cut off: its item {number} declares {item_length} bytes, "
                f"and {pos - size} of them are missing"
            )
    return size
