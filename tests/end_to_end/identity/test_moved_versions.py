"""Versions of an instance of which moves have put several files in one place: which is current, and stays so."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.support.archive_client import Archive
from tests.support.colliding import CollidingInstance, collision, instance
from tests.support.moves import differences, edit_of, listed, post, reindex
from tests.support.server import Server
from tests.support.trash import files_in, sha


def versions_of(archive: Archive, instance: str) -> list[bytes]:
    """Read the bytes of all versions; checks that the first alone is current, and is what is served."""
    path = f"/instances/{instance}"
    versions = archive.get(f"{path}/versions").json()
    assert [each["current"] for each in versions] == [True] + [False] * (len(versions) - 1)
    assert [each["sha256"] for each in versions] == list(dict.fromkeys(each["sha256"] for each in versions))
    read = [archive.get(f"{path}/file", version=each["sha256"], original="true").content for each in versions]
    assert archive.get(f"{path}/file", original="true").content == read[0]
    assert archive.get(path).json()["sha256"] == versions[0]["sha256"]
    return read


def restore_path(one: CollidingInstance) -> str:
    return f"/api/instances/{one.key('instance')}/versions/{sha(one.file)}/restore"


def restored(archive: Archive, one: CollidingInstance) -> httpx.Response:
    return archive.client.post(restore_path(one))


def merged(archive: Archive) -> tuple[CollidingInstance, CollidingInstance, str]:
    """Store two files of one instance, and merge their patients; answers them and the path of the edit."""
    first, second = collision("PatientID").both
    for one in (first, second):
        archive.store(one.file)
    post(archive, f"/patients/{first.patient}/merge", {"into": second.patient})
    return first, second, edit_of(archive, f"/patients/{second.patient}")


@pytest.mark.parametrize("way", ["restored", "uploaded"])
def test_a_displaced_version_becomes_current(tmp_path: Path, own_options: list[str], way: str) -> None:
    data = tmp_path / "data"
    with Server(data, *own_options) as server:
        archive = Archive(server)
        first, second, edit = merged(archive)
        uid = second.uid("instance")
        assert versions_of(archive, uid) == [second.file, first.file]
        for one, other in ((first, second), (second, first), (first, second)):
            if way == "restored":
                answer = restored(archive, one)
                assert answer.status_code == 200, answer.text
                assert answer.json() == archive.get(f"/instances/{uid}").json()
            else:
                outcome = archive.store(one.file)
                assert (outcome["status"], outcome["previous"]) == ("replaced", sha(other.file))
            for each in (first, second):
                assert versions_of(archive, each.key("instance")) == [one.file, other.file]
            assert archive.get("/trash").json() == []
        assert restored(archive, first).status_code == 409, "it is current"
        after = listed(archive)
    reindex(data, *own_options)
    with Server(data, *own_options) as server:
        archive = Archive(server)
        assert differences(listed(archive), after) == {}
        assert versions_of(archive, uid) == [first.file, second.file]
        archive.delete(edit)
        for one in (first, second):
            assert versions_of(archive, one.key("instance")) == [one.file]
            assert archive.get(f"/instances/{one.key('instance')}").json()["patient"] == one.patient
        assert len(files_in(server, "objects")) == 2


def test_an_earlier_version_becomes_current_before_displaced_ones(tmp_path: Path, own_options: list[str]) -> None:
    data = tmp_path / "data"
    with Server(data, *own_options) as server:
        archive = Archive(server)
        first, second = collision("PatientID").both
        later = instance(**{each.keyword: each.value for each in first.dataset} | {"ImageComments": "later"}).file
        for file in (first.file, second.file, later):
            archive.store(file)
        post(archive, f"/patients/{first.patient}/merge", {"into": second.patient})
        edit = edit_of(archive, f"/patients/{second.patient}")
        assert versions_of(archive, second.uid("instance")) == [later, second.file, first.file]
        answer = restored(archive, first)
        assert answer.status_code == 200, answer.text
        after = [first.file, second.file, later]
        assert versions_of(archive, second.uid("instance")) == after
        assert [entry["kind"] for entry in archive.get("/trash").json()] == ["version"]
    reindex(data, *own_options)
    with Server(data, *own_options) as server:
        archive = Archive(server)
        assert versions_of(archive, second.uid("instance")) == after
        archive.delete(edit)
        assert versions_of(archive, first.key("instance")) == [first.file, later]
        assert versions_of(archive, second.key("instance")) == [second.file]


def test_settings_that_keep_the_first(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--same-instance", "keep") as server:
        archive = Archive(server)
        first, second, edit = merged(archive)
        assert archive.store(first.file)["status"] == "duplicate"
        assert versions_of(archive, second.uid("instance")) == [second.file, first.file]
        assert restored(archive, first).status_code == 200, "a user asks for it"
        assert versions_of(archive, second.uid("instance")) == [first.file, second.file]
        archive.delete(edit)


def test_a_damaged_version_is_refused(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        archive = Archive(server)
        first, second, _ = merged(archive)
        [path] = [each for each in files_in(server, "objects") if each.read_bytes() == first.file]
        path.chmod(0o600)
        path.write_bytes(first.file[:-2] + b"zz")
        answer = restored(archive, first)
        assert (answer.status_code, answer.json()["code"]) == (410, "damaged")
        assert archive.get(f"/instances/{second.uid('instance')}/file", original="true").content == second.file
        assert archive.store(first.file)["status"] == "replaced", "the bytes are there again"
        assert versions_of(archive, second.uid("instance")) == [first.file, second.file]


def test_kills(tmp_path: Path, own_options: list[str]) -> None:
    data = tmp_path / "data"
    with Server(data, *own_options) as server:
        first, second, edit = merged(Archive(server))
    uid = second.uid("instance")
    for delay in (0.0, 0.004, 0.008, 0.015, 0.03):
        server = Server(data, *own_options).start()
        try:
            archive = Archive(server)
            before = versions_of(archive, uid)
            other = first if before[0] == second.file else second
            asyncio.run(_restore_until_killed(server, other, delay))
        finally:
            server.kill()
        with Server(data, *own_options) as again:
            after = versions_of(Archive(again), uid)
            assert sorted(after) == sorted(before)
        reindex(data, *own_options)
        with Server(data, *own_options) as again:
            assert versions_of(Archive(again), uid) == after, "a reindex says the same"
    with Server(data, *own_options) as server:
        archive = Archive(server)
        archive.delete(edit)
        for one in (first, second):
            assert versions_of(archive, one.key("instance")) == [one.file]
        assert len(files_in(server, "objects")) == 2


async def _restore_until_killed(server: Server, one: CollidingInstance, delay: float) -> None:
    async with httpx.AsyncClient() as client:
        asking = asyncio.ensure_future(client.post(f"{server.url}{restore_path(one)}"))
        await asyncio.sleep(delay)
        server.kill()
        await asyncio.wait([asking])
        asking.exception()
