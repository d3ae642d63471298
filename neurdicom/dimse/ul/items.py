"""Items and sub-items of A-ASSOCIATE PDUs (PS3.8 9.3.2, PS3.7 D.3.3), brought to what pynetdicom decodes.

pynetdicom fails on items that it does not know, on values that break a rule of the standard, and on items that are
missing; peers send all of these. What is brought to its form here is taken as DCMTK takes it: an item that can't be
used is left out as if it had not been sent, and only a PDU whose items do not fit into it is invalid.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from neurdicom.dicom.codec.transfer_syntaxes import IMPLICIT

#: Most items and sub-items of a PDU, since each becomes an object.
MOST_ITEMS = 128 * 64

#: The AE title that stands for one without a character, which pynetdicom can't decode; no AE title has a backslash.
BLANK_TITLE = "\\"

#: Most bytes of a P-DATA PDU for a peer that names none: what every application has to take, by custom.
USUAL_MAXIMUM = 16384

REQUEST, ACCEPT, _P_DATA = 0x01, 0x02, 0x04
_HEAD = struct.Struct(">BxI")
_ITEM_HEAD = struct.Struct(">BxH")
_FIXED_FIELDS = 68  # of an A-ASSOCIATE PDU, before its items
_TITLES = slice(4, 36)  # called and calling AE title, within these
_APPLICATION, _PROPOSED, _ACCEPTED, _USER = 0x10, 0x20, 0x21, 0x50
_ABSTRACT, _SYNTAX, _MAXIMUM, _ROLES, _EXTENDED = 0x30, 0x40, 0x51, 0x54, 0x56
#: Longest name of a transfer syntax that pynetdicom takes; all that we take are shorter.
_LONGEST_SYNTAX = 64
#: Name of no transfer syntax.
_NO_SYNTAX = b"0"
_PROVIDER_REJECTION = 2
_CONTEXT_IDS = range(1, 256, 2)
_REJECT, _ABORT = 0x03, 0x07
#: Values that a field of a PDU may have, by its place, and the one for all others (PS3.8 9.3.4, 9.3.8).
_END_FIELDS: Mapping[int, Mapping[int, tuple[tuple[int, ...], int]]] = {
    _REJECT: {1: ((1, 2), 1), 2: ((1, 2, 3), 1), 3: ((1, 2, 3, 7), 1)},
    _ABORT: {2: ((0, 2), 0), 3: ((0, 1, 2, 4, 5, 6), 0)},
}


@dataclass(frozen=True, slots=True)
class SentForms:
    """Values of a request that pynetdicom can't express, restored in the PDUs sent in answer.

    Attributes
    ----------
    titles : bytes
        Its called and calling AE title with their padding, which an A-ASSOCIATE-AC returns (PS3.8 9.3.3).
    ids : dict[int, int]
        Presentation context ids of ours to those of the peer, where these are even; empty for most peers.
    ours : dict[int, int]
        The same the other way round.
    """

    titles: bytes = b""
    ids: Mapping[int, int] = field(default_factory=dict)
    ours: Mapping[int, int] = field(default_factory=dict)

    def restored(self, pdus: bytes | bytearray) -> bytes | bytearray:
        """Put titles and ids into encoded PDUs; return the same object where nothing differs."""
        if not self.ids and (not self.titles or pdus[0] != ACCEPT):
            return pdus
        restored = bytearray(pdus)
        pos = 0
        while pos + _HEAD.size <= len(restored):
            kind, length = _HEAD.unpack_from(restored, pos)
            begin, pos = pos + _HEAD.size, pos + _HEAD.size + length
            if kind == ACCEPT:
                restored[begin + _TITLES.start : begin + _TITLES.stop] = self.titles
                self._renumber(restored, begin + _FIXED_FIELDS, pos, ">BxH", _ACCEPTED)
            elif kind == _P_DATA:
                self._renumber(restored, begin, pos, ">L", None)
        return restored

    def _renumber(self, pdus: bytearray, pos: int, end: int, head: str, kind: int | None) -> None:
        size = struct.calcsize(head)
        while pos + size < end:
            *kinds, length = struct.unpack_from(head, pdus, pos)
            if kinds in ([], [kind]):
                pdus[pos + size] = self.ids.get(pdus[pos + size], pdus[pos + size])
            pos += size + length


def decodable(kind: int, body: memoryview) -> tuple[bytearray, SentForms]:
    """Bring an A-ASSOCIATE PDU to a form that pynetdicom decodes.

    Parameters
    ----------
    kind : int
        Type of the PDU.
    body : memoryview
        The PDU after its length.

    Returns
    -------
    pdu : bytearray
        The whole PDU.
    sent : SentForms
        What is to be put back into the PDUs that the peer gets.

    Raises
    ------
    ValueError
        The PDU is shorter than its fixed fields, there are more than `MOST_ITEMS` items, or one is longer than its
        container.
    """
    if len(body) < _FIXED_FIELDS:
        raise ValueError(f"an A-ASSOCIATE PDU has {len(body)} bytes; at least {_FIXED_FIELDS} are expected")
    numbers = count(1)
    items = list(_items(body[_FIXED_FIELDS:], numbers))
    application = next((value for item, value in items if item == _APPLICATION), None)
    parts = [] if application is None else [_item(_APPLICATION, _uid(application))]
    ids: dict[int, int] = {}
    for number, result, value in _numbered(kind, items, ids):
        parts.append(_context(kind, number, result, list(_items(value, numbers))))
    user = [sub for item, value in items if item == _USER for sub in _items(value, numbers)]
    parts.append(_item(_USER, _user_information(user)))
    fixed = bytearray(body[:_FIXED_FIELDS])
    fixed[:2] = bytes((0, fixed[1] & 1))  # of the protocol version only the first bit is tested (PS3.8 9.3.2)
    called, calling = bytes(fixed[4:20]), bytes(fixed[20:36])
    # In an A-ASSOCIATE-AC both are reserved, and not to be tested.
    fixed[_TITLES] = _title(called) + _title(calling) if kind == REQUEST else BLANK_TITLE.encode().ljust(32)
    whole = fixed + b"".join(parts)
    return bytearray(_HEAD.pack(kind, len(whole))) + whole, SentForms(
        called + calling, ids, {theirs: ours for ours, theirs in ids.items()}
    )


def decodable_end(kind: int, body: memoryview) -> bytearray:
    """Bring an A-ASSOCIATE-RJ, A-RELEASE or A-ABORT PDU, of four bytes each, to a form that pynetdicom decodes.

    Parameters
    ----------
    kind : int
        Type of the PDU.
    body : memoryview
        The PDU after its length; results, sources and reasons that PS3.8 does not have become unspecific ones.

    Returns
    -------
    bytearray
        The whole PDU.
    """
    fields = bytearray(bytes(body[:4]).ljust(4, b"\0"))
    for pos, (known, unspecific) in _END_FIELDS.get(kind, {}).items():
        if fields[pos] not in known:
            fields[pos] = unspecific
    return bytearray(_HEAD.pack(kind, len(fields))) + fields


def _items(items: memoryview | bytes, numbers: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    """Walk items; fewer bytes at the end than the head of one are padding."""
    pos = 0
    while pos + _ITEM_HEAD.size <= len(items):
        if next(numbers) > MOST_ITEMS:
            raise ValueError(f"an A-ASSOCIATE PDU has more than {MOST_ITEMS} items")
        kind, length = _ITEM_HEAD.unpack_from(items, pos)
        begin, pos = pos + _ITEM_HEAD.size, pos + _ITEM_HEAD.size + length
        if pos > len(items):
            raise ValueError(f"an item of type {kind:02X}H and {length} bytes, which end {pos - len(items)} too early")
        yield kind, bytes(items[begin:pos])


def _numbered(kind: int, items: list[tuple[int, bytes]], ids: dict[int, int]) -> Iterator[tuple[int, int, bytes]]:
    """Yield id, result and sub-items of each presentation context; of several with one id the first counts."""
    wanted = _PROPOSED if kind == REQUEST else _ACCEPTED
    contexts: dict[int, bytes] = {}
    for item, value in items:
        if item == wanted and len(value) >= 4:
            contexts.setdefault(value[0], value)
    free = (number for number in _CONTEXT_IDS if number not in contexts)
    for theirs, value in contexts.items():
        number: int | None = theirs
        if theirs not in _CONTEXT_IDS:  # even ones break PS3.8 9.3.2.2; DCMTK takes them
            number = next(free, None) if kind == REQUEST else None
            if number is None:
                continue
            ids[number] = theirs
        assert number is not None
        yield number, value[2], value[4:]


def _context(kind: int, number: int, result: int, sub_items: list[tuple[int, bytes]]) -> bytes:
    """Encode a presentation context with one abstract syntax, if any, and transfer syntaxes that can be read."""
    named = [uid for item, value in sub_items if item == _SYNTAX and (uid := _uid(value))]
    syntaxes = [uid for uid in dict.fromkeys(named) if len(uid) <= _LONGEST_SYNTAX]
    if kind == ACCEPT:
        if result == 0 and not syntaxes:
            result = _PROVIDER_REJECTION  # accepted, and nobody knows how
        syntaxes = syntaxes[:1] if result == 0 else []
        return _item(_ACCEPTED, bytes((number, 0, result, 0)) + b"".join(_item(_SYNTAX, uid) for uid in syntaxes))
    abstract = next((_uid(value) for item, value in sub_items if item == _ABSTRACT), b"")
    if not syntaxes:  # none is named, though the standard wants one: DICOM's default is assumed
        syntaxes = [_NO_SYNTAX if named else IMPLICIT.encode()]
    names = _item(_ABSTRACT, abstract) + b"".join(_item(_SYNTAX, uid) for uid in syntaxes)
    return _item(_PROPOSED, bytes((number, 0, 0, 0)) + names)


def _user_information(sub_items: list[tuple[int, bytes]]) -> bytes:
    """Encode what is heeded of the user information: maximum length, roles and SOP class extended negotiation.

    What names the peer's implementation and its user, or windows of asynchronous operations, changes nothing here.
    """
    lengths = [value[:4] for item, value in sub_items if item == _MAXIMUM and len(value) >= 4]
    kept = _item(_MAXIMUM, lengths[0] if lengths else struct.pack(">L", USUAL_MAXIMUM))
    for item, value in sub_items:
        mend = _MENDED.get(item)
        if mend is not None and len(value) >= 2:
            length = int.from_bytes(value[:2], "big")
            uid, rest = _uid(value[2 : 2 + length]), mend(value[2 + length :])
            if uid and rest is not None:
                kept += _item(item, len(uid).to_bytes(2, "big") + uid + rest)
    return kept


def _roles(rest: bytes) -> bytes | None:
    """Check the SCU and SCP role, which are 0 or 1 (PS3.7 D.3.3.4)."""
    return rest[:2] if len(rest) >= 2 and max(rest[:2]) <= 1 else None


#: What follows the UID in a sub-item, checked; None where the sub-item can't be used.
_MENDED: Mapping[int, Callable[[bytes], bytes | None]] = {_ROLES: _roles, _EXTENDED: bytes}


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM_HEAD.pack(kind, len(value)) + value


def _uid(value: bytes) -> bytes:
    """Read a UID without its padding; what is not ASCII becomes a question mark, which is in no UID."""
    return value.partition(b"\0")[0].strip(b" ").decode("ascii", "replace").replace("\ufffd", "?").encode()


def _title(value: bytes) -> bytes:
    """Read an AE title up to a NUL; characters that are in none become question marks."""
    text = value.partition(b"\0")[0].decode("latin_1").strip(" ")
    plain = "".join(char if " " <= char <= "~" and char != "\\" else "?" for char in text)
    return (plain or BLANK_TITLE).encode().ljust(16)
