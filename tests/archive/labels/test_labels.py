"""Labels over REST: given, taken away, shown, counted, and found, on both catalogs."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import install
from tests.support.archive_client import Archive
from tests.support.colliding import collision, instance
from tests.support.datasets import to_bytes
from tests.support.labels import LEVELS, counts, found, give, ids_of, own, take
from tests.support.packages import package
from tests.support.server import Server


@pytest.fixture(scope="module")
def archive(any_server: Server) -> Iterator[Archive]:
    """The server on each catalog; every test works with labels, patients and UIDs of its own."""
    yield Archive(any_server)


@pytest.mark.parametrize("level", LEVELS)
def test_labels_are_given_shown_found_and_taken_at_each_level(archive: Archive, level: str) -> None:
    label, other = own(), own()
    [one], [another] = archive.make(), archive.make()
    ids, others = ids_of(archive, one), ids_of(archive, another)
    many = LEVELS[level]
    path = f"/{many}/{ids[level]}"
    assert archive.get(f"{path}/labels").json() == archive.get(path).json()["labels"] == []
    for _ in range(2):
        give(archive, path, label)
    give(archive, path, "b-first")
    assert archive.get(f"{path}/labels").json() == archive.get(path).json()["labels"] == ["b-first", label]
    assert archive.get(f"/{many}/{others[level]}").json()["labels"] == []

    assert found(archive, f"/{many}", label) == [ids[level]]
    assert archive.get(f"/{many}", labels=label).json()[0]["labels"] == ["b-first", label]
    assert found(archive, f"/{many}", other) == []
    give(archive, f"/{many}/{others[level]}", other)
    assert set(found(archive, f"/{many}", f"{label},{other},{own()}")) == {ids[level], others[level]}
    patient = archive.get(f"/patients/{ids['patient']}").json()["patient_id"]
    assert found(archive, f"/{many}", f"{label},{other}", patient_id=patient) == [ids[level]]
    assert counts(archive, label) == {name: int(name == many) for name in LEVELS.values()}
    for each in set(LEVELS) - {level}:
        assert found(archive, f"/{LEVELS[each]}", label) == [], "labels of other levels do not count"

    take(archive, path, label)
    take(archive, path, label, 404)
    assert archive.get(f"{path}/labels").json() == ["b-first"]
    assert (found(archive, f"/{many}", label), counts(archive, label)) == ([], None)


def test_pages_and_totals_are_those_of_the_entities_with_the_label(archive: Archive) -> None:
    label = own()
    patient = uuid.uuid4().hex
    made = [archive.make(PatientID=patient, StudyDescription=f"study {n}")[0] for n in range(7)]
    for one in made[:5]:
        give(archive, f"/studies/{one['study']}", label)
    seen: list[str] = []
    for offset in (0, 2, 4):
        answer = archive.get("/studies", labels=label, limit=2, offset=offset, sort="-study_description")
        assert answer.headers["X-Total-Count"] == "5"
        seen += [study["study_description"] for study in answer.json()]
    assert seen == [f"study {n}" for n in (4, 3, 2, 1, 0)]
    [of] = archive.get("/patients", patient_id=patient).json()
    below = archive.get(f"/patients/{of['id']}/studies", labels=label)
    assert below.headers["X-Total-Count"] == "5"
    assert all(study["labels"] == [label] for study in below.json())
    assert found(archive, f"/studies/{made[6]['study']}/series", label) == []


@pytest.mark.parametrize("label", ["a b", "a,b", "ä", "a" * 65, "." * 65, "%2e", "%2E%2e", "a*", "Protected"])
def test_what_is_no_label_is_refused(archive: Archive, label: str) -> None:
    [one] = archive.make()
    refused = give(archive, f"/studies/{one['study']}", label, 422)
    assert refused["field"] == "label"
    assert archive.get(f"/studies/{one['study']}").json()["labels"] == []


@pytest.mark.parametrize("label", ["a" * 64, "." * 64, "A.b-c_9", "-", "0", ".hidden", "..a", "...", "protected"])
def test_what_is_a_label_is_taken(archive: Archive, label: str) -> None:
    [one] = archive.make()
    give(archive, f"/studies/{one['study']}", label)
    assert archive.get(f"/studies/{one['study']}").json()["labels"] == [label]
    assert one["study"] in found(archive, "/studies", label)


def test_the_case_of_labels_counts(archive: Archive) -> None:
    label = own()
    [one], [another] = archive.make(), archive.make()
    give(archive, f"/studies/{one['study']}", label)
    give(archive, f"/studies/{another['study']}", label.upper())
    assert found(archive, "/studies", label) == [one["study"]]


@pytest.mark.parametrize("labels", ["a b", "a*", ".", "..", "a,..", ""])
def test_filters_by_what_is_no_label_are_refused(archive: Archive, labels: str) -> None:
    for many in LEVELS.values():
        assert archive.get(f"/{many}", 422, labels=labels).json()["field"] == "labels"


def test_unknown_entities_have_no_labels(archive: Archive) -> None:
    for many in LEVELS.values():
        give(archive, f"/{many}/1.2.3.4", "a", 404)
        take(archive, f"/{many}/1.2.3.4", "a", 404)
        archive.get(f"/{many}/1.2.3.4/labels", 404)


def test_an_entity_has_64_labels_at_most(archive: Archive) -> None:
    [one] = archive.make()
    path = f"/series/{one['series']}"
    for number in range(64):
        give(archive, path, f"n{number:02}")
    give(archive, path, "n64", 422)
    give(archive, path, "n63")
    take(archive, path, "n00")
    give(archive, path, "n64")
    assert archive.get(path).json()["labels"] == [f"n{number:02}" for number in range(1, 65)]


def test_a_changed_entity_is_answered_with_its_labels(archive: Archive) -> None:
    label = own()
    [one] = archive.make()
    give(archive, f"/studies/{one['study']}", label)
    assert archive.put(f"/studies/{one['study']}", {"study_description": "x"})["labels"] == [label]


def test_a_new_version_of_an_instance_keeps_its_labels(archive: Archive) -> None:
    label, one = own(), instance()
    archive.store(one.file)
    path = f"/instances/{one.uid('instance')}"
    give(archive, path, label)
    one.dataset.ImageComments = "other bytes"
    assert archive.store(to_bytes(one.dataset))["status"] == "replaced"
    assert archive.get(path).json()["labels"] == [label]
    earlier = archive.get(f"{path}/versions").json()[1]["sha256"]
    restored = archive.client.post(f"/api{path}/versions/{earlier}/restore")
    assert restored.json()["labels"] == [label]


def test_the_list_of_labels_has_pages_and_an_order(archive: Archive) -> None:
    [one] = archive.make()
    labels = sorted(own() for _ in range(5))
    for label in labels:
        give(archive, f"/studies/{one['study']}", label)
    every = [line["label"] for line in archive.get("/labels", limit=1000).json()]
    assert every == sorted(every)
    assert set(labels) <= set(every)
    backwards = archive.get("/labels", limit=1000, sort="-label")
    assert [line["label"] for line in backwards.json()] == every[::-1]
    page = archive.get("/labels", limit=2, offset=1)
    assert [line["label"] for line in page.json()] == every[1:3]
    assert page.headers["X-Total-Count"] == str(len(every))
    assert 'rel="next"' in page.headers["Link"]
    archive.get("/labels", 422, sort="studies")


# -- entities with one UID, and with other keys than before --------------------------------------------------


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_of_two_entities_with_one_uid_one_has_the_label(archive: Archive, level: str) -> None:
    made, label, many = collision("PatientID"), own(), LEVELS[level]
    for one in made.both:
        archive.store(one.file)
    first, second = (one.key(level) for one in made.both)
    uid = made.first.uid(level)
    assert give(archive, f"/{many}/{uid}", label, 409)["code"] == "ambiguous"
    take(archive, f"/{many}/{uid}", label, 409)
    archive.get(f"/{many}/{uid}/labels", 409)
    give(archive, f"/{many}/{second}", label)
    assert found(archive, f"/{many}", label) == [second]
    assert archive.get(f"/{many}/{second}").json()["labels"] == [label]
    assert archive.get(f"/{many}/{first}").json()["labels"] == []
    keyword = {"study": "study_instance_uid", "series": "series_instance_uid", "instance": "sop_instance_uid"}[level]
    listed = archive.client.get(f"/api/{many}", params={keyword: uid}).json()
    assert {entity["id"]: entity["labels"] for entity in listed} == {first: [], second: [label]}
    take(archive, f"/{many}/{first}", label, 404)
    take(archive, f"/{many}/{second}", label)


def test_labels_of_before_the_patient_was_known_stay(archive: Archive) -> None:
    label, later = own(), own()
    unnamed = instance(PatientID=None)
    named = instance(StudyInstanceUID=unnamed.uid("study"))
    ids = ids_of(archive, archive.store(unnamed.file))
    for level, many in LEVELS.items():
        give(archive, f"/{many}/{ids[level]}", label)
    archive.store(named.file)
    now = ids_of(archive, {"id": unnamed.uid("instance")})
    assert now["patient"] == named.patient != ids["patient"]
    for level, many in LEVELS.items():
        assert archive.get(f"/{many}/{now[level]}").json()["labels"] == [label]
        assert archive.get(f"/{many}/{ids[level]}/labels").json() == [label], "by its id of before"
        assert found(archive, f"/{many}", label) == [now[level]]
        give(archive, f"/{many}/{now[level]}", label)
        give(archive, f"/{many}/{ids[level]}", later)
        listed = {entity["id"]: entity["labels"] for entity in archive.get(f"/{many}", labels=later).json()}
        assert listed == {now[level]: sorted([label, later])}
    assert counts(archive, label) == counts(archive, later) == dict.fromkeys(LEVELS.values(), 1)
    for level, many in LEVELS.items():
        take(archive, f"/{many}/{now[level]}", label)
        assert archive.get(f"/{many}/{now[level]}/labels").json() == [later]
    assert counts(archive, label) is None


# -- where filters are taken ---------------------------------------------------------------------------------


def test_labels_select_what_is_processed(archive: Archive) -> None:
    plugin, label = f"test.labels.{uuid.uuid4().hex[:8]}", own()
    install(archive.client, package(plugin_guid=plugin))
    [one], [another], _ = archive.make(), archive.make(), archive.make()
    for each in (one, another):
        give(archive, f"/studies/{each['study']}", label)
    give(archive, f"/instances/{one['id']}", label)

    def selected(**filters: Any) -> int:
        answer = archive.client.post("/api/process", json={"plugin": plugin, "dry_run": True} | filters)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["total"])

    assert selected(level="studies", filters={"labels": label}) == 2
    assert selected(level="studies", filters={"labels": [own(), label]}) == 2
    assert selected(filters={"labels": label}) == 1
    assert selected(level="studies", filters={"labels": own()}) == 0
    archive.delete(f"/plugins/{plugin}")


# -- what outlives what --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_mongodb", [False, True])
def test_labels_outlive_a_reindex(tmp_path: Path, request: pytest.FixtureRequest, is_mongodb: bool) -> None:
    options = []
    if is_mongodb:
        uri = request.getfixturevalue("mongodb_uri").rstrip("/")
        options = ["--mongodb-uri", f"{uri}/neurdicom_{uuid.uuid4().hex[:12]}"]
    server = Server(tmp_path / "data", *options).start()
    archive = Archive(server)
    made, unnamed = collision("PatientID"), instance(PatientID=None)
    for one in (*made.both, unnamed):
        archive.store(one.file)
    give(archive, f"/studies/{made.second.key('study')}", "second")
    give(archive, f"/studies/{unnamed.uid('study')}", "unnamed")
    archive.store(instance(StudyInstanceUID=unnamed.uid("study")).file)
    server.stop()
    command = [sys.executable, "-m", "neurdicom", "reindex", "--data", str(server.data), *options]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    server.start()
    try:
        archive = Archive(server)
        assert archive.get(f"/studies/{made.second.key('study')}").json()["labels"] == ["second"]
        assert archive.get(f"/studies/{made.first.key('study')}").json()["labels"] == []
        assert archive.get(f"/studies/{unnamed.uid('study')}").json()["labels"] == ["unnamed"]
        assert [line["studies"] for line in archive.get("/labels").json()] == [1, 1]
    finally:
        server.stop()
