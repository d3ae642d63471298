"""C-ECHO, and where the services are told of."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from pynetdicom import AE

from neurdicom.dicom.codec.file_meta import IMPLEMENTATION_CLASS_UID
from tests.support.dimse.instances import instance
from tests.support.dimse.peer import VERIFICATION, RawPeer
from tests.support.server import Server
from tests.support.waiting import wait_for


def test_echoscu(dimse: Server, tool: Callable[[str], str]) -> None:
    done = subprocess.run([tool("echoscu"), "127.0.0.1", str(dimse.dimse_port)], check=False, timeout=30)
    assert done.returncode == 0


def test_pynetdicom_and_who_we_are(dimse: Server) -> None:
    ae = AE("TEST")
    assoc = ae.associate("127.0.0.1", dimse.dimse_port, contexts=[_verification()], ae_title="NEURDICOM")
    assert assoc.is_established
    assert assoc.send_c_echo().Status == 0x0000
    assert assoc.acceptor.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert assoc.acceptor.implementation_version_name.startswith("NEURDICOM")
    assert assoc.acceptor.maximum_length >= 128 * 1024
    assoc.release()


def _verification() -> object:
    from pynetdicom.presentation import build_context

    return build_context(VERIFICATION)


def test_many_echoes_in_one_association(dimse: Server) -> None:
    with RawPeer(dimse.dimse_port).associate((VERIFICATION, ["1.2.840.10008.1.2"])) as peer:
        assert [peer.echo() for _ in range(50)] == [0] * 50
        peer.release()


def test_the_first_line_names_the_address(dimse: Server) -> None:
    assert f"DICOM associations are accepted at 127.0.0.1:{dimse.dimse_port} as NEURDICOM" in dimse.log


def test_health_counts_associations(dimse: Server) -> None:
    def count() -> int:
        health = dimse.client.get("/api/health").json()
        assert health["dimse"]["port"] == dimse.dimse_port
        return int(health["dimse"]["associations"])

    wait_for(lambda: count() == 0, "no association")
    with RawPeer(dimse.dimse_port).associate((VERIFICATION, ["1.2.840.10008.1.2"])) as peer:
        assert count() == 1
        peer.release()
    wait_for(lambda: count() == 0, "no association")


def test_no_port_no_associations(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        assert server.client.get("/api/health").json()["dimse"] == {"port": 0, "associations": 0}
        assert "associations" not in server.log


def test_metrics_count_instances_by_outcome(dimse: Server) -> None:
    def count(outcome: str) -> float:
        families = text_string_to_metric_families(dimse.client.get("/api/metrics").text)
        [found] = [
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "neurdicom_dimse_instances_total" and sample.labels == {"outcome": outcome}
        ]
        return float(found)

    before = {outcome: count(outcome) for outcome in ("stored", "duplicate", "rejected")}
    one = instance(1, study=110)
    with RawPeer(dimse.dimse_port).associate((one.sop_class, [one.syntax])) as peer:
        for dataset in (one.dataset, one.dataset, one.dataset[:-1]):
            peer.store(1, one.sop_class, one.uid, dataset)
        peer.release()
    assert {outcome: count(outcome) - before[outcome] for outcome in before} == dict.fromkeys(before, 1)
