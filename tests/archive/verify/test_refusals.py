"""A damaged file is refused by every door while the server runs: changed, cut off, missing, and swapped ones."""

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydicom.uid import SecondaryCaptureImageStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event

from tests.support.api import install
from tests.support.damage import file_of, flip, problems, swap, truncate, verify
from tests.support.dimse.remotes import (
    STUDY_GET,
    STUDY_MOVE,
    Destination,
    add_node,
    associated,
    counts,
    identifier,
    retrieve,
    upload,
)
from tests.support.files import ROOT, dicom_file
from tests.support.packages import package
from tests.support.processing_jobs import JobsClient
from tests.support.server import Server

STUDY, SERIES = f"{ROOT}.1", f"{ROOT}.1.1"
UIDS = {number: f"{SERIES}.{number}" for number in range(1, 7)}
PROBLEMS = {1: "bytes", 2: "size", 3: "missing", 4: "bytes", 5: "bytes"}
WHOLE = 6
SOURCE = """
class Plugin:
    def init(self):
        pass

    def process(self, ds, **kwargs):
        return {"number": int(ds.InstanceNumber)}

    def destroy(self):
        pass
"""

REST = ["file", "file?original=true", "file?transfer_syntax=1.2.840.10008.1.2", "image", "raw"]
DICOMWEB = ["", "/frames/1", "/rendered", "/thumbnail", "/frames/1/rendered", "/bulk/7FE00010"]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of which five of six files were damaged while it ran, and found by a command."""
    with Server.with_dimse(tmp_path_factory.mktemp("damaged"), "--dimse-accept", "any") as server:
        files = [dicom_file(number, ContentLabel=f"N{number}") for number in UIDS]
        upload(server, *files)
        paths = {number: file_of(server, uid) for number, uid in UIDS.items()}
        flip(paths[1])
        truncate(paths[2])
        paths[3].unlink()
        swap(paths[4], paths[5])
        status, report = verify("--data", server.data)
        assert status == 1
        assert problems(report) == {UIDS[number]: problem for number, problem in PROBLEMS.items()}
        yield server


def check(answer: httpx.Response, number: int) -> dict[str, Any]:
    """Check that an answer refuses a file, and says what is expected and found."""
    assert answer.status_code == 410, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == "damaged"
    assert problem["expected"] == hashlib.sha256(dicom_file(number, ContentLabel=f"N{number}")).hexdigest()
    assert problem["found"] != problem["expected"]
    assert (problem["found"] is None) == (PROBLEMS[number] == "missing")
    return problem


@pytest.mark.parametrize("number", PROBLEMS)
@pytest.mark.parametrize("what", REST)
def test_rest(damaged: Server, number: int, what: str) -> None:
    check(damaged.client.get(f"/api/instances/{UIDS[number]}/{what}"), number)


@pytest.mark.parametrize("number", PROBLEMS)
@pytest.mark.parametrize("what", DICOMWEB)
def test_dicomweb(damaged: Server, number: int, what: str) -> None:
    path = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{UIDS[number]}{what}"
    check(damaged.client.get(path), number)


@pytest.mark.parametrize("number", PROBLEMS)
def test_wado_uri(damaged: Server, number: int) -> None:
    query = {"requestType": "WADO", "studyUID": STUDY, "seriesUID": SERIES, "objectUID": UIDS[number]}
    check(damaged.client.get("/dicom-web/wado", params=query | {"contentType": "application/dicom"}), number)


@pytest.mark.parametrize("path", [f"/studies/{STUDY}", f"/studies/{STUDY}/series/{SERIES}"])
def test_a_study_of_which_a_file_is_damaged_is_no_whole_answer(damaged: Server, path: str) -> None:
    answer = damaged.client.get(f"/dicom-web{path}")
    assert (answer.status_code, answer.json()["code"]) == (410, "damaged")


@pytest.mark.parametrize("number", UIDS)
def test_what_is_in_the_catalog_is_served(damaged: Server, number: int) -> None:
    path = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{UIDS[number]}/metadata"
    assert damaged.client.get(path).status_code == 200
    for what in ("", "/tags"):
        assert damaged.client.get(f"/api/instances/{UIDS[number]}{what}").status_code == 200


def test_whole_files_are_served(damaged: Server) -> None:
    answer = damaged.client.get(f"/api/instances/{UIDS[WHOLE]}/file")
    assert answer.content == dicom_file(WHOLE, ContentLabel=f"N{WHOLE}")


def test_a_head_is_refused_too(damaged: Server) -> None:
    assert damaged.client.head(f"/api/instances/{UIDS[1]}/file").status_code == 410


def test_plugins_and_jobs(damaged: Server) -> None:
    install(damaged.client, package(SOURCE, plugin_guid="test.number"))
    for number in PROBLEMS:
        check(damaged.client.post(f"/api/instances/{UIDS[number]}/process/by_plugin/test.number", json={}), number)
    jobs = JobsClient(damaged.client)
    job = jobs.process("series", SERIES, "test.number")
    ended = jobs.ended(job)
    assert (ended["state"], ended["done"], ended["failed"]) == ("done", 1, 5)
    outcome = {item["instance"]: (item["error"] or {}).get("code") for item in jobs.results(job)}
    assert outcome == {uid: "damaged" if number in PROBLEMS else None for number, uid in UIDS.items()}


def test_c_move(damaged: Server) -> None:
    with Destination() as destination:
        add_node(damaged, "DEST", destination.port)
        final, failures = retrieve(damaged, "STUDY", STUDY_MOVE, "DEST", StudyInstanceUID=STUDY)[-1]
    assert (final.Status, *counts(final)[:3]) == (0xB000, 1, 5, 0)
    assert "damaged" in final.ErrorComment
    assert failures is not None
    assert set(failures.FailedSOPInstanceUIDList) == {UIDS[number] for number in PROBLEMS}
    assert [uid for uid, _ in destination.received] == [UIDS[WHOLE]]


def test_c_get(damaged: Server) -> None:
    received: list[str] = []

    def store(event: Event) -> int:
        received.append(event.request.AffectedSOPInstanceUID)
        return 0x0000

    ae = AE("TESTER")
    ae.add_requested_context(SecondaryCaptureImageStorage)
    options: dict[str, Any] = {
        "ext_neg": [build_role(SecondaryCaptureImageStorage, scp_role=True)],
        "evt_handlers": [(evt.EVT_C_STORE, store)],
    }
    with associated(damaged, STUDY_GET, ae=ae, **options) as assoc:
        final, failures = list(assoc.send_c_get(identifier("STUDY", StudyInstanceUID=STUDY), STUDY_GET))[-1]
    assert (final.Status, *counts(final)[:3]) == (0xB000, 1, 5, 0)
    assert failures is not None
    assert set(failures.FailedSOPInstanceUIDList) == {UIDS[number] for number in PROBLEMS}
    assert received == [UIDS[WHOLE]]


def test_a_job_that_sends(damaged: Server) -> None:
    with Destination() as destination:
        add_node(damaged, "DEST", destination.port)
        answer = damaged.client.post("/api/dicom_nodes/dest/send", json={"studies": [STUDY]})
        ended = JobsClient(damaged.client).ended(answer.json()["id"])
    assert (ended["done"], ended["failed"]) == (1, 5)
    assert all("damaged" in error["reason"] for error in ended["errors"])


def test_it_is_an_alert(damaged: Server) -> None:
    assert damaged.client.get("/api/health").json()["damaged_files"] == 5
    assert "neurdicom_damaged_files 5.0" in damaged.client.get("/api/metrics").text
    storage = damaged.client.get("/api/storage").json()
    assert storage["instances"]["count"] == 6
    assert storage["damaged"]["count"] == 5
    found = {each["instance"]: each["problem"] for each in storage["damaged"]["files"]}
    assert found == {UIDS[number]: problem for number, problem in PROBLEMS.items()}
    last = storage["last_check"]
    assert (last["files"], last["damaged"], last["unknown"], last["by"]) == (6, 5, 0, "command")
