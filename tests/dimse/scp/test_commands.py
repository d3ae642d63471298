"""Command sets of requests, in the forms in which peers send them, right or wrong (PS3.7 6.3, 9.3, E)."""

import io
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.filereader import read_dataset

from tests.support.dimse.instances import instance, spool
from tests.support.dimse.peer import EXPLICIT, SECONDARY_CAPTURE, VERIFICATION, Ended, RawPeer, command_set
from tests.support.dimse.remotes import STUDY_FIND, STUDY_MOVE
from tests.support.server import Server

IMPLICIT = "1.2.840.10008.1.2"
CONTEXTS = (
    (VERIFICATION, [IMPLICIT]),
    (SECONDARY_CAPTURE, [EXPLICIT]),
    (STUDY_FIND, [IMPLICIT]),
    (STUDY_MOVE, [IMPLICIT]),
)
ECHO, STORE, FIND, MOVE = 1, 3, 5, 7
ECHO_RQ = {"AffectedSOPClassUID": VERIFICATION, "CommandField": 0x30, "MessageID": 1}


@pytest.fixture
def peer(dimse: Server) -> Iterator[RawPeer]:
    with RawPeer(dimse.dimse_port).associate(*CONTEXTS) as connected:
        yield connected
    assert "Traceback" not in dimse.log and "internal error" not in dimse.log


def element(number: int, value: bytes, group: int = 0) -> bytes:
    return struct.pack("<HHI", group, number, len(value)) + value


def us(number: int, value: int) -> bytes:
    return element(number, struct.pack("<H", value))


def elements(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return element(0, struct.pack("<I", len(body))) + body


SOP_CLASS = element(2, VERIFICATION.encode() + b"\0")
ECHO_PARTS = (SOP_CLASS, us(0x100, 0x30), us(0x110, 1), us(0x800, 0x101))

#: Command sets that are C-ECHO requests, and get success.
ECHOES = {
    "plain": elements(*ECHO_PARTS),
    "no group length": b"".join(ECHO_PARTS),
    "group length 0": element(0, bytes(4)) + b"".join(ECHO_PARTS),
    "group length too large": element(0, b"\xff\xff\0\0") + b"".join(ECHO_PARTS),
    "group length of two bytes": element(0, b"\0\0") + b"".join(ECHO_PARTS),
    "elements in another order": elements(*reversed(ECHO_PARTS)),
    "elements twice": elements(*ECHO_PARTS, *ECHO_PARTS),
    "SOP class padded with a blank": elements(element(2, VERIFICATION.encode() + b" "), *ECHO_PARTS[1:]),
    "SOP class padded twice": elements(element(2, VERIFICATION.encode() + b"\0\0\0"), *ECHO_PARTS[1:]),
    "SOP class of odd length": elements(element(2, VERIFICATION.encode()), *ECHO_PARTS[1:]),
    "Message ID 0": elements(SOP_CLASS, us(0x100, 0x30), us(0x110, 0), us(0x800, 0x101)),
    "Message ID 65535": elements(SOP_CLASS, us(0x100, 0x30), us(0x110, 0xFFFF), us(0x800, 0x101)),
    "Message ID of four bytes": elements(SOP_CLASS, us(0x100, 0x30), element(0x110, b"\1\0\0\0"), us(0x800, 0x101)),
    "no Command Data Set Type": elements(*ECHO_PARTS[:3]),
    "an empty Command Data Set Type": elements(*ECHO_PARTS[:3], element(0x800, b"")),
    "Command Data Set Type 0000": elements(*ECHO_PARTS[:3], us(0x800, 0)),
    "Command Data Set Type FFFF": elements(*ECHO_PARTS[:3], us(0x800, 0xFFFF)),
    "a priority": elements(*ECHO_PARTS, us(0x700, 9)),
    "Message ID Being Responded To": elements(*ECHO_PARTS, us(0x120, 9)),
    "a status": elements(*ECHO_PARTS, us(0x900, 0xC000)),
    "retired elements": elements(element(1, bytes(4)), element(0x10, b"ACR-NEMA 2.0"), *ECHO_PARTS),
    "unknown elements": elements(*ECHO_PARTS, element(0x7777, b"x" * 99), element(0x10, b"ACME", 9)),
    "elements that are odd": elements(
        *ECHO_PARTS, element(0x600, b"\xe9" * 40), element(0x902, b"\\" * 200), element(0x901, b"abc"), us(0x1031, 7)
    ),
    "bytes at the end": elements(*ECHO_PARTS) + b"\0\0\0",
}

#: Command sets that nobody can answer.
BROKEN = {
    "no Command Field": elements(SOP_CLASS, us(0x110, 1), us(0x800, 0x101)),
    "an unknown Command Field": elements(SOP_CLASS, us(0x100, 0x777), us(0x110, 1), us(0x800, 0x101)),
    "no Message ID": elements(SOP_CLASS, us(0x100, 0x30), us(0x800, 0x101)),
    "an empty Message ID": elements(SOP_CLASS, us(0x100, 0x30), element(0x110, b""), us(0x800, 0x101)),
    "cut": elements(*ECHO_PARTS)[:-1],
    "empty": b"",
    "a length beyond": elements(*ECHO_PARTS) + struct.pack("<HHI", 0, 0x902, 0xFFFFFFFF),
}


@pytest.mark.parametrize("case", ECHOES)
def test_an_echo_is_answered(peer: RawPeer, case: str) -> None:
    for _ in range(2):
        peer.send_values(ECHO, ECHOES[case], command=True)
        assert peer.receive().Status == 0
    peer.release()


@pytest.mark.parametrize("case", BROKEN)
def test_what_can_not_be_answered_is_aborted(dimse: Server, peer: RawPeer, case: str) -> None:
    peer.send_values(ECHO, BROKEN[case], command=True)
    with pytest.raises(Ended):
        peer.receive()


def test_a_dataset_that_no_echo_has_is_dropped(peer: RawPeer) -> None:
    for kind in (0x0000, 0x0001):
        peer.send_command(ECHO, **ECHO_RQ, CommandDataSetType=kind)
        peer.send_values(ECHO, b"x" * 99, command=False, last=False)
        peer.send_values(ECHO, b"x" * 99, command=False)
        assert peer.receive().Status == 0
    assert peer.echo(ECHO) == 0


@pytest.mark.parametrize("priority", [b"\3\0", b"\xff\xff", b"", b"\1", b"\2\0\0\0", None], ids=str)
def test_an_odd_priority_changes_nothing(dimse: Server, peer: RawPeer, priority: bytes | None) -> None:
    one = instance(1, study=7100)
    parts = [element(2, f"{one.sop_class}\0".encode()), us(0x100, 1), us(0x110, 3), us(0x800, 1)]
    parts.append(element(0x1000, one.uid.encode() + b"\0" * (len(one.uid) & 1)))
    parts += [] if priority is None else [element(0x700, priority)]
    peer.send_values(STORE, elements(*parts), command=True)
    peer.send_values(STORE, one.dataset, command=False)
    assert peer.receive().Status == 0
    parts = [element(2, f"{STUDY_FIND}\0".encode()), us(0x100, 0x20), us(0x110, 4), us(0x800, 1)]
    parts += [] if priority is None else [element(0x700, priority)]
    peer.send_values(FIND, elements(*parts), command=True)
    peer.send_values(FIND, element(0x52, b"STUDY ", 8), command=False)
    while (status := peer.receive().Status) in (0xFF00, 0xFF01):
        pass
    assert status == 0
    peer.release()


@pytest.mark.parametrize(
    "destination",
    [b"NOBODY", b"X" * 17, b"X" * 400, b"\xe9 ", b"A\\B ", b"NOBODY\0\xff", b"  ", b"", b"\0\0", None],
    ids=str,
)
def test_an_odd_move_destination_is_unknown(peer: RawPeer, destination: bytes | None) -> None:
    parts = [element(2, f"{STUDY_MOVE}\0".encode()), us(0x100, 0x21), us(0x110, 4), us(0x700, 0), us(0x800, 1)]
    parts += [] if destination is None else [element(0x600, destination)]
    peer.send_values(MOVE, elements(*parts), command=True)
    peer.send_values(MOVE, element(0x52, b"STUDY ", 8) + element(0x0D, b"1.2.3\0", 0x20), command=False)
    assert peer.receive().Status == 0xA801
    assert peer.echo(ECHO) == 0


@pytest.mark.parametrize("kind", [b"\0\0", b"\2\1", b"\xff\xff", b"\1\0\0\0", b"", None], ids=str)
def test_an_odd_data_set_type_announces_a_dataset(dimse: Server, peer: RawPeer, kind: bytes | None) -> None:
    one = instance(2, study=7100)
    parts = [element(2, f"{one.sop_class}\0".encode()), us(0x100, 1), us(0x110, 3), us(0x700, 0)]
    parts.append(element(0x1000, one.uid.encode() + b"\0" * (len(one.uid) & 1)))
    parts += [] if kind is None else [element(0x800, kind)]
    peer.send_values(STORE, elements(*parts), command=True)
    peer.send_values(STORE, one.dataset, command=False)
    assert peer.receive().Status == 0
    assert spool(dimse) == []


def values(context: int, data: bytes, *, command: bool, size: int, empty: bool = False) -> Iterator[bytes]:
    """Presentation data values of `size` bytes each, an empty one before each if asked for."""
    for pos in range(0, len(data), size):
        if empty:
            yield struct.pack(">IBB", 2, context, int(command))
        piece = data[pos : pos + size]
        flags = int(command) | (2 if pos + size >= len(data) else 0)
        yield struct.pack(">IBB", len(piece) + 2, context, flags | 0xFC) + piece


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("together", [1, 9, 500])
@pytest.mark.parametrize("empty", [False, True])
def test_values_may_be_cut_in_any_way(peer: RawPeer, size: int, together: int, empty: bool) -> None:
    one = instance(3, study=7100)
    uids: dict[str, Any] = {"AffectedSOPClassUID": one.sop_class, "AffectedSOPInstanceUID": one.uid}
    command = command_set(CommandField=1, MessageID=7, Priority=0, CommandDataSetType=1, **uids)
    sent = [
        *values(STORE, command, command=True, size=size, empty=empty),
        *values(STORE, one.dataset, command=False, size=size, empty=empty),
    ]
    for pos in range(0, len(sent), together):
        peer.send_pdu(0x04, b"".join(sent[pos : pos + together]))
    assert peer.receive().Status == 0
    peer.send_pdu(0x04, b"")  # no value at all
    assert peer.echo(ECHO) == 0


def test_an_identifier_of_many_bytes_may_come_one_by_one(peer: RawPeer) -> None:
    keys = element(0x52, b"STUDY ", 8) + element(0x0D, b"1.2.3\\" * 1000 + b"1.2\0", 0x20)
    command = command_set(
        AffectedSOPClassUID=STUDY_FIND, CommandField=0x20, MessageID=7, Priority=0, CommandDataSetType=1
    )
    peer.send_values(FIND, command, command=True)
    sent = [*values(FIND, keys, command=False, size=1)]
    for pos in range(0, len(sent), 1000):
        peer.send_pdu(0x04, b"".join(sent[pos : pos + 1000]))
    assert peer.receive().Status == 0


def test_empty_values_without_end_are_aborted(peer: RawPeer) -> None:
    with pytest.raises((Ended, OSError)):
        for _ in range(100):
            peer.send_pdu(0x04, struct.pack(">IBB", 2, ECHO, 1) * 1000)
        peer.receive()


@pytest.mark.parametrize(
    "body", [struct.pack(">IB", 1, ECHO), struct.pack(">I", 0), struct.pack(">IBB", 99, ECHO, 3), b"\0\0"]
)
def test_values_that_are_none_are_aborted(peer: RawPeer, body: bytes) -> None:
    peer.send_pdu(0x04, body)
    with pytest.raises(Ended):
        peer.receive()


def test_a_pdu_over_the_maximum_is_aborted(peer: RawPeer) -> None:
    size = peer.maximum + 1
    with pytest.raises((Ended, OSError)):
        peer.send_pdu(0x04, struct.pack(">IBB", size - 4, ECHO, 3) + bytes(size - 6))
        peer.receive()


def test_responses_name_what_was_asked(dimse: Server) -> None:
    """A response to a request with odd elements is one that every reader of command sets can read."""
    long = elements(element(2, b"1." + b"2" * 68), us(0x100, 0x30), us(0x110, 1), us(0x800, 0x101))
    with RawPeer(dimse.dimse_port).associate(*CONTEXTS) as peer:
        peer.send_values(ECHO, long, command=True)
        assert peer.receive().Status == 0x0122
        peer.send_command(ECHO, **ECHO_RQ)
        kind, body = peer.receive_pdu()
    assert kind == 0x04
    assert read_dataset(io.BytesIO(body[6:]), True, True).AffectedSOPClassUID == VERIFICATION
