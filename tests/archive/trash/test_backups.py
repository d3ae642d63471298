"""The trash while a backup holds deletions: entries are restored and emptied, and files stay until it has ended."""

from functools import partial
from pathlib import Path

import pytest

from tests.support.archive_client import Archive
from tests.support.server import Server
from tests.support.trash import entry_of, files_in, held, sha, versions_of
from tests.support.waiting import wait_for


def test_while_a_backup_is_made_the_trash_is_used_and_its_files_stay(tmp_path: Path) -> None:
    """The catalog that the backup has copied may name these files."""
    with Server(tmp_path / "data") as server:
        archive = Archive(server)
        restored, emptied = archive.make(2)
        first, second = versions_of(2)
        instance = archive.store(first)["id"]
        archive.store(second)
        for one in (restored, emptied):
            archive.delete(f"/instances/{one['id']}")
        entries = {one["id"]: entry_of(archive, one["id"])["id"] for one in (restored, emptied)}
        before = files_in(server, "trash") + files_in(server, "versions")
        assert len(before) == 3
        with held(server):
            assert archive.client.post(f"/api/trash/{entries[restored['id']]}/restore").status_code == 200
            archive.delete(f"/trash/{entries[emptied['id']]}")
            path = f"/instances/{instance}/versions/{sha(first)}/restore"
            assert archive.client.post(f"/api{path}").status_code == 200
            archive.get(f"/instances/{restored['id']}")
            assert archive.get(f"/instances/{instance}/file").content == first
            for entry in entries.values():
                archive.get(f"/trash/{entry}", 404)
                archive.delete(f"/trash/{entry}", 404)
            assert [one["sha256"] for one in archive.get("/trash").json()] == [sha(second)]
            listed = archive.get(f"/instances/{instance}/versions").json()
            assert [each["sha256"] for each in listed] == [sha(first), sha(second)]
            assert archive.get(f"/instances/{instance}/file", version=sha(second)).content == second
            assert files_in(server, "trash") + files_in(server, "versions") == before
        wait_for(lambda: files_in(server, "trash"), "an empty trash", holds=lambda paths: not paths)
        wait_for(
            lambda: [sha(path.read_bytes()) for path in files_in(server, "versions")],
            "the other version alone",
            holds=lambda found: found == [sha(second)],
        )
        assert archive.get(f"/instances/{instance}/file", version=sha(second)).content == second
        archive.get(f"/instances/{restored['id']}/file")


def test_what_is_deleted_while_a_backup_is_made_is_restored_while_it_is_made(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        archive = Archive(server)
        made = archive.make(2)
        files = {one["id"]: archive.get(f"/instances/{one['id']}/file").content for one in made}
        stored = files_in(server, "objects")
        with held(server):
            archive.delete(f"/studies/{made[0]['study']}")
            entry = archive.get("/trash").json()[0]
            assert (entry["kind"], entry["instances"], entry["bytes"]) == ("study", 2, sum(map(len, files.values())))
            assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
            assert {one: archive.get(f"/instances/{one}/file").content for one in files} == files
            archive.delete(f"/instances/{made[0]['id']}")
            archive.delete(f"/trash/{archive.get('/trash').json()[0]['id']}")
            assert files_in(server, "objects") == stored
        wait_for(lambda: files_in(server, "objects"), "the file to go", holds=lambda paths: len(paths) == 1)
        assert archive.get(f"/instances/{made[1]['id']}/file").content == files[made[1]["id"]]
        wait_for(lambda: files_in(server, "trash"), "an empty trash", holds=lambda paths: not paths)


@pytest.mark.parametrize("is_emptied", [False, True])
def test_a_version_that_is_restored_and_deleted_while_a_backup_is_made_leaves_no_second_name(
    tmp_path: Path, is_emptied: bool
) -> None:
    with Server(tmp_path / "data") as server:
        archive = Archive(server)
        first, second = versions_of(2)
        instance = archive.store(first)["id"]
        archive.store(second)
        with held(server):
            path = f"/instances/{instance}/versions/{sha(first)}/restore"
            assert archive.client.post(f"/api{path}").status_code == 200
            archive.delete(f"/instances/{instance}")
            entry = entry_of(archive, instance)["id"]
            if is_emptied:
                archive.delete(f"/trash/{entry}")
            assert [sha(path.read_bytes()) for path in files_in(server, "versions")] == [sha(first)]

        def lying(place: str) -> list[str]:
            return [sha(path.read_bytes()) for path in files_in(server, place)]

        deleted = [] if is_emptied else [sha(first)]
        for place, expected in (("objects", []), ("trash", deleted), ("versions", [sha(second)])):
            wait_for(partial(lying, place), f"the end of the backup in {place}", holds=expected.__eq__)


def test_what_a_backup_has_kept_is_deleted_by_the_next_start(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    archive = Archive(server)
    restored, emptied, deleted = archive.make(3)
    for one in (restored, emptied):
        archive.delete(f"/instances/{one['id']}")
    with held(server):
        archive.client.post(f"/api/trash/{entry_of(archive, restored['id'])['id']}/restore")
        archive.delete(f"/trash/{entry_of(archive, emptied['id'])['id']}")
        archive.delete(f"/instances/{deleted['id']}")
        server.kill()
        server.start()
        archive = Archive(server)
        archive.get(f"/instances/{restored['id']}/file")
        assert entry_of(archive, deleted["id"])["instances"] == 1
        assert len(archive.get("/trash").json()) == 1
        assert len(files_in(server, "trash")) == 2
        server.kill()
    server.start()
    try:
        archive = Archive(server)
        archive.get(f"/instances/{restored['id']}/file")
        [entry] = archive.get("/trash").json()
        [file] = files_in(server, "trash")
        assert entry["id"] in str(file)
        assert len(files_in(server, "objects")) == 1
    finally:
        server.stop()
