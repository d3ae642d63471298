"""The operations as SCU, asked for over REST: echo, find, send and retrieve, with Orthanc and with pynetdicom."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.events import Event

from tests.support.dimse.remotes import Destination, add_node, ask, series, upload
from tests.support.files import ROOT, dicom_file
from tests.support.orthanc import Orthanc, dimse_settings, orthanc
from tests.support.server import Server, free_port
from tests.support.waiting import wait_for

SECONDS = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a study of six images."""
    options = ("--dimse-accept", "known", "--dimse-timeout", "5")
    with Server.with_dimse(tmp_path_factory.mktemp("scu"), *options) as running:
        upload(running, *series(6))
        yield running


@pytest.fixture(scope="module")
def remote(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Orthanc as the node `orthanc`, and a node that may be asked by C-GET only."""
    with orthanc(tmp_path_factory.mktemp("orthanc"), **dimse_settings(server.dimse_port)) as running:
        add_node(server, "ORTHANC", running.port)
        yield running


def run_job(server: Server, name: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send or retrieve, and wait for the end of the job."""
    answer = server.client.post(f"/api/dicom_nodes/{name}/{verb}", json=body)
    assert answer.status_code == 202, answer.text
    path = f"/api/jobs/{answer.json()['id']}"
    return wait_for(lambda: server.client.get(path).json(), "the job's end", SECONDS, holds=lambda job: job["ended"])


# -- echo ----------------------------------------------------------------------------------------------------------


def test_echo(server: Server, remote: Orthanc) -> None:
    """A node that answers, with the time that it took; and those that do not, with the reason."""
    answer = ask(server, "orthanc", "echo")
    assert answer["ok"]
    assert 0 < answer["seconds"] < SECONDS
    add_node(server, "CLOSED", free_port())
    status, detail = ask(server, "closed", "echo")
    assert status == 502
    assert "refuses the connection" in detail


def test_a_host_without_an_address(server: Server) -> None:
    """A name that can't be resolved is told of."""
    add_node(server, "LOST", 104, host="no-such-host.invalid")
    status, detail = ask(server, "lost", "echo")
    assert status == 502
    assert "no-such-host.invalid" in detail


def test_echo_with_who_rejects(server: Server) -> None:
    """The rejection's reason is told."""
    ae = AE("STRICT")
    ae.require_called_aet = True
    ae.add_supported_context("1.2.840.10008.1.1")
    running = ae.start_server(("127.0.0.1", 0), block=False)
    assert running is not None
    try:
        add_node(server, "OTHER", running.server_address[1])
        status, detail = ask(server, "other", "echo")
    finally:
        running.shutdown()
    assert status == 502
    assert "Called AE title not recognised" in detail


def test_echo_with_who_says_nothing(server: Server) -> None:
    """A peer that takes the connection and is silent costs the timeout."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        add_node(server, "SILENT", silent.getsockname()[1])
        status, detail = ask(server, "silent", "echo")
    assert status == 502
    assert "SILENT" in detail


# -- find ----------------------------------------------------------------------------------------------------------


def test_find_in_orthanc(server: Server, remote: Orthanc) -> None:
    """Find the studies and instances that Orthanc has."""
    remote.http.post("/instances", content=dicom_file(1, study=71, patient="O1", PatientName="Orth^Anc"))
    query = {"PatientName": "Orth*", "StudyInstanceUID": None, "ModalitiesInStudy": None}
    matches = ask(server, "orthanc", "find", {"level": "STUDY", "query": query})
    assert [(match["StudyInstanceUID"], match["PatientName"]) for match in matches] == [(f"{ROOT}.71", "Orth^Anc")]
    query = {"StudyInstanceUID": f"{ROOT}.71", "SeriesInstanceUID": f"{ROOT}.71.1", "SOPInstanceUID": None}
    matches = ask(server, "orthanc", "find", {"level": "INSTANCE", "query": query})
    assert [match["SOPInstanceUID"] for match in matches] == [f"{ROOT}.71.1.1"]
    matches = ask(server, "orthanc", "find", {"level": "PATIENT", "query": {"PatientID": "O1"}})
    assert [match["PatientID"] for match in matches] == ["O1"]


# -- send ----------------------------------------------------------------------------------------------------------


def test_send_to_orthanc(server: Server, remote: Orthanc) -> None:
    """All of a study arrives, with its edits."""
    upload(server, *series(3, study=20, patient="P20", PatientName="Old^Name"))
    patient = server.client.get("/api/patients", params={"patient_id": "P20"}).json()[0]["id"]
    server.client.put(f"/api/patients/{patient}", json={"patient_name": "New^Name"})
    job = run_job(server, "orthanc", "send", {"studies": [f"{ROOT}.20"]})
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 3, 0, 3)
    found = remote.http.post(
        "/tools/find", json={"Level": "Instance", "Query": {"StudyInstanceUID": f"{ROOT}.20"}, "Expand": True}
    ).json()
    assert {each["MainDicomTags"]["SOPInstanceUID"] for each in found} == {f"{ROOT}.20.1.{n}" for n in (1, 2, 3)}
    tags = remote.http.get(f"/instances/{found[0]['ID']}/simplified-tags").json()
    assert tags["PatientName"] == "New^Name"
    server.wait_for_empty_spool()


def test_what_fails_is_told_and_what_may_pass_is_tried_again(server: Server) -> None:
    """Each instance's status decides."""
    refusals = {f"{ROOT}.1.1.2": 0xC000, f"{ROOT}.1.1.3": 0xB000}
    busy = {f"{ROOT}.1.1.4"}

    def on_store(event: Event) -> int:
        uid = event.request.AffectedSOPInstanceUID
        if uid in busy:
            busy.discard(uid)
            return 0xA700
        return refusals.get(uid, 0)

    with Destination(on_store=on_store) as destination:
        add_node(server, "DEST", destination.port)
        job = run_job(server, "dest", "send", {"studies": [f"{ROOT}.1"]})
    assert (job["done"], job["failed"]) == (5, 1)
    assert [each["instance"] for each in job["results"]["warnings"]] == [f"{ROOT}.1.1.3"]
    (error,) = job["errors"]
    assert error["instance"] == f"{ROOT}.1.1.2"
    assert "C000" in error["reason"]
    assert len(destination.received) == 4
    assert destination.associations == 2


def test_a_receiver_that_dies(server: Server) -> None:
    """Keep the instances sent as done, and send the rest when the receiver is back."""
    left = [3]

    def on_store(event: Event) -> int:
        left[0] -= 1
        if left[0] == 0:
            event.assoc.abort()
        return 0

    with Destination(on_store=on_store) as destination:
        add_node(server, "DEST", destination.port)
        job = run_job(server, "dest", "send", {"studies": [f"{ROOT}.1"]})
    assert (job["state"], job["done"], job["failed"]) == ("done", 6, 0)
    assert {uid for uid, _ in destination.received} == {f"{ROOT}.1.1.{number}" for number in range(1, 7)}


def test_a_receiver_that_is_not_there(server: Server) -> None:
    """The job waits to try again, and says why."""
    add_node(server, "CLOSED", free_port())
    answer = server.client.post("/api/dicom_nodes/closed/send", json={"studies": [f"{ROOT}.1"]})
    deadline = time.monotonic() + SECONDS
    job = answer.json()
    while not job["retry_at"] and time.monotonic() < deadline:
        time.sleep(0.05)
        job = server.client.get(f"/api/jobs/{answer.json()['id']}").json()
    server.client.delete(f"/api/jobs/{job['id']}")
    assert (job["state"], job["done"]) == ("queued", 0)
    assert job["retry_at"]


def test_a_job_that_is_cancelled(server: Server) -> None:
    """Send nothing more after the instance under way, and release the association."""
    begun, released = threading.Event(), threading.Event()

    def on_store(event: Event) -> int:
        event.assoc.bind(evt.EVT_RELEASED, lambda event: released.set())
        begun.set()
        time.sleep(0.3)
        return 0

    with Destination(on_store=on_store) as destination:
        add_node(server, "DEST", destination.port)
        answer = server.client.post("/api/dicom_nodes/dest/send", json={"studies": [f"{ROOT}.1"]})
        assert begun.wait(20)
        server.client.delete(f"/api/jobs/{answer.json()['id']}")
        assert released.wait(20)
        assert len(destination.received) < 6
    assert server.client.get(f"/api/jobs/{answer.json()['id']}").json()["state"] == "cancelled"


def test_what_has_no_context_fails_alone(server: Server) -> None:
    """An instance whose SOP class is no UID goes alone; here the destination aborts the association for it."""
    named = SecondaryCaptureImageStorage.encode()
    before, _, after = dicom_file(2, study=31).rpartition(named)
    upload(server, dicom_file(1, study=31), before + b"not.a.uid".ljust(len(named), b"\0") + after)
    with Destination() as destination:
        add_node(server, "DEST", destination.port)
        job = run_job(server, "dest", "send", {"studies": [f"{ROOT}.31"]})
    assert (job["done"], job["failed"]) == (1, 1)
    assert job["errors"][0]["instance"] == f"{ROOT}.31.1.2"


def test_many_classes_go_on_one_association(server: Server) -> None:
    """Instances of several SOP classes and syntaxes share an association."""
    mr = "1.2.840.10008.5.1.4.1.1.4"
    upload(server, dicom_file(1, study=30), dicom_file(2, study=30, SOPClassUID=mr))
    with Destination(syntaxes=[ImplicitVRLittleEndian]) as destination:
        add_node(server, "DEST", destination.port)
        job = run_job(server, "dest", "send", {"studies": [f"{ROOT}.30"]})
    assert (job["state"], job["done"]) == ("done", 2)
    assert destination.associations == 1


# -- retrieve ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [None, "C-MOVE", "C-GET"])
def test_retrieve_from_orthanc(server: Server, remote: Orthanc, method: str | None) -> None:
    """A study comes by C-MOVE to ourselves, and by C-GET."""
    study = {None: 40, "C-MOVE": 41, "C-GET": 42}[method]
    for file in series(4, study=study, patient=f"P{study}"):
        remote.http.post("/instances", content=file)
    body: dict[str, Any] = {"level": "STUDY", "ids": [{"StudyInstanceUID": f"{ROOT}.{study}"}]}
    job = run_job(server, "orthanc", "retrieve", body | ({"method": method} if method else {}))
    assert (job["state"], job["done"], job["failed"]) == ("done", 4, 0), job
    assert server.client.get(f"/api/studies/{ROOT}.{study}").json()["images_count"] == 4
    server.wait_for_empty_spool()


def test_retrieve_what_is_not_there(server: Server, remote: Orthanc) -> None:
    """Say that nothing came, or fail, and do not hang."""
    for method in ("C-MOVE", "C-GET"):
        body = {"level": "STUDY", "ids": [{"StudyInstanceUID": "1.2.3.4.5"}], "method": method}
        job = run_job(server, "orthanc", "retrieve", body)
        assert job["done"] == 0


def test_retrieve_all(server: Server, remote: Orthanc, tmp_path: Path) -> None:
    """All that Orthanc has, and all that a server of ours has, comes without an id."""
    for file in series(2, study=44, patient="P44"):
        remote.http.post("/instances", content=file)
    job = run_job(server, "orthanc", "retrieve", {"level": "STUDY", "query": {}})
    assert (job["state"], job["failed"], job["errors"]) == ("done", 0, []), job
    assert server.client.get(f"/api/studies/{ROOT}.44").json()["images_count"] == 2
    with Server.with_dimse(tmp_path / "all", "--ae-title", "ALL") as other:
        add_node(server, "ALL", other.dimse_port)
        add_node(other, "NEURDICOM", server.dimse_port)
        for study in (45, 46):
            upload(other, *series(2, study=study, patient=f"P{study}"))
        job = run_job(server, "all", "retrieve", {"level": "SERIES", "query": {}})
        assert (job["state"], job["done"], job["failed"]) == ("done", 4, 0), job


def test_retrieve_one_instance(server: Server, remote: Orthanc) -> None:
    """Retrieve at the lowest level."""
    for file in series(2, study=43, patient="P43"):
        remote.http.post("/instances", content=file)
    ids = {"StudyInstanceUID": f"{ROOT}.43", "SeriesInstanceUID": f"{ROOT}.43.1", "SOPInstanceUID": f"{ROOT}.43.1.2"}
    job = run_job(server, "orthanc", "retrieve", {"level": "INSTANCE", "ids": [ids]})
    assert (job["state"], job["done"]) == ("done", 1)
    assert server.client.get(f"/api/studies/{ROOT}.43").json()["images_count"] == 1


def test_between_two_of_ours(server: Server, tmp_path: Path) -> None:
    """Two servers send to and retrieve from each other."""
    with Server.with_dimse(tmp_path / "other", "--ae-title", "OTHER", "--dimse-accept", "known") as other:
        add_node(server, "OTHER", other.dimse_port)
        add_node(other, "NEURDICOM", server.dimse_port)
        job = run_job(server, "other", "send", {"studies": [f"{ROOT}.1"]})
        assert (job["state"], job["done"]) == ("done", 6)
        upload(other, *series(3, study=50, patient="P50"), *series(2, study=50, series=2, patient="P50"))
        for method in ("C-GET", "C-MOVE"):
            ids = [
                {"StudyInstanceUID": f"{ROOT}.50", "SeriesInstanceUID": f"{ROOT}.50.{1 if method == 'C-GET' else 2}"}
            ]
            job = run_job(server, "other", "retrieve", {"level": "SERIES", "ids": ids, "method": method})
            assert job["state"] == "done", job
        assert server.client.get(f"/api/studies/{ROOT}.50").json()["images_count"] == 5


# -- Orthanc asks ---------------------------------------------------------------------------------------------------


def test_orthanc_queries_and_retrieves(server: Server, remote: Orthanc) -> None:
    """Orthanc finds a study and its series here, and has them moved to itself."""
    upload(server, *series(2, study=60, patient="P60", PatientName="From^Here"))
    asked = {"Level": "Study", "Query": {"PatientName": "From*", "StudyInstanceUID": "", "ModalitiesInStudy": ""}}
    query = remote.http.post("/modalities/neurdicom/query", json=asked).json()["ID"]
    (answer,) = remote.http.get(f"/queries/{query}/answers", params={"expand": "", "simplify": ""}).json()
    assert (answer["StudyInstanceUID"], answer["ModalitiesInStudy"]) == (f"{ROOT}.60", "OT")
    below = remote.http.post(f"/queries/{query}/answers/0/query-series", json={"Query": {}}).json()["ID"]
    (answer,) = remote.http.get(f"/queries/{below}/answers", params={"expand": "", "simplify": ""}).json()
    assert answer["SeriesInstanceUID"] == f"{ROOT}.60.1"
    done = remote.http.post(f"/queries/{query}/retrieve", content="ORTHANC")
    assert done.status_code == 200, done.text
    found = remote.http.post(
        "/tools/find", json={"Level": "Instance", "Query": {"StudyInstanceUID": f"{ROOT}.60"}}
    ).json()
    assert len(found) == 2
