"""Results of moved entities: they go along, and later ones are computed with the new patient."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from neurdicom.catalog.moves import MoveRequest
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.testing.move_requests import merge
from tests.support.api import install, upload
from tests.support.archive_client import Archive
from tests.support.colliding import CollidingInstance, collision, instance
from tests.support.moves import edit_of, post
from tests.support.processing_jobs import JobsClient
from tests.support.results import Counter, finished, ids
from tests.support.server import Server
from tests.support.trash import sha
from tests.support.waiting import wait_for

PLUGIN = "test.moved"


@pytest.fixture(scope="module")
def archive(any_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """The server on each catalog, with a plugin that tells the patient's name."""
    install(any_server.client, Counter(tmp_path_factory.mktemp("calls") / "calls").archive(PLUGIN))
    yield Archive(any_server)
    any_server.client.delete(f"/api/plugins/{PLUGIN}")


@contextmanager
def killed(data: Path) -> Iterator[Archive]:
    """Run a server, and kill it."""
    server = Server(data).start()
    try:
        yield Archive(server)
    finally:
        server.kill()


def run(archive: Archive, instance: str, **params: str) -> httpx.Response:
    answer = archive.client.get(f"/api/instances/{instance}/process/by_plugin/{PLUGIN}", params=params)
    assert answer.status_code == 200, answer.text
    return answer


def results(archive: Archive, **filters: str) -> set[str]:
    return ids(archive.client.get("/api/results", params=filters))


def result_files(server: Server) -> set[Path]:
    """Files of results."""
    return {path for path in (server.data / "results").rglob("*") if path.is_file()}


def of(archive: Archive, result: str) -> tuple[Any, ...]:
    shown = archive.get(f"/results/{result}").json()
    return shown["patient"], shown["study"], shown["series"], shown["instances"]


def two() -> tuple[CollidingInstance, CollidingInstance]:
    return instance(PatientName="Wrong^Walter"), instance(PatientName="Right^Rita")


def test_results_go_along(archive: Archive) -> None:
    wrong, right = two()
    for one in (wrong, right):
        upload(archive.client, one.file)
    uid, study = wrong.uid("instance"), wrong.uid("study")
    before = run(archive, uid)
    result = before.headers["X-Result-Id"]
    assert before.json()["patient"] == "Wrong^Walter"
    post(archive, f"/studies/{study}/move", {"patient": right.patient})
    assert of(archive, result) == (right.patient, study, wrong.uid("series"), [uid])
    assert results(archive, patient=right.patient) == results(archive, study=study) == {result}
    assert results(archive, patient=wrong.patient) == set()
    assert ids(archive.client.get(f"/api/patients/{right.patient}/results")) == {result}
    again = run(archive, uid)
    assert again.json()["patient"] == "Right^Rita", "what is computed now is of what is shown now"
    assert again.headers["X-Result-Id"] != result
    assert results(archive, patient=right.patient) == {result, again.headers["X-Result-Id"]}
    archive.delete(edit_of(archive, f"/studies/{study}"))
    assert results(archive, patient=right.patient) == set()
    assert results(archive, patient=wrong.patient) == {result, again.headers["X-Result-Id"]}
    last = run(archive, uid)
    assert (last.headers["X-Result-Id"], last.headers["X-Cache"]) == (result, "hit")


def test_results_of_a_series_that_went_to_another_study(archive: Archive) -> None:
    wrong, right = two()
    for one in (wrong, right):
        upload(archive.client, one.file)
    uid, series = wrong.uid("instance"), wrong.uid("series")
    result = run(archive, uid).headers["X-Result-Id"]
    post(archive, f"/series/{series}/move", {"study": right.uid("study")})
    assert of(archive, result) == (right.patient, right.uid("study"), series, [uid])
    assert results(archive, study=right.uid("study")) == results(archive, series=series) == {result}
    assert results(archive, study=wrong.uid("study")) == set()
    archive.delete(f"/studies/{right.uid('study')}")
    archive.get(f"/results/{result}", 404)
    entry = archive.get("/trash").json()[0]
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    assert of(archive, result) == (right.patient, right.uid("study"), series, [uid])
    archive.delete(edit_of(archive, f"/series/{series}"))
    assert of(archive, result) == (wrong.patient, wrong.uid("study"), series, [uid])


def test_results_of_instances_that_became_one(archive: Archive) -> None:
    made = collision("PatientID")
    first, second = made.both
    for one in made.both:
        upload(archive.client, one.file)
    kept = {one.patient: run(archive, one.key("instance")).headers["X-Result-Id"] for one in made.both}
    path = f"/studies/{first.key('study')}"
    post(archive, f"{path}/move", {"patient": second.patient})
    shown = results(archive, study=first.uid("study"))
    assert kept[second.patient] in shown, "that of what is shown"
    assert of(archive, kept[second.patient])[0] == second.patient
    assert run(archive, first.uid("instance")).headers["X-Cache"] == "hit"
    archive.delete(edit_of(archive, path))
    for one in made.both:
        assert results(archive, study=one.key("study")) == {kept[one.patient]}
        assert of(archive, kept[one.patient]) == (
            one.patient,
            one.key("study"),
            one.key("series"),
            [one.key("instance")],
        )


def test_a_job_over_what_was_moved(archive: Archive) -> None:
    wrong, right = two()
    more = instance(
        PatientID=wrong.dataset.PatientID, StudyInstanceUID=wrong.uid("study"), SeriesInstanceUID=generate_uid()
    )
    for one in (wrong, right, more):
        upload(archive.client, one.file)
    made = post(archive, f"/studies/{wrong.uid('study')}/split", {"series": [more.uid("series")]})
    post(archive, f"/patients/{wrong.patient}/merge", {"into": right.patient})
    site = JobsClient(archive.client)
    for select, count in (
        ({"patients": [right.patient]}, 3),
        ({"studies": [made["id"]]}, 1),
        ({"studies": [wrong.uid("study"), right.uid("study")]}, 2),
        ({"series": [more.uid("series")]}, 1),
    ):
        job = finished(archive.client, site.select(PLUGIN, **select))
        assert (job["state"], job["done"], job["failed"]) == ("done", count, 0), select
    found = archive.client.get("/api/results", params={"patient": right.patient, "limit": 100}).json()
    names = {archive.get(f"/results/{one['id']}/content").json()["patient"] for one in found}
    assert names == {"Right^Rita"}
    assert results(archive, study=made["id"]) == {one["id"] for one in found if one["study"] == made["id"]}
    answer = archive.client.post("/api/process", json={"plugin": PLUGIN, "patients": [wrong.patient]})
    assert answer.status_code == 404, "in a body the id of a patient that was merged away is unknown"


def test_what_is_derived_of_a_moved_image_is_beside_it(archive: Archive) -> None:
    wrong, right = two()
    for one in (wrong, right):
        upload(archive.client, one.file)
    study, series = wrong.uid("study"), wrong.uid("series")
    for path, body, there in (
        (f"/studies/{study}", {"patient": right.patient}, study),
        (f"/series/{series}", {"study": right.uid("study")}, right.uid("study")),
    ):
        post(archive, f"{path}/move", body)
        url = f"/api/instances/{wrong.uid('instance')}/process/by_plugin/{PLUGIN}"
        answer = archive.client.get(url, params={"give": "image", "store": "true"})
        assert answer.status_code == 200, answer.text
        derived = archive.get(f"/instances/{answer.headers['X-Stored-Instances']}").json()
        assert (derived["patient"], derived["study"]) == (right.patient, there)
        tags = archive.get(f"/instances/{derived['id']}/tags").json()
        assert (tags["PatientName"], tags["StudyInstanceUID"]) == ("Right^Rita", there)
        archive.delete(f"/instances/{derived['id']}")
        archive.delete(edit_of(archive, path))


def test_results_follow_a_merge_after_which_the_server_died(tmp_path: Path) -> None:
    """What was not told of a merge, and of its undoing, is made up for at the next start."""
    made = collision("PatientID")
    first, second = made.both
    more = instance(PatientID=first.dataset.PatientID)

    async def behind(move: MoveRequest | None) -> None:
        """Merge the patients, or undo it, as a server that died right after the transaction."""
        catalog = SqliteCatalog(tmp_path / "data" / "catalog.sqlite")
        await catalog.open()
        moved = await catalog.undo_move("m") if move is None else await catalog.move(move)
        assert moved
        await catalog.close()

    with killed(tmp_path / "data") as archive:
        install(archive.client, Counter(tmp_path / "calls").archive(PLUGIN))
        for one in (*made.both, more):
            upload(archive.client, one.file)
        kept = {one.patient: run(archive, one.key("instance")).headers["X-Result-Id"] for one in made.both}
        moved = run(archive, more.uid("instance")).headers["X-Result-Id"]
        assert results(archive) == {moved, *kept.values()}
    asyncio.run(behind(merge(first.patient, second.patient)))
    with killed(tmp_path / "data") as archive:
        shown = {moved, kept[second.patient]}
        assert results(archive) == results(archive, patient=second.patient) == shown, "those of what is shown"
    asyncio.run(behind(None))
    with killed(tmp_path / "data") as archive:
        assert results(archive, patient=first.patient) == {moved, kept[first.patient]}
        assert results(archive, patient=second.patient) == {kept[second.patient]}
        for one in made.both:
            assert run(archive, one.key("instance")).headers["X-Cache"] == "hit"


def test_results_of_what_is_displaced_outlive_another_merge(archive: Archive) -> None:
    made, third = collision("PatientID"), instance()
    first, second = made.both
    for one in (*made.both, third):
        upload(archive.client, one.file)
    kept = {one.patient: run(archive, one.key("instance")).headers["X-Result-Id"] for one in made.both}
    post(archive, f"/patients/{first.patient}/merge", {"into": second.patient})
    post(archive, f"/patients/{second.patient}/merge", {"into": third.patient})
    assert results(archive, patient=third.patient) == {kept[second.patient]}
    archive.delete(edit_of(archive, f"/patients/{third.patient}"))
    archive.delete(edit_of(archive, f"/patients/{second.patient}"))
    for one in made.both:
        assert results(archive, patient=one.patient) == {kept[one.patient]}


@pytest.mark.parametrize("level", ["patients", "studies", "series", "instances"])
@pytest.mark.parametrize("way", ["purged", "emptied", "restored"])
def test_results_of_what_is_displaced_go_with_it(tmp_path: Path, level: str, way: str) -> None:
    with Server(tmp_path / "data") as server:
        archive = Archive(server)
        install(archive.client, Counter(tmp_path / "calls").archive(PLUGIN))
        first, second = collision("PatientID").both
        for one in (first, second):
            upload(archive.client, one.file)
        answers = {one.patient: run(archive, one.key("instance"), give="image") for one in (first, second)}
        kept = {patient: answer.headers["X-Result-Id"] for patient, answer in answers.items()}
        wait_for(lambda: results(archive), "both results", holds=lambda found: found == {*kept.values()})
        files = result_files(server)
        assert files
        post(archive, f"/patients/{first.patient}/merge", {"into": second.patient})
        edit = edit_of(archive, f"/patients/{second.patient}")
        assert result_files(server) == files
        names = {"studies": "study", "series": "series", "instances": "instance"}
        whole = first.key(names[level]) if level in names else second.patient
        purge = {"purge": "true"} if way == "purged" else {}
        assert archive.client.delete(f"/api/{level}/{whole}", params=purge).status_code == 204
        if way == "purged":
            assert result_files(server) == set()
            return
        assert result_files(server) == files
        [entry] = archive.get("/trash").json()
        if way == "emptied":
            archive.delete(f"/trash/{entry['id']}")
            assert result_files(server) == set()
            return
        assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
        assert results(archive) == {kept[second.patient]}
        archive.delete(edit)
        for one in (first, second):
            assert results(archive, patient=one.patient) == {kept[one.patient]}
        assert result_files(server) == files


@pytest.mark.parametrize("is_purged", [True, False], ids=["purged", "trash"])
def test_results_of_what_is_displaced_go_with_it_after_a_kill(tmp_path: Path, *, is_purged: bool) -> None:
    first, second = collision("PatientID").both

    async def behind() -> None:
        """Delete the study as a server does that dies just afterwards."""
        catalog = SqliteCatalog(tmp_path / "data" / "catalog.sqlite")
        await catalog.open()
        await catalog.delete(Level.STUDY, first.key("study"), aside="" if is_purged else "trash/gone")
        await catalog.close()

    with killed(tmp_path / "data") as archive:
        install(archive.client, Counter(tmp_path / "calls").archive(PLUGIN))
        for one in (first, second):
            upload(archive.client, one.file)
            run(archive, one.key("instance"), give="image")
        wait_for(lambda: len(results(archive)), "both results", holds=lambda count: count == 2)
        post(archive, f"/patients/{first.patient}/merge", {"into": second.patient})
        files = result_files(archive.server)
    asyncio.run(behind())
    with killed(tmp_path / "data") as archive:
        assert results(archive) == set()
        left = result_files(archive.server)
        assert left < files
        assert len(left) == (0 if is_purged else 1), "those of the other were of what is shown no more"


@pytest.mark.parametrize("way", ["restored", "uploaded"])
def test_results_of_a_version_are_shown_while_it_is_current(archive: Archive, way: str) -> None:
    first, second = collision("PatientID").both
    for one in (first, second):
        upload(archive.client, one.file)
    kept = {one.patient: run(archive, one.key("instance")).headers["X-Result-Id"] for one in (first, second)}
    post(archive, f"/patients/{first.patient}/merge", {"into": second.patient})
    instance = f"/instances/{second.uid('instance')}"
    for one in (first, second, first):
        if way == "uploaded":
            upload(archive.client, one.file)
        else:
            assert archive.client.post(f"/api{instance}/versions/{sha(one.file)}/restore").status_code == 200
        assert results(archive, patient=second.patient) == {kept[one.patient]}
    archive.delete(edit_of(archive, f"/patients/{second.patient}"))
    for one in (first, second):
        assert results(archive, patient=one.patient) == {kept[one.patient]}


def test_what_is_derived_anew_of_a_series_that_was_moved_is_in_another_series(archive: Archive) -> None:
    wrong, right = two()
    for one in (wrong, right):
        upload(archive.client, one.file)
    url = f"/api/instances/{wrong.uid('instance')}/process/by_plugin/{PLUGIN}"

    def derive() -> dict[str, Any]:
        answer = archive.client.get(url, params={"give": "image", "store": "true"})
        assert answer.status_code == 200, answer.text
        return dict(archive.get(f"/instances/{answer.headers['X-Stored-Instances']}").json())

    before = derive()
    path = f"/series/{wrong.uid('series')}"
    post(archive, f"{path}/move", {"study": right.uid("study")})
    after = derive()
    assert (before["study"], after["study"]) == (wrong.uid("study"), right.uid("study"))
    conflicts = archive.get("/conflicts", limit=1000).json()
    assert after["series"] not in {one["uid"] for one in conflicts}
    assert after["series"] != before["series"], "one series is of one study"
    archive.delete(edit_of(archive, path))
    assert derive() == before, "the same result again"
