"""Uploads through the public door: statuses, large bodies, broken connections, and kill -9."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.files import ROOT, dicom_file, large_file_head
from tests.support.server import Server
from tests.support.uploads import FORM, file_part, form, zip_of

MIB = 1024 * 1024
STUDY = 40


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of this module may fill."""
    with Server(tmp_path_factory.mktemp("uploads"), "--max-upload", str(400 * MIB)) as running:
        yield running


def blobs(server: Server) -> list[Path]:
    return list((server.data / "blobs" / "objects").glob("*/*"))


def spools(server: Server) -> list[Path]:
    return list((server.data / "blobs" / "spool").iterdir())


def wait_until_empty(server: Server) -> None:
    deadline = time.monotonic() + 10
    while spools(server):
        assert time.monotonic() < deadline, "the spool is not empty"
        time.sleep(0.02)


def test_statuses(own: Server) -> None:
    first, second = dicom_file(1, study=STUDY), dicom_file(2, study=STUDY)
    cases = [
        (first, "application/dicom", 201, ["stored"]),
        (first, "application/dicom", 200, ["duplicate"]),
        (dicom_file(1, study=STUDY, PatientName="B"), "application/dicom", 201, ["replaced"]),
        (form(file_part("1", first), file_part("2", second)), FORM, 201, ["replaced", "stored"]),
        (form(file_part("1", first), file_part("2", second)), FORM, 200, ["duplicate", "duplicate"]),
        (form(file_part("1", first), file_part("x", b"x")), FORM, 207, ["duplicate", "rejected"]),
        (zip_of(("1", first), ("2", second)), "application/zip", 200, ["duplicate", "duplicate"]),
        (zip_of(("DICOMDIR", b"x"), ("2", second)), "application/zip", 207, ["rejected", "duplicate"]),
        (form(file_part("x", b"x"), file_part("y", b"y")), FORM, 415, ["rejected", "rejected"]),
        (form(file_part("x", b"x"), file_part("y", first[:450])), FORM, 422, ["rejected", "rejected"]),
    ]
    for path in ("/api/instances", "/api/instances/upload"):
        for body, content_type, expected, results in cases:
            status = None if path.endswith("upload") and expected == 201 else expected
            answer = own.client.post(path, content=body, headers={"Content-Type": content_type})
            found = answer.json()["results"]
            assert status in (None, answer.status_code), answer.text
            assert status is None or [result["status"] for result in found] == results
            for result in found:
                uids = {"study_instance_uid", "series_instance_uid", "sop_instance_uid"}
                assert set(result) == {"file", "status", "id", "study", "series", "reason", "previous", *uids}
                assert (result["reason"] is None) == (result["status"] != "rejected")
                assert (result["previous"] is None) == (result["status"] != "replaced")
                assert result["status"] == "rejected" or result["study"] == f"{ROOT}.{STUDY}"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/dicom", 400),
        (b"x", "application/dicom", 415),
        (b'{"a": 1}', "application/json", 415),
        (dicom_file()[:450], "application/dicom", 400),
        (dicom_file(StudyInstanceUID=None), "application/dicom", 422),
        (b"PK\x03\x04", "application/zip", 400),
        (b"x", "multipart/form-data", 400),
        (b"x", FORM, 400),
    ],
)
def test_what_is_refused_gets_problem_details_alone(own: Server, body: bytes, content_type: str, status: int) -> None:
    answer = own.client.post("/api/instances", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "results" not in answer.json()
    assert spools(own) == []


def test_parallel_uploads_have_exact_counts(own: Server) -> None:
    def send(number: int) -> int:
        file = dicom_file(number % 30, study=STUDY + 1, series=number % 3)
        return own.client.post("/api/instances", content=file).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(send, range(90)))
    assert sorted(statuses) == [200] * 60 + [201] * 30
    study = own.client.get(f"/api/studies/{ROOT}.{STUDY + 1}").json()
    assert (study["series_count"], study["images_count"]) == (3, 30)


def memory(server: Server) -> int:
    """Resident bytes of the server process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def test_a_large_file_passes_in_constant_memory(own: Server) -> None:
    """A multi-frame file, in a chunked body and as a part of a form: the server knows no length beforehand."""
    size = 300 * MIB
    head = large_file_head(size)

    def file() -> Iterator[bytes]:
        yield head
        for _ in range(size // MIB):
            yield bytes(MIB)

    def part() -> Iterator[bytes]:
        before, after = form(file_part("large", b"|")).split(b"|")
        yield before
        yield from file()
        yield after

    own.client.post("/api/instances", content=dicom_file(study=STUDY + 2))
    before, highest, stop = memory(own), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not stop.wait(0.01):
            highest = max(highest, memory(own))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answers = [
            own.client.post("/api/instances", content=body, headers={"Content-Type": content_type})
            for body, content_type in ((file(), "application/dicom"), (part(), FORM))
        ]
    finally:
        stop.set()
        watcher.join()
    assert [answer.json()["results"][0]["status"] for answer in answers] == ["stored", "duplicate"]
    assert highest - before < 64 * MIB
    instance = answers[0].json()["results"][0]["id"]
    assert own.client.get(f"/api/instances/{instance}").json()["size"] == len(head) + size
    assert own.client.delete(f"/api/instances/{instance}").status_code == 204


def test_a_body_past_the_limit(own: Server) -> None:
    size = 400 * MIB + 1
    pieces = (bytes(MIB) if at < size - 1 else b"x" for at in range(0, size, MIB))
    answer = own.client.post("/api/instances", content=pieces, headers={"Content-Length": str(size)})
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


def test_connections_that_break_leave_nothing(own: Server) -> None:
    before = len(blobs(own))
    host, port = own.url.removeprefix("http://").split(":")
    body = dicom_file(1, study=STUDY + 3, PixelData=bytes(4 * MIB))
    for cut in (0, 10, 200, MIB, 3 * MIB):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /api/instances HTTP/1.1\r\nHost: x\r\nContent-Type: application/dicom\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body[:cut]
            )
            time.sleep(0.05)
    wait_until_empty(own)
    assert len(blobs(own)) == before
    assert own.client.get(f"/api/studies/{ROOT}.{STUDY + 3}").status_code == 404
    assert "Traceback" not in own.log


class SenderThread(threading.Thread):
    """Sends new instances, some of them replacements, until the server is gone; notes what was acknowledged."""

    def __init__(self, server: Server, number: int) -> None:
        super().__init__()
        self.address = server.url.removeprefix("http://")
        self.number = number
        self.acknowledged: dict[str, bytes] = {}
        self.sent: dict[str, list[bytes]] = {}

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            for count in range(10_000):
                instance = f"{ROOT}.{self.number}.1.{count // 3}"
                file = dicom_file(count // 3, study=self.number, ImageComments=f"version {count % 3}")
                self.sent.setdefault(instance, []).append(file)
                connection.request("POST", "/api/instances", file)
                answer = connection.getresponse()
                answer.read()
                assert answer.status in {200, 201}
                self.acknowledged[instance] = file
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()


def test_kill_9_in_the_middle_of_uploads(tmp_path: Path) -> None:
    """Keep every acknowledged file whole, found and counted, and nothing half-visible of the others."""
    acknowledged: dict[str, bytes] = {}
    sent: dict[str, list[bytes]] = {}
    for turn in range(3):
        server = Server(tmp_path).start()
        senders = [SenderThread(server, 100 + 10 * turn + number) for number in range(4)]
        for sender in senders:
            sender.start()
        time.sleep(0.7)
        server.kill()
        for sender in senders:
            sender.join()
            assert sender.acknowledged
            acknowledged |= sender.acknowledged
            sent |= sender.sent
    with Server(tmp_path) as server:
        listed = list_all(server.client)
        assert acknowledged.keys() <= listed.keys()
        assert len(blobs(server)) == len(listed)
        assert spools(server) == []
        for instance in listed:
            file = server.client.get(f"/api/instances/{instance}/file", params={"original": "true"}).content
            # Of several versions, it is the one acknowledged last or one that was under way after it.
            versions = sent[instance]
            assert file in versions
            if instance in acknowledged:
                assert versions.index(file) >= versions.index(acknowledged[instance])
        studies = server.client.get("/api/studies", params={"limit": 1000}).json()
        assert sum(study["images_count"] for study in studies) == len(listed)


def list_all(client: httpx.Client) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    while True:
        answer = client.get("/api/instances", params={"limit": 1000, "offset": len(found)})
        page = answer.json()
        if not page:
            return found
        found |= {item["id"]: item for item in page}
