"""The trash and earlier versions: their files are checked and repaired, never restored damaged, and repair others."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import upload
from tests.support.backups import back_up
from tests.support.damage import file_of, flip, swap, truncate, verify
from tests.support.files import ROOT, dicom_file
from tests.support.nodes import NodesClient
from tests.support.server import Server
from tests.support.trash import files_in, held, sha
from tests.support.waiting import wait_for

UID = f"{ROOT}.1.1.1"
#: Time of arrival of a file, in seconds since the epoch: in 2001.
ARRIVAL = 1_000_000_000.0

FILE, OTHER = dicom_file(1), dicom_file(1, ContentLabel="OTHER")


def delete(server: Server, path: str = f"instances/{UID}") -> dict[str, Any]:
    """Delete an entity; answers its entry."""
    assert server.client.delete(f"/api/{path}").status_code == 204
    entry: dict[str, Any] = server.client.get("/api/trash").json()[0]
    return entry


def damaged_file(server: Server) -> Path:
    """Delete an instance, upload the same bytes again, and damage these."""
    upload(server.client, FILE)
    delete(server)
    assert upload(server.client, FILE)["status"] == "stored"
    path = file_of(server, UID)
    flip(path)
    return path


@pytest.mark.parametrize("by", ["data", "server"])
def test_a_file_is_repaired_from_the_trash(own: Server, by: str) -> None:
    damaged_file(own)
    status, report = verify(*(("--data", own.data) if by == "data" else ("--server", own.url)), "--repair")
    assert (status, report["damaged"], report["repaired"]) == (1, 1, 1)
    assert report["findings"][0]["repaired"] == "the trash"
    assert own.client.get(f"/api/instances/{UID}/file").content == FILE
    assert verify("--data", own.data)[0] == 0


def test_a_job_repairs_from_the_trash_only_if_it_is_told_to(own: Server) -> None:
    damaged_file(own)
    jobs = NodesClient(own.client)
    for body, repaired in (({}, 0), ({"repair": True}, 1)):
        job = jobs.ended(own.client.post("/api/storage/verify", json=body).json()["id"])
        assert (job["results"]["damaged"], job["results"]["repaired"]) == (1, repaired)
    assert own.client.get(f"/api/instances/{UID}/file").content == FILE
    assert own.client.post("/api/storage/verify", json={"repair": "yes"}).status_code == 422


def test_a_file_is_repaired_from_an_earlier_version(own: Server) -> None:
    """The damaged file is that of a version that was replaced, and is current again."""
    upload(own.client, FILE)
    upload(own.client, OTHER)
    upload(own.client, FILE)
    [version] = own.client.get("/api/trash").json()
    assert version["sha256"] == sha(OTHER)
    path = file_of(own, UID)
    # What a crash leaves: the version that is current again lies beside the other.
    left = own.data / "blobs" / "versions" / "left" / path.parent.name
    left.mkdir(parents=True)
    shutil.copy(path, left / path.name)
    path.unlink()
    assert verify("--data", own.data, "--repair")[1]["repaired"] == 1
    assert own.client.get(f"/api/instances/{UID}/file").content == FILE


def test_damaged_bytes_of_the_trash_repair_nothing(own: Server) -> None:
    damaged_file(own)
    flip(files_in(own, "trash")[0])
    status, report = verify("--data", own.data, "--repair")
    assert (status, report["damaged"], report["repaired"]) == (1, 2, 0)
    assert own.client.get(f"/api/instances/{UID}/file").status_code == 410


def test_damage_in_the_trash_is_told(own: Server) -> None:
    for number in (1, 2, 3):
        upload(own.client, dicom_file(number))
    delete(own, f"instances/{ROOT}.1.1.3")
    entry = delete(own, f"studies/{ROOT}.1")
    flip(files_in(own, "trash")[0])
    truncate(files_in(own, "trash")[-1])
    before = own.client.get("/api/health").json()["damaged_files"]
    status, report = verify("--data", own.data)
    assert (status, report["files"], report["damaged"], report["unknown"]) == (1, 3, 2, 0)
    found = {finding["entry"]: finding for finding in report["findings"]}
    of_study, of_instance = found[entry["id"]], next(each for id, each in found.items() if id != entry["id"])
    assert of_study["file"].startswith(f"trash/{entry['id']}/")
    assert (of_study["instance"], of_instance["instance"]) == (None, f"{ROOT}.1.1.3")
    assert f"in the trash with study {ROOT}.1" in of_study["detail"]
    assert {of_study["problem"], of_instance["problem"]} in ({"bytes", "size"}, {"bytes"})
    listed = own.client.get("/api/storage").json()["damaged"]
    assert (listed["count"], {each["entry"] for each in listed["files"]}) == (2, set(found))
    assert before == 0 == own.client.get("/api/health").json()["damaged_files"], "of files in use"
    for id in found:
        assert own.client.delete(f"/api/trash/{id}").status_code == 204
    assert own.client.get("/api/storage").json()["damaged"]["count"] == 0
    assert verify("--data", own.data)[0] == 0


def test_missing_files_of_an_entry_are_told(own: Server) -> None:
    for number in (1, 2, 3):
        upload(own.client, dicom_file(number))
    entry = delete(own, f"studies/{ROOT}.1")
    path = files_in(own, "trash")[0]
    path.rename(own.data / "away")
    status, report = verify("--data", own.data)
    [finding] = report["findings"]
    assert (status, finding["file"], finding["problem"]) == (1, f"trash/{entry['id']}", "missing")
    assert "1 of its 3 files are missing" in finding["detail"]
    answer = own.client.post(f"/api/trash/{entry['id']}/restore")
    assert (answer.status_code, answer.json()["code"]) == (410, "damaged"), answer.text
    (own.data / "away").rename(path)
    assert own.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert verify("--data", own.data)[0] == 0


def test_a_damaged_entry_is_not_restored(own: Server) -> None:
    for number in (1, 2):
        upload(own.client, dicom_file(number))
    entry = delete(own, f"studies/{ROOT}.1")
    flip(files_in(own, "trash")[1])
    answer = own.client.post(f"/api/trash/{entry['id']}/restore")
    assert (answer.status_code, answer.json()["code"]) == (410, "damaged")
    assert answer.json()["expected"] == sha(dicom_file(2)) != answer.json()["found"]
    assert own.client.get("/api/instances").json() == []
    assert own.client.get(f"/api/trash/{entry['id']}").json() == entry
    assert own.client.get("/api/storage").json()["damaged"]["count"] == 1


def test_swapped_files_of_an_entry_are_not_restored(own: Server) -> None:
    for number in (1, 2):
        upload(own.client, dicom_file(number))
    entry = delete(own, f"studies/{ROOT}.1")
    swap(*files_in(own, "trash"))
    assert own.client.post(f"/api/trash/{entry['id']}/restore").status_code == 410


def test_what_a_backup_keeps_in_the_store_is_compared_before_it_is_restored(own: Server) -> None:
    upload(own.client, FILE)
    path = file_of(own, UID)
    with held(own):
        entry = delete(own)
        flip(path)
        assert own.client.post(f"/api/trash/{entry['id']}/restore").status_code == 410
        flip(path)
        assert own.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert own.client.get(f"/api/instances/{UID}/file").content == FILE


def test_a_damaged_version_is_not_given_out(own: Server) -> None:
    upload(own.client, OTHER)
    upload(own.client, FILE)
    path = files_in(own, "versions")[0]
    version = f"/api/instances/{UID}/file?version={sha(OTHER)}"
    truncate(path)
    assert own.client.get(version).json()["code"] == "damaged", "a size is seen at once"
    path.chmod(0o600)
    path.write_bytes(OTHER)
    flip(path)
    status, report = verify("--data", own.data)
    assert (status, report["findings"][0]["problem"]) == (1, "bytes")
    assert (own.client.get(version).status_code, own.client.get(version).json()["expected"]) == (410, sha(OTHER))
    restore = f"/api/instances/{UID}/versions/{sha(OTHER)}/restore"
    assert own.client.post(restore).status_code == 410
    assert own.client.get(f"/api/instances/{UID}/file").content == FILE
    flip(path)
    assert verify("--data", own.data)[0] == 0
    assert own.client.get(version).content == OTHER
    assert own.client.post(restore).status_code == 200


def test_the_current_version_is_not_given_out_damaged_when_it_is_named(own: Server) -> None:
    upload(own.client, FILE)
    truncate(file_of(own, UID))
    answer = own.client.get(f"/api/instances/{UID}/file?version={sha(FILE)}")
    assert (answer.status_code, answer.json()["code"]) == (410, "damaged")


def test_damage_goes_along_into_the_trash(own: Server) -> None:
    """The alert ends with the deletion, and the file is known to be damaged where it lies."""
    upload(own.client, FILE)
    flip(file_of(own, UID))
    assert verify("--data", own.data)[0] == 1
    assert own.client.get("/api/health").json()["damaged_files"] == 1
    upload(own.client, OTHER)
    assert own.client.get("/api/health").json()["damaged_files"] == 0
    assert own.client.get(f"/api/instances/{UID}/file?version={sha(FILE)}").status_code == 410


def test_the_trash_is_repaired_from_a_backup(own: Server, tmp_path: Path) -> None:
    for number in (1, 2):
        upload(own.client, dicom_file(number))
    upload(own.client, OTHER)
    entry = delete(own, f"studies/{ROOT}.1")
    back_up(own.data, tmp_path / "backups")
    for path in files_in(own, "trash") + files_in(own, "versions"):
        flip(path)
        os.utime(path, (ARRIVAL, ARRIVAL))  # a disk that fails changes no time
    status, report = verify("--data", own.data, "--repair", "--from", tmp_path / "backups")
    assert (status, report["damaged"], report["repaired"]) == (1, 3, 3)
    assert verify("--data", own.data)[0] == 0
    assert own.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert own.client.get(f"/api/instances/{UID}/file").content == OTHER
    assert own.client.get(f"/api/instances/{UID}/file?version={sha(FILE)}").content == FILE
    assert own.client.get(f"/api/instances/{ROOT}.1.1.2").json()["received"][:4] == "2001"


def test_the_background_check_reads_the_trash(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        upload(server.client, FILE)
        delete(server)
        flip(files_in(server, "trash")[0])
    with Server(tmp_path / "data", "--verify-days", "0.00001") as server:
        found = wait_for(
            lambda: server.client.get("/api/storage").json(), "a check", holds=lambda found: found["last_check"]
        )
        assert (found["last_check"]["damaged"], found["damaged"]["count"]) == (1, 1)
