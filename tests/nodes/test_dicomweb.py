"""A server and a node that speaks DICOMweb: NeurDICOM itself, and Orthanc."""

import io
import time
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from neurdicom.dicom.query.named_keys import parse_keys
from neurdicom.nodes.request_schemas import FIND
from tests.support.datasets import to_bytes
from tests.support.nodes import NodesClient, study
from tests.support.server import Server


class StoringPeer:
    """A node to store in, and to count the instances of."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=60)

    def store(self, files: list[bytes]) -> None:
        body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files)
        kind = 'multipart/related; type="application/dicom"; boundary=b'
        answer = self.http.post(f"{self.url}/studies", content=body + b"--b--\r\n", headers={"Content-Type": kind})
        assert answer.status_code == 200, answer.text

    def instances(self, study: str) -> list[dict[str, Any]]:
        headers = {"Accept": "application/dicom+json"}
        answer = self.http.get(f"{self.url}/studies/{study}/instances", headers=headers)
        return answer.json() if answer.status_code == 200 else []


@pytest.fixture(params=["neurdicom", "orthanc"])
def peer(request: pytest.FixtureRequest, here: NodesClient) -> StoringPeer:
    """A node known as `peer`."""
    if request.param == "orthanc":
        url = request.getfixturevalue("orthanc_url")
    else:
        url = f"{request.getfixturevalue('there_server').url}/dicom-web"
    here.add_node("peer", url)
    peer = StoringPeer(url)
    request.addfinalizer(peer.http.close)
    return peer


def test_echo(here: NodesClient, peer: StoringPeer) -> None:
    answer = here.echo("peer")
    assert answer.status_code == 200, answer.text
    assert answer.json()["ok"] is True
    assert 0 < answer.json()["seconds"] < 30


def test_finding_at_every_level(here: NodesClient, peer: StoringPeer) -> None:
    uid, files = study(StudyDescription="Kopf")
    peer.store(files)
    patient = uid[-12:]
    (found,) = here.find("peer", "STUDY", {"StudyInstanceUID": uid, "StudyDescription": None, "00100010": ""})
    assert (found["StudyDescription"], found["PatientName"], found["PatientID"]) == ("Kopf", "Müller^Jürgen", patient)
    (found,) = here.find("peer", "PATIENT", {"PatientID": patient})
    assert found["PatientName"] == "Müller^Jürgen"
    series = here.find("peer", "SERIES", {"StudyInstanceUID": uid, "SeriesNumber": None})
    assert sorted(int(each["SeriesNumber"]) for each in series) == [1, 2]
    one = series[0]["SeriesInstanceUID"]
    query = {"StudyInstanceUID": uid, "SeriesInstanceUID": one, "InstanceNumber": None}
    instances = here.find("peer", "IMAGE", query)
    assert sorted(int(each["InstanceNumber"]) for each in instances) == [1, 2, 3]
    assert len(here.find("peer", "INSTANCE", {"StudyInstanceUID": uid}, limit=4)) == 4
    wanted = [each["SOPInstanceUID"] for each in instances[:2]]
    found_again = here.find("peer", "instance", {"SOPInstanceUID": wanted, "StudyInstanceUID": uid})
    assert sorted(each["SOPInstanceUID"] for each in found_again) == sorted(wanted)
    assert here.find("peer", "STUDY", {"StudyDescription": "K?p*", "PatientID": patient})
    assert not here.find("peer", "STUDY", {"StudyDescription": "K?p", "PatientID": patient})
    assert here.find("peer", "STUDY", {"StudyInstanceUID": generate_uid()}) == []


def test_retrieving(here: NodesClient, peer: StoringPeer) -> None:
    uid, files = study()
    peer.store(files)
    job = here.run("peer", "retrieve", level="STUDY", ids=[uid])
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 6, 0, 6), job
    assert here.count(uid) == 6
    assert job["request"] == {"node": "peer", "level": "study", "ids": [{"StudyInstanceUID": uid}]}
    for file in files:
        ds = pydicom.dcmread(io.BytesIO(file))
        stored = here.http.get(f"/api/instances/{ds.SOPInstanceUID}/file").content
        assert pydicom.dcmread(io.BytesIO(stored)).PixelData == ds.PixelData
    ds = pydicom.dcmread(io.BytesIO(files[0]))
    here.http.delete(f"/api/studies/{uid}")
    ids = {"StudyInstanceUID": uid, "SeriesInstanceUID": str(ds.SeriesInstanceUID)}
    assert here.run("peer", "retrieve", level="SERIES", ids=ids)["done"] == 3
    assert here.count(uid) == 3
    here.http.delete(f"/api/studies/{uid}")
    ids["SOPInstanceUID"] = str(ds.SOPInstanceUID)
    assert here.run("peer", "retrieve", level="INSTANCE", ids=[ids], method="WADO-RS")["done"] == 1
    assert here.count(uid) == 1
    assert here.run("peer", "retrieve", level="PATIENT", ids=[uid[-12:]])["done"] == 6
    assert here.count(uid) == 6


def test_sending(here: NodesClient, peer: StoringPeer) -> None:
    uid, files = study()
    ids = here.store(*files)
    changed = here.http.put(f"/api/studies/{uid}", json={"study_description": "geändert"})
    assert changed.status_code == 200
    job = here.run("peer", "send", studies=[uid], instances=ids[:2])
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 6, 0, 6), job
    assert len(peer.instances(uid)) == 6
    (found,) = here.find("peer", "STUDY", {"StudyInstanceUID": uid, "StudyDescription": None})
    assert found["StudyDescription"] == "geändert", "edits go along"
    assert here.run("peer", "send", studies=[uid])["done"] == 6, "sending again does no harm"


@pytest.mark.parametrize(
    "name",
    ["JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm", "CT_small.dcm", "SC_rgb_jpeg_dcmtk.dcm"],
)
def test_transfer_syntaxes_there_and_back(here: NodesClient, peer: StoringPeer, name: str) -> None:
    ds = pydicom.dcmread(get_testdata_file(name))
    uid = ds.StudyInstanceUID = generate_uid()  # some of the files share theirs
    ds.SeriesInstanceUID = generate_uid()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    here.store(to_bytes(ds))
    assert here.run("peer", "send", studies=[uid])["failed"] == 0
    assert len(peer.instances(uid)) == 1
    here.http.delete(f"/api/studies/{uid}")
    assert here.run("peer", "retrieve", level="STUDY", ids=[uid])["done"] == 1
    back = here.http.get(f"/api/instances/{ds.SOPInstanceUID}/file").content
    assert pydicom.dcmread(io.BytesIO(back)).PixelData == ds.PixelData


def most_memory(server: Server) -> int:
    """Bytes that the server process has held at most so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_a_large_file_passes_in_constant_memory(
    here: NodesClient, there: NodesClient, server: Server, there_server: Server
) -> None:
    size = 2048 * 2048 * 2 * 12
    uid, files = study(1, 1, Rows=2048, Columns=2048, NumberOfFrames=12, PixelData=bytes(size))
    here.store(*files)
    before = [most_memory(each) for each in (server, there_server)]
    assert here.run("there", "send", studies=[uid])["done"] == 1
    here.http.delete(f"/api/studies/{uid}")
    assert here.run("there", "retrieve", level="STUDY", ids=[uid])["done"] == 1
    after = [most_memory(each) for each in (server, there_server)]
    assert max(map(int.__sub__, after, before)) < size // 2
    there.http.delete(f"/api/studies/{uid}")
    here.http.delete(f"/api/studies/{uid}")


def test_many_instances_in_several_requests(here: NodesClient, there: NodesClient) -> None:
    uid, files = study(60, 2)
    here.store(*files)
    job = here.run("there", "send", studies=[uid])
    assert (job["state"], job["done"], job["total"]) == ("done", 120, 120)
    assert there.count(uid) == 120
    assert len(here.find("there", "INSTANCE", {"StudyInstanceUID": uid})) == 120
    here.http.delete(f"/api/studies/{uid}")
    assert here.run("there", "retrieve", level="STUDY", ids=[uid])["done"] == 120
    assert here.count(uid) == 120


def test_what_is_there_in_pages(here: NodesClient, there: NodesClient) -> None:
    uid, files = study(205, 1)
    there.store(*files)
    assert len(here.find("there", "INSTANCE", {"StudyInstanceUID": uid})) == 205
    assert len(here.find("there", "INSTANCE", {"StudyInstanceUID": uid}, limit=201)) == 201
    there.http.delete(f"/api/studies/{uid}")


def test_fuzzy_names(here: NodesClient, there: NodesClient) -> None:
    uid, files = study(1, 1)
    there.store(*files)
    query = {"StudyInstanceUID": uid, "PatientName": "Jürg"}
    assert here.find("there", "STUDY", query) == []
    assert len(here.find("there", "STUDY", query, fuzzy=True)) == 1


def test_nested_keys_are_matched(here: NodesClient, there: NodesClient) -> None:
    request = pydicom.Dataset()
    request.ScheduledProcedureStepID = "STEP7"
    uid, files = study(1, 1, RequestAttributesSequence=[request])
    there.store(*files)
    for step, count in (("STEP7", 1), ("STEP8", 0)):
        query = {"StudyInstanceUID": uid, "RequestAttributesSequence": {"ScheduledProcedureStepID": step}}
        assert len(here.find("there", "SERIES", query)) == count, step


def test_keys_have_a_bound_in_all(here: NodesClient, there: NodesClient) -> None:
    """Take a thousand keys, which no query has, and no more."""
    sequences = ["RequestAttributesSequence", "ReferencedStudySequence", "ReferencedSeriesSequence"]
    keys = {f"0008{0x1000 + number:04X}": "" for number in range(250)}
    bodies = [
        {"level": "STUDY", "query": dict.fromkeys(sequences, keys) | keys | more}
        for more in ({}, {"ReferencedImageSequence": keys})
    ]
    assert len(parse_keys(FIND.check(bodies[0])["query"])) == 253
    refused = here.http.post("/api/dicom_nodes/there/find", json=bodies[1])
    assert refused.status_code == 422
    assert "more than 1024 members" in refused.json()["detail"]


def test_what_is_unknown_or_wrong_makes_no_job(here: NodesClient, there: NodesClient) -> None:
    uid = generate_uid()
    before = here.http.get("/api/jobs").headers["X-Total-Count"]
    for verb, request, status, field in (
        ("send", {"studies": [uid]}, 404, "studies"),
        ("send", {"patients": ["nobody"]}, 404, "patients"),
        ("send", {}, 422, "studies"),
        ("send", {"studies": uid}, 422, "studies"),
        ("send", {"studies": [1]}, 422, "studies"),
        ("send", {"node": "x"}, 422, "node"),
        ("send", {"instances": [uid] * 1001}, 422, "instances"),
        ("retrieve", {"level": "STUDY"}, 422, "ids"),
        ("retrieve", {"level": "STUDY", "ids": ["1.2~x"]}, 422, "ids"),
        ("retrieve", {"level": "STUDY", "ids": ["*"]}, 422, "ids"),
        ("retrieve", {"level": "SERIES", "ids": [uid]}, 422, "ids"),
        ("retrieve", {"level": "SERIES", "ids": {"SeriesInstanceUID": uid}}, 422, "ids.StudyInstanceUID"),
        ("retrieve", {"level": "STUDY", "ids": [{"PatientName": "X", "StudyInstanceUID": uid}]}, 422, "ids"),
        ("retrieve", {"level": "FRAME", "ids": [uid]}, 422, "level"),
        ("retrieve", {"level": "STUDY", "ids": [uid], "method": "C-MOVE"}, 422, "method"),
        ("find", {"level": "STUDY", "query": {"NoSuchKeyword": "x"}}, 422, "NoSuchKeyword"),
        ("find", {"level": "STUDY", "query": {"PatientID": {"a": 1}}}, 422, "PatientID"),
        ("find", {"level": "STUDY", "query": {"RequestAttributesSequence": "x"}}, 422, "RequestAttributesSequence"),
        ("find", {"level": "STUDY", "limit": 0}, 422, "limit"),
        ("find", {"level": 7}, 422, "level"),
        ("find", {"level": "STUDY", "fuzzy": "yes"}, 422, "fuzzy"),
    ):
        answer = here.http.post(f"/api/dicom_nodes/there/{verb}", json=request)
        assert (answer.status_code, answer.json()["field"]) == (status, field), (verb, request, answer.text)
    for verb in ("echo", "find", "retrieve", "send"):
        assert here.http.post(f"/api/dicom_nodes/nobody/{verb}", json={"level": "STUDY"}).status_code == 404
    assert here.http.get("/api/jobs").headers["X-Total-Count"] == before


def test_jobs_as_a_resource(here: NodesClient, there: NodesClient) -> None:
    uid, files = study(1, 1)
    here.store(*files)
    made = [here.run("there", "send", studies=[uid])["id"] for _ in range(3)]
    missing = here.run("there", "retrieve", level="STUDY", ids=[generate_uid()])
    assert (missing["state"], missing["done"], missing["failed"]) == ("failed", 0, 1)
    assert "404" in missing["errors"][0]["reason"]
    listed = here.http.get("/api/jobs", params={"kind": "send", "state": "done", "limit": 2})
    assert [job["id"] for job in listed.json()] == made[:0:-1]
    assert listed.links["next"]
    oldest = here.http.get("/api/jobs", params={"sort": "created", "limit": 1000}).json()
    assert [job["id"] for job in oldest] == sorted(job["id"] for job in oldest)
    failed = here.http.get("/api/jobs", params={"state": "failed"}).json()
    assert missing["id"] in [job["id"] for job in failed]
    for params in ({"state": "lost"}, {"sort": "kind"}, {"limit": 0}, {"colour": "red"}):
        assert here.http.get("/api/jobs", params=params).status_code == 422
    assert here.http.delete(f"/api/jobs/{made[0]}").status_code == 204
    for method in ("GET", "DELETE"):
        assert here.http.request(method, f"/api/jobs/{made[0]}").status_code == 404


def test_wrong_and_right_credentials(here: NodesClient, there_server: Server, tmp_path: Path) -> None:
    with Server(tmp_path / "secured", auth=True) as secured:
        first = next(line for line in secured.log.splitlines() if "one-time password" in line).split()
        email, password = first[first.index("as") + 1], first[-1]
        sign_in = {"email": email, "password": password}
        token = secured.client.post("/api/users/auth", json=sign_in).json()["token"]
        here.add_node("secured", f"{secured.url}/dicom-web", token="wrong-token")
        answer = here.echo("secured")
        assert answer.status_code == 502
        assert "401" in answer.json()["detail"]
        assert "wrong-token" not in answer.text
        here.add_node("secured", f"{secured.url}/dicom-web", token=token)
        assert here.echo("secured").status_code == 200
        here.add_node("secured", f"{secured.url}/dicom-web", username=email, password=password)
        assert here.echo("secured").status_code == 200
        here.http.delete("/api/dicom_nodes/secured")


def test_a_node_that_is_not_there(here: NodesClient) -> None:
    here.add_node("nobody", "http://127.0.0.1:9/dicom-web")
    begin = time.monotonic()
    for verb, request in (("echo", None), ("find", {"level": "STUDY"})):
        answer = here.http.post(f"/api/dicom_nodes/nobody/{verb}", json=request)
        assert (answer.status_code, answer.json()["code"]) == (502, "peer_failed")
    assert time.monotonic() - begin < 60
