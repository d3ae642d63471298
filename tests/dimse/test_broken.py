"""Broken requests, which cost a peer its answer or its association, and nobody else anything."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dimse.instances import dimse_processes, instance, spool, stored
from tests.support.dimse.peer import CT, EXPLICIT, SECONDARY_CAPTURE, VERIFICATION, Ended, RawPeer, command_set
from tests.support.server import Server
from tests.support.waiting import wait_for

BOTH = ((SECONDARY_CAPTURE, [EXPLICIT]), (VERIFICATION, [EXPLICIT]))


def open_peer(server: Server) -> RawPeer:
    return RawPeer(server.dimse_port).associate(*BOTH)


def test_a_broken_dataset_costs_its_own_answer(dimse: Server) -> None:
    good = instance(1, study=300)
    cut = good.dataset[:-5]  # ends within Pixel Data
    with open_peer(dimse) as peer:
        for dataset, status in (
            (cut, 0xC000),
            (b"", 0xA900),
            (b"\x08\x00", 0xC000),
            (bytes(5000), 0xA900),  # elements without a value, and no UID among them
            (b"\xff" * 5000, 0xC000),
        ):
            response = peer.store(1, good.sop_class, good.uid, dataset)
            assert response.Status == status, (dataset[:10], response)
            assert 1 <= len(response.ErrorComment) <= 64
        assert peer.store(1, good.sop_class, good.uid, good.dataset).Status == 0
        peer.release()
    assert stored(dimse, good.uid)
    assert spool(dimse) == []


@pytest.mark.parametrize(
    ("elements", "element"),
    [
        ({"StudyInstanceUID": None}, 0x0020000D),
        ({"SeriesInstanceUID": ""}, 0x0020000E),
        ({"SOPInstanceUID": None}, 0x00080018),
        ({"StudyInstanceUID": "1.2/3"}, 0x0020000D),
        ({"SOPClassUID": CT}, 0x00080016),
        ({"SOPInstanceUID": "1.2.3.4.5"}, 0x00080018),
    ],
    ids=str,
)
def test_wrong_uids_name_the_element(dimse: Server, elements: dict[str, str | None], element: int) -> None:
    good, wrong = instance(1, study=301), instance(1, study=301, **elements)
    with open_peer(dimse) as peer:
        response = peer.store(1, good.sop_class, good.uid, wrong.dataset)
        assert response.Status == 0xA900
        assert response.OffendingElement == element
        assert response.ErrorComment
        assert peer.echo(3) == 0
    assert stored(dimse, good.uid) is None


def test_a_uid_that_is_too_long_gets_an_answer(dimse: Server) -> None:
    with open_peer(dimse) as peer:
        assert peer.store(1, SECONDARY_CAPTURE, "1." * 100 + "1", bytes(100)).Status == 0xA900
        assert peer.echo(3) == 0


def test_a_request_without_its_uid_gets_an_answer(dimse: Server) -> None:
    one = instance(1, study=302)
    with open_peer(dimse) as peer:
        response = peer.store(1, one.sop_class, one.uid, one.dataset, AffectedSOPInstanceUID=None)
        assert response.Status == 0x0115
        assert peer.store(1, one.sop_class, one.uid, one.dataset).Status == 0
    wait_for(lambda: spool(dimse) == [], "an empty spool")


def test_a_request_without_a_dataset_gets_an_answer(dimse: Server) -> None:
    with open_peer(dimse) as peer:
        peer.begin_store(1, SECONDARY_CAPTURE, "1.2.3", CommandDataSetType=0x0101)
        assert peer.receive().Status == 0xC000
        assert peer.echo(3) == 0


def test_another_class_than_that_of_the_context_is_refused(dimse: Server) -> None:
    one = instance(1, study=303)
    with open_peer(dimse) as peer:
        assert peer.store(1, CT, one.uid, one.dataset).Status == 0x0122
        assert peer.echo(3) == 0


def test_larger_instances_than_allowed_are_refused_and_dropped(tmp_path: Path) -> None:
    options = ("--dimse-accept", "any", "--max-upload", "100000")
    large = instance(1, NumberOfFrames=500_000, PixelData=bytes(8_000_000))
    with Server.with_dimse(tmp_path / "data", *options) as server, open_peer(server) as peer:
        response = peer.store(1, large.sop_class, large.uid, large.dataset)
        assert response.Status == 0xA700 and "100000" in response.ErrorComment
        small = instance(2)
        assert peer.store(1, small.sop_class, small.uid, small.dataset).Status == 0
        assert spool(server) == []


def test_an_abort_in_the_middle_leaves_nothing(dimse: Server) -> None:
    one = instance(1, study=304, NumberOfFrames=200_000, PixelData=bytes(3_200_000))
    for farewell in ("abort", "close", "reset"):
        with open_peer(dimse) as peer:
            peer.begin_store(1, one.sop_class, one.uid)
            peer.send_values(1, one.dataset[:2_500_000], command=False, last=False)
            wait_for(lambda: len(spool(dimse)) == 1, "a spool file")
            if farewell == "abort":
                peer.send_pdu(0x07, bytes(4))
            elif farewell == "reset":
                peer.socket.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER
            peer.socket.close()
        wait_for(lambda: spool(dimse) == [], "an empty spool")
    assert stored(dimse, one.uid) is None
    wait_for(lambda: dimse.client.get("/api/health").json()["dimse"]["associations"] == 0, "no association")


@pytest.mark.parametrize(
    "attack",
    [
        "huge PDU",
        "huge associate",
        "unknown PDU",
        "garbage",
        "endless command",
        "empty fragments",
        "dataset first",
        "dataset of another context",
        "unknown command",
        "value past its PDU",
        "empty value",
        "deep command",
        "event report",
        "unaccepted context",
        "huge identifier",
    ],
)
def test_hostile_peers_lose_their_association_only(dimse: Server, attack: str) -> None:
    with open_peer(dimse) as neighbour, open_peer(dimse) as peer:
        with pytest.raises((Ended, ConnectionError)):
            _attack(peer, attack)
            while True:
                peer.receive_pdu()
        assert neighbour.echo(3) == 0
        neighbour.release()
    wait_for(lambda: spool(dimse) == [], "an empty spool")
    if "Traceback" in dimse.log:
        pytest.fail(dimse.log)


def _attack(peer: RawPeer, attack: str) -> None:
    if attack == "huge PDU":
        peer.socket.sendall(struct.pack(">BxI", 0x04, 0xFFFFFFF0) + bytes(100_000))
    elif attack == "huge associate":
        peer.socket.sendall(struct.pack(">BxI", 0x01, 0xFFFFFFF0) + bytes(100_000))
    elif attack == "items without end":
        peer.send_pdu(0x01, struct.pack(">H66x", 1) + b"\x10\x00\x00\x00" * 100_000)
    elif attack == "unknown PDU":
        peer.send_pdu(0x55, b"what")
    elif attack == "garbage":
        peer.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    elif attack == "endless command":
        for _ in range(1000):
            peer.send_values(1, bytes(1000), command=True, last=False)
    elif attack == "empty fragments":
        for _ in range(10_000):
            peer.send_values(1, b"", command=True, last=False)
    elif attack == "dataset first":
        peer.send_values(1, bytes(100), command=False)
    elif attack == "dataset of another context":
        peer.begin_store(1, SECONDARY_CAPTURE, "1.2.3")
        peer.send_values(3, bytes(100), command=False)
    elif attack == "unknown command":
        peer.send_command(1, AffectedSOPClassUID=SECONDARY_CAPTURE, CommandField=0x7777, MessageID=1)
    elif attack == "value past its PDU":
        peer.send_pdu(0x04, struct.pack(">IBB", 1000, 1, 3) + bytes(10))
    elif attack == "empty value":
        peer.send_pdu(0x04, struct.pack(">IB", 1, 1))
    elif attack == "deep command":
        item = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        peer.send_values(1, item * 1000, command=True)
    elif attack == "event report":
        peer.send_command(1, AffectedSOPClassUID=SECONDARY_CAPTURE, CommandField=0x0100, MessageID=1, EventTypeID=1)
    elif attack == "unaccepted context":
        peer.send_values(
            99, command_set(AffectedSOPClassUID=VERIFICATION, CommandField=0x30, MessageID=1), command=True
        )
    elif attack == "huge identifier":
        peer.send_command(1, AffectedSOPClassUID=CT, CommandField=0x20, MessageID=1, Priority=0, CommandDataSetType=1)
        for _ in range(100):
            peer.send_values(1, bytes(100_000), command=False, last=False)


def test_what_follows_a_request_that_ends_the_association_is_not_served(dimse: Server) -> None:
    """Both requests are in one PDU, so that the second waits when the first is served."""
    one = instance(1, study=314)
    bad = command_set(AffectedSOPClassUID=VERIFICATION, CommandField=0x30, MessageID=1)
    good = command_set(
        AffectedSOPClassUID=one.sop_class,
        AffectedSOPInstanceUID=one.uid,
        CommandField=0x01,
        MessageID=2,
        Priority=0,
        CommandDataSetType=1,
    )
    values = ((99, 0x03, bad), (1, 0x03, good), (1, 0x02, one.dataset))
    with open_peer(dimse) as peer:
        peer.send_pdu(0x04, b"".join(struct.pack(">IBB", len(data) + 2, *head) + data for *head, data in values))
        with pytest.raises(Ended) as ended:
            peer.receive_pdu()
        assert ended.value.args == (0, 0), "by A-ABORT of the service user"
    wait_for(lambda: spool(dimse) == [], "an empty spool")
    assert stored(dimse, one.uid) is None


def test_operations_of_other_services_are_refused(dimse: Server) -> None:
    """N-GET where C-ECHO is expected, C-ECHO and C-STORE where C-STORE and C-FIND are."""
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    with RawPeer(dimse.dimse_port).associate(*BOTH, (find, [EXPLICIT])) as peer:
        named = {"RequestedSOPClassUID": VERIFICATION, "RequestedSOPInstanceUID": "1.2"}
        peer.send_command(3, **named, CommandField=0x0110, MessageID=1, CommandDataSetType=0x0101)
        assert peer.receive().Status == 0x0211
        peer.send_command(
            1, AffectedSOPClassUID=SECONDARY_CAPTURE, CommandField=0x30, MessageID=2, CommandDataSetType=0x0101
        )
        assert peer.receive().Status == 0x0211
        one = instance(1, study=313, SOPClassUID=find)
        assert peer.store(5, find, one.uid, one.dataset).Status == 0x0211
        assert peer.echo(3) == 0
    assert stored(dimse, one.uid) is None


def test_any_number_of_cancels(dimse: Server) -> None:
    with RawPeer(dimse.dimse_port).associate(*BOTH) as peer:
        for number in range(100):
            peer.send_command(3, CommandField=0x0FFF, MessageIDBeingRespondedTo=number, CommandDataSetType=0x0101)
        assert peer.echo(3) == 0


def test_connections_that_come_and_go_leave_nothing(dimse: Server) -> None:
    def threads() -> int:
        return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in dimse_processes(dimse))

    with open_peer(dimse):
        pass
    wait_for(lambda: dimse.client.get("/api/health").json()["dimse"]["associations"] == 0, "no association")
    before = threads()
    for _ in range(30):
        RawPeer(dimse.dimse_port).socket.close()
    wait_for(lambda: threads() <= before, "no thread left")


def test_requests_without_end_do_not_pile_up(dimse: Server) -> None:
    """A peer that never reads its answers is stopped by its own connection, not by our memory."""
    request = command_set(AffectedSOPClassUID=VERIFICATION, CommandField=0x30, MessageID=1)
    pdu = struct.pack(">IBB", len(request) + 2, 3, 3) + request
    with RawPeer(dimse.dimse_port, window=4096).associate(*BOTH) as peer:
        peer.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(200_000):
                peer.send_pdu(0x04, pdu)
    with open_peer(dimse) as peer:
        assert peer.echo(3) == 0


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits for a second only."""
    options = ("--dimse-accept", "any", "--dimse-timeout", "1", "--dimse-associations", "4")
    with Server.with_dimse(tmp_path_factory.mktemp("impatient"), *options) as running:
        yield running


def test_stalled_peers_are_let_go(impatient: Server) -> None:
    one = instance(1, study=305)
    for stage in ("nothing", "half a request", "associated", "half a PDU", "half a dataset"):
        with RawPeer(impatient.dimse_port) as peer:
            if stage == "half a request":
                peer.socket.sendall(b"\x01\x00\x00\x00\x01\x00")
            elif stage not in ("nothing", "half a request"):
                peer.associate(*BOTH)
            if stage.endswith(("PDU", "dataset")):
                peer.begin_store(1, one.sop_class, one.uid)
            if stage == "half a PDU":
                peer.socket.sendall(struct.pack(">BxI", 4, 10_000) + bytes(10))
            elif stage == "half a dataset":
                peer.send_values(1, one.dataset[:20], command=False, last=False)
            peer.wait_for_end()
    wait_for(lambda: impatient.client.get("/api/health").json()["dimse"]["associations"] == 0, "no association")
    assert spool(impatient) == []
    with open_peer(impatient) as peer:
        assert peer.store(1, one.sop_class, one.uid, one.dataset).Status == 0


def test_a_dripping_peer_is_let_go(impatient: Server) -> None:
    with RawPeer(impatient.dimse_port) as peer:
        peer.associate(*BOTH)
        peer.socket.sendall(struct.pack(">BxI", 4, 10_000))
        peer.socket.settimeout(0.2)
        with pytest.raises(ConnectionError):
            for _ in range(100):
                peer.socket.sendall(b"\0")
                try:
                    if not peer.socket.recv(100):
                        raise ConnectionError
                except TimeoutError:
                    continue
