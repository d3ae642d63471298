"""Nodes that fail: dead, dying in the middle, answering garbage, busy for a while, slow, picky, or out to hurt."""

import gzip
import io
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
import trustme
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.support.datasets import to_bytes
from tests.support.faulty import FaultyRequest, FaultyServer, store_answer
from tests.support.nodes import NodesClient, study, takes_all, uids_of
from tests.support.server import Server

# -- echo and find --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (lambda request: request.answer(500, b"<h1>Oops</h1>", "text/html"), "500"),
        (lambda request: request.answer(200, b"hello"), "no JSON"),
        (lambda request: request.answer(200, b"{}"), "no list"),
        (lambda request: request.answer(200, b'["x", 1]'), "no dataset"),
        (lambda request: request.answer(200, b"[" * 900 + b"]" * 900), "no dataset"),
        (lambda request: request.answer(302, Location="http://169.254.169.254/latest"), "another server"),
        (lambda request: request.answer(302, Location="/dicom-web/studies"), "again and again"),
        (lambda request: request.answer(302), "again and again"),
        (lambda request: request.answer(200, b"\x1f\x8bnothing", Content_Encoding="gzip"), "decompressed"),
        (lambda request: request.cut(), "faulty"),
        (lambda request: (request.wfile.write(b"SSH-2.0-x\r\n"), request.cut()), "faulty"),
        (lambda request: request.answer(401, request.headers["Authorization"].encode()), "401"),
    ],
    ids=range(12),
)
def test_garbage_is_a_502(
    here: NodesClient, faulty: FaultyServer, behaviour: Callable[[FaultyRequest], None], words: str
) -> None:
    faulty.behaviour = behaviour
    answer = here.echo("faulty")
    assert answer.status_code == 502, answer.text
    assert words in answer.json()["detail"]
    assert "faulty" in answer.json()["detail"]
    for secret in ("correct-horse", "YW5uOmNvcnJlY3QtaG9yc2U="):
        assert secret not in answer.text
    listed = here.http.post("/api/dicom_nodes/faulty/find", json={"level": "SERIES", "query": {"Modality": "CT"}})
    assert listed.status_code == 502


def test_an_endless_answer_is_not_read(here: NodesClient, faulty: FaultyServer) -> None:
    def endless(request: FaultyRequest) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b" " * 65536)

    faulty.behaviour = endless
    assert "more than" in here.echo("faulty").json()["detail"]


def test_odd_but_valid_answers(here: NodesClient, faulty: FaultyServer) -> None:
    match = {"00100020": {"vr": "LO", "Value": ["1"]}, "0040A730": {"vr": "SQ", "Value": [{}, None]}, "x": 1}
    match |= {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}, "00080060": "CT", "00080061": {"vr": "CS"}}
    packed = gzip.compress(f"[{__import__('json').dumps(match)}]".encode())
    faulty.behaviour = lambda request: request.answer(200, packed, Content_Encoding="gzip")
    found = here.find("faulty", "STUDY", {"PatientName": "A&B=C #%*", "StudyInstanceUID": ["1.2", "1.3"]})
    assert found == [{"PatientID": "1", "ContentSequence": [{}, {}], "PatientName": "A^B", "ModalitiesInStudy": None}]
    assert "00100010=A%26B%3DC%20%23%25*&0020000D=1.2,1.3&" in faulty.requests[0]
    faulty.behaviour = lambda request: request.answer(204)
    assert here.find("faulty", "STUDY") == []


def test_a_node_that_knows_no_pages(here: NodesClient, faulty: FaultyServer) -> None:
    matches = [{"0020000D": {"vr": "UI", "Value": [f"1.{n}"]}} for n in range(200)]
    faulty.behaviour = lambda request: request.answer_json(matches)
    assert len(here.find("faulty", "STUDY")) == 200
    faulty.behaviour = lambda request: request.answer_json(matches * 3)
    assert len(here.find("faulty", "STUDY")) == 600
    assert len(here.find("faulty", "STUDY", limit=7)) == 7


# -- sending --------------------------------------------------------------------------------------------------


def test_busy_then_well_again(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(2, 1)
    here.store(*files)
    busy = lambda request: (request.read(), request.answer(503, Retry_After="1"))  # noqa: E731
    answers = iter([busy, FaultyRequest.cut, takes_all])
    faulty.behaviour = lambda request: next(answers)(request)
    job = here.submit("faulty", "send", studies=[uid])
    waiting = here.when(job, lambda now: now["retry_at"] is not None)
    assert waiting["state"] == "queued"
    assert "503" in waiting["retry_reason"]
    done = here.ended(job)
    assert (done["state"], done["done"], done["failed"], done["errors"]) == ("done", 2, 0, [])
    assert len(faulty.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_will_not_pass_is_not_tried_again(here: NodesClient, faulty: FaultyServer, status: int) -> None:
    uid, files = study(2, 1)
    here.store(*files)
    faulty.behaviour = lambda request: (request.read(), request.answer(status, b"go away", "text/plain"))
    job = here.run("faulty", "send", studies=[uid])
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("failed", 0, 2, 2)
    assert job["errors"][0]["instance"] is None
    assert f"{status}" in job["errors"][0]["reason"]
    assert "go away" in job["errors"][0]["reason"]
    assert len(faulty.requests) == 1


def test_each_instance_has_its_reason(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(4, 1)
    ids = here.store(*files)

    def picky(request: FaultyRequest) -> None:
        request.read()
        request.answer_json(store_answer(ids[:1], [(ids[1], 0xA901), (ids[2], 0x0122), (ids[3], 0x0111)]), 202)

    faulty.behaviour = picky
    job = here.run("faulty", "send", studies=[uid])
    assert (job["state"], job["done"], job["failed"]) == ("done", 2, 2)
    assert {error["instance"]: error["reason"] for error in job["errors"]} == {
        ids[1]: "the dataset does not match its SOP class (A901)",
        ids[2]: "SOP class not supported (0122)",
    }
    assert job["results"] == {
        "warned": 1,
        "warnings": [{"instance": ids[3], "reason": "duplicate SOP instance (0111)"}],
    }


def test_one_bad_instance_does_not_take_the_others_along(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(5, 1)
    ids = here.store(*files)

    def picky(request: FaultyRequest) -> None:
        got = uids_of(request.read())
        if ids[2] in got:
            request.answer(400, b"what is this?", "text/plain")
        else:
            request.answer_json(store_answer(got))

    faulty.behaviour = picky
    job = here.run("faulty", "send", studies=[uid])
    assert (job["state"], job["done"], job["failed"]) == ("done", 4, 1)
    assert job["errors"][0]["instance"] == ids[2]
    assert "what is this?" in job["errors"][0]["reason"]


@pytest.mark.parametrize("refusal", ["C122", "415"])
def test_a_refused_transfer_syntax_is_converted_once(here: NodesClient, faulty: FaultyServer, refusal: str) -> None:
    ds = pydicom.dcmread(get_testdata_file("JPEG2000.dcm"))
    uid = ds.StudyInstanceUID = generate_uid()
    ds.SeriesInstanceUID = generate_uid()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    here.store(to_bytes(ds))
    syntaxes: list[str] = []

    def plain_only(request: FaultyRequest) -> None:
        file = request.read().partition(b"\r\n\r\n")[2]
        syntaxes.append(pydicom.dcmread(io.BytesIO(file), force=True).file_meta.TransferSyntaxUID)
        if syntaxes[-1] == ExplicitVRLittleEndian:
            request.answer_json(store_answer([ds.SOPInstanceUID]))
        elif refusal == "415":
            request.answer(415)
        else:
            request.answer_json(store_answer([], [(ds.SOPInstanceUID, 0xC122)]), 409)

    faulty.behaviour = plain_only
    job = here.run("faulty", "send", studies=[uid])
    assert (job["done"], job["failed"]) == (1, 0), job
    assert syntaxes == [ds.file_meta.TransferSyntaxUID, ExplicitVRLittleEndian]


@pytest.mark.parametrize("body", [b"", b"OK", b"[]", b"{}", b'{"00081199": 7}', b"<NativeDicomModel/>"])
def test_success_that_nothing_tells_of_is_none(here: NodesClient, faulty: FaultyServer, body: bytes) -> None:
    uid, files = study(1, 1)
    here.store(*files)
    faulty.behaviour = lambda request: (request.read(), request.answer(200, body))
    job = here.submit("faulty", "send", studies=[uid])
    now = here.when(job, lambda now: now["ended"] or now["retry_at"])
    assert now["done"] == 0
    here.http.delete(f"/api/jobs/{job}")


# -- slow -----------------------------------------------------------------------------------------------------


def test_a_slow_node_holds_nobody_up_and_can_be_cancelled(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(2, 1)
    here.store(*files)
    began, go_on = threading.Event(), threading.Event()

    def slow(request: FaultyRequest) -> None:
        began.set()
        go_on.wait(30)
        takes_all(request)

    faulty.behaviour = slow
    job = here.submit("faulty", "send", studies=[uid])
    assert began.wait(30)
    begin = time.monotonic()
    assert here.http.get("/api/studies").status_code == 200
    assert here.http.delete(f"/api/jobs/{job}").status_code == 202
    assert time.monotonic() - begin < 20
    go_on.set()
    assert here.ended(job)["state"] == "cancelled"


# -- TLS ------------------------------------------------------------------------------------------------------


def test_certificates_are_verified(
    here: NodesClient, faulty: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    faulty.socket = context.wrap_socket(faulty.socket, server_side=True)
    url = faulty.url.replace("http://127.0.0.1", "https://localhost")
    here.add_node("faulty", url)
    answer = here.echo("faulty")
    assert answer.status_code == 502
    assert "certificate" in answer.json()["detail"].lower()
    assert not faulty.requests, "nothing was sent to who could not be trusted"
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with Server(tmp_path / "data") as trusting:
        other = NodesClient(trusting.client)
        other.add_node("faulty", url)
        assert other.echo("faulty").status_code == 200
        other.add_node("faulty", url.replace("localhost", "127.0.0.1"))
        assert other.echo("faulty").status_code == 502, "the certificate is another host's"
