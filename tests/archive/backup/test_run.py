"""`neurdicom backup` of folders: what is new, what is damaged, what was killed, and places that are refused."""

import asyncio
import hashlib
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from pymongo import MongoClient

from neurdicom.archive.backup import copying
from neurdicom.catalog.sqlite.copy import CatalogCopy
from neurdicom.dicom.query.attributes import Level
from neurdicom.testing.blob_suite import put
from tests.support.api import upload
from tests.support.archive import archive
from tests.support.backups import back_up, blobs, fill, instances, latest, restored, run
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server


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


def test_a_file_that_is_lost_later_is_in_the_backup_still(data: Path, dest: Path, tmp_path: Path) -> None:
    back_up(data, dest)
    [path, *_] = sorted((data / "blobs" / "objects").glob("*/*"))
    path.unlink()
    result = run("backup", dest, "--data", data)
    assert result.exit_code == 1 and f"{path} is missing; the backup has it" in result.stderr
    result = run("restore", dest, "--data", tmp_path / "new")
    assert result.exit_code == 0 and "3 files" in result.output, "nothing is missing in the backup"
    assert len(instances(tmp_path / "new")) == 3


def test_settings_that_are_a_symbolic_link(data: Path, dest: Path, tmp_path: Path) -> None:
    """As in a mounted ConfigMap."""
    config = tmp_path / "neurdicom.toml"
    config.write_text('ae_title = "CLINIC"\n', encoding="utf-8")
    (tmp_path / "link.toml").symlink_to(config)
    back_up(data, dest, "--config", tmp_path / "link.toml")
    assert (latest(dest) / "settings.toml").read_bytes() == config.read_bytes()


def test_a_strange_file_among_those_of_instances(data: Path, dest: Path) -> None:
    back_up(data, dest)
    (dest / "blobs" / ".DS_Store").touch()
    back_up(data, dest, "--keep", 1)
    assert len(list(dest.glob("2*Z"))) == 1 and (dest / "blobs" / ".DS_Store").exists()


def test_packages_that_are_missing_or_damaged_are_named(data: Path, dest: Path, tmp_path: Path) -> None:
    whole = b"an archive"
    digests = {"whole": hashlib.sha256(whole).hexdigest(), "damaged": "1" * 64, "missing": "2" * 64}
    (data / "models").mkdir()
    for name in ("whole", "damaged"):
        (data / "models" / f"{digests[name]}.zip").write_bytes(whole)

    async def install() -> None:
        async with archive(data) as stored:
            await stored.catalog.documents.put("model", {name: {"digest": digest} for name, digest in digests.items()})

    asyncio.run(install())
    result = run("backup", dest, "--data", data)
    damaged, missing = result.stderr.splitlines()
    assert run("backup", dest, "--data", data, "--keep", 1).exit_code == 1
    assert len(list(dest.glob("2*Z"))) == 2, "an older one may have what the latest lacks"
    assert f"{digests['damaged']}.zip is damaged" in damaged
    assert f"{digests['missing']}.zip, the archive of a model, is missing" in missing
    assert run("restore", dest, "--data", tmp_path / "new").exit_code == 1
    assert [path.name for path in (tmp_path / "new" / "models").iterdir()] == [f"{digests['whole']}.zip"]


def test_folders_in_the_places_of_files_are_named(data: Path, dest: Path) -> None:
    shard = next((data / "blobs" / "objects").iterdir())
    places = [shard / f"000000-{'1' * 64}-{'1' * 16}", data / "models" / f"{'2' * 64}.zip"]
    for place in places:
        place.mkdir(parents=True)
    result = run("backup", dest, "--data", data)
    assert result.exit_code == 1 and "3 files" in result.stdout
    for place in places:
        assert f"{place} can't be read: it is no regular file" in result.stderr


def test_with_mongodb_the_files_are_backed_up(mongodb_uri: str, dest: Path, tmp_path: Path) -> None:
    """And the catalog is the business of MongoDB's own tools, as is said."""
    uri = f"{mongodb_uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"
    with Server(tmp_path / "data", "--mongodb-uri", uri) as server:
        study = upload(server.client, dicom_file(1))["study"]
        result = run("backup", dest, "--data", tmp_path / "data", "--mongodb-uri", uri)
    assert result.exit_code == 0 and "mongodump" in result.stderr and uri not in result.output
    result = run("restore", dest, "--data", tmp_path / "new")
    assert result.exit_code == 0 and "mongorestore" in result.stderr
    assert f"{ROOT}.1" == study and not (tmp_path / "new" / "catalog.sqlite").exists()
    result = run("reindex", "--data", tmp_path / "new", "--mongodb-uri", f"{uri}_restored")
    with MongoClient(uri) as client:
        client.drop_database(f"{uri.rpartition('/')[2]}_restored")
    assert result.output.startswith("1 files: 1 instances"), result.output


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
    result = run("restore", dest, "--data", dest / ".partial")  # the next backup would empty it
    assert result.exit_code == 2 and "lie in one another" in result.output
    for time in ("noon", "0001-01-01T00:00+12:00", "9999-12-31T23:00-12:00"):
        result = run("restore", dest, "--data", tmp_path / "new", "--at", time)
        assert result.exit_code == 2 and time in result.output
    assert run("restore", dest, "--data", tmp_path / "new", "--at", "0005-01-01").exit_code == 1
    (data / "catalog.sqlite").write_bytes(b"")
    result = run("backup", tmp_path / "new", "--data", data)
    assert result.exit_code == 1 and "is an empty file" in result.output
    (data / "catalog.sqlite").unlink()
    result = run("backup", tmp_path / "new", "--data", data)
    assert result.exit_code == 1 and "reindex" in result.output
    assert not (data / "catalog.sqlite").exists()
    (data / "server-name").write_bytes(b"\xff")
    (data / "catalog.sqlite").write_bytes(b"any")
    result = run("backup", tmp_path / "new", "--data", data)
    assert result.exit_code == 2 and "server-name is damaged" in result.output


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


def test_a_clock_that_was_set_back(data: Path, dest: Path) -> None:
    back_up(data, dest)
    later = latest(dest).rename(dest / "29991231T000000.000000Z")
    result = run("backup", dest, "--data", data, "--keep", 1)
    assert result.exit_code == 1 and f"{later.name}, which is later than now" in result.output
    assert [path.name for path in dest.glob("2*Z")] == [later.name]


def test_unknown_files_are_backed_up_and_garbage_is_not(data: Path, dest: Path) -> None:
    async def spoil() -> None:
        async with archive(data) as stored:
            await stored.catalog.delete(Level.INSTANCE, f"{ROOT}.1.1.1")
            put(stored.blobs, dicom_file(9))

    asyncio.run(spoil())
    assert "3 files" in back_up(data, dest).output
