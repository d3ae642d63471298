"""Permissions of nodes and strangers, called AE titles, and the limit of associations."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dimse.instances import instance, stored
from tests.support.dimse.peer import CT, EXPLICIT, SECONDARY_CAPTURE, VERIFICATION, RawPeer, Rejected
from tests.support.server import Server
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the default policy, its own AE title only, and two associations at a time."""
    options = ("--dimse-called", "own", "--ae-title", "ARCHIVE", "--dimse-associations", "2")
    with Server.with_dimse(tmp_path_factory.mktemp("strict"), *options) as running:
        node = {"name": "scanner", "protocol": "DIMSE", "ae_title": "SCANNER", "host": "127.0.0.1", "port": 104}
        answer = running.client.post("/api/dicom_nodes", json=node)
        assert answer.status_code == 201, answer.text
        yield running


def test_strangers_may_verify_only(strict: Server) -> None:
    contexts = ((VERIFICATION, [EXPLICIT]), (CT, [EXPLICIT]), ("1.2.840.10008.5.1.4.1.2.2.1", [EXPLICIT]))
    with RawPeer(strict.dimse_port).associate(*contexts, calling="STRANGER", called="ARCHIVE") as peer:
        assert peer.results[1] == 0
        assert peer.results[3] != 0 and peer.results[5] != 0
        assert peer.echo() == 0
        peer.release()


def test_strangers_who_want_nothing_else_are_rejected(strict: Server) -> None:
    with pytest.raises(Rejected) as refusal:
        RawPeer(strict.dimse_port).associate((CT, [EXPLICIT]), calling="STRANGER", called="ARCHIVE")
    assert refusal.value.args == (1, 1, 3)
    wait_for(lambda: "is rejected: no DICOM node has its AE title" in strict.log, "the reason in the log")


def test_a_context_for_verification_does_not_store(strict: Server) -> None:
    """The service is that of the context, whatever a request says."""
    one = instance(1, study=200)
    with RawPeer(strict.dimse_port).associate((VERIFICATION, [EXPLICIT]), calling="STRANGER", called="ARCHIVE") as peer:
        assert peer.store(1, one.sop_class, one.uid, one.dataset).Status == 0x0122
        find = "1.2.840.10008.5.1.4.1.2.2.1"
        peer.send_command(1, AffectedSOPClassUID=find, CommandField=0x20, MessageID=2, Priority=0, CommandDataSetType=1)
        peer.send_values(1, b"", command=False)
        assert peer.receive().Status == 0x0122
        assert peer.echo() == 0
    assert stored(strict, one.uid) is None


def test_nodes_may_store(strict: Server) -> None:
    one = instance(2, study=200)
    with RawPeer(strict.dimse_port).associate(
        (SECONDARY_CAPTURE, [EXPLICIT]), calling="SCANNER", called="ARCHIVE"
    ) as peer:
        assert peer.store(1, one.sop_class, one.uid, one.dataset).Status == 0
        peer.release()
    assert stored(strict, one.uid)


def test_a_new_node_is_known_at_once(strict: Server) -> None:
    contexts = (SECONDARY_CAPTURE, [EXPLICIT])
    with pytest.raises(Rejected):
        RawPeer(strict.dimse_port).associate(contexts, calling="LATER", called="ARCHIVE")
    node = {"name": "later", "protocol": "DIMSE", "ae_title": "LATER", "host": "127.0.0.1", "port": 104}
    assert strict.client.post("/api/dicom_nodes", json=node).status_code == 201
    with RawPeer(strict.dimse_port).associate(contexts, calling="LATER", called="ARCHIVE") as peer:
        assert peer.results == {1: 0}
        peer.release()
    assert strict.client.delete("/api/dicom_nodes/later").status_code in {200, 204}
    with pytest.raises(Rejected):
        RawPeer(strict.dimse_port).associate(contexts, calling="LATER", called="ARCHIVE")


def test_what_is_no_dicom_is_rejected(strict: Server) -> None:
    """Another application context, and PDUs in which no message fits."""
    for option, reason in (({"application": b"1.2.3"}, 2), ({"maximum": 6}, 1)):
        with pytest.raises(Rejected) as refusal:
            RawPeer(strict.dimse_port).associate((VERIFICATION, [EXPLICIT]), called="ARCHIVE", **option)
        assert refusal.value.args == (1, 1, reason)


def test_unknown_items_are_ignored(strict: Server) -> None:
    """Ignore unknown items, and read a context without transfer syntaxes as one of the default (PS3.8 9.3.1)."""
    item = struct.pack(">BxH", 0x66, 5) + b"hello"
    contexts = ((VERIFICATION, []), ("1.2.3", []))
    with RawPeer(strict.dimse_port).associate(*contexts, called="ARCHIVE", further=item) as peer:
        assert (peer.accepted, peer.results[3]) == ({1: "1.2.840.10008.1.2"}, 3)
        assert peer.echo() == 0
        peer.release()


def test_wrong_called_ae_titles_are_rejected(strict: Server) -> None:
    with pytest.raises(Rejected) as refusal:
        RawPeer(strict.dimse_port).associate((VERIFICATION, [EXPLICIT]), called="NEURDICOM")
    assert refusal.value.args == (1, 1, 7)


def test_more_associations_than_allowed_are_rejected(strict: Server) -> None:
    def open_one() -> RawPeer:
        return RawPeer(strict.dimse_port).associate((VERIFICATION, [EXPLICIT]), called="ARCHIVE")

    for _ in range(3):  # places are given back
        first, second = open_one(), open_one()
        with pytest.raises(Rejected) as refusal:
            open_one()
        assert refusal.value.args == (2, 3, 2)
        first.release()
        open_one().release()
        second.socket.close()  # without a release
        wait_for(lambda: strict.client.get("/api/health").json()["dimse"]["associations"] == 0, "no association")


def test_one_after_another_at_the_limit(tmp_path: Path) -> None:
    options = ("--dimse-accept", "any", "--dimse-associations", "1")
    with Server.with_dimse(tmp_path / "data", *options) as server:
        for _ in range(20):
            with RawPeer(server.dimse_port).associate((VERIFICATION, [EXPLICIT])) as peer:
                assert peer.echo() == 0
                peer.release()
