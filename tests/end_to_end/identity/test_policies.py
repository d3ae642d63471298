"""The settings `conflicts` and `same_instance`, and what outlives a restart and a reindex of the catalog."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.archive_client import Archive
from tests.support.colliding import DIFFERENCES, LEVELS, Collision, collision, instance
from tests.support.server import Server
from tests.support.uploads import FORM, file_part, form, zip_of


def post(server: Server, body: bytes, content_type: str = "application/dicom") -> tuple[int, dict[str, Any]]:
    answer = server.client.post("/api/instances", content=body, headers={"Content-Type": content_type})
    return answer.status_code, answer.json()


def state(archive: Archive) -> dict[str, Any]:
    """All that the lists of a server show, without times of arrival that a reindex reads from the files."""
    lists = {
        many: archive.get(f"/{many}", limit=1000).json() for many in ("patients", *(m for m, *_ in LEVELS.values()))
    }
    for each in lists["instances"]:
        each.pop("received")
    return lists | {"conflicts": [each | {"since": ""} for each in archive.get("/conflicts", limit=1000).json()]}


def test_a_restart_and_a_reindex_give_the_same_ids(tmp_path: Path, own_options: list[str]) -> None:
    made = [collision(*different) for different in DIFFERENCES.values()]
    with Server(tmp_path / "data", *own_options) as server:
        archive = Archive(server)
        for each in made:
            for one in each.both:
                assert archive.store(one.file)["status"] == "stored"
        edited = made[0].first.key("study")
        archive.put(f"/studies/{edited}", {"study_description": "edited"})
        before = state(archive)
        assert [each["ids"] for each in before["conflicts"]] != []
    with Server(tmp_path / "data", *own_options) as server:
        assert state(Archive(server)) == before
    command = [sys.executable, "-m", "neurdicom", "reindex", "--data", str(tmp_path / "data"), *own_options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"{2 * len(made)} instances, 0 older versions removed, 0 not readable" in done.stdout + done.stderr
    with Server(tmp_path / "data", *own_options) as server:
        archive = Archive(server)
        assert state(archive) == before
        assert archive.get(f"/studies/{edited}").json()["study_description"] == "edited"
        for one in (one for each in made for one in each.both):
            original = archive.get(f"/instances/{one.key('instance')}/file", original="true")
            assert original.content == one.file


def refused(made: Collision) -> str:
    """How the reason of a refusal begins: the kind, the UID, and whose it is."""
    level = made.shared[0]
    above = [f"the {each} {made.first.uid(each)}" for each in reversed(list(LEVELS)[: list(LEVELS).index(level)])]
    of = f"of the patient {made.first.dataset.PatientID!r}"
    where = f"in {' of '.join(above)} {of}" if above else of
    return f"the {level} {made.first.uid(level)} is there already, {where}; conflicts are refused here"


def test_conflicts_are_refused(tmp_path: Path, own_options: list[str]) -> None:
    with Server(tmp_path / "data", "--conflicts", "refuse", *own_options) as server:
        archive = Archive(server)
        for different in DIFFERENCES.values():
            made = collision(*different)
            assert post(server, made.first.file)[0] == 201
            status, problem = post(server, made.second.file)
            assert (status, problem["code"]) == (409, "conflict")
            assert problem["detail"].startswith(refused(made)), problem
            other = instance()
            for body, content_type in (
                (form(file_part("other", other.file), file_part("bad", made.second.file)), FORM),
                (zip_of(("other", other.file), ("bad", made.second.file)), "application/zip"),
            ):
                status, report = post(server, body, content_type)
                assert status == 207
                _, bad = report["results"]
                assert (bad["status"], bad["id"], bad["study_instance_uid"]) == ("rejected", None, None)
                assert bad["reason"].startswith(refused(made))
            status, report = post(server, form(file_part("bad", made.second.file)), FORM)
            assert (status, report["code"], [each["status"] for each in report["results"]]) == (
                409,
                "conflict",
                ["rejected"],
            )
            archive.get(f"/instances/{made.second.key('instance')}", 404)
            for level, (many, *_) in LEVELS.items():
                assert archive.get(f"/{many}/{made.first.uid(level)}").json()["key"] == made.first.key(level)
            assert archive.get(f"/instances/{made.first.uid('instance')}/file").content == made.first.file
            assert post(server, made.first.file)[0] == 200
            assert refused(made) in server.log
        assert archive.get("/conflicts").json() == []
        stored = archive.get("/instances").headers["X-Total-Count"]
        assert len(list((server.data / "blobs" / "objects").glob("*/*"))) == int(stored)


@pytest.mark.parametrize("setting", ["keep", "refuse"])
def test_other_bytes_of_an_instance(tmp_path: Path, own_options: list[str], setting: str) -> None:
    with Server(tmp_path / "data", "--same-instance", setting, *own_options) as server:
        archive = Archive(server)
        first = instance(ImageComments="first")
        uids = {keyword: first.uid(level) for level, (_, keyword, _, _) in LEVELS.items()}
        other = instance(PatientID=first.dataset.PatientID, ImageComments="second", **uids)
        assert post(server, first.file)[0] == 201
        status, answer = post(server, other.file)
        if setting == "keep":
            assert status == 200
            (result,) = answer["results"]
            assert (result["status"], result["id"], result["reason"]) == ("kept", first.uid("instance"), None)
            assert "stays as it is (setting same_instance)" in server.log
        else:
            assert (status, answer["code"]) == (409, "conflict")
            assert f"the instance {first.uid('instance')} is there already with other bytes" in answer["detail"]
        status, report = post(server, form(file_part("1", first.file), file_part("2", other.file)), FORM)
        expected = (200, ["duplicate", "kept"]) if setting == "keep" else (207, ["duplicate", "rejected"])
        assert (status, [each["status"] for each in report["results"]]) == expected
        assert archive.get(f"/instances/{first.uid('instance')}/file").content == first.file
        assert archive.get(f"/studies/{first.uid('study')}").json()["images_count"] == 1
        assert archive.get("/conflicts").json() == []
        assert len(list((server.data / "blobs" / "objects").glob("*/*"))) == 1
