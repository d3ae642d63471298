"""Command sets of DIMSE messages (PS3.7 6.3.1, E), brought to what pynetdicom decodes.

pynetdicom ends an association for a value that breaks a rule, and reads what an element is from pydicom's dictionary.
Here each element of the command group is read by its number; what can't be used is left out, so that the request gets
its status, and elements that no message has are ignored (PS3.7 9.3).
"""

import struct

from neurdicom.errors import Malformed

_HEAD = struct.Struct("<HHI")
_UIDS = frozenset({0x0002, 0x0003, 0x1000, 0x1001})
_NUMBERS = frozenset(
    {0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x0903, 0x1002, 0x1008, 0x1020, 0x1021, 0x1022, 0x1023, 0x1031}
)
_TITLES = frozenset({0x0600, 0x1030})
_COMMENT = 0x0902
#: Offending Element, Attribute Identifier List: lists of tags.
_TAGS = frozenset({0x0901, 0x1005})
_COMMAND_FIELD, _MESSAGE_ID, _RESPONDED_TO = 0x0100, 0x0110, 0x0120
_MOVE_DESTINATION, _PRIORITY, _DATA_SET_TYPE = 0x0600, 0x0700, 0x0800

_RESPONSE = 0x8000  # a bit of Command Field
_C_STORE, _C_MOVE, _C_ECHO, _C_CANCEL = 0x0001, 0x0021, 0x0030, 0x0FFF
#: Requests with a dataset, if their Command Data Set Type does not say.
_WITH_DATA_SET = frozenset({_C_STORE, 0x0020, 0x0010, _C_MOVE})
_COMMANDS = frozenset({*_WITH_DATA_SET, _C_ECHO, _C_CANCEL, *range(0x0100, 0x0160, 0x10)})
_PRIORITIES = frozenset({0, 1, 2})
_MEDIUM, _NO_DATA_SET, _DATA_SET = 0, 0x0101, 0x0001


def decodable_command(data: bytes) -> tuple[bytes, bool]:
    """Bring a command set to a form that pynetdicom decodes.

    Parameters
    ----------
    data : bytes
        The command set, in Implicit VR Little Endian.

    Returns
    -------
    command : bytes
        The command set with the elements that count, and a Command Group Length.
    surplus : bool
        True if the peer announces a dataset with a message that has none: should one follow, it is to be dropped.

    Raises
    ------
    Malformed
        An element goes past the end, or there is no known Command Field, or a request without a Message ID, which
        no response could refer to.
    """
    elements = _elements(data)
    command = _number(elements.get(_COMMAND_FIELD))
    if command is None or command & ~_RESPONSE not in _COMMANDS:
        found = "has no Command Field" if command is None else f"has the Command Field {command:04X}H, which is none"
        raise Malformed(f"a command set {found} (0000,0100)")
    is_request = not command & _RESPONSE and command != _C_CANCEL
    elements.pop(_RESPONDED_TO if is_request else _MESSAGE_ID, None)
    if is_request and _MESSAGE_ID not in elements:
        raise Malformed(f"a request {command:04X}H has no Message ID (0000,0110)")
    if _PRIORITY in elements and _number(elements[_PRIORITY]) not in _PRIORITIES:
        elements[_PRIORITY] = struct.pack("<H", _MEDIUM)
    if command == _C_MOVE:
        # Without one the destination is unknown, like any that is no node.
        elements.setdefault(_MOVE_DESTINATION, b"? ")
    kind = _number(elements.get(_DATA_SET_TYPE))
    surplus = command in (_C_ECHO, _C_CANCEL) and kind not in (None, _NO_DATA_SET)
    if kind is None or surplus:
        kind = _DATA_SET if command in _WITH_DATA_SET else _NO_DATA_SET
        elements[_DATA_SET_TYPE] = struct.pack("<H", kind)
    body = b"".join(_HEAD.pack(0, number, len(value)) + value for number, value in sorted(elements.items()))
    return _HEAD.pack(0, 0, 4) + struct.pack("<I", len(body)) + body, surplus


def _elements(data: bytes) -> dict[int, bytes]:
    """Read the elements of the command group that messages have; the first of each counts."""
    elements: dict[int, bytes] = {}
    pos = 0
    while pos + _HEAD.size <= len(data):
        group, number, length = _HEAD.unpack_from(data, pos)
        value = data[pos + _HEAD.size : pos + _HEAD.size + length]
        if len(value) < length:
            raise Malformed(f"({group:04X},{number:04X}) of a command set has {length} bytes; {len(value)} are there")
        pos += _HEAD.size + length
        if group == 0 and (usable := _usable(number, value)):
            elements.setdefault(number, usable)
    return elements


def _usable(number: int, value: bytes) -> bytes:
    """Return the value of an element as the standard has it, empty where it can't be used."""
    if number in _NUMBERS:
        return value[:2] if len(value) >= 2 else b""
    if number in _TAGS:
        return value[: len(value) & ~3]
    if number not in _UIDS and number not in _TITLES and number != _COMMENT:
        return b""
    text = value.partition(b"\0")[0].decode("latin_1").strip(" ")
    plain = "".join(char if " " <= char <= "~" and char != "\\" else "?" for char in text).encode()
    return plain + (b"\0" if number in _UIDS else b" ") * (len(plain) & 1)


def _number(value: bytes | None) -> int | None:
    return int.from_bytes(value, "little") if value else None
