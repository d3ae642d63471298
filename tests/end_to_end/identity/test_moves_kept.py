"""Moves over restarts, reindexes, backups, the trash and a migration, on both catalogs, and their undo afterwards."""

from pathlib import Path
from typing import Any

from pydicom.uid import generate_uid

from tests.support.archive_client import Archive
from tests.support.backups import back_up, restored
from tests.support.catalogs import write_version_3
from tests.support.colliding import CollidingInstance, collision, instance
from tests.support.moves import differences, edit_of, listed, post, reindex
from tests.support.server import Server


def filled(archive: Archive) -> list[CollidingInstance]:
    """Store files whose moves touch each other: a conflict of all levels, and two studies of its second patient."""
    made = collision("PatientID")
    first, second = made.both
    same = {"PatientID": second.dataset.PatientID, "PatientName": second.dataset.PatientName}
    files = [first, second, instance(**same, StudyDescription="other"), instance(**same, StudyDescription="third")]
    series = generate_uid()
    files.append(instance(**same, StudyInstanceUID=files[2].uid("study"), SeriesInstanceUID=series, StudyID="8"))
    for one in files:
        archive.store(one.file)
    archive.put(f"/studies/{first.key('study')}", {"study_description": "of the first"})
    archive.put(f"/patients/{second.patient}", {"patient_comments": "of the second"})
    return files


def move_all(archive: Archive, files: list[CollidingInstance]) -> list[str]:
    """Merge, move and split; answers the paths of the edits, the earliest first."""
    first, second, other, third, split = files
    post(archive, f"/patients/{first.patient}/merge", {"into": second.patient, "from_now_on": True})
    edits = [edit_of(archive, f"/studies/{second.uid('study')}")]
    post(archive, f"/series/{third.uid('series')}/move", {"study": second.uid("study")})
    edits.append(edit_of(archive, f"/series/{third.uid('series')}"))
    made = post(archive, f"/studies/{other.uid('study')}/split", {"series": [split.uid("series")]})
    edits.append(edit_of(archive, f"/studies/{made['id']}"))
    post(archive, f"/studies/{other.uid('study')}/move", {"patient": {"patient_id": "NEW", "patient_name": "New^Nora"}})
    edits.append(edit_of(archive, f"/studies/{other.uid('study')}"))
    return edits


def undo_all(archive: Archive, edits: list[str], before: dict[str, Any]) -> None:
    """Undo edits, the earliest first, and compare with what was there before them."""
    for edit in edits:
        archive.delete(edit)
    assert differences(listed(archive), before) == {}


def test_restarts_and_reindexes(tmp_path: Path, own_options: list[str]) -> None:
    data = tmp_path / "data"
    with Server(data, *own_options) as server:
        archive = Archive(server)
        files = filled(archive)
        before = listed(archive)
        edits = move_all(archive, files)
        after = listed(archive)
        assert after["conflicts"] == []
        assert len(after["patients"]) == 2
    with Server(data, *own_options) as server:
        assert differences(listed(Archive(server)), after) == {}
    reindex(data, *own_options)
    with Server(data, *own_options) as server:
        archive = Archive(server)
        assert differences(listed(archive), after) == {}
        late = instance(PatientID=files[0].dataset.PatientID, PatientName="Late^Files")
        archive.store(late.file)
        assert archive.get(f"/studies/{late.uid('study')}").json()["patient"] == files[1].patient, "it follows"
        assert archive.client.delete(f"/api/studies/{late.uid('study')}").status_code == 204
        undo_all(archive, edits, before)
        again = move_all(archive, files)
        for edit in reversed(again):
            archive.delete(edit)
        assert differences(listed(archive), before) == {}
    reindex(data, *own_options)
    with Server(data, *own_options) as server:
        assert differences(listed(Archive(server)), before) == {}


def test_backups(tmp_path: Path) -> None:
    data, dest = tmp_path / "data", tmp_path / "backups"
    with Server(data) as server:
        archive = Archive(server)
        files = filled(archive)
        before = listed(archive)
        edits = move_all(archive, files)
        after = listed(archive)
        back_up(data, dest)
        undo_all(archive, edits, before)
        back_up(data, dest)
    with Server(restored(dest, tmp_path / "latest")) as server:
        assert differences(listed(Archive(server)), before) == {}
    first = sorted(dest.glob("2*Z"))[0].name
    with Server(restored(dest, tmp_path / "first", "--at", first)) as server:
        archive = Archive(server)
        assert differences(listed(archive), after) == {}
        for one in files:
            versions = archive.get(f"/instances/{one.key('instance')}/versions").json()
            contents = [
                archive.get(f"/instances/{one.key('instance')}/file", version=each["sha256"], original="true").content
                for each in versions
            ]
            assert one.file in contents, "displaced files are in the backup, too"
        undo_all(archive, edits, before)


def test_the_trash(tmp_path: Path, own_options: list[str]) -> None:
    with Server(tmp_path / "data", *own_options) as server:
        archive = Archive(server)
        files = filled(archive)
        before = listed(archive)
        first, second, *_ = files
        post(archive, f"/patients/{first.patient}/merge", {"into": second.patient})
        edit = edit_of(archive, f"/studies/{second.uid('study')}")
        after = listed(archive)
        for level, many in (("instance", "instances"), ("series", "series"), ("study", "studies")):
            archive.delete(f"/{many}/{first.key(level)}")
            archive.get(f"/instances/{second.uid('instance')}", 404)
            entry = archive.get("/trash").json()[0]
            assert (entry["kind"], entry["instances"]) == (level, 2), "with the one that is not shown"
            assert entry["patient_id"] == second.dataset.PatientID
            assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
            assert differences(listed(archive), after) == {}, level
        archive.delete(edit)
        assert differences(listed(archive), before) == {}
        for one in files:
            sent = archive.get(f"/instances/{one.key('instance')}/file", original="true").content
            assert sent == one.file


def test_what_was_moved_is_restored_after_the_undo(tmp_path: Path, own_options: list[str]) -> None:
    with Server(tmp_path / "data", *own_options) as server:
        archive = Archive(server)
        files = filled(archive)
        before = listed(archive)
        first, second, *_ = files
        path = f"/studies/{second.uid('study')}"
        post(archive, f"/patients/{first.patient}/merge", {"into": second.patient})
        edit = edit_of(archive, path)
        archive.delete(f"/patients/{second.patient}")
        assert listed(archive)["patients"] == []
        entry = archive.get("/trash").json()[0]
        archive.get(f"/patients/{first.patient}", 404)
        assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
        assert archive.get(f"/patients/{first.patient}", 308).status_code == 308
        archive.delete(edit)
        assert differences(listed(archive), before) == {}


def test_a_catalog_of_version_0_1_0(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write_version_3(folder)
    with Server(folder) as server:
        archive = Archive(server)
        before = {many: archive.get(f"/{many}", limit=1000).json() for many in ("patients", "studies", "series")}
        conflict = next(one for one in archive.get("/conflicts").json() if one["kind"] == "study_of_two_patients")
        first, second = (archive.get(f"/studies/{one}").json() for one in conflict["ids"][:2])
        post(archive, f"/studies/{first['key']}/move", {"patient": second["patient"]})
        moved = archive.get(f"/studies/{first['key']}").json()
        assert moved == archive.get(f"/studies/{second['key']}").json()
        assert moved["patient"] == second["patient"]
        assert moved["images_count"] <= first["images_count"] + second["images_count"]
        assert conflict["uid"] not in {one["uid"] for one in archive.get("/conflicts").json()}
        archive.delete(edit_of(archive, f"/studies/{first['key']}"))
        for many, shown in before.items():
            assert archive.get(f"/{many}", limit=1000).json() == shown
