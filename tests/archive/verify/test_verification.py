"""Checks of all files: by the command and by jobs, and what reads find without one."""

import io
import shutil
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.uid import RLELossless

from tests.support.api import install, upload
from tests.support.damage import file_of, flip, problems, rewrite, truncate, verify
from tests.support.files import ROOT, dicom_file
from tests.support.nodes import NodesClient
from tests.support.packages import package
from tests.support.server import Server
from tests.support.uploads import zip_of
from tests.support.waiting import wait_for

UID = f"{ROOT}.1.1.1"


def test_all_is_well(own: Server) -> None:
    upload(own.client, dicom_file(1))
    assert own.client.get("/api/storage").json()["last_check"] is None
    status, report = verify("--data", own.data)
    assert status == 0
    assert (report["files"], report["damaged"], report["unknown"], report["findings"]) == (1, 0, 0, [])
    assert report["bytes"] == len(dicom_file(1))


def test_a_job(own: Server) -> None:
    for number in (1, 2, 3):
        upload(own.client, dicom_file(number))
    flip(file_of(own, UID))
    jobs = NodesClient(own.client)
    answer = own.client.post("/api/storage/verify")
    assert answer.status_code == 202, answer.text
    job = jobs.ended(answer.json()["id"])
    assert (job["kind"], job["state"], job["done"], job["failed"], job["total"]) == ("verify", "done", 2, 1, 3)
    (finding,) = job["results"]["findings"]
    assert (finding["instance"], finding["problem"]) == (UID, "bytes")
    assert finding["file"] == file_of(own, UID).relative_to(own.data / "blobs" / "objects").as_posix()
    assert finding["expected"]["sha256"] != finding["found"]["sha256"]
    (error,) = job["errors"]
    assert (error["instance"], error["code"]) == (UID, "damaged")
    assert own.client.get(f"/api/instances/{UID}/file").status_code == 410
    last = own.client.get("/api/storage").json()["last_check"]
    assert (last["files"], last["damaged"], last["by"]) == (3, 1, "job")
    assert any("is damaged" in line for line in own.output)


def test_a_command_that_asks_the_server(own: Server) -> None:
    upload(own.client, dicom_file(1))
    assert verify("--server", own.url)[0] == 0
    truncate(file_of(own, UID))
    status, report = verify("--server", own.url)
    assert (status, problems(report)) == (1, {UID: "size"})


def test_with_mongodb(mongodb_uri: str, tmp_path: Path) -> None:
    database = f"{mongodb_uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"
    with Server(tmp_path / "data", "--mongodb-uri", database) as server:
        upload(server.client, dicom_file(1))
        flip(file_of(server, UID))
        status, report = verify("--data", server.data, "--mongodb-uri", database)
        assert (status, problems(report)) == (1, {UID: "bytes"})
        assert server.client.get(f"/api/instances/{UID}/file").status_code == 410
        assert upload(server.client, dicom_file(1))["healed"]
        assert verify("--data", server.data, "--mongodb-uri", database)[0] == 0
        assert server.client.get(f"/api/instances/{UID}/file").content == dicom_file(1)


def test_only_administrators(secured: Server, admin_token: str) -> None:
    headers = {"Authorization": f"Bearer {admin_token}"}
    user = {"email": "plain@example.org", "password": "correct-horse-battery"}
    assert secured.client.post("/api/users", json=user, headers=headers).status_code == 201
    token = secured.client.post("/api/users/auth", json=user).json()["token"]
    secured.client.cookies.clear()
    plain = {"Authorization": f"Bearer {token}"}
    assert secured.client.get("/api/storage", headers=plain).status_code == 403
    assert secured.client.post("/api/storage/verify", headers=plain).status_code == 403
    assert "damaged_files" not in secured.client.get("/api/health", headers=plain).json()
    assert secured.client.get("/api/health", headers=headers).json()["damaged_files"] == 0


def test_a_file_that_no_instance_has(own: Server) -> None:
    """It is named, and stays."""
    upload(own.client, dicom_file(1))
    path = file_of(own, UID)
    stray = path.with_name(f"{int(path.name[:6]) + 500:06d}{path.name[6:-4]}ffff")
    shutil.copy2(path, stray)
    objects = own.data / "blobs" / "objects"
    (objects / "notes.txt").write_text("of somebody else", encoding="ascii")
    status, report = verify("--data", own.data)
    names = {stray.relative_to(objects).as_posix(), "notes.txt"}
    assert (status, problems(report), report["unknown"]) == (1, dict.fromkeys(names, "unknown"), 2)
    assert stray.exists()


def test_reads_find_what_is_missing_or_cut_off(own: Server) -> None:
    for number in (1, 2):
        upload(own.client, dicom_file(number))
    file_of(own, UID).unlink()
    truncate(file_of(own, f"{ROOT}.1.1.2"))
    for number in (1, 2):
        answer = own.client.get(f"/api/instances/{ROOT}.1.1.{number}/image")
        assert (answer.status_code, answer.json()["code"]) == (410, "damaged")
    assert own.client.get("/api/health").json()["damaged_files"] == 2


def test_a_file_that_comes_back_is_served(own: Server) -> None:
    """As when its disk was away for a while."""
    upload(own.client, dicom_file(1))
    path = file_of(own, UID)
    path.rename(own.data / "away")
    assert own.client.get(f"/api/instances/{UID}/file").status_code == 410
    (own.data / "away").rename(path)
    assert own.client.get(f"/api/instances/{UID}/file").content == dicom_file(1)
    assert own.client.get("/api/health").json()["damaged_files"] == 0


def test_a_store_that_is_away_is_no_damage(own: Server) -> None:
    upload(own.client, dicom_file(1))
    objects = own.data / "blobs" / "objects"
    objects.rename(own.data / "away")
    answer = own.client.get(f"/api/instances/{UID}/file")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    (own.data / "away").rename(objects)
    assert own.client.get(f"/api/instances/{UID}/file").status_code == 200
    assert own.client.get("/api/health").json()["damaged_files"] == 0


PIXELS = """
class Plugin:
    def init(self):
        pass

    def process(self, ds, **kwargs):
        return {"sum": int(ds.pixel_array.sum())}

    def destroy(self):
        pass
"""


def compressed(number: int) -> bytes:
    """An image in RLE."""
    ds = dcmread(io.BytesIO(dicom_file(number)))
    ds.compress(RLELossless, np.frombuffer(bytes(range(16)), "u1").reshape(4, 4), generate_instance_uid=False)
    made = io.BytesIO()
    ds.save_as(made)
    return made.getvalue()


def broken(file: bytes) -> bytes:
    """The same with a wrong header of the frame's segments."""
    header = b"\x01\x00\x00\x00\x40\x00\x00\x00"
    assert file.count(header) == 1
    return file.replace(header, b"\xff" * len(header))


def test_a_decoder_that_fails_finds_damage(own: Server) -> None:
    file = compressed(1)
    upload(own.client, file)
    rewrite(file_of(own, UID), broken(file))
    answer = own.client.get(f"/api/instances/{UID}/image")
    assert (answer.status_code, answer.json()["code"]) == (410, "damaged"), answer.text


def test_a_plugin_that_can_not_decode_finds_damage(own: Server) -> None:
    install(own.client, package(PIXELS, plugin_guid="test.pixels"))
    file = compressed(1)
    upload(own.client, file)
    path = f"/api/instances/{UID}/process/by_plugin/test.pixels"
    assert own.client.post(path, json={}).json() == {"sum": 120}
    rewrite(file_of(own, UID), broken(file))
    answer = own.client.post(path, json={"cache": "no"})
    assert (answer.status_code, answer.json()["code"]) == (410, "damaged"), answer.text


def test_a_decoder_that_fails_on_what_was_received_is_no_damage(own: Server) -> None:
    file = broken(compressed(1))
    upload(own.client, file)
    assert own.client.get(f"/api/instances/{UID}/image").status_code == 406
    assert own.client.get(f"/api/instances/{UID}/file").content == file
    assert own.client.get("/api/health").json()["damaged_files"] == 0


def test_deletions_while_files_are_checked_are_no_damage(own: Server) -> None:
    """Nor are replacements, and files that arrive meanwhile are no strangers."""
    files = [dicom_file(number, series=1 + number % 5) for number in range(1, 61)]
    members = [(f"{number}.dcm", file) for number, file in enumerate(files)]
    body, done = zip_of(*members), threading.Event()

    def change() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            own.client.post("/api/instances", content=body, headers={"Content-Type": "application/zip"})
            again = [dicom_file(n, series=1 + n % 5, ContentLabel=f"T{turn}") for n in range(1, 61)]
            renewed = zip_of(*((f"{n}.dcm", file) for n, file in enumerate(again)))
            own.client.post("/api/instances", content=renewed, headers={"Content-Type": "application/zip"})
            own.client.delete(f"/api/studies/{ROOT}.1")

    own.client.post("/api/instances", content=body, headers={"Content-Type": "application/zip"})
    changing = threading.Thread(target=change)
    changing.start()
    try:
        outcomes = [verify("--data", own.data) for _ in range(3)]
    finally:
        done.set()
        changing.join()
    assert [(status, report["findings"]) for status, report in outcomes] == [(0, [])] * 3
    assert own.client.get("/api/storage").json()["damaged"] == {"count": 0, "files": []}


def test_a_slow_check_ends_with_the_server_and_when_it_is_cancelled(own: Server) -> None:
    big = dicom_file(1, Rows=200, Columns=200, PixelData=bytes(40_000))
    upload(own.client, big)
    jobs = NodesClient(own.client)
    job = own.client.post("/api/storage/verify", json={"rate": 0.001}).json()["id"]
    jobs.when(job, lambda now: now["state"] == "running")
    assert own.stop() == 0
    own.start()
    assert NodesClient(own.client).job(job)["state"] in ("queued", "running")
    assert own.client.delete(f"/api/jobs/{job}").status_code == 202
    wait_for(lambda: NodesClient(own.client).job(job)["state"] == "cancelled", "the end of the job")


def test_uids_that_others_come_to_have_while_files_are_checked(own: Server) -> None:
    """The series that were listed have other ids then, and are checked all the same."""
    for series in (1, 2):
        big: dict[str, Any] = {"Rows": 200, "Columns": 200, "PixelData": bytes(40_000)} if series == 1 else {}
        upload(own.client, dicom_file(1, series=series, **big))
    jobs = NodesClient(own.client)
    job = own.client.post("/api/storage/verify", json={"rate": 0.02}).json()["id"]
    jobs.when(job, lambda now: now["state"] == "running")
    upload(own.client, dicom_file(1, series=2, patient="Other-1"))
    ended = jobs.ended(job)
    assert (ended["state"], ended["failed"], ended["results"]["damaged"]) == ("done", 0, 0), ended


def requests(own: Server, body: Any) -> int:
    return own.client.post("/api/storage/verify", json=body).status_code


def test_wrong_requests(own: Server, tmp_path: Path) -> None:
    assert requests(own, {"rate": -1}) == 422
    assert requests(own, {"other": 1}) == 422
    assert requests(own, {"repair_from": ["nobody"]}) == 404
    node = {"name": "dimse", "protocol": "DIMSE", "ae_title": "X", "host": "127.0.0.1", "port": 104}
    own.client.post("/api/dicom_nodes", json=node)
    assert requests(own, {"repair_from": ["dimse"]}) == 422
