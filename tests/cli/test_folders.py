"""Data folders that are none, as commands are typed in the wrong place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neurdicom.data_folder import require_data_folder
from neurdicom.errors import Invalid

COMMANDS = (
    ("user", "list"),
    ("user", "token", "ann@example.org"),
    ("user", "passwd", "ann@example.org"),
    ("node", "list"),
    ("node", "remove", "x"),
    ("reindex",),
    ("process", "a.guid", "--all", "--data", "neurdicom-data"),
)


def neurdicom(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit status, and what is said, of a command typed in a folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NEURDICOM_")}
    done = subprocess.run(
        [sys.executable, "-m", "neurdicom", *arguments],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        input="correct horse\n",
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command[:2]))
def test_the_wrong_folder_is_refused_and_left_as_it_is(command: tuple[str, ...], tmp_path: Path) -> None:
    status, told = neurdicom(tmp_path, *command)
    assert (status, "does not exist" in told, "--data" in told) == (2, True, True), told
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_data_folder(tmp_path: Path) -> None:
    """A folder of something else, and a file."""
    pictures = tmp_path / "neurdicom-data"
    pictures.mkdir()
    (pictures / "holiday.jpg").write_bytes(b"")
    for command in (("user", "list"), ("reindex",)):
        status, told = neurdicom(tmp_path, *command)
        assert (status, "is not the data folder" in told) == (2, True), told
    assert [file.name for file in pictures.iterdir()] == ["holiday.jpg"]
    file = str(pictures / "holiday.jpg")
    for arguments in (("serve", "--data", file), ("reindex", "--data", file), ("user", "--data", f"{file}/x", "list")):
        status, told = neurdicom(tmp_path, *arguments)
        assert (status, "neurdicom: " in told) == (2, True), told


def test_help_needs_no_data_folder(tmp_path: Path) -> None:
    assert neurdicom(tmp_path, "user", "add", "--help")[0] == 0


def test_a_folder_before_the_first_start(tmp_path: Path) -> None:
    """The environment may name it; what the commands of a client read does not stop those of the server."""
    environment = {
        "NEURDICOM_DATA": "made",
        "NEURDICOM_SERVER": "http://x",
        "NEURDICOM_TOKEN": "x",
        "NEURDICOM_POT": "1",
    }
    status, told = neurdicom(tmp_path, "user", "--create", "add", "ann@example.org", **environment)
    assert (status, "NEURDICOM_POT" in told) == (0, True), told
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    status, told = neurdicom(tmp_path, "user", "list", **environment)
    assert (status, "ann@example.org" in told) == (0, True), told


def test_demo_outside_a_checkout(tmp_path: Path) -> None:
    status, told = neurdicom(tmp_path, "demo", "--once", "--port", "0")
    assert (status, "is not a checkout of NeurDICOM" in told, "--sources" in told) == (2, True, True), told
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_of_another_user(tmp_path: Path) -> None:
    user = os.geteuid()
    tmp_path.chmod(0)
    if not user:
        os.seteuid(65534)  # root may look into every folder
    try:
        with pytest.raises(Invalid, match="not readable for this user"):
            require_data_folder(tmp_path)
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
