"""Results and jobs of entities with one UID: each has its own, and what is done to one never reaches the other."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.support.api import install, upload
from tests.support.colliding import DIFFERENCES, LEVELS, CollidingInstance, Collision, collision, instance
from tests.support.processing_jobs import JobsClient, tally
from tests.support.results import Counter, finished, ids
from tests.support.server import Server
from tests.support.server_sent_events import all_events
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def site(any_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsClient]:
    """The server on each catalog, with a plugin that tells the patient's name."""
    client = JobsClient(any_server.client)
    before = patients(client)
    install(client.http, Counter(tmp_path_factory.mktemp("calls") / "calls").archive("test.names"))
    client.install(tally())
    yield client
    for plugin in client.http.get("/api/plugins").json():
        client.http.delete(f"/api/plugins/{plugin['id']}")
    for patient in patients(client) - before:
        client.http.delete(f"/api/patients/{patient}")


def patients(site: JobsClient) -> set[str]:
    return {each["id"] for each in site.http.get("/api/patients", params={"limit": 1000}).json()}


def run(site: JobsClient, instance: str, **params: Any) -> httpx.Response:
    return site.http.get(f"/api/instances/{instance}/process/by_plugin/test.names", params=params)


def result_of(site: JobsClient, one: CollidingInstance) -> str:
    """Run the plugin on an instance; the id of the result, which is about its patient."""
    answer = run(site, one.key("instance"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["patient"] == str(one.dataset.PatientName)
    return answer.headers["X-Result-Id"]


def found(site: JobsClient, **filters: str) -> set[str]:
    return ids(site.http.get("/api/results", params=filters))


def record(site: JobsClient, result: str) -> dict[str, Any]:
    answer = site.http.get(f"/api/results/{result}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def delete(site: JobsClient, one: CollidingInstance, level: str = "instance") -> None:
    assert site.http.delete(f"/api/{LEVELS[level][0]}/{one.key(level)}").status_code == 204


def check_record(site: JobsClient, result: str, made: Collision, one: CollidingInstance) -> None:
    """Check the ids, the UIDs and the links of a result while both instances are there."""
    shown = record(site, result)
    assert (shown["patient"], shown["study"], shown["series"]) == (
        one.patient,
        made.id(one, "study"),
        made.id(one, "series"),
    )
    assert (shown["study_uid"], shown["series_uid"]) == (one.uid("study"), one.uid("series"))
    assert (shown["instances"], shown["instance_uids"]) == ([made.id(one, "instance")], [one.uid("instance")])
    assert (shown["stored"], shown["stored_uids"]) == ([], [])
    links = shown["links"]
    for link in (links["self"], links["content"], links["series"], links["study"], *links["sources"]):
        assert site.http.get(link).status_code == 200, link
    assert site.http.get(links["sources"][0]).json()["key"] == one.key("instance")


@pytest.mark.parametrize("case", DIFFERENCES)
def test_each_has_its_own_results(site: JobsClient, case: str) -> None:
    made = collision(*DIFFERENCES[case])
    for one in made.both:
        upload(site.http, one.file)
    results = [result_of(site, one) for one in made.both]
    first, second = made.both
    assert results[0] != results[1]
    for one, result in zip(made.both, results, strict=True):
        check_record(site, result, made, one)
        for level, (many, *_) in LEVELS.items():
            is_one = first.key(level) == second.key(level)
            own = set(results) if is_one else {result}
            assert found(site, **{level: one.key(level)}) == own
            assert ids(site.http.get(f"/api/{many}/{one.key(level)}/results")) == own
            is_shared = first.uid(level) == second.uid(level)
            assert found(site, **{level: one.uid(level)}) == (set(results) if is_shared else {result})
            below = site.http.get(f"/api/{many}/{one.uid(level)}/results")
            assert below.status_code == (409 if is_shared and not is_one else 200)
        of_patient = (other for each, other in zip(made.both, results, strict=True) if each.patient == one.patient)
        assert found(site, patient=one.patient) == set(of_patient)
    delete(site, first)
    assert site.http.get(f"/api/results/{results[0]}").status_code == 404
    shown = record(site, results[1])
    assert (shown["instances"], shown["series"], shown["study"]) == (
        [second.uid("instance")],
        second.uid("series"),
        second.uid("study"),
    )
    for level in LEVELS:
        assert found(site, **{level: second.key(level)}) == {results[1]}
        assert found(site, **{level: second.uid(level)}) == {results[1]}
    again = run(site, second.uid("instance"))
    assert (again.headers["X-Result-Id"], again.headers["X-Cache"]) == (results[1], "hit")
    delete(site, second)
    assert site.http.get(f"/api/results/{results[1]}").status_code == 404


def test_a_uid_of_two_instances_is_not_run(site: JobsClient) -> None:
    made = collision("PatientID")
    for one in made.both:
        upload(site.http, one.file)
    uid, keys = made.first.uid("instance"), sorted(one.key("instance") for one in made.both)
    for answer in (
        run(site, uid),
        site.http.post(f"/api/studies/{made.first.uid('study')}/process/by_plugin/test.names"),
        site.http.post("/api/process", json={"plugin": "test.names", "instances": [uid]}),
        site.http.post("/api/process", json={"plugin": "test.names", "instances": [uid], "dry_run": True}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous"), answer.text
    assert sorted(run(site, uid).json()["candidates"]) == keys
    assert found(site, instance=uid) == set()


def test_results_of_before_a_conflict_stay_with_their_source(site: JobsClient) -> None:
    made = collision("PatientID")
    upload(site.http, made.first.file)
    uid = made.first.uid("instance")
    before = run(site, uid)
    result = before.headers["X-Result-Id"]
    assert record(site, result)["instances"] == [uid]
    upload(site.http, made.second.file)
    check_record(site, result, made, made.first)
    assert found(site, instance=made.second.key("instance")) == set()
    assert found(site, study=made.first.key("study")) == found(site, study=made.first.uid("study")) == {result}
    assert run(site, made.first.key("instance")).headers["X-Cache"] == "hit"
    assert run(site, made.second.key("instance")).headers["X-Cache"] == "miss"
    delete(site, made.second, "study")
    assert record(site, result)["instances"] == [uid]


def items_of(site: JobsClient, job: str) -> list[dict[str, Any]]:
    return [{name: each[name] for name in ("series", "series_uid", "instance", "instance_uid", "state")}
            for each in site.results(job)]  # fmt: skip


def test_a_job_over_one_of_two_studies(site: JobsClient) -> None:
    made = collision("PatientID")
    for one in made.both:
        upload(site.http, one.file)
    for one in made.both:
        select = {"studies": [one.key("study")]}
        estimate = site.http.post("/api/process", json={"plugin": "test.names", "dry_run": True} | select)
        assert estimate.json()["total"] == 1
        job = finished(site.http, site.select("test.names", **select))
        assert (job["state"], job["done"], job["total"]) == ("done", 1, 1)
        assert job["request"]["studies"] == [one.key("study")]
        expected = {"series": one.key("series"), "series_uid": one.uid("series")}
        expected |= {"instance": one.key("instance"), "instance_uid": one.uid("instance"), "state": "done"}
        assert items_of(site, job["id"]) == [expected]
        (item,) = site.results(job["id"])
        assert record(site, item["result"])["json"]["patient"] == str(one.dataset.PatientName)
        assert found(site, job=job["id"]) == {item["result"]}
        told = [event.data for event in all_events(site.http, job["id"]) if event.type == "result"]
        assert told == [item]
        listed = next(each for each in site.http.get("/api/jobs").json() if each["id"] == job["id"])
        assert listed["request"]["studies"] == [one.key("study")]
    delete(site, made.first, "study")
    assert site.http.get(f"/api/jobs/{job['id']}").json()["request"]["studies"] == [made.second.uid("study")]
    assert [each["instance"] for each in site.results(job["id"])] == [made.second.uid("instance")]


def test_a_job_under_way_goes_on_with_what_it_was_made_for(site: JobsClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    made = collision("PatientID")
    upload(site.http, made.first.file)
    job = site.select(studies=[made.first.uid("study")], params={"gate": str(gate), "bad": [1]})
    wait_for(lambda: site.http.get(f"/api/jobs/{job}").json(), holds=lambda now: now["total"] == 1)
    upload(site.http, made.second.file)
    gate.touch()
    ended = finished(site.http, job)
    assert (ended["failed"], ended["total"]) == (1, 1)
    assert [each["instance"] for each in ended["errors"]] == [made.first.key("instance")]
    assert ended["request"]["studies"] == [made.first.key("study")]
    assert [each["instance"] for each in site.results(job)] == [made.first.key("instance")]
    assert site.http.post(f"/api/jobs/{job}/retry").status_code == 202
    time.sleep(0.1)
    ended = finished(site.http, job)
    assert (ended["failed"], ended["total"]) == (1, 1)
    assert [each["instance"] for each in ended["errors"]] == [made.first.key("instance")]


def test_results_go_along_when_a_study_gets_its_patient(site: JobsClient) -> None:
    """The first file does not say whose it is; a later one of its study does."""
    unnamed = instance(PatientID=None)
    study = unnamed.uid("study")
    upload(site.http, unnamed.file)
    first = run(site, unnamed.uid("instance")).headers["X-Result-Id"]
    before = record(site, first)
    old_key = site.http.get(f"/api/studies/{study}").json()["key"]
    named = instance(StudyInstanceUID=study)
    upload(site.http, named.file)
    second = result_of(site, named)
    for reference in (study, old_key, named.key("study")):
        assert found(site, study=reference) == {first, second}
    for patient in (named.patient, before["patient"]):
        assert found(site, patient=patient) == {first, second}
    for result in (first, second):
        shown = record(site, result)
        assert (shown["patient"], shown["study"]) == (named.patient, study)
        assert site.http.get(shown["links"]["sources"][0]).status_code == 200
    assert run(site, unnamed.uid("instance")).headers["X-Cache"] == "hit"
    assert site.http.delete(f"/api/patients/{named.patient}").status_code == 204
    for result in (first, second):
        assert site.http.get(f"/api/results/{result}").status_code == 404


def test_other_bytes_of_one_of_two_take_only_its_results(site: JobsClient) -> None:
    made = collision("PatientID")
    for one in made.both:
        upload(site.http, one.file)
    first, second = (result_of(site, one) for one in made.both)
    elements = {keyword: str(made.first.dataset[keyword].value) for _, keyword, _, _ in LEVELS.values()}
    other = instance(**elements, PatientID=made.first.dataset.PatientID, ImageComments="third")
    assert upload(site.http, other.file)["status"] == "replaced"
    assert site.http.get(f"/api/results/{first}").status_code == 404
    assert site.http.get(f"/api/results/{second}").status_code == 200


def test_unknown_references_find_nothing(site: JobsClient) -> None:
    for name in ("instance", "series", "study", "patient", "stored"):
        for reference in (generate_uid(), f"{generate_uid()}~01234567", "nothing"):
            assert found(site, **{name: reference}) == set()


@pytest.mark.parametrize("purge", [True, False], ids=["for good", "to the trash"])
def test_results_of_a_study_that_went_to_another_patient_go_with_that_one(site: JobsClient, purge: bool) -> None:
    """Of two studies of a Patient ID without issuer, one gets an issuer; the other stays where it was."""
    moves = instance()
    stays = instance(PatientID=moves.dataset.PatientID)
    for one in (moves, stays):
        upload(site.http, one.file)
    moved, stayed = result_of(site, moves), result_of(site, stays)
    assert found(site, patient=moves.patient) == {moved, stayed}
    uids = {"StudyInstanceUID": moves.uid("study"), "PatientID": moves.dataset.PatientID}
    named = instance(**uids, IssuerOfPatientID="HOSPITAL")
    patient = upload(site.http, named.file)["study"]
    patient = site.http.get(f"/api/studies/{patient}").json()["patient"]
    assert patient != moves.patient
    assert found(site, patient=patient) == {moved}
    assert found(site, patient=moves.patient) == {stayed}
    assert (record(site, moved)["patient"], record(site, stayed)["patient"]) == (patient, stays.patient)
    deleted = site.http.delete(f"/api/patients/{patient}", params={"purge": "true"} if purge else {})
    assert deleted.status_code == 204, deleted.text
    assert site.http.get(f"/api/results/{moved}").status_code == 404
    assert site.http.get(f"/api/results/{stayed}").status_code == 200
