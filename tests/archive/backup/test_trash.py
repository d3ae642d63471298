"""Backups of the trash and of earlier versions, also while these change, and their restore to the same places."""

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from neurdicom.archive.backup import set_aside
from neurdicom.catalog.sqlite.copy import CatalogCopy
from tests.support.archive_client import Archive
from tests.support.backups import back_up, latest, restored, run, sign
from tests.support.server import Server
from tests.support.trash import files_in, held, sha, versions_of
from tests.support.waiting import wait_for


def lies(folder: Path) -> dict[str, str]:
    """SHA-256 of all files of a blob store by their path in it."""
    blobs = folder / "blobs"
    return {
        path.relative_to(blobs).as_posix(): sha(path.read_bytes())
        for kind in ("objects", "trash", "versions")
        for path in (blobs / kind).rglob("*")
        if path.is_file()
    }


def fill_trash(archive: Archive) -> dict[str, bytes]:
    """Delete an instance and a study, and replace an instance; answers the bytes by SOP Instance UID."""
    made, study = archive.make(2), archive.make(2)
    files = {one["id"]: archive.get(f"/instances/{one['id']}/file", original="true").content for one in (*made, *study)}
    archive.delete(f"/instances/{made[0]['id']}?reason=wrong")
    archive.put(f"/studies/{study[0]['study']}", {"study_description": "edited"})
    archive.delete(f"/studies/{study[0]['study']}")
    first, second = versions_of(2)
    files[archive.store(first)["id"]] = second
    archive.store(second)
    return files


def trash_of(archive: Archive) -> list[dict[str, Any]]:
    """All entries, by id."""
    entries: list[dict[str, Any]] = archive.get("/trash", limit=1000).json()
    return sorted(entries, key=lambda entry: entry["id"])


def restore_all(archive: Archive) -> None:
    """Restore all deletions."""
    for entry in trash_of(archive):
        if entry["kind"] != "version":
            answer = archive.client.post(f"/api/trash/{entry['id']}/restore")
            assert answer.status_code == 200, answer.text


def test_the_trash_and_earlier_versions_come_back(tmp_path: Path) -> None:
    data, dest = tmp_path / "data", tmp_path / "backups"
    with Server(data) as server:
        archive = Archive(server)
        [early] = archive.make()
        early_file = archive.get(f"/instances/{early['id']}/file").content
        assert "1 files (0.0 MB), 1 of them new" in back_up(data, dest).output
        archive.delete(f"/instances/{early['id']}")
        files = fill_trash(archive) | {early["id"]: early_file}
        assert "2 files (0.0 MB) and 5 in the trash (0.0 MB), 6 of them new" in back_up(data, dest).output
        manifest = json.loads((latest(dest) / "manifest.json").read_text(encoding="utf-8"))
        assert (manifest["files"], manifest["set_aside"]) == (2, 5)
        entries = trash_of(archive)
        instance = next(entry["uids"]["sop_instance_uid"] for entry in entries if entry["kind"] == "version")
        versions = archive.get(f"/instances/{instance}/versions").json()
    new = restored(dest, tmp_path / "new")
    assert lies(new) == lies(data)
    assert {path.stat().st_mode & 0o777 for path in new.glob("blobs/trash/*/*/*")} == {0o400}
    with Server(new) as server:
        archive = Archive(server)
        assert trash_of(archive) == entries
        assert archive.get(f"/instances/{instance}/versions").json() == versions
        earlier = versions[1]["sha256"]
        assert sha(archive.get(f"/instances/{instance}/file", version=earlier).content) == earlier
        assert archive.client.post(f"/api/instances/{instance}/versions/{earlier}/restore").status_code == 200
        assert sha(archive.get(f"/instances/{instance}/file").content) == earlier
        assert archive.client.post(f"/api/instances/{instance}/versions/{sha(files[instance])}/restore").is_success
        restore_all(archive)
        assert {one: archive.get(f"/instances/{one}/file", original="true").content for one in files} == files
        [study] = [entry["uids"]["study_instance_uid"] for entry in entries if entry["kind"] == "study"]
        assert archive.get(f"/studies/{study}").json()["study_description"] == "edited"
    assert "6 files (0.0 MB) and 1 in the trash (0.0 MB), 0 of them new" in back_up(new, dest).output


def test_a_backup_has_the_trash_as_it_was_when_the_catalog_was_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deletions, restorations and replacements after the catalog was copied do not change the backup."""
    data, dest = tmp_path / "data", tmp_path / "backups"
    with Server(data) as server:
        archive = Archive(server)
        files = fill_trash(archive)
        kept = archive.make(2)
        before, there = trash_of(archive), lies(data)
        listed = archive.get("/instances", limit=1000).json()
        count = CatalogCopy.count

        def change(self: CatalogCopy) -> int:
            for entry in before:
                kind = entry["kind"]
                if kind == "instance":
                    archive.delete(f"/trash/{entry['id']}")
                else:
                    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
            archive.delete(f"/instances/{kept[0]['id']}")
            archive.delete(f"/instances/{kept[1]['id']}?purge=true")
            return count(self)

        monkeypatch.setattr(CatalogCopy, "count", change)
        back_up(data, dest)
        assert {entry["kind"] for entry in trash_of(archive)} == {"version", "instance"}
    new = restored(dest, tmp_path / "new")
    assert lies(new) == there
    with Server(new) as server:
        archive = Archive(server)
        assert trash_of(archive) == before
        assert archive.get("/instances", limit=1000).json() == listed
        restore_all(archive)
        assert {one: archive.get(f"/instances/{one}/file", original="true").content for one in files} == files


def test_a_backup_has_what_another_has_kept_in_the_store(tmp_path: Path) -> None:
    """A deletion whose file is still among those in use is in the trash of the restored folder."""
    data, dest = tmp_path / "data", tmp_path / "backups"
    with Server(data) as server:
        archive = Archive(server)
        [one] = archive.make()
        with held(server):
            archive.delete(f"/instances/{one['id']}")
            first, second = versions_of(2)
            instance = archive.store(first)["id"]
            archive.store(second)
            assert len(files_in(server, "objects")) == 3
            assert "1 files (0.0 MB) and 2 in the trash" in back_up(data, dest).output
    with Server(restored(dest, tmp_path / "new")) as server:
        archive = Archive(server)
        assert len(files_in(server, "objects")) == 1
        restore_all(archive)
        archive.get(f"/instances/{one['id']}/file")
        assert archive.get(f"/instances/{instance}/file", version=sha(first)).content == first


def use_trash(url: str, stop: threading.Event, faults: list[str]) -> None:
    """Delete, restore, empty and replace until told to stop."""
    with httpx.Client(base_url=url, timeout=60) as client:
        versions = [versions_of(3) for _ in range(4)]
        ids = []
        for files in versions:
            for file in files:
                answer = client.post("/api/instances", content=file, headers={"Content-Type": "application/dicom"})
            ids.append(answer.json()["results"][0]["id"])
        number = 0
        while not stop.is_set():
            number += 1
            one, files = ids[number % 4], versions[number % 4]
            content = files[number % 3]
            headers = {"Content-Type": "application/dicom"}
            requests: list[tuple[str, str, dict[str, Any]]] = [
                ("DELETE", f"/api/instances/{one}", {}),
                ("POST", "/api/instances", {"content": content, "headers": headers}),
                ("POST", f"/api/instances/{one}/versions/{sha(files[(number + 1) % 3])}/restore", {}),
            ]
            for method, path, more in requests:
                if client.request(method, path, **more).status_code not in (200, 201, 204, 404, 409):
                    faults.append(f"{method} {path}")
            for position, entry in enumerate(client.get("/api/trash?limit=20").json()):
                path = f"/api/trash/{entry['id']}"
                request = ("DELETE", path) if position % 3 else ("POST", f"{path}/restore")
                if (status := client.request(*request).status_code) not in (200, 204, 404, 409):
                    faults.append(f"{request}: {status}")


def test_backups_while_the_trash_is_used(tmp_path: Path) -> None:
    data, dest = tmp_path / "data", tmp_path / "backups"
    stop, faults = threading.Event(), list[str]()
    with Server(data) as server:
        users = [threading.Thread(target=use_trash, args=(server.url, stop, faults)) for _ in range(2)]
        for user in users:
            user.start()
        try:
            wait_for(lambda: server.client.get("/api/trash").json(), "something in the trash")
            for _ in range(4):
                back_up(data, dest)
                time.sleep(0.3)
        finally:
            stop.set()
            for user in users:
                user.join()
    assert faults == []
    assert run("backup", dest, "--verify").exit_code == 0
    for number, backup in enumerate(sorted(dest.glob("2*Z"))):
        with Server(restored(dest, tmp_path / str(number), "--at", backup.name)) as server:
            archive = Archive(server)
            entries = trash_of(archive)
            found = Counter(path.parts[-3] for kind in ("trash", "versions") for path in files_in(server, kind))
            assert found == Counter({entry["id"]: entry["instances"] for entry in entries})
            assert [entry for entry in entries if entry["reason"]] == [], "no record was lost"
            for one in archive.get("/instances", limit=1000).json():
                assert sha(archive.get(f"/instances/{one['id']}/file").content) == one["sha256"]
                for version in archive.get(f"/instances/{one['id']}/versions").json():
                    content = archive.get(f"/instances/{one['id']}/file", version=version["sha256"]).content
                    assert sha(content) == version["sha256"]
            assert len(files_in(server, "objects")) == len(archive.get("/instances", limit=1000).json())
            restore_all(archive)
        assert run("verify", "--data", server.data).exit_code == 0


def test_damage_in_the_trash_is_named(tmp_path: Path) -> None:
    data, dest = tmp_path / "data", tmp_path / "backups"
    with Server(data) as server:
        archive = Archive(server)
        fill_trash(archive)
        path = files_in(server, "versions")[0]
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    result = run("backup", dest, "--data", data)
    assert result.exit_code == 1 and f"{path} is damaged" in result.stderr
    assert "and 3 in the trash" in result.stdout
    [other, *_] = files_in(server, "trash")
    copied = dest / "blobs" / "/".join(other.parts[-2:])
    copied.chmod(0o600)
    copied.write_bytes(b"!")
    result = run("backup", dest, "--verify")
    assert result.exit_code == 1 and f"{copied} is damaged" in result.stderr
    result = run("restore", dest, "--data", tmp_path / "new")
    assert result.exit_code == 1 and "and 2 in the trash" in result.stdout


def test_a_backup_of_the_first_form_is_restored_without_the_trash(tmp_path: Path) -> None:
    data, dest = tmp_path / "data", tmp_path / "backups"
    with Server(data) as server:
        fill_trash(Archive(server))
    back_up(data, dest)
    sums = latest(dest) / "SHA256SUMS"
    lines = sums.read_text(encoding="ascii").splitlines()
    kept = [line for last, line in zip(["", *lines], lines, strict=False) if not (line + last).count("#")]
    sums.write_text("\n".join(kept) + "\n", encoding="ascii")
    sign(latest(dest), leave_out=("set_aside",), format=1)
    with Server(restored(dest, tmp_path / "new")) as server:
        archive = Archive(server)
        assert len(trash_of(archive)) == 3 and files_in(server, "trash") == []
        for entry in trash_of(archive):
            answer = archive.client.post(f"/api/trash/{entry['id']}/restore")
            assert (answer.status_code, answer.json()["code"]) == (410, "gone")
            archive.delete(f"/trash/{entry['id']}")


@pytest.fixture
def mongodb(mongodb_uri: str) -> Iterator[str]:
    """The URI of a new database."""
    uri = f"{mongodb_uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"
    yield uri
    with MongoClient[Any](uri) as client:
        client.drop_database(uri.rpartition("/")[2])


def test_with_mongodb_the_files_of_the_trash_are_backed_up(tmp_path: Path, mongodb: str) -> None:
    data, dest = tmp_path / "data", tmp_path / "backups"
    with Server(data, "--mongodb-uri", mongodb) as server:
        files = fill_trash(Archive(server))
        result = run("backup", dest, "--data", data, "--mongodb-uri", mongodb)
        assert result.exit_code == 0 and "2 files (0.0 MB) and 4 in the trash" in result.output
    new = restored(dest, tmp_path / "new")
    assert lies(new) == lies(data)
    with Server(new, "--mongodb-uri", mongodb) as server:  # as after mongorestore
        archive = Archive(server)
        restore_all(archive)
        assert {one: archive.get(f"/instances/{one}/file", original="true").content for one in files} == files


def test_lists_are_sorted_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_aside, "_LINES", 7)
    lines = [f"{number * 37 % 100:03}\n" for number in range(100)]
    assert list(set_aside.sorted_lines(lines, tmp_path)) == sorted(lines)
    assert list(set_aside.sorted_lines([], tmp_path)) == [] == list(tmp_path.iterdir())
