"""`neurdicom restore`, and `backup --verify`, of backups that are damaged or lie."""

import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.backups import back_up, blobs, latest, restored, run, sign


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


ZEROS = "0" * 64


@pytest.mark.parametrize(
    "line",
    [
        f"{ZEROS}  ../../outside",
        f"{ZEROS}  /etc/passwd",
        f"{ZEROS}  plugins/../../outside.zip",
        f"{ZEROS}  plugins/{'1' * 64}.zip",
        f"{ZEROS}  ../blobs/../../outside",
        f"# trash/../../outside\n{ZEROS}  ../blobs/99999999/000000-{ZEROS}-{'1' * 16}",
        f"# trash/a\n# trash/b\n{ZEROS}  ../blobs/99999999/000000-{ZEROS}-{'1' * 16}",
        f"# objects/a\n{ZEROS}  ../blobs/99999999/000000-{ZEROS}-{'1' * 16}",
        f"# trash/a\n{ZEROS}  plugins/{ZEROS}.zip",
        "# trash/a",
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
        assert result.exit_code == 1 and "SHA256SUMS" in result.output, result.output
    assert not (tmp_path / "new" / "blobs").exists()
    back_up(data, dest)
    assert run("backup", dest, "--data", data, "--keep", 3).exit_code == 1, "nothing is deleted by a list that lies"
    assert len(list(dest.glob("blobs/*/*"))) == 3


@pytest.mark.parametrize(
    "changes",
    [{"format": 3}, {"format": True}, {"time": "20200101T000000.000000Z"}, {"files": "3"}, {"has_catalog": False}],
)
def test_a_manifest_that_lies_is_refused(data: Path, dest: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    back_up(data, dest)
    sign(latest(dest), **changes)
    result = run("restore", dest, "--data", tmp_path / "new")
    assert result.exit_code == 1 and str(latest(dest)) in result.output, result.output
    assert list((tmp_path / "new").iterdir() if (tmp_path / "new").exists() else iter(())) == [
        tmp_path / "new" / "lock"
    ]


def test_a_manifest_that_is_nested_too_deep_is_refused(data: Path, dest: Path, tmp_path: Path) -> None:
    back_up(data, dest)
    for path in (latest(dest) / "manifest.json", dest / "neurdicom-backups.json"):
        path.write_text("[" * 100_000, encoding="utf-8")
        result = run("restore", dest, "--data", tmp_path / "new")
        assert result.exit_code and f"{path.name} can't be read" in result.output, result.output


def test_more_backups_than_files_may_be_open(data: Path, dest: Path) -> None:
    back_up(data, dest)
    for number in range(40):
        copy = shutil.copytree(latest(dest), dest / f"99990101T0000{number:02}.000000Z")
        sign(copy, time=copy.name)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 30, limits[1]))
    try:
        result = run("backup", dest, "--verify")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert result.exit_code == 0 and result.output.startswith("41 backups"), result.output


def test_no_server_starts_in_a_folder_that_is_being_restored(data: Path, dest: Path, tmp_path: Path) -> None:
    back_up(data, dest)
    new = restored(dest, tmp_path / "new")
    (new / "restore-incomplete").touch()
    for command in (("serve", "--port", 0), ("user", "list"), ("reindex",), ("backup", tmp_path / "other")):
        result = run(command[0], "--data", new, *command[1:])
        assert result.exit_code == 2 and "being restored" in result.output, command
