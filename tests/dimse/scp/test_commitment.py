"""Storage commitment: a modality asks, and is told, over real sockets; pynetdicom and Orthanc are the modalities."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from tests.support.dimse.modality import Modality, Pair, failures, pairs, request
from tests.support.dimse.peer import EXPLICIT, NO_DATASET, RawPeer
from tests.support.dimse.remotes import add_node, upload
from tests.support.files import ROOT, dicom_file
from tests.support.orthanc import dimse_settings, orthanc
from tests.support.server import Server
from tests.support.waiting import wait_for

CT = "1.2.840.10008.5.1.4.1.1.2"


def stored(server: Server, study: int, count: int = 3) -> list[Pair]:
    """Store a few instances; the references to them."""
    upload(server, *(dicom_file(number, study=study) for number in range(1, count + 1)))
    return [(SecondaryCaptureImageStorage, f"{ROOT}.{study}.1.{number}") for number in range(1, count + 1)]


def jobs(server: Server, transaction: str) -> list[dict[str, Any]]:
    """The jobs of a transaction."""
    found = server.client.get("/api/jobs", params={"kind": "commitment"}).json()
    return [job for job in found if job["request"]["transaction"] == transaction]


@pytest.fixture(scope="module")
def modality(dimse: Server) -> Iterator[Modality]:
    """A modality that is on."""
    modality = Modality(dimse, "COMMIT1")
    with modality.on():
        yield modality


def test_all_is_held(dimse: Server, modality: Modality) -> None:
    references, transaction = stored(dimse, 601), generate_uid()
    assert modality.ask(references, transaction=transaction).Status == 0x0000
    event, ds = modality.report()
    assert (event, ds.TransactionUID, ds.RetrieveAETitle) == (1, transaction, "NEURDICOM")
    assert pairs(ds) == references and "FailedSOPSequence" not in ds
    wait_for(lambda: jobs(dimse, transaction)[0]["state"] == "done", "the job is over")
    (job,) = jobs(dimse, transaction)
    assert (job["done"], job["failed"], job["total"], job["errors"]) == (3, 0, 3, [])


def test_some_are_missing_or_of_another_class(dimse: Server, modality: Modality) -> None:
    references, transaction = stored(dimse, 602), generate_uid()
    missing, wrong = f"{ROOT}.602.1.99", references[0][1]
    asked = [*references[1:], (SecondaryCaptureImageStorage, missing), (CT, wrong), references[1]]
    assert modality.ask(asked, transaction=transaction).Status == 0x0000
    event, ds = modality.report()
    assert (event, ds.TransactionUID) == (2, transaction)
    assert pairs(ds) == references[1:], "each once"
    assert failures(ds) == {missing: 0x0112, wrong: 0x0119}
    assert (CT, wrong) in pairs(ds, "FailedSOPSequence")
    wait_for(lambda: jobs(dimse, transaction)[0]["state"] == "done", "the job is over")
    (job,) = jobs(dimse, transaction)
    assert (job["done"], job["failed"]) == (2, 2)
    assert {error["instance"] for error in job["errors"]} == {missing, wrong}


def test_nothing_is_held(modality: Modality) -> None:
    assert modality.ask([(CT, "1.2.3.4")]).Status == 0x0000
    event, ds = modality.report()
    assert event == 2 and failures(ds) == {"1.2.3.4": 0x0112} and "ReferencedSOPSequence" not in ds


def test_a_file_that_is_lost_is_not_held(dimse: Server, modality: Modality) -> None:
    references = stored(dimse, 603, 2)
    marker = f"{ROOT}.603.1.1".encode()
    (blob,) = (file for file in (dimse.data / "blobs").rglob("*") if file.is_file() and marker in file.read_bytes())
    content = blob.read_bytes()
    blob.write_bytes(content[:-1])
    try:
        assert modality.ask(references).Status == 0x0000
        event, ds = modality.report()
    finally:
        blob.write_bytes(content)
    assert event == 2 and failures(ds) == {references[0][1]: 0x0110} and pairs(ds) == references[1:]


def test_edits_and_replacements_are_held(dimse: Server, modality: Modality) -> None:
    references = stored(dimse, 604)
    study = f"{ROOT}.604"
    assert dimse.client.put(f"/api/studies/{study}", json={"study_description": "changed"}).status_code == 200
    upload(dimse, dicom_file(1, study=604, SeriesDescription="sent again"))
    assert modality.ask(references).Status == 0x0000
    event, ds = modality.report()
    assert event == 1 and pairs(ds) == references
    assert dimse.client.delete(f"/api/instances/{references[2][1]}").status_code in (200, 204)
    assert modality.ask(references).Status == 0x0000
    event, ds = modality.report()
    assert event == 2 and failures(ds) == {references[2][1]: 0x0112}


def test_thousands_of_references(dimse: Server, modality: Modality) -> None:
    held = stored(dimse, 605, 2)
    missing = [(CT, f"{ROOT}.605.1234567890.1234567890.{number}") for number in range(10_000)]
    assert modality.ask([*held, *missing]).Status == 0x0000
    event, ds = modality.report()
    assert event == 2 and pairs(ds) == held and len(failures(ds)) == len(missing)


def without(keyword: str) -> Dataset:
    """Action Information that lacks something, in the sequence or beside it."""
    ds = request("1.2.3", [(CT, "1.2.3.4")])
    if keyword in ds:
        del ds[keyword]
    else:
        del ds.ReferencedSOPSequence[0][keyword]
    return ds


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"information": without("TransactionUID")}, 0x0115),
        ({"information": without("ReferencedSOPSequence")}, 0x0115),
        ({"information": without("ReferencedSOPClassUID")}, 0x0115),
        ({"information": without("ReferencedSOPInstanceUID")}, 0x0115),
        ({"references": ()}, 0x0115),
        ({"references": [(CT, "1.2.3.4")], "action": 2}, 0x0123),
        ({"references": [(CT, "1.2.3.4")], "instance": "1.2.840.10008.1.20.1.2"}, 0x0112),
    ],
)
def test_refused(modality: Modality, options: dict[str, Any], status: int) -> None:
    answer = modality.ask(**options)
    assert answer.Status == status and answer.ErrorComment
    assert modality.reports.empty()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (None, 0x0115),
        (b"", 0x0115),
        (b"\x08\x00\x99\x11SQ\0\0\xff\xff", 0x0115),
        (b"\xff" * 1000, 0x0115),
        # Elements of another VR than they have
        (b"\x08\x00\x95\x11SQ\0\0\0\0\0\0\x08\x00\x99\x11UI\x04\x001.2\0", 0x0115),
        (b"\x08\x00\x95\x11UI\x04\x001.2\0\x08\x00\x99\x11UI\x04\x001.2\0", 0x0115),
    ],
)
def test_broken_requests(modality: Modality, dimse: Server, data: bytes | None, status: int) -> None:
    with RawPeer(dimse.dimse_port).associate((StorageCommitmentPushModel, [EXPLICIT]), calling="COMMIT1") as peer:
        for _ in range(2):
            peer.send_command(
                1,
                RequestedSOPClassUID=StorageCommitmentPushModel,
                CommandField=0x0130,
                MessageID=9,
                CommandDataSetType=NO_DATASET if data is None else 1,
                RequestedSOPInstanceUID=StorageCommitmentPushModelInstance,
                ActionTypeID=1,
            )
            if data is not None:
                peer.send_values(1, data, command=False)
            response = peer.receive()
            assert (response.Status, response.MessageIDBeingRespondedTo) == (status, 9)
        store = peer.store(1, StorageCommitmentPushModel, "1.2.3", b"")
        assert store.Status == 0x0211
        peer.release()
    assert modality.reports.empty()


def test_a_request_that_is_too_large(dimse: Server) -> None:
    with RawPeer(dimse.dimse_port).associate((StorageCommitmentPushModel, [EXPLICIT])) as peer:
        peer.send_command(
            1,
            RequestedSOPClassUID=StorageCommitmentPushModel,
            CommandField=0x0130,
            MessageID=9,
            CommandDataSetType=1,
            RequestedSOPInstanceUID=StorageCommitmentPushModelInstance,
            ActionTypeID=1,
        )
        with contextlib.suppress(ConnectionError):
            peer.send_values(1, bytes(4 << 20), command=False)
        peer.wait_for_end()


def test_who_is_no_node_is_refused(dimse: Server) -> None:
    ae = AE("NOBODY")
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_requested_context("1.2.840.10008.1.1")
    assoc = ae.associate("127.0.0.1", dimse.dimse_port)
    information = request("1.2.3", [(CT, "1.2.3.4")])
    status, _ = assoc.send_n_action(information, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    assert status.Status == 0x0124 and "NOBODY" in status.ErrorComment
    other, _ = assoc.send_n_get([0x00081195], StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    assert other.Status == 0x0211
    assert assoc.send_c_echo().Status == 0x0000, "the association goes on"
    assoc.release()


def test_strangers_may_not_ask(tmp_path: Path) -> None:
    with Server.with_dimse(tmp_path / "data") as server:
        ae = AE("NOBODY")
        ae.add_requested_context(StorageCommitmentPushModel)
        assert not ae.associate("127.0.0.1", server.dimse_port).is_established


def test_the_same_transaction_again(dimse: Server) -> None:
    references, transaction = stored(dimse, 606), generate_uid()
    modality = Modality(dimse, "COMMIT2")
    for _ in range(3):
        assert modality.ask(references, transaction=transaction).Status == 0x0000
    assert modality.ask(references[:1], transaction=transaction).Status == 0x0115
    assert len(jobs(dimse, transaction)) == 1
    with modality.on():
        event, _ = modality.report()
        assert event == 1
        wait_for(lambda: jobs(dimse, transaction)[0]["state"] == "done", "the job is over")
        assert modality.ask(references, transaction=transaction).Status == 0x0000, "its report may have been lost"
        modality.report()
    assert modality.reports.empty()


def test_a_modality_that_knows_no_roles(dimse: Server) -> None:
    references = stored(dimse, 607)
    modality = Modality(dimse, "COMMIT3", roles=False)
    with modality.on():
        assert modality.ask(references).Status == 0x0000
        assert modality.report()[0] == 1


def test_a_modality_that_refuses_the_report(dimse: Server) -> None:
    references, transaction = stored(dimse, 608), generate_uid()
    modality = Modality(dimse, "COMMIT4")
    modality.status = 0x0112
    with modality.on():
        assert modality.ask(references, transaction=transaction).Status == 0x0000
        modality.report()
        wait_for(lambda: jobs(dimse, transaction)[0]["state"] == "failed", "the job is over")
    assert "0112" in jobs(dimse, transaction)[0]["errors"][0]["reason"]


@pytest.mark.parametrize("catalog", ["sqlite", "mongodb"])
def test_the_modality_is_off_and_the_server_is_killed(
    catalog: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    options = ["--dimse-accept", "any"]
    if catalog == "mongodb":
        uri = request.getfixturevalue("mongodb_uri").rstrip("/")
        options += ["--mongodb-uri", f"{uri}/commitment_{uuid.uuid4().hex[:12]}"]
    transaction = generate_uid()
    server = Server.with_dimse(tmp_path / "data", *options).start()
    try:
        modality = Modality(server, "COMMIT5")
        references = stored(server, 609)
        assert modality.ask(references, transaction=transaction).Status == 0x0000
    finally:
        server.kill()
    server.start()
    try:
        wait_for(lambda: bool(jobs(server, transaction)[0]["retry_reason"]), "it is tried again")
        with modality.on():
            event, ds = modality.report()
            assert (event, ds.TransactionUID, pairs(ds)) == (1, transaction, references)
            wait_for(lambda: jobs(server, transaction)[0]["state"] == "done", "the job is over")
    finally:
        server.stop()


def test_orthanc_asks(tmp_path: Path) -> None:
    with (
        Server.with_dimse(tmp_path / "data") as server,
        orthanc(tmp_path / "orthanc", **dimse_settings(server.dimse_port)) as remote,
    ):
        add_node(server, "ORTHANC", remote.port)
        for number in (1, 2):
            remote.http.post("/instances", content=dicom_file(number, study=610)).raise_for_status()
        one, two = remote.http.get("/instances").json()
        sent = remote.http.post("/modalities/neurdicom/store", json=[one])
        sent.raise_for_status()
        for resources, status in (([one], "Success"), ([one, two], "Failure")):
            answer = remote.http.post("/modalities/neurdicom/storage-commitment", json={"Resources": resources})
            answer.raise_for_status()
            path = answer.json()["Path"]
            wait_for(lambda path=path: remote.http.get(path).json()["Status"] != "Pending", "a report")  # type: ignore[misc]
            report = remote.http.get(path).json()
            assert report["Status"] == status, report
            assert len(report["Success"]) == 1
        assert [failure["Description"] for failure in report["Failures"]]


def test_syntaxes(dimse: Server, modality: Modality) -> None:
    """Both encodings of a request are read."""
    references = stored(dimse, 611)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        assert modality.ask(references, syntax=syntax).Status == 0x0000
        assert modality.report()[0] == 1
