"""The items of A-ASSOCIATE PDUs (PS3.8 9.3.2) before pynetdicom reads them: it knows no others, and has no bounds."""

import struct
from collections.abc import Iterator
from itertools import count

#: Most items and sub-items of a PDU; each becomes an object.
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
    """The items of an A-ASSOCIATE PDU without those that are to be ignored, being unknown (PS3.8 9.3.1)."""
    kept = bytearray()
    pos = 0
    while pos < len(items):
        if next(numbers) > MOST_ITEMS:
            raise ValueError(f"an association with more than {MOST_ITEMS} items")
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
    """Give an A-ASSOCIATE PDU with the items that are known.

    Parameters
    ----------
    kind : int
        Type of the PDU.
    body : memoryview
        What follows its length.

    Raises
    ------
    ValueError
        There are more items than anybody needs, or one is longer than what it is in.
    """
    items = _known_items(body[_FIXED_FIELDS:], _ITEMS, count(1))
    return bytearray(_HEAD.pack(kind, _FIXED_FIELDS + len(items))) + body[:_FIXED_FIELDS] + items
