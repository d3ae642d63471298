"""The trash over REST: what is deleted is in nothing but the trash, and comes back whole."""

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.support.archive_client import Archive
from tests.support.resource_files import make_file
from tests.support.server import Server
from tests.support.trash import entry_of, files_in, sha, versions_of
from tests.support.waiting import wait_for

EDITS = {
    "patient": {"patient_comments": "edited"},
    "study": {"study_description": "edited"},
    "series": {"series_description": "edited"},
    "instance": {"image_comments": "edited"},
}
LEVELS = {"patient": "patients", "study": "studies", "series": "series", "instance": "instances"}


@pytest.fixture(scope="module")
def archive(any_server: Server) -> Iterator[Archive]:
    """The server on each catalog; every test works with patients and UIDs of its own."""
    yield Archive(any_server)


def ids_of(archive: Archive, result: dict[str, Any]) -> dict[str, str]:
    """The ids of an instance and of what is above it, by level."""
    entity = archive.get(f"/instances/{result['id']}").json()
    return {"instance": entity["id"], **{level: entity[level] for level in ("patient", "study", "series")}}


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_deleted_is_nowhere_and_comes_back_whole(archive: Archive, level: str) -> None:
    made = archive.make(3, PatientName="DOE^TRASH")
    ids = ids_of(archive, made[0])
    path = f"/{LEVELS[level]}/{ids[level]}"
    archive.put(path, EDITS[level])
    before = {name: archive.get(f"/{LEVELS[name]}/{ids[name]}").json() for name in LEVELS}
    files = {one["id"]: archive.get(f"/instances/{one['id']}/file").content for one in made}
    sizes = {one["id"]: archive.get(f"/instances/{one['id']}").json()["size"] for one in made}
    archive.delete(f"{path}?reason=wrong%20patient")

    gone = made[:1] if level == "instance" else made
    for one in gone:
        archive.get(f"/instances/{one['id']}", 404)
        archive.get(f"/instances/{one['id']}/file", 404)
    found = archive.get("/instances", patient_id=before["patient"]["patient_id"]).json()
    assert len(found) == len(made) - len(gone)
    entry = archive.get("/trash").json()[0]
    assert (entry["kind"], entry["instances"], entry["reason"]) == (level, len(gone), "wrong patient")
    assert entry["bytes"] == sum(sizes[one["id"]] for one in gone)
    assert (entry["patient_id"], entry["patient_name"]) == (before["patient"]["patient_id"], "DOE^TRASH")
    assert entry["user"] == "local@localhost"
    kept = datetime.fromisoformat(entry["until"]) - datetime.fromisoformat(entry["time"])
    assert abs(kept.total_seconds() / 86400 - 30) < 0.01
    assert archive.get(f"/trash/{entry['id']}").json() == entry

    restored = archive.client.post(f"/api/trash/{entry['id']}/restore")
    assert (restored.status_code, restored.json()["id"]) == (200, entry["id"])
    after = {name: archive.get(f"/{LEVELS[name]}/{ids[name]}").json() for name in LEVELS}
    for entities in (before, after):  # the file's own time counts then, which is some milliseconds later
        assert entities["instance"].pop("received")[:16]
    assert after == before
    assert {one: archive.get(f"/instances/{one}/file").content for one in files} == files
    archive.get(f"/trash/{entry['id']}", 404)
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 404


def test_what_was_emptied_is_gone_for_good(archive: Archive) -> None:
    [one] = archive.make()
    archive.delete(f"/instances/{one['id']}")
    entry = entry_of(archive, one["id"])
    archive.delete(f"/trash/{entry['id']}")
    archive.get(f"/trash/{entry['id']}", 404)
    archive.delete(f"/trash/{entry['id']}", 404)
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 404


def test_purging_leaves_no_entry(archive: Archive) -> None:
    [one] = archive.make()
    archive.delete(f"/instances/{one['id']}?purge=true")
    assert all(entry["uids"].get("sop_instance_uid") != one["id"] for entry in archive.get("/trash").json())


@pytest.mark.parametrize("reason", ["", "x" * 1001])
def test_a_reason_has_1_to_1000_characters(archive: Archive, reason: str) -> None:
    [one] = archive.make()
    answer = archive.client.delete(f"/api/instances/{one['id']}", params={"reason": reason})
    assert (answer.status_code, answer.json()["field"]) == (422, "reason")
    archive.get(f"/instances/{one['id']}")


def test_the_same_bytes_uploaded_again_are_stored_and_stay_when_the_others_are_restored(archive: Archive) -> None:
    file = make_file(SOPInstanceUID=generate_uid(), StudyInstanceUID=generate_uid(), PatientID="again")
    one = archive.store(file)
    archive.delete(f"/instances/{one['id']}")
    assert archive.store(file)["status"] == "stored"
    entry = entry_of(archive, one["id"])
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert archive.get(f"/instances/{one['id']}/file").content == file
    assert len(archive.get(f"/instances/{one['id']}/versions").json()) == 1


def test_other_bytes_stay_current_when_the_earlier_are_restored(archive: Archive) -> None:
    uids = {"SOPInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    first, second = (make_file(**uids, PatientID="other", ImageComments=text) for text in ("first", "second"))
    one = archive.store(first)
    archive.delete(f"/instances/{one['id']}")
    assert archive.store(second)["status"] == "stored"
    entry = entry_of(archive, one["id"], "instance")
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert archive.get(f"/instances/{one['id']}/file").content == second
    versions = archive.get(f"/instances/{one['id']}/versions").json()
    assert [each["current"] for each in versions] == [True, False]
    assert versions[1]["sha256"] == hashlib.sha256(first).hexdigest()
    assert archive.get(f"/instances/{one['id']}/file", version=versions[1]["sha256"]).content == first


# -- versions ------------------------------------------------------------------------------------------------


def test_versions_are_listed_given_and_restored(archive: Archive) -> None:
    files = versions_of(3)
    results = [archive.store(file) for file in files]
    assert [result["status"] for result in results] == ["stored", "replaced", "replaced"]
    assert [result.get("previous") for result in results] == [None, sha(files[0]), sha(files[1])]
    instance = results[0]["id"]
    listed = archive.get(f"/instances/{instance}/versions").json()
    assert [each["sha256"] for each in listed] == [sha(files[2]), sha(files[1]), sha(files[0])]
    assert [each["size"] for each in listed] == [len(file) for file in reversed(files)]
    for file in files:
        assert archive.get(f"/instances/{instance}/file", version=sha(file)).content == file
    archive.get(f"/instances/{instance}/file", 404, version="0" * 64)
    archive.get(f"/instances/{instance}/file", 422, version="nonsense")

    path = f"/api/instances/{instance}/versions/{sha(files[0])}/restore"
    assert archive.client.post(path).json()["sha256"] == sha(files[0])
    assert archive.get(f"/instances/{instance}/file").content == files[0]
    assert archive.client.post(path).status_code == 409
    assert {each["sha256"] for each in archive.get(f"/instances/{instance}/versions").json()} == set(map(sha, files))
    assert archive.get(f"/instances/{instance}").json()["image_comments"] == "version 0"


def test_the_bytes_of_an_earlier_version_sent_again_are_current_again(archive: Archive) -> None:
    first, second = versions_of(2)
    instance = archive.store(first)["id"]
    archive.store(second)
    assert archive.store(first)["status"] == "replaced"
    assert archive.get(f"/instances/{instance}/file").content == first
    listed = archive.get(f"/instances/{instance}/versions").json()
    assert [each["sha256"] for each in listed] == [sha(first), sha(second)]


def test_versions_are_in_the_trash_by_kind(archive: Archive) -> None:
    first, second = versions_of(2)
    instance = archive.store(first)["id"]
    archive.store(second)
    entry = entry_of(archive, instance)
    assert (entry["kind"], entry["sha256"], entry["instances"], entry["user"]) == ("version", sha(first), 1, None)
    archive.delete(f"/trash/{entry['id']}")
    assert len(archive.get(f"/instances/{instance}/versions").json()) == 1


# -- over time, a reindex and a crash ------------------------------------------------------------------------


def test_the_time_of_an_entry_ends(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--trash-days", "0.00002").start()  # under two seconds
    try:
        archive = Archive(server)
        [one] = archive.make()
        archive.delete(f"/instances/{one['id']}")
        wait_for(lambda: not archive.get("/trash").json(), "an empty trash")
        wait_for(lambda: not files_in(server, "trash"), "no files of it")
    finally:
        server.stop()


def test_without_a_trash_deletions_are_for_good(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--trash-days", "0").start()
    try:
        archive = Archive(server)
        first, second = versions_of(2)
        archive.store(first)
        instance = archive.store(second)["id"]
        assert len(archive.get(f"/instances/{instance}/versions").json()) == 1
        archive.delete(f"/instances/{instance}")
        assert archive.get("/trash").json() == []
        assert not [file for file in (server.data / "blobs").rglob("*") if file.is_file()]
    finally:
        server.stop()


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_reindex_brings_back_neither_deleted_files_nor_earlier_versions(tmp_path: Path, is_lost: bool) -> None:
    server = Server(tmp_path / "data").start()
    archive = Archive(server)
    first, second = versions_of(2)
    instance = archive.store(first)["id"]
    archive.store(second)
    [gone] = archive.make()
    archive.delete(f"/instances/{gone['id']}")
    server.stop()
    if is_lost:
        for file in server.data.glob("catalog.sqlite*"):
            file.unlink()
    command = [sys.executable, "-m", "neurdicom", "reindex", "--data", str(server.data)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    server.start()
    try:
        archive = Archive(server)
        assert archive.get(f"/instances/{instance}/file").content == second
        archive.get(f"/instances/{gone['id']}", 404)
        assert {each["kind"] for each in archive.get("/trash").json()} == {"version", "instance"}
        entry = entry_of(archive, gone["id"])
        assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
        archive.get(f"/instances/{gone['id']}")
        listed = archive.get(f"/instances/{instance}/versions").json()
        assert [each["sha256"] for each in listed] == [sha(second), sha(first)]
    finally:
        server.stop()


def test_an_entry_whose_files_are_gone_says_so(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    try:
        archive = Archive(server)
        [one] = archive.make()
        archive.delete(f"/instances/{one['id']}")
        [file] = [path for path in (server.data / "blobs" / "trash").rglob("*") if path.is_file()]
        file.unlink()
        entry = archive.get("/trash").json()[0]["id"]
        answer = archive.client.post(f"/api/trash/{entry}/restore")
        assert (answer.status_code, answer.json()["code"]) == (410, "gone")
        archive.delete(f"/trash/{entry}")
    finally:
        server.stop()


def kill_during(server: Server, method: str, path: str, delay: float) -> None:
    """Kill the server some seconds after a request was sent to it."""

    def ask() -> None:
        with suppress(httpx.HTTPError):
            server.client.request(method, path)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(delay)
    server.kill()
    asking.join()


def test_deletions_and_restorations_that_a_kill_cuts_short_are_finished(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    archive = Archive(server)
    made = archive.make(40)
    study = made[0]["study"]
    files = {one["id"]: archive.get(f"/instances/{one['id']}/file").content for one in made}
    for delay in (0.0, 0.002, 0.005, 0.01, 0.02):
        present = archive.client.get(f"/api/studies/{study}").status_code == 200
        entry = None if present else archive.get("/trash").json()[0]["id"]
        request = ("DELETE", f"/api/studies/{study}") if present else ("POST", f"/api/trash/{entry}/restore")
        kill_during(server, *request, delay)
        server.start()
        archive = Archive(server)
        count = len(archive.get("/instances", study_instance_uid=study, limit=1000).json())
        kept = sum(entry["instances"] for entry in archive.get("/trash").json())
        assert (count, kept) in ((40, 0), (0, 40))
    if archive.client.get(f"/api/studies/{study}").status_code == 404:
        archive.client.post(f"/api/trash/{archive.get('/trash').json()[0]['id']}/restore")
    assert {one: archive.get(f"/instances/{one}/file").content for one in files} == files
    server.stop()
