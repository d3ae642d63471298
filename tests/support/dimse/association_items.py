"""A-ASSOCIATE PDUs put together from their items, right or wrong (PS3.8 9.3, PS3.7 D.3.3)."""

import struct

from tests.support.dimse.peer import VERIFICATION

#: Verification, Implicit VR Little Endian, and the application context, as bytes.
ECHO = VERIFICATION.encode()
IMPLICIT = b"1.2.840.10008.1.2"
APPLICATION = b"1.2.840.10008.3.1.1.1"
#: A UID of 70 characters.
LONG_UID = b"1." + b"2" * 68


def item(kind: int, value: bytes, reserved: int = 0) -> bytes:
    """An item or sub-item."""
    return struct.pack(">BBH", kind, reserved, len(value)) + value


def with_length(value: bytes) -> bytes:
    """A value after its length of two bytes."""
    return struct.pack(">H", len(value)) + value


def context(
    number: int = 1, abstract: bytes | None = ECHO, syntaxes: tuple[bytes, ...] = (IMPLICIT,), further: bytes = b""
) -> bytes:
    """A proposed presentation context."""
    names = b"" if abstract is None else item(0x30, abstract)
    names += b"".join(item(0x40, uid) for uid in syntaxes)
    return item(0x20, bytes((number, 0, 0, 0)) + names + further)


def result(number: int = 1, reason: int = 0, *syntaxes: bytes) -> bytes:
    """A presentation context's result."""
    return item(0x21, bytes((number, 0, reason, 0)) + b"".join(item(0x40, uid) for uid in syntaxes))


#: The usual sub-items of the user information.
MAXIMUM, CLASS, NAME = item(0x51, struct.pack(">I", 16384)), item(0x52, b"1.2.3.4"), item(0x55, b"TEST")


def user(*sub_items: bytes) -> bytes:
    """The user information; the usual sub-items by default."""
    return item(0x50, b"".join(sub_items or (MAXIMUM, CLASS, NAME)))


def role(uid: bytes, scu: int, scp: int) -> bytes:
    """SCP/SCU Role Selection."""
    return item(0x54, with_length(uid) + bytes((scu, scp)))


def extended(uid: bytes, information: bytes) -> bytes:
    """SOP Class Extended Negotiation."""
    return item(0x56, with_length(uid) + information)


def identity(kind: int, *, answer: int = 0, primary: bytes = b"user", secondary: bytes = b"") -> bytes:
    """User Identity."""
    return item(0x58, bytes((kind, answer)) + with_length(primary) + with_length(secondary))


def pdu(
    *items: bytes,
    called: bytes = b"NEURDICOM",
    calling: bytes = b"CT1",
    version: int = 1,
    reserved: bytes = bytes(34),
) -> bytes:
    """The body of an A-ASSOCIATE PDU of application context, items and, unless they have one, user information."""
    fields = struct.pack(">H", version) + reserved[:2] + called.ljust(16) + calling.ljust(16) + reserved[2:]
    return fields + b"".join(items)


def request(*further: bytes, **fields: object) -> bytes:
    """The body of an A-ASSOCIATE-RQ: application context, a context for verification, further items."""
    return pdu(item(0x10, APPLICATION), context(), *further, **fields)  # type: ignore[arg-type]
