"""Edits are listed with what was there before, and undone one by one, on both catalogs."""

import io
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.support.archive_client import Archive
from tests.support.colliding import collision
from tests.support.resource_files import make_file
from tests.support.server import Server
from tests.support.waiting import wait_for

#: What is edited, by level: the lists, the field, and the values of the file and of three edits.
LEVELS: dict[str, tuple[str, str, str, list[Any]]] = {
    "patient": ("patients", "patient_name", "PatientName", ["FILE^A", "FIRST^B", None, "THIRD^D"]),
    "study": ("studies", "study_description", "StudyDescription", ["file", "first", "second", "third"]),
    "series": ("series", "series_number", "SeriesNumber", [1, 2, 3, None]),
    "instance": ("instances", "image_comments", "ImageComments", ["file", None, "second", "file"]),
}
ELEMENTS = {keyword: values[0] for _, _, keyword, values in LEVELS.values()}


@pytest.fixture(scope="module")
def archive(any_server: Server) -> Iterator[Archive]:
    """The server on each catalog; every test works with patients and UIDs of its own."""
    yield Archive(any_server)


def make(archive: Archive, **elements: Any) -> dict[str, str]:
    """Store an instance; answer its ids and those above it, by level."""
    [made] = archive.make(**ELEMENTS | elements)
    entity = archive.get(f"/instances/{made['id']}").json()
    return {"instance": entity["id"], **{level: entity[level] for level in ("patient", "study", "series")}}


def edits_of(archive: Archive, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = archive.get(f"{path}/edits").json()
    assert all(edit["value"] == edit["after"] for edit in found)
    return found


def chain(edits: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(edit["before"], edit["after"]) for edit in edits]


class EditedEntity:
    """An entity whose field was edited three times."""

    def __init__(self, archive: Archive, level: str) -> None:
        self.archive = archive
        self.ids = make(archive)
        self.many, self.field, self.keyword, self.values = LEVELS[level]
        self.path = f"/{self.many}/{self.ids[level]}"
        self.etags = [self.etag()]
        for value in self.values[1:]:
            archive.put(self.path, {self.field: value})
            self.etags.append(self.etag())

    def file(self) -> Any:
        return self.archive.get(f"/instances/{self.ids['instance']}/file")

    def etag(self) -> str:
        return str(self.file().headers["ETag"])

    def check(self, value: Any) -> None:
        """Check what the entity shows, is found by, and is sent with."""
        archive, shown = self.archive, self.values[0]
        assert archive.get(self.path).json()[self.field] == value
        if value is not None and self.field in ("patient_name", "study_description"):
            found = archive.get(f"/{self.many}", **{self.field: value}, limit=1000).json()
            assert self.path.rpartition("/")[2] in {one["id"] for one in found}
        ds = pydicom.dcmread(io.BytesIO(self.file().content))
        assert (ds[self.keyword].value or None) == value if self.keyword in ds else value is None
        changed = [item.ModifiedAttributesSequence[0] for item in ds.get("OriginalAttributesSequence", [])]
        former = [one[self.keyword].value for one in changed if self.keyword in one]
        assert former == ([] if value == shown else [shown])


@pytest.mark.parametrize("level", LEVELS)
def test_edits_are_undone_one_by_one(archive: Archive, level: str) -> None:
    one = EditedEntity(archive, level)
    first, second, third = edits = edits_of(archive, one.path)
    assert {"edit", "field", "before", "after", "value", "user", "time"} == set(first)
    assert chain(edits) == [*zip(one.values, one.values[1:], strict=False)]
    assert {edit["user"] for edit in edits} == {"local@localhost"}
    assert [edit["time"] for edit in edits] == sorted(edit["time"] for edit in edits)
    one.check(one.values[3])
    # The one in the middle: the last still counts.
    archive.delete(f"{one.path}/edits/{second['edit']}")
    assert chain(edits_of(archive, one.path)) == [(one.values[0], one.values[1]), (one.values[1], one.values[3])]
    assert one.etag() == one.etags[3]
    one.check(one.values[3])
    archive.delete(f"{one.path}/edits/{third['edit']}")
    assert edits_of(archive, one.path) == [first]
    one.check(one.values[1])
    assert one.etag() == one.etags[1]
    archive.delete(f"{one.path}/edits/{first['edit']}")
    assert edits_of(archive, one.path) == []
    one.check(one.values[0])
    assert one.etag() == one.etags[0], "the file is as it was stored"
    for edit in edits:
        archive.delete(f"{one.path}/edits/{edit['edit']}", 404)


@pytest.mark.parametrize("level", LEVELS)
def test_the_first_is_undone_below_the_others(archive: Archive, level: str) -> None:
    one = EditedEntity(archive, level)
    first, *_ = edits_of(archive, one.path)
    archive.delete(f"{one.path}/edits/{first['edit']}")
    assert chain(edits_of(archive, one.path)) == [(one.values[0], one.values[2]), (one.values[2], one.values[3])]
    one.check(one.values[3])


def test_each_field_of_one_change_is_undone_by_itself(archive: Archive) -> None:
    ids = make(archive)
    path = f"/patients/{ids['patient']}"
    archive.put(path, {"patient_name": "N", "patient_sex": "F", "other_patient_ids": ["1", "2"]})
    edits = {edit["field"]: edit for edit in edits_of(archive, path)}
    assert len({edit["edit"] for edit in edits.values()}) == 3
    assert edits["other_patient_ids"]["after"] == ["1", "2"]
    archive.delete(f"{path}/edits/{edits['patient_sex']['edit']}")
    archive.delete(f"{path}/edits/{edits['other_patient_ids']['edit']}")
    patient = archive.get(path).json()
    assert (patient["patient_name"], patient["patient_sex"], patient["other_patient_ids"]) == ("N", "O", None)


def test_what_is_unknown_is_404_and_what_is_ambiguous_409(archive: Archive) -> None:
    ids, other = make(archive), make(archive)
    archive.put(f"/studies/{ids['study']}", {"study_id": "X"})
    [edit] = edits_of(archive, f"/studies/{ids['study']}")
    for path in (
        f"/studies/{other['study']}",
        f"/series/{ids['series']}",
        f"/studies/{ids['patient']}",
        "/studies/1.2.3",
    ):
        answer = archive.delete(f"{path}/edits/{edit['edit']}", 404)
        assert answer.json()["code"] == "not_found"
    for unknown in ("nothing", "x" * 3000, "%00", "~", uuid.uuid4().hex):
        archive.delete(f"/studies/{ids['study']}/edits/{unknown}", 404)
    assert edits_of(archive, f"/studies/{ids['study']}") == [edit]
    made = collision("PatientID")
    for one in made.both:
        archive.store(one.file)
    path = f"/studies/{made.second.key('study')}"
    archive.put(path, {"study_id": "second"})
    [edit] = edits_of(archive, path)
    answer = archive.delete(f"/studies/{made.first.uid('study')}/edits/{edit['edit']}", 409)
    assert (answer.json()["code"], len(answer.json()["candidates"])) == ("ambiguous", 2)
    archive.delete(f"/studies/{made.first.key('study')}/edits/{edit['edit']}", 404)
    archive.delete(f"{path}/edits/{edit['edit']}")


def test_only_one_of_many_undoes_the_same(archive: Archive) -> None:
    one = EditedEntity(archive, "study")
    first, second, third = (edit["edit"] for edit in edits_of(archive, one.path))

    def undo(edit: str) -> int:
        return archive.client.delete(f"/api{one.path}/edits/{edit}").status_code

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(undo, [second] * 8))
        assert sorted(found) == [204, *[404] * 7]
        assert sorted(threads.map(undo, [first, third] * 4)) == [204] * 2 + [404] * 6
    assert edits_of(archive, one.path) == []
    one.check(one.values[0])


def test_an_undone_edit_is_in_the_log(archive: Archive) -> None:
    one = EditedEntity(archive, "patient")
    edit = edits_of(archive, one.path)[0]
    archive.delete(f"{one.path}/edits/{edit['edit']}")
    wait_for(lambda: f"{edit['edit']} of patient_name" in archive.server.log, "a line of the log")
    [line] = [line for line in archive.server.log.splitlines() if edit["edit"] in line and "undone" in line]
    assert f"patient_name of the patient {one.ids['patient']}" in line
    assert f"by local@localhost at {edit['time']}, was undone by local@localhost" in line
    assert "FIRST" not in line, "values of patients are in no log"


def test_undoing_shows_what_the_present_file_says(archive: Archive) -> None:
    ids = make(archive)
    path = f"/instances/{ids['instance']}"
    for value in ("first", "second"):
        archive.put(path, {"image_comments": value})
    patient = archive.get(f"/patients/{ids['patient']}").json()
    uids = {"SOPInstanceUID": ids["instance"], "StudyInstanceUID": ids["study"], "SeriesInstanceUID": ids["series"]}
    again = make_file(**uids, PatientID=patient["patient_id"], **ELEMENTS | {"ImageComments": "replaced"})
    assert archive.store(again)["status"] == "replaced"
    assert archive.get(path).json()["image_comments"] == "second"
    for edit, shown in zip(reversed(edits_of(archive, path)), ("first", "replaced"), strict=True):
        archive.delete(f"{path}/edits/{edit['edit']}")
        assert archive.get(path).json()["image_comments"] == shown


@pytest.mark.parametrize("deleted", LEVELS)
@pytest.mark.parametrize("edited", LEVELS)
def test_a_whole_history_comes_back_from_the_trash(archive: Archive, edited: str, deleted: str) -> None:
    """It is the only instance, so that all above it go, too."""
    one = EditedEntity(archive, edited)
    before = edits_of(archive, one.path)
    archive.delete(f"/{LEVELS[deleted][0]}/{one.ids[deleted]}")
    archive.get(f"{one.path}/edits", 404)
    archive.delete(f"{one.path}/edits/{before[0]['edit']}", 404)
    entry = archive.get("/trash").json()[0]
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert edits_of(archive, one.path) == before
    one.check(one.values[3])
    archive.delete(f"{one.path}/edits/{before[2]['edit']}")
    one.check(one.values[2])


def test_edits_of_lists_come_back_from_the_trash(archive: Archive) -> None:
    ids = make(archive)
    archive.put(f"/series/{ids['series']}", {"operators_name": ["A^B", "C^D"]})
    archive.put(f"/instances/{ids['instance']}", {"window_center": [1, 2]})
    archive.delete(f"/series/{ids['series']}")
    entry = archive.get("/trash").json()[0]
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert archive.get(f"/series/{ids['series']}").json()["operators_name"] == ["A^B", "C^D"]
    assert archive.get(f"/instances/{ids['instance']}").json()["window_center"] == [1, 2]


def test_edits_since_a_deletion_lie_above_those_that_come_back(archive: Archive) -> None:
    one = EditedEntity(archive, "study")
    before = edits_of(archive, one.path)
    stored = archive.get(f"/instances/{one.ids['instance']}/file", original="true").content
    archive.delete(one.path)
    entry = archive.get("/trash").json()[0]
    assert archive.store(stored)["status"] == "stored"
    assert edits_of(archive, one.path) == []
    archive.put(one.path, {"study_description": "since", "study_id": "since"})
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    edits = edits_of(archive, one.path)
    assert edits[:3] == before
    assert sorted((edit["field"], edit["before"], edit["after"]) for edit in edits[3:]) == [
        ("study_description", "third", "since"),
        ("study_id", "1", "since"),
    ]
    one.check("since")
    [last] = [edit["edit"] for edit in edits[3:] if edit["field"] == "study_description"]
    archive.delete(f"{one.path}/edits/{last}")
    one.check("third")


def test_what_was_undone_of_a_patient_who_stays_does_not_come_back(archive: Archive) -> None:
    one = EditedEntity(archive, "patient")
    patient = archive.get(one.path).json()
    archive.make(PatientID=patient["patient_id"], PatientName="FILE^A")
    archive.delete(f"/studies/{one.ids['study']}")
    entry = archive.get("/trash").json()[0]
    left = edits_of(archive, one.path)
    assert len(left) == 3
    archive.delete(f"{one.path}/edits/{left[1]['edit']}")
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert [edit["edit"] for edit in edits_of(archive, one.path)] == [left[0]["edit"], left[2]["edit"]]


def test_histories_go_along_with_a_study_whose_patient_becomes_known(archive: Archive) -> None:
    study, series = generate_uid(), generate_uid()
    shared: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    ids = make(archive, PatientID=None, **shared)
    paths = [f"/{many}/{ids[level]}" for level, (many, *_) in LEVELS.items() if level != "patient"]
    for path, (_, field, _, values) in zip(paths, list(LEVELS.values())[1:], strict=True):
        for value in values[1:]:
            archive.put(path, {field: value})
    before = [edits_of(archive, path) for path in paths]
    archive.make(**shared, PatientID=uuid.uuid4().hex, InstanceNumber=2)
    assert archive.get(f"/studies/{study}").json()["patient"] != ids["patient"]
    assert [edits_of(archive, path) for path in paths] == before
    for path, edits, (_, field, _, values) in zip(paths, before, list(LEVELS.values())[1:], strict=True):
        archive.delete(f"{path}/edits/{edits[2]['edit']}")
        assert archive.get(path).json()[field] == values[2]


def test_undoing_needs_what_editing_needs(secured: Server, admin_token: str) -> None:
    headers = {"Authorization": f"Bearer {admin_token}"}
    user = {"email": f"{uuid.uuid4().hex}@example.org", "password": "correct-horse-battery"}
    assert secured.client.post("/api/users", json=user, headers=headers).status_code == 201
    token = secured.client.post("/api/users/auth", json=user).json()["token"]
    secured.client.cookies.clear()
    plain = {"Authorization": f"Bearer {token}"}
    body = make_file(StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(), PatientID="rights")
    stored = secured.client.post(
        "/api/instances", content=body, headers=headers | {"Content-Type": "application/dicom"}
    ).json()
    path = f"/api/studies/{stored['results'][0]['study']}"
    assert secured.client.put(path, json={"study_id": "X"}, headers=headers).status_code == 200
    [edit] = secured.client.get(f"{path}/edits", headers=plain).json()
    assert secured.client.delete(f"{path}/edits/{edit['edit']}").status_code == 401
    assert secured.client.delete(f"{path}/edits/{edit['edit']}", headers=plain).status_code == 204
    assert secured.client.get(f"{path}/edits", headers=plain).json() == []
