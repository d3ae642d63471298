"""Entities with one UID over REST: each has ids, files, edits and counts of its own, and nothing reaches the other."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from neurdicom.app.server import ROUTES
from tests.support.api import install
from tests.support.archive_client import Archive
from tests.support.colliding import DIFFERENCES, LEVELS, Collision, collision
from tests.support.packages import package
from tests.support.server import Server
from tests.support.uploads import FORM, file_part, form, zip_of

Sender = Callable[[httpx.Client, list[bytes]], list[dict[str, Any]]]


def post(client: httpx.Client, body: bytes, content_type: str) -> list[dict[str, Any]]:
    answer = client.post("/api/instances", content=body, headers={"Content-Type": content_type})
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def by_raw_bodies(client: httpx.Client, files: list[bytes]) -> list[dict[str, Any]]:
    return [result for file in files for result in post(client, file, "application/dicom")]


def by_a_form(client: httpx.Client, files: list[bytes]) -> list[dict[str, Any]]:
    return post(client, form(*(file_part(str(number), file) for number, file in enumerate(files))), FORM)


def by_a_zip(client: httpx.Client, files: list[bytes]) -> list[dict[str, Any]]:
    return post(client, zip_of(*((str(number), file) for number, file in enumerate(files))), "application/zip")


SENDERS: list[Sender] = [by_raw_bodies, by_a_form, by_a_zip]


@pytest.fixture(scope="module")
def archive(any_server: Server) -> Iterator[Archive]:
    """The server on each catalog; every test works with patients and UIDs of its own."""
    yield Archive(any_server)


def conflicts(archive: Archive, uid: str) -> list[dict[str, Any]]:
    """The listed conflicts of a UID, without their times."""
    listed = archive.get("/conflicts", limit=1000).json()
    assert all(each["since"] for each in listed)
    return [{name: each[name] for name in ("kind", "uid", "ids")} for each in listed if each["uid"] == uid]


def all_conflicts(archive: Archive, made: Collision) -> list[dict[str, Any]]:
    """The listed conflicts of the UIDs of two instances; files of one upload may have arrived in any order."""
    uids = dict.fromkeys(one.uid(level) for level in LEVELS for one in made.both)
    return [each | {"ids": set(each["ids"])} for uid in uids for each in conflicts(archive, uid)]


def check_kept_apart(archive: Archive, made: Collision) -> None:
    """Check that each of two stored instances is found by its own ids, with its own file and counts."""
    for one in made.both:
        for level, (many, _, field, _) in LEVELS.items():
            entity = archive.get(f"/{many}/{one.key(level)}").json()
            assert (entity["key"], entity["id"]) == (one.key(level), made.id(one, level))
            assert entity[field] == one.uid(level)
            assert entity["patient"] == one.patient
            assert archive.get(f"/{many}/{quote(one.key(level), safe='').replace('~', '%7E')}").json() == entity
            assert archive.get(f"/{many}/{entity['id']}").json() == entity
            above = list(LEVELS)[: list(LEVELS).index(level)]
            assert [entity[each] for each in above] == [made.id(one, each) for each in above]
        instance = one.key("instance")
        assert archive.get(f"/instances/{instance}/file").content == one.file
        assert archive.get(f"/instances/{instance}/tags").json()["PatientID"] == one.dataset.PatientID
        earliest = next(each for each in made.both if each.key("study") == one.key("study"))
        shown = archive.get(f"/studies/{one.key('study')}").json()["patient_name"]
        assert shown == str(earliest.dataset.PatientName)
        studies = {each.key("study") for each in made.both if each.patient == one.patient}
        assert {each["key"] for each in archive.get(f"/patients/{one.patient}/studies").json()} == studies
        assert [each["key"] for each in archive.get(f"/series/{one.key('series')}/instances").json()] == [instance]


@pytest.mark.parametrize("send", SENDERS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("different", DIFFERENCES.values(), ids=list(DIFFERENCES))
def test_both_are_kept(archive: Archive, different: tuple[str, ...], send: Sender) -> None:
    made = collision(*different)
    results = send(archive.client, [one.file for one in made.both])
    assert [result["status"] for result in results] == ["stored", "stored"]
    for result, one in zip(results, made.both, strict=True):
        for level, (_, _, field, _) in LEVELS.items():
            assert result[field] == one.uid(level)
            assert result["id" if level == "instance" else level] in (one.uid(level), one.key(level))
    second = {level: results[1]["id" if level == "instance" else level] for level in LEVELS}
    assert second == {level: made.id(made.second, level) for level in LEVELS}
    check_kept_apart(archive, made)
    assert all_conflicts(archive, made) == [each | {"ids": set(each["ids"])} for each in made.listed]
    assert [each["status"] for each in send(archive.client, [one.file for one in made.both])] == ["duplicate"] * 2
    check_kept_apart(archive, made)


@pytest.mark.parametrize("different", DIFFERENCES.values(), ids=list(DIFFERENCES))
def test_counts_are_exact(archive: Archive, different: tuple[str, ...]) -> None:
    made = collision(*different)
    by_raw_bodies(archive.client, [one.file for one in made.both])
    for level, (many, *_) in LEVELS.items():
        for one in made.both:
            inside = sum(each.key(level) == one.key(level) for each in made.both)
            assert archive.get(f"/{many}/{one.key(level)}").json().get("images_count", inside) == inside
    patients = {one.patient for one in made.both}
    for patient in patients:
        entity = archive.get(f"/patients/{patient}").json()
        mine = [one for one in made.both if one.patient == patient]
        assert (entity["studies_count"], entity["images_count"]) == (len({one.key("study") for one in mine}), len(mine))


@pytest.mark.parametrize("different", DIFFERENCES.values(), ids=list(DIFFERENCES))
def test_edits_of_one_do_not_reach_the_other(archive: Archive, different: tuple[str, ...]) -> None:
    made = collision(*different)
    by_raw_bodies(archive.client, [one.file for one in made.both])
    fields = {"study": "study_description", "series": "series_description", "instance": "image_comments"}
    for level in made.shared:
        path, other = (f"/{LEVELS[level][0]}/{one.key(level)}" for one in made.both)
        before = archive.get(other).json()
        changed = archive.put(path, {fields[level]: f"edited {level}"})
        assert (changed["key"], changed[fields[level]]) == (made.first.key(level), f"edited {level}")
        assert archive.get(other).json() == before
        assert [edit["field"] for edit in archive.get(f"{path}/edits").json()] == [fields[level]]
        assert archive.get(f"{other}/edits").json() == []
    name = "ImageComments"
    assert archive.get(f"/instances/{made.second.key('instance')}/file").content == made.second.file
    assert archive.get(f"/instances/{made.first.key('instance')}/file").content != made.first.file
    if "instance" in made.shared:
        tags = [archive.get(f"/instances/{one.key('instance')}/tags").json()[name] for one in made.both]
        assert tags == ["edited instance", "second"]


@pytest.mark.parametrize("different", DIFFERENCES.values(), ids=list(DIFFERENCES))
def test_a_deletion_of_one_leaves_the_other(archive: Archive, different: tuple[str, ...]) -> None:
    for level in collision(*different).shared:
        made = collision(*different)
        by_raw_bodies(archive.client, [one.file for one in made.both])
        many = LEVELS[level][0]
        archive.delete(f"/{many}/{made.first.key(level)}")
        archive.get(f"/{many}/{made.first.key(level)}", 404)
        archive.get(f"/instances/{made.first.key('instance')}", 404)
        assert archive.get(f"/instances/{made.second.key('instance')}/file").content == made.second.file
        for each, (other_many, *_) in LEVELS.items():
            entity = archive.get(f"/{other_many}/{made.second.key(each)}").json()
            assert entity["key"] == made.second.key(each)
        assert archive.get(f"/{many}/{made.second.uid(level)}").json()["id"] == made.second.uid(level)
        remaining = [each for each in all_conflicts(archive, made) if each["uid"] == made.second.uid(level)]
        assert remaining == []


def test_a_uid_that_names_several_is_refused_before_the_body(archive: Archive) -> None:
    """On every route below a study, a series or an instance, whatever its body is.

    What runs on one instance looks it up once, with its file, after the body was read.
    """
    made = collision("PatientID")
    by_raw_bodies(archive.client, [one.file for one in made.both])
    install(archive.client, package())
    names = {many: level for level, (many, *_) in LEVELS.items()}
    asked = 0
    for route in ROUTES:
        resource = route.path.removeprefix("/api/").partition("/")[0]
        if not route.path.startswith("/api/") or resource not in names or "{id}" not in route.path:
            continue
        if "{model_id}" in route.path:  # nothing is installed that it could name
            continue
        level = names[resource]
        path = route.path.replace("{id}", made.first.uid(level)).replace("{plugin_id}", "test.plugin")
        for method, described in route.operations().items():
            bodies = [b"{}"] if "/instances/{id}/process/" in route.path else [b"[", b"{}"]
            for body in bodies if described.content else [None]:
                answer = archive.client.request(method, path, content=body)
                problem = answer.json()
                assert (answer.status_code, problem.get("code")) == (409, "ambiguous"), (method, route.path, problem)
                assert sorted(problem["candidates"]) == sorted(one.key(level) for one in made.both)
                asked += 1
    assert asked > 20
    check_kept_apart(archive, made)


def listed(archive: Archive, level: str, field: str, value: str) -> set[str]:
    """Keys of the entities that a filter finds."""
    answer = archive.client.get(f"/api/{LEVELS[level][0]}", params={field: value})
    keys = {each["key"] for each in answer.json()}
    assert answer.headers["X-Total-Count"] == str(len(keys))
    return keys


@pytest.mark.parametrize("different", DIFFERENCES.values(), ids=list(DIFFERENCES))
def test_a_filter_by_uid_finds_all(archive: Archive, different: tuple[str, ...]) -> None:
    made = collision(*different)
    by_raw_bodies(archive.client, [one.file for one in made.both])
    for level, (_, _, field, _) in LEVELS.items():
        named = [one for one in made.both if one.uid(level) == made.first.uid(level)]
        assert listed(archive, level, field, made.first.uid(level)) == {one.key(level) for one in named}
        for below in list(LEVELS)[list(LEVELS).index(level) + 1 :]:
            for name in (field, level):
                assert listed(archive, below, name, made.first.uid(level)) == {one.key(below) for one in named}
            second = {one.key(below) for one in made.both if one.key(level) == made.second.key(level)}
            assert listed(archive, below, level, made.second.key(level)) == second
    for one in made.both:
        assert one.key("study") in listed(archive, "study", "patient", one.patient)


def test_a_list_of_ids_in_a_body(archive: Archive) -> None:
    made = collision("PatientID")
    by_raw_bodies(archive.client, [one.file for one in made.both])
    node = {"name": "identity", "protocol": "DICOMWEB", "url": "http://127.0.0.1:9"}
    assert archive.client.post("/api/dicom_nodes", json=node).status_code in (201, 409)
    install(archive.client, package())
    requests = [("dicom_nodes/identity/send", {}), ("process", {"plugin": "test.plugin"})]
    for (path, fields), (level, (many, *_)) in product(requests, LEVELS.items()):
        answer = archive.client.post(f"/api/{path}", json=fields | {many: [made.first.uid(level)]})
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["field"]) == (409, "ambiguous", many), problem
        assert sorted(problem["candidates"]) == sorted(one.key(level) for one in made.both)
        if path == "process":
            of_one = fields | {many: [made.first.key(level)], "dry_run": True}
            assert archive.client.post(f"/api/{path}", json=of_one).json()["total"] == 1


def test_pages_of_conflicts(archive: Archive) -> None:
    made = [collision("PatientID", "SOPInstanceUID") for _ in range(3)]
    by_raw_bodies(archive.client, [one.file for each in made for one in each.both])
    answer = archive.get("/conflicts", limit=1000)
    every = answer.json()
    assert answer.headers["X-Total-Count"] == str(len(every))
    pages, path = [], "/conflicts?limit=2"
    while path:
        page = archive.get(path)
        pages += page.json()
        path = page.links.get("next", {}).get("url", "").partition("/api")[2]
    assert pages == every
    for each in made:
        assert conflicts(archive, each.first.uid("study")) == each.listed
    assert archive.get("/conflicts?limit=0", 422).json()["field"] == "limit"
    assert archive.get("/conflicts?kind=x", 422).json()["field"] == "kind"


def test_demographics_are_those_of_the_study(archive: Archive) -> None:
    """Two persons share a Patient ID: each study shows, and is found by, what its own files say."""
    made = collision("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    patient_id = made.first.dataset.PatientID
    by_raw_bodies(archive.client, [one.file for one in made.both])
    for one in made.both:
        entity = archive.get(f"/studies/{one.uid('study')}").json()
        assert entity["patient_name"] == str(one.dataset.PatientName)
        found = archive.get("/studies", patient_id=patient_id, patient_name=str(one.dataset.PatientName)).json()
        assert [each["id"] for each in found] == [one.uid("study")]
    assert all_conflicts(archive, made) == []
