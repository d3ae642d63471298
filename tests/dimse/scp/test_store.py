"""C-STORE: everything is kept as it was sent, and found through REST."""

import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import UID
from pynetdicom import AE

from tests.support.dimse.instances import Instance, instance, spool, stored
from tests.support.dimse.peer import CT, EXPLICIT, SECONDARY_CAPTURE, VERIFICATION, RawPeer
from tests.support.files import dicom_file
from tests.support.server import Server

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
PRIVATE = "1.3.6.1.4.1.5962.99.1"
WORKLIST = "1.2.840.10008.5.1.4.31"


def is_public(sop_class: str) -> bool:
    return UID(sop_class).type == "SOP Class"


def send(server: Server, one: Instance, **elements: object) -> int:
    """Store one instance in an association of its own; the status."""
    with RawPeer(server.dimse_port).associate((one.sop_class, [one.syntax])) as peer:
        status = int(peer.store(1, one.sop_class, one.uid, one.dataset, **elements).Status)
        peer.release()
    return status


def test_storescu(dimse: Server, tool: Callable[[str], str], tmp_path: Path) -> None:
    for number in range(1, 6):
        (tmp_path / f"{number}.dcm").write_bytes(dicom_file(number, study=100))
    command = [tool("storescu"), "+sd", "127.0.0.1", str(dimse.dimse_port), str(tmp_path)]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    study = pydicom.dcmread(tmp_path / "1.dcm").StudyInstanceUID
    assert dimse.client.get(f"/api/studies/{study}").json()["images_count"] == 5


def test_file_meta_tells_where_it_came_from(dimse: Server, tmp_path: Path) -> None:
    one = instance(1, study=101)
    with RawPeer(dimse.dimse_port).associate((one.sop_class, [one.syntax]), calling="SCANNER1") as peer:
        response = peer.store(1, one.sop_class, one.uid, one.dataset)
        assert (response.Status, response.CommandField) == (0, 0x8001)
        assert response.MessageIDBeingRespondedTo == 7
        assert (response.AffectedSOPClassUID, response.AffectedSOPInstanceUID) == (one.sop_class, one.uid)
    content = stored(dimse, one.uid)
    assert content is not None and content.endswith(one.dataset)
    file = tmp_path / "stored.dcm"
    file.write_bytes(content)
    meta = pydicom.dcmread(file).file_meta
    assert meta.SourceApplicationEntityTitle == "SCANNER1"
    assert meta.TransferSyntaxUID == one.syntax
    assert meta.MediaStorageSOPInstanceUID == one.uid
    assert str(meta.ImplementationVersionName).startswith("NEURDICOM")


def test_duplicates_are_successes(dimse: Server) -> None:
    one = instance(1, study=102)
    assert [send(dimse, one) for _ in range(3)] == [0, 0, 0]
    assert dimse.client.get("/api/instances", params={"study": "1.2.826.0.1.3680043.10.1595.9.102"}).json()
    assert spool(dimse) == []


def test_the_first_transfer_syntax_that_is_known_wins(dimse: Server) -> None:
    syntaxes = ["1.2.840.10008.1.2.4.9999", JPEG_BASELINE, EXPLICIT, "1.2.840.10008.1.2"]
    with RawPeer(dimse.dimse_port).associate((CT, syntaxes), (CT, syntaxes[::-1]), (CT, syntaxes[:1])) as peer:
        assert peer.accepted == {1: JPEG_BASELINE, 3: "1.2.840.10008.1.2"}
        assert peer.results[5] == 4, "transfer syntaxes not supported"


def test_every_storage_class_of_the_standard_is_accepted(dimse: Server) -> None:
    from neurdicom.dimse.scp.contexts import storage_classes

    classes = sorted(storage_classes())
    assert len(classes) > 170
    for start in range(0, len(classes), 128):
        proposals = [(uid, [EXPLICIT]) for uid in classes[start : start + 128]]
        with RawPeer(dimse.dimse_port).associate(*proposals) as peer:
            assert set(peer.results.values()) == {0}


def test_retired_classes_are_stored(dimse: Server) -> None:
    retired = "1.2.840.10008.5.1.4.1.1.6"  # Ultrasound Image Storage, retired in 1993
    one = instance(1, study=103, SOPClassUID=retired)
    with RawPeer(dimse.dimse_port).associate((retired, [one.syntax])) as peer:
        assert peer.store(1, retired, one.uid, one.dataset).Status == 0
    assert stored(dimse, one.uid)


def test_private_classes_are_stored_on_request(dimse: Server, tmp_path: Path) -> None:
    one = instance(1, study=104, SOPClassUID=PRIVATE)
    with RawPeer(dimse.dimse_port).associate((PRIVATE, [one.syntax]), (VERIFICATION, [EXPLICIT])) as peer:
        assert peer.results[1] == 3, "abstract syntax not supported"
    options = ("--dimse-accept", "any", "--dimse-storage", "any")
    with Server.with_dimse(tmp_path / "data", *options) as server:
        with RawPeer(server.dimse_port).associate((PRIVATE, [one.syntax]), (WORKLIST, [EXPLICIT])) as peer:
            assert peer.results == {1: 0, 3: 3}, "what is known as another service is not taken for storage"
            assert peer.store(1, PRIVATE, one.uid, one.dataset).Status == 0
        assert stored(server, one.uid)


def test_the_data_set_is_kept_byte_for_byte(dimse: Server, data_set: Path) -> None:
    """Every file that the server takes over HTTP is taken over DIMSE, in its own transfer syntax."""
    from neurdicom.dicom.part10 import read_header
    from neurdicom.errors import NeurdicomError

    expected: dict[str, bytes] = {}
    syntaxes: set[str] = set()
    for path in sorted(path for path in data_set.rglob("*") if path.is_file()):
        try:
            header = read_header(path)
        except NeurdicomError:
            continue
        sop_class, uid = str(header.attributes["sop_class_uid"]), header.ids[3]
        syntax, dataset = header.layout.transfer_syntax, path.read_bytes()[header.layout.dataset_offset :]
        with RawPeer(dimse.dimse_port).associate((sop_class, [syntax]), (VERIFICATION, [EXPLICIT])) as peer:
            if peer.results[1] != 0:
                assert not is_public(sop_class), f"{path.name} of {sop_class} in {syntax}"
                continue
            response = peer.store(1, sop_class, uid, dataset)
            assert response.Status == 0, f"{path}: {response}"
        expected[uid] = dataset
        syntaxes.add(syntax)
    for uid, dataset in expected.items():
        content = stored(dimse, uid)
        assert content is not None and content.endswith(dataset), uid
    assert len(expected) > 200 and len(syntaxes) > 12


@pytest.mark.parametrize("senders", [2, 4])
def test_parallel_senders(dimse: Server, senders: int) -> None:
    """Each sends a series of its own into one study, some instances twice; the counts are exact."""
    study = 1000 + senders
    failures: list[object] = []

    def run(series: int) -> None:
        with RawPeer(dimse.dimse_port).associate((SECONDARY_CAPTURE, [EXPLICIT])) as peer:
            for number in (*range(1, 41), 7, 8):
                one = instance(number, study=study, series=series)
                response = peer.store(1, one.sop_class, one.uid, one.dataset)
                if response.Status != 0:
                    failures.append(response)
            peer.release()

    threads = [threading.Thread(target=run, args=(series,)) for series in range(1, senders + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, dimse.log
    found = dimse.client.get(f"/api/studies/1.2.826.0.1.3680043.10.1595.9.{study}").json()
    assert (found["images_count"], found["series_count"]) == (40 * senders, senders)


def test_a_large_instance_in_small_pieces(dimse: Server) -> None:
    pixels = bytes(range(256)) * 4096 * 5  # 5 MiB, over what is held in memory
    one = instance(1, study=105, NumberOfFrames=len(pixels) // 16, PixelData=pixels)
    with RawPeer(dimse.dimse_port).associate((one.sop_class, [one.syntax])) as peer:
        peer.maximum = 4000
        assert peer.store(1, one.sop_class, one.uid, one.dataset).Status == 0
    content = stored(dimse, one.uid)
    assert content is not None and content.endswith(one.dataset)


def test_pynetdicom_sends_a_compressed_file(dimse: Server) -> None:
    path = str(get_testdata_file("JPEG2000.dcm"))
    ds = pydicom.dcmread(path)
    ae = AE("TEST")
    ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    assoc = ae.associate("127.0.0.1", dimse.dimse_port, ae_title="NEURDICOM")
    assert assoc.is_established
    assert assoc.send_c_store(ds).Status == 0
    assoc.release()
    assert dimse.client.get(f"/api/instances/{ds.SOPInstanceUID}").json()["transfer_syntax_uid"] == (
        ds.file_meta.TransferSyntaxUID
    )


def test_on_mongodb(tmp_path: Path, mongodb_uri: str) -> None:
    uri = f"{mongodb_uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"
    with Server.with_dimse(tmp_path / "data", "--dimse-accept", "any", "--mongodb-uri", uri) as server:
        assert [send(server, instance(number, study=106)) for number in (1, 2, 2)] == [0, 0, 0]
        found = server.client.get("/api/studies/1.2.826.0.1.3680043.10.1595.9.106").json()
        assert found["images_count"] == 2
