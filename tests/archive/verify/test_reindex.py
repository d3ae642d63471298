"""A reindex names what is missing and what has changed, and enters no changed file as good."""

import subprocess
import sys

from tests.support.api import upload
from tests.support.damage import file_of, flip, swap, verify
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server

UIDS = [f"{ROOT}.1.1.{number}" for number in range(1, 6)]
FILES = [dicom_file(number, ContentLabel=f"N{number}") for number in range(1, 6)]


def reindex(server: Server, *options: str) -> str:
    """Reindex the folder of a stopped server; what the command prints."""
    command = [sys.executable, "-m", "neurdicom", "reindex", "--data", str(server.data), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_missing_and_changed(own: Server) -> None:
    for file in FILES:
        upload(own.client, file)
    paths = [file_of(own, uid) for uid in UIDS]
    flip(paths[0])
    paths[1].unlink()
    swap(paths[2], paths[3])
    own.stop()
    printed = reindex(own)
    assert "4 files: 4 instances, 0 older versions removed, 0 not readable" in printed
    assert "1 missing, 3 changed" in printed
    lines = printed.splitlines()
    assert any("missing" in line and UIDS[1] in line for line in lines[1:])
    assert {uid for uid in UIDS if any("changed" in line and uid in line for line in lines)} == {
        UIDS[0],
        UIDS[2],
        UIDS[3],
    }
    own.start()
    statuses = [own.client.get(f"/api/instances/{uid}/file").status_code for uid in UIDS]
    assert statuses == [410, 404, 410, 410, 200]
    assert own.client.get("/api/health").json()["damaged_files"] == 3
    for file in FILES:
        upload(own.client, file)
    assert [own.client.get(f"/api/instances/{uid}/file").content for uid in UIDS] == FILES
    assert own.client.get("/api/health").json()["damaged_files"] == 0
    status, report = verify("--data", own.data)
    assert (status, report["damaged"]) == (1, 2), "the swapped files are earlier versions now"
    assert all(finding["file"].startswith("versions/") for finding in report["findings"])
    for entry in own.client.get("/api/trash").json():
        assert own.client.delete(f"/api/trash/{entry['id']}").status_code == 204
    assert verify("--data", own.data)[0] == 0


def test_a_file_that_can_not_be_read_any_more_is_named(own: Server) -> None:
    upload(own.client, FILES[0])
    path = file_of(own, UIDS[0])
    path.chmod(0o600)
    path.write_bytes(FILES[0][:-5])
    own.stop()
    printed = reindex(own)
    assert "0 instances" in printed
    assert "1 not readable" in printed
    assert f"{path.parent.name}/{path.name}: changed; not entered" in printed


def test_a_repaired_file_is_good_again(own: Server) -> None:
    upload(own.client, FILES[0])
    path = file_of(own, UIDS[0])
    flip(path)
    assert verify("--data", own.data)[0] == 1
    own.stop()
    path.chmod(0o600)
    path.write_bytes(FILES[0])
    assert "0 missing, 0 changed" in reindex(own)
    own.start()
    assert own.client.get(f"/api/instances/{UIDS[0]}/file").content == FILES[0]


def test_quick_does_not_read_the_files(own: Server) -> None:
    upload(own.client, FILES[0])
    upload(own.client, FILES[1])
    flip(file_of(own, UIDS[0]))
    file_of(own, UIDS[1]).unlink()
    own.stop()
    assert "1 missing, 0 changed" in reindex(own, "--quick")
