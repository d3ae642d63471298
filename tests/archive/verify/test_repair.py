"""Repairs of damaged files by the command: from backups, folders and nodes, and never with other bytes."""

import shutil
from pathlib import Path

import pytest

from tests.support.api import upload
from tests.support.backups import back_up
from tests.support.damage import file_of, flip, problems, rewrite, swap, truncate, verify
from tests.support.faulty import FaultyServer, multipart
from tests.support.files import ROOT, dicom_file
from tests.support.nodes import NodesClient
from tests.support.server import Server
from tests.support.waiting import wait_for

UIDS = [f"{ROOT}.1.1.{number}" for number in range(1, 6)]
FILES = [dicom_file(number, ContentLabel=f"N{number}") for number in range(1, 6)]


def damage_all(server: Server) -> None:
    """Store five files, and damage each in another way."""
    for file in FILES:
        upload(server.client, file)
    paths = [file_of(server, uid) for uid in UIDS]
    flip(paths[0])
    truncate(paths[1])
    paths[2].unlink()
    swap(paths[3], paths[4])


def check_all(server: Server) -> None:
    """Check that all files are given out as they were received."""
    for uid, file in zip(UIDS, FILES, strict=True):
        assert server.client.get(f"/api/instances/{uid}/file").content == file
    assert server.client.get("/api/health").json()["damaged_files"] == 0
    status, report = verify("--data", server.data)
    assert (status, report["files"], report["findings"]) == (0, 5, [])


@pytest.mark.parametrize("what", ["backup", "folder"])
def test_from_a_folder(own: Server, tmp_path: Path, what: str) -> None:
    for file in FILES:
        upload(own.client, file)
    source = tmp_path / "source"
    if what == "backup":
        back_up(own.data, source)
    else:
        (source / "deep").mkdir(parents=True)
        for number, file in enumerate(FILES):
            (source / "deep" / f"{number}.dcm").write_bytes(file)
    damage_all(own)
    status, report = verify("--data", own.data, "--repair", "--from", source)
    assert (status, report["damaged"], report["repaired"]) == (1, 5, 5)
    assert {finding["repaired"] for finding in report["findings"]} == {str(source)}
    check_all(own)


def test_from_the_folder_through_a_server(own: Server, tmp_path: Path) -> None:
    for number, file in enumerate(FILES):
        (tmp_path / f"{number}.dcm").write_bytes(file)
    damage_all(own)
    status, report = verify("--server", own.url, "--repair", "--from", tmp_path)
    assert (status, report["damaged"], report["repaired"]) == (1, 5, 5)
    check_all(own)


@pytest.mark.parametrize("by", ["data", "server"])
def test_from_a_node(own: Server, server: Server, by: str) -> None:
    for file in FILES:
        upload(server.client, file)
    try:
        NodesClient(own.client).add_node("there", f"{server.url}/dicom-web")
        damage_all(own)
        place = ("--data", own.data) if by == "data" else ("--server", own.url)
        status, report = verify(*place, "--repair", "--node", "there")
        assert (status, report["damaged"], report["repaired"]) == (1, 5, 5)
        check_all(own)
    finally:
        server.client.delete(f"/api/studies/{ROOT}.1")


def test_other_bytes_are_not_taken(own: Server, tmp_path: Path) -> None:
    """Neither of a folder whose file names lie, nor of a node that answers with another file."""
    upload(own.client, FILES[0])
    path = file_of(own, UIDS[0])
    (tmp_path / path.name).write_bytes(FILES[1])
    flip(path)
    with FaultyServer() as node:
        node.behaviour = lambda request: request.answer(
            200, multipart([FILES[1]]), 'multipart/related; type="application/dicom"; boundary=b'
        )
        NodesClient(own.client).add_node("lies", node.url)
        status, report = verify("--data", own.data, "--repair", "--from", tmp_path, "--node", "lies")
        assert node.requests == [f"GET /dicom-web/studies/{ROOT}.1/series/{ROOT}.1.1/instances/{UIDS[0]}"]
    assert (status, report["damaged"], report["repaired"]) == (1, 1, 0)
    assert own.client.get(f"/api/instances/{UIDS[0]}/file").status_code == 410
    own.wait_for_empty_spool()


def test_a_stopped_server(own: Server, tmp_path: Path) -> None:
    damage_all(own)
    own.stop()
    for number, file in enumerate(FILES):
        (tmp_path / f"{number}.dcm").write_bytes(file)
    assert verify("--data", own.data)[1]["damaged"] == 5
    status, report = verify("--data", own.data, "--repair", "--from", tmp_path)
    assert (status, report["repaired"]) == (1, 5)
    own.start()
    check_all(own)


def test_a_file_that_was_put_back_by_hand_is_good_after_a_start(own: Server, tmp_path: Path) -> None:
    """As after the restore of a backup whose files are whole, and whose catalog knew of damage."""
    upload(own.client, FILES[0])
    path = file_of(own, UIDS[0])
    flip(path)
    assert verify("--data", own.data)[0] == 1
    own.stop()
    rewrite(path, FILES[0])
    own.start()
    wait_for(lambda: own.client.get("/api/health").json()["damaged_files"] == 0, "the damage to be looked at again")
    assert own.client.get(f"/api/instances/{UIDS[0]}/file").content == FILES[0]


def test_a_folder_of_files_that_was_lost(own: Server, tmp_path: Path) -> None:
    for number, file in enumerate(FILES):
        upload(own.client, file)
        (tmp_path / f"{number}.dcm").write_bytes(file)
    shutil.rmtree(file_of(own, UIDS[0]).parent)
    status, report = verify("--data", own.data, "--repair", "--from", tmp_path)
    assert (status, set(problems(report).values()), report["repaired"]) == (1, {"missing"}, 5)
    check_all(own)
