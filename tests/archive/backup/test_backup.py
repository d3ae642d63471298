"""`neurdicom backup` and `restore`, beside a server under load and on folders with damage."""

import asyncio
import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from neurdicom.archive.backup import copying
from neurdicom.catalog.sqlite.copy import CatalogCopy
from neurdicom.cli.main import main
from neurdicom.dicom.query.attributes import Level
from neurdicom.testing.blobs import put
from tests.support.api import upload
from tests.support.archive import archive
from tests.support.files import ROOT, dicom_file
from tests.support.packages import package
from tests.support.plugin_site import Site
from tests.support.server import Server
from tests.support.waiting import wait_for


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def back_up(data: Path, dest: Path, *options: object) -> Result:
    result = run("backup", dest, "--data", data, *options)
    assert result.exit_code == 0, result.output
    return result


def restored(dest: Path, data: Path, *options: object) -> Path:
    result = run("restore", dest, "--data", data, *options)
    assert result.exit_code == 0, result.output
    return data


def fill(data: Path, *numbers: int) -> None:
    async def add() -> None:
        async with archive(data) as stored:
            for number in numbers:
                await stored.add(dicom_file(number))

    asyncio.run(add())


def instances(data: Path) -> list[str]:
    """Ids in a data folder, whose files and catalog have to agree."""

    async def look() -> list[str]:
        async with archive(data) as stored:
            await stored.check()
            return await stored.instances()

    return asyncio.run(look())


def blobs(data: Path) -> dict[str, str]:
    """SHA-256 of all files of instances, by their path."""
    folder = data / "blobs" / "objects"
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*/*")
    }


def latest(dest: Path) -> Path:
    return sorted(dest.glob("2*Z"))[-1]


# -- beside a server ---------------------------------------------------------------------------------------------


def state(client: httpx.Client) -> dict[str, Any]:
    """What a server tells of all that a backup has."""
    paths = ("patients", "studies", "series", "instances", "users", "plugins", "nodes", "rules")
    lists = {path: client.get(f"/api/{path}").json() for path in paths}
    edits = {each["id"]: client.get(f"/api/patients/{each['id']}/edits").json() for each in lists["patients"]}
    return lists | {"edits": edits}


def load(url: str, stop: threading.Event, study: int) -> None:
    """Upload, replace and delete instances until told to stop."""
    with httpx.Client(base_url=url, timeout=60) as client:
        number = 0
        while not stop.is_set():
            number += 1
            upload(client, dicom_file(number, study=study))
            upload(client, dicom_file(number, study=study, PatientName="Other^Name"))
            if number % 2:
                assert client.delete(f"/api/instances/{ROOT}.{study}.1.{number}").status_code == 204


def test_a_backup_beside_a_server_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, dest, config = tmp_path / "data", tmp_path / "backups", tmp_path / "neurdicom.toml"
    config.write_text(f'data = "{data}"\nae_title = "CLINIC"\n', encoding="utf-8")
    with Server(data) as server:
        first = upload(server.client, dicom_file(1))["id"]
        site = Site(server, first)
        assert site.install(package()).status_code == 201
        account = {"email": "ann@example.org", "password": "correct horse"}
        assert server.client.post("/api/users", json=account).status_code == 201
        [patient] = server.client.get("/api/patients").json()
        edit = server.client.put(f"/api/patients/{patient['id']}", json={"patient_name": "Edited^Name"})
        assert edit.status_code == 200, edit.text

        stop = threading.Event()
        loads = [threading.Thread(target=load, args=(server.url, stop, study)) for study in (2, 3)]
        for thread in loads:
            thread.start()
        try:
            wait_for(lambda: len(server.client.get("/api/studies").json()) == 3, "the load")
            for _ in range(3):
                back_up(data, dest)
        finally:
            stop.set()
            for thread in loads:
                thread.join()
        for number, backup in enumerate(sorted(dest.glob("2*Z"))):
            assert first in instances(restored(dest, tmp_path / f"loaded-{number}", "--at", backup.name))
        assert run("backup", dest, "--verify").exit_code == 0

        upload(server.client, dicom_file(2))
        count = int(server.client.get("/api/instances?limit=1").headers["X-Total-Count"])
        wait_for(lambda: len(blobs(data)) == count, "held files to be deleted")
        before, files, deleted = state(server.client), {}, f"{ROOT}.1.1.2"
        raw = server.client.get(f"/api/instances/{deleted}/file").content

        def change(self: CatalogCopy) -> int:
            """Delete and upload after the copy of the catalog, before the files are copied."""
            files.update(blobs(data))
            assert server.client.delete(f"/api/instances/{deleted}").status_code == 204
            upload(server.client, dicom_file(3))
            assert set(files) < set(blobs(data)), "the file stays while the backup holds it"
            return len(files)

        monkeypatch.setattr(CatalogCopy, "count", change)
        result = run("backup", dest, "--config", config, "--keep", 1)
        assert result.exit_code == 0, result.output
        [(total, new)] = re.findall(r": (\d+) files .*, (\d+) of them new", result.output)
        assert int(new) < int(total) == len(files), "the others are there from the backups before"
        wait_for(lambda: len(blobs(data)) == len(files), "the held file to be deleted")  # one is new, one is gone
        assert server.client.get(f"/api/instances/{deleted}").status_code == 404
    assert [path.name for path in dest.glob("2*Z")] == [latest(dest).name]
    new = restored(dest, tmp_path / "new")
    assert blobs(new) == files
    assert (new / "settings.toml").read_bytes() == config.read_bytes()
    assert (new / "server-name").read_bytes() == (data / "server-name").read_bytes()
    with Server(new) as server:
        assert state(server.client) == before
        assert server.client.get(f"/api/instances/{deleted}/file").content == raw
        assert Site(server, first).run().status_code == 200


# -- on a folder -------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with three instances."""
    fill(tmp_path / "data", 1, 2, 3)
    return tmp_path / "data"


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def test_later_backups_copy_what_is_new_and_old_ones_go(data: Path, dest: Path, tmp_path: Path) -> None:
    assert "3 files (0.0 MB), 3 of them new" in back_up(data, dest).output
    first = latest(dest).name
    fill(data, 3, 4)

    async def delete() -> None:
        async with archive(data) as stored:
            keys = await stored.catalog.delete(Level.INSTANCE, f"{ROOT}.1.1.1")
            await stored.blobs.delete(keys or [])

    asyncio.run(delete())
    assert "3 files (0.0 MB), 1 of them new" in back_up(data, dest, "--keep", 2).output
    assert len(list(dest.glob("blobs/*/*"))) == 4
    assert instances(restored(dest, tmp_path / "first", "--at", first)) == [f"{ROOT}.1.1.{n}" for n in (1, 2, 3)]
    assert instances(restored(dest, tmp_path / "second")) == [f"{ROOT}.1.1.{n}" for n in (2, 3, 4)]
    assert blobs(tmp_path / "second") == blobs(data)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("second/blobs/objects/*/*")} == {0o400}
    assert "0 of them new" in back_up(data, dest, "--keep", 1).output
    assert {path.name for path in dest.glob("blobs/*/*")} == {Path(key).name for key in blobs(data)}
    assert run("restore", dest, "--data", tmp_path / "none", "--at", first).exit_code == 1
    for path in dest.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
        assert path.is_dir() or path.stat().st_nlink == 1, path
    sums = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=latest(dest), check=False)
    assert sums.returncode == 0, "the list is one that sha256sum reads"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "are expected"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "is damaged: its SHA-256 is"),
        (lambda path: (path.rename(path.with_suffix(".x")), path.symlink_to(path.with_suffix(".x"))), "is damaged"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_is_backed_up(
    data: Path, dest: Path, tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    [path, *_] = sorted((data / "blobs" / "objects").glob("*/*"))
    whole = path.read_bytes()
    path.chmod(0o600)
    spoil(path)
    result = run("backup", dest, "--data", data)
    assert result.exit_code == 1, result.output
    assert f"{path} is " in result.output and says in result.output
    result = run("restore", dest, "--data", tmp_path / "new")
    assert result.exit_code == 1 and str(path) in result.output
    assert len(blobs(tmp_path / "new")) == 2
    assert run("backup", dest, "--verify").exit_code == 0, "what there is, is whole"
    path.unlink(missing_ok=True)
    path.write_bytes(whole)
    assert "1 of them new" in back_up(data, dest).output


def test_what_a_killed_backup_leaves(data: Path, dest: Path, tmp_path: Path) -> None:
    program = (
        "import os, signal; from neurdicom.archive.backup import run; from neurdicom.cli.main import main\n"
        "run.write_text = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"main(['backup', {str(dest)!r}, '--data', {str(data)!r}])"
    )
    back_up(data, dest)
    fill(data, 4)
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -signal.SIGKILL
    left = latest(dest)
    assert len(list(dest.glob("2*Z"))) == 2 and not (left / "manifest.json").exists()
    assert len(instances(restored(dest, tmp_path / "first"))) == 3, "without a manifest it is none"
    assert run("reindex", "--data", data).exit_code == 1, "its hold ends with its lease"
    assert "4 files (0.0 MB), 0 of them new" in back_up(data, dest).output
    assert not left.exists()
    assert len(instances(restored(dest, tmp_path / "second"))) == 4


def test_a_disk_that_is_full_leaves_no_backup(data: Path, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> Any:
        raise OSError(28, "No space left on device")

    back_up(data, dest)
    fill(data, 4)
    with monkeypatch.context() as patch:
        patch.setattr(copying, "new_file", full)
        result = run("backup", dest, "--data", data)
    assert (result.exit_code, result.output) == (1, f"neurdicom: {dest} can't be written: No space left on device\n")
    assert len(list(dest.glob("2*Z"))) == 1
    assert list((dest / ".partial").iterdir()) == []
    assert "1 of them new" in back_up(data, dest).output


def test_places_that_are_refused(data: Path, dest: Path, tmp_path: Path) -> None:
    other, full = tmp_path / "other", tmp_path / "full"
    fill(other, 1)
    back_up(other, dest)
    full.mkdir()
    (full / "thesis.txt").touch()
    for place, says in (
        (data / "backups", "lie in one another"),
        (tmp_path, "lie in one another"),
        (dest, "another server"),
        (full, "'thesis.txt'"),
        (full / "thesis.txt", "is a file"),
    ):
        result = run("backup", place, "--data", data)
        assert result.exit_code == 2 and says in result.output, result.output
    assert run("backup", tmp_path / "new", "--data", tmp_path / "nowhere").exit_code == 2
    assert run("backup", full, "--verify").exit_code == 2
    assert run("restore", full, "--data", tmp_path / "new").exit_code == 2
    result = run("restore", dest, "--data", full)
    assert result.exit_code == 2 and "not empty" in result.output
    assert run("restore", dest, "--data", tmp_path / "new", "--at", "noon").exit_code == 2
    (data / "catalog.sqlite").unlink()
    result = run("backup", tmp_path / "new", "--data", data)
    assert result.exit_code == 1 and "reindex" in result.output
    assert not (data / "catalog.sqlite").exists()


def test_two_commands_at_once(data: Path, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results: dict[str, Result] = {}

    def meanwhile(self: CatalogCopy) -> int:
        for name, arguments in {
            "backup": ("backup", dest, "--data", data),
            "verify": ("backup", dest, "--verify"),
            "restore": ("restore", dest, "--data", tmp_path / "new"),
        }.items():
            results[name] = run(*arguments)
        return 3

    monkeypatch.setattr(CatalogCopy, "count", meanwhile)
    back_up(data, dest)
    assert {name: result.exit_code for name, result in results.items()} == dict.fromkeys(results, 1)
    assert len(results) == 3 and all("another command" in result.output for result in results.values())


# -- backups that are damaged, or lie ----------------------------------------------------------------------------


def test_damage_in_a_backup_is_found(data: Path, dest: Path, tmp_path: Path) -> None:
    back_up(data, dest)
    [path, *_] = sorted(dest.glob("blobs/*/*"))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    result = run("backup", dest, "--verify")
    assert result.exit_code == 1 and str(path) in result.output
    result = run("restore", dest, "--data", tmp_path / "new")
    assert result.exit_code == 1 and str(path) in result.output
    assert len(blobs(tmp_path / "new")) == 2
    catalog = latest(dest) / "catalog.sqlite"
    catalog.write_bytes(catalog.read_bytes() + b"!")
    assert run("backup", dest, "--verify").output.count("is damaged") == 2
    result = run("restore", dest, "--data", tmp_path / "other")
    assert result.exit_code == 1 and str(catalog) in result.output
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["lock"]


def sign(folder: Path, **changes: Any) -> None:
    """Make the manifest of a backup fit its list of files."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["sums"] = hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest | changes), encoding="utf-8")


ZEROS = "0" * 64


@pytest.mark.parametrize(
    "line",
    [
        f"{ZEROS}  ../../outside",
        f"{ZEROS}  /etc/passwd",
        f"{ZEROS}  plugins/../../outside.zip",
        f"{ZEROS}  plugins/{'1' * 64}.zip",
        f"{ZEROS}  ../blobs/../../outside",
        f"{ZEROS}  ../blobs/00000000/000000-{'1' * 64}-{'1' * 16}",
        f"{ZEROS}  catalog.sqlite",
        "",
        "\x00" * 80,
    ],
)
def test_a_list_of_files_that_lies_is_refused(data: Path, dest: Path, tmp_path: Path, line: str) -> None:
    back_up(data, dest)
    with (latest(dest) / "SHA256SUMS").open("a", encoding="utf-8") as sums:
        sums.write(line + "\n")
    assert "SHA-256" in run("restore", dest, "--data", tmp_path / "new").output
    sign(latest(dest))
    for command in (("restore", dest, "--data", tmp_path / "new"), ("backup", dest, "--verify")):
        result = run(*command)
        assert result.exit_code == 1 and "SHA256SUMS, line " in result.output, result.output
    assert not (tmp_path / "new" / "blobs").exists()
    back_up(data, dest)
    assert run("backup", dest, "--data", data, "--keep", 3).exit_code == 1, "nothing is deleted by a list that lies"
    assert len(list(dest.glob("blobs/*/*"))) == 3


@pytest.mark.parametrize(
    "changes",
    [{"format": 2}, {"format": True}, {"time": "20200101T000000.000000Z"}, {"files": "3"}, {"has_catalog": False}],
)
def test_a_manifest_that_lies_is_refused(data: Path, dest: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    back_up(data, dest)
    sign(latest(dest), **changes)
    result = run("restore", dest, "--data", tmp_path / "new")
    assert result.exit_code == 1 and str(latest(dest)) in result.output, result.output
    assert list((tmp_path / "new").iterdir() if (tmp_path / "new").exists() else iter(())) == [
        tmp_path / "new" / "lock"
    ]


def test_no_server_starts_in_a_folder_that_is_being_restored(data: Path, dest: Path, tmp_path: Path) -> None:
    back_up(data, dest)
    new = restored(dest, tmp_path / "new")
    (new / "restore-incomplete").touch()
    for command in (("serve", "--port", 0), ("user", "list"), ("reindex",), ("backup", tmp_path / "other")):
        result = run(command[0], "--data", new, *command[1:])
        assert result.exit_code == 2 and "being restored" in result.output, command


def test_unknown_files_are_backed_up_and_garbage_is_not(data: Path, dest: Path) -> None:
    async def spoil() -> None:
        async with archive(data) as stored:
            await stored.catalog.delete(Level.INSTANCE, f"{ROOT}.1.1.1")
            put(stored.blobs, dicom_file(9))

    asyncio.run(spoil())
    assert "3 files" in back_up(data, dest).output
