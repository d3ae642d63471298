"""Filter of the items of A-ASSOCIATE PDUs (PS3.8 9.3.2), since pynetdicom fails on unknown items and has no bounds."""

import struct
from collections.abc import Iterator
from itertools import count

#: Most items and sub-items of a PDU, since each becomes an object.
MOST_ITEMS = 128 * 64

_HEAD = struct.Struct(">BxI")
_FIXED_FIELDS = 68  # of an A-ASSOCIATE PDU, before its items
#: Items that pynetdicom knows, those with sub-items, and the bytes before those (PS3.8 9.3.2, PS3.7 D.3.3).
_ITEMS = frozenset({0x10, 0x20, 0x21, 0x50})
_SUB_ITEMS = {
    0x20: (4, frozenset({0x30, 0x40})),
    0x21: (4, frozenset({0x40})),
    0x50: (0, frozenset(range(0x51, 0x5A))),
}
_ITEM_HEAD = struct.Struct(">BxH")


def _known_items(items: memoryview, known: frozenset[int], numbers: Iterator[int]) -> bytes:
    """Copy the items of an A-ASSOCIATE PDU without the unknown ones, which are to be ignored (PS3.8 9.3.1)."""
    kept = bytearray()
    pos = 0
    while pos < len(items):
        if next(numbers) > MOST_ITEMS:
            raise ValueError(f"an A-ASSOCIATE PDU has more than {MOST_ITEMS} items")
        kind, length = _ITEM_HEAD.unpack_from(items, pos)
        begin, pos = pos + _ITEM_HEAD.size, pos + _ITEM_HEAD.size + length
        if pos > len(items):
            raise ValueError(f"an item of type {kind:02X}H and {length} bytes, which end {pos - len(items)} too early")
        if kind not in known:
            continue
        fixed, below = _SUB_ITEMS.get(kind, (length, known))
        value = bytes(items[begin : begin + fixed]) + _known_items(items[begin + fixed : pos], below, numbers)
        kept += _ITEM_HEAD.pack(kind, len(value)) + value
    return bytes(kept)


def without_unknown_items(kind: int, body: memoryview) -> bytearray:
    """Copy an A-ASSOCIATE PDU without unknown items.

    Parameters
    ----------
    kind : int
        Type of the PDU.
    body : memoryview
        The PDU after its length.

    Returns
    -------
    bytearray
        The whole PDU.

    Raises
    ------
    ValueError
        There are more than `MOST_ITEMS` items, or one is longer than its container.
    """
    items = _known_items(body[_FIXED_FIELDS:], _ITEMS, count(1))
    return bytearray(_HEAD.pack(kind, _FIXED_FIELDS + len(items))) + body[:_FIXED_FIELDS] + items
