"""Merges, moves and splits over REST: refusals, results and labels that go along, and their undo."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.archive_client import Archive
from tests.support.colliding import CollidingInstance, collision, instance
from tests.support.labels import give, own
from tests.support.moves import edit_of, post

LONG = "x" * 65


def stored(archive: Archive, *files: CollidingInstance) -> None:
    for one in files:
        assert archive.store(one.file)["status"] == "stored"


def test_unknown_ids_are_told_before_the_body_is_read(archive: Archive) -> None:
    for path in ("patients/none/merge", "studies/1.2.3/move", "studies/1.2.3/split", "series/1.2.3/move"):
        for body in (b"", b"{", b"[" * 100_000, b'{"into": 5}'):
            answer = archive.client.post(f"/api/{path}", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 404, path
            assert "1.2.3" in answer.json()["detail"] or "none" in answer.json()["detail"]


def test_unknown_ids_in_bodies(archive: Archive) -> None:
    one = instance()
    stored(archive, one)
    for path, body in (
        (f"/patients/{one.patient}/merge", {"into": "none"}),
        (f"/studies/{one.uid('study')}/move", {"patient": "none"}),
        (f"/series/{one.uid('series')}/move", {"study": "1.2.3"}),
        (f"/studies/{one.uid('study')}/split", {"series": ["1.2.3"]}),
    ):
        problem = post(archive, path, body, 404)
        assert problem["field"] in body
    post(archive, f"/patients/{one.patient}/merge", {"into": one.uid("study")}, 404)
    post(archive, f"/series/{one.uid('series')}/move", {"study": one.uid("series")}, 404)


@pytest.mark.parametrize(
    ("verb", "bodies"),
    [
        ("merge", [{}, {"into": ""}, {"into": 5}, {"into": None}, {"into": ["a"]}, {"into": "a", "patient": "b"}]),
        ("merge", [{"into": "a", "from_now_on": 1}, {"into": "a", "from_now_on": "yes"}, {"from_now_on": True}]),
        ("move of study", [{}, {"patient": None}, {"patient": 5}, {"patient": ""}, {"patient": []}, {"study": "1.2"}]),
        ("move of study", [{"patient": {}}, {"patient": {"patient_name": "A"}}, {"patient": {"patient_id": ""}}]),
        ("move of study", [{"patient": {"patient_id": "  "}}, {"patient": {"patient_id": "A\\B"}}]),
        ("move of study", [{"patient": {"patient_id": LONG}}, {"patient": {"patient_id": 5}}]),
        ("move of study", [{"patient": {"patient_id": "A", "study_id": "S"}}, {"patient": {"id": "A"}}]),
        ("move of study", [{"patient": {"patient_id": "A", "patient_birth_date": "1.2.1970"}}]),
        ("move of study", [{"patient": "a", "from_now_on": True}]),
        ("move of series", [{}, {"study": None}, {"study": ""}, {"study": ["1.2"]}, {"study": "1", "patient": "p"}]),
        ("split", [{}, {"series": []}, {"series": "1.2"}, {"series": [5]}, {"series": [""]}, {"series": None}]),
        ("split", [{"series": ["1.2"], "study": "1.3"}]),
    ],
)
def test_bodies_that_are_none(archive: Archive, verb: str, bodies: list[Any]) -> None:
    one = instance()
    stored(archive, one)
    path = {
        "merge": f"/patients/{one.patient}/merge",
        "move of study": f"/studies/{one.uid('study')}/move",
        "move of series": f"/series/{one.uid('series')}/move",
        "split": f"/studies/{one.uid('study')}/split",
    }[verb]
    before = archive.get(f"/studies/{one.uid('study')}").json()
    for body in [*bodies, [], "text", 5]:
        problem = post(archive, path, body, 422)
        assert problem["detail"]
    assert archive.get(f"/studies/{one.uid('study')}").json() == before


def test_what_would_change_nothing_or_leave_nothing(archive: Archive) -> None:
    one, other = instance(), instance()
    more = instance(PatientID=one.dataset.PatientID, StudyInstanceUID=one.uid("study"))
    stored(archive, one, other, more)
    study, series = one.uid("study"), [one.uid("series"), more.uid("series")]
    for path, body in (
        (f"/patients/{one.patient}/merge", {"into": one.patient}),
        (f"/studies/{study}/move", {"patient": one.patient}),
        (f"/studies/{study}/move", {"patient": {"patient_id": one.dataset.PatientID}}),
        (f"/studies/{study}/move", {"patient": {"patient_id": f" {one.dataset.PatientID} ", "patient_name": "N"}}),
        (f"/series/{series[0]}/move", {"study": study}),
        (f"/series/{series[0]}/move", {"study": one.key("study")}),
        (f"/studies/{study}/split", {"series": series}),
        (f"/studies/{study}/split", {"series": [*series, one.key("series")]}),
        (f"/studies/{other.uid('study')}/split", {"series": [other.uid("series")]}),
    ):
        post(archive, path, body, 409)
    problem = post(archive, f"/studies/{study}/split", {"series": [other.uid("series")]}, 422)
    assert problem["field"] == "series"
    for many, entity in (("studies", study), ("series", series[0]), ("patients", one.patient)):
        assert archive.get(f"/{many}/{entity}/edits").json() == []


def test_uids_that_name_several(archive: Archive) -> None:
    made = collision("PatientID", "SOPInstanceUID")
    first, second = made.both
    other = instance()
    stored(archive, first, second, other)
    studies, series = ({one.key(level) for one in made.both} for level in ("study", "series"))
    for path, body, candidates in (
        (f"/studies/{first.uid('study')}/move", {"patient": other.patient}, studies),
        (f"/studies/{first.uid('study')}/split", {"series": [first.key("series")]}, studies),
        (f"/series/{first.uid('series')}/move", {"study": other.uid("study")}, series),
        (f"/series/{other.uid('series')}/move", {"study": first.uid("study")}, studies),
    ):
        problem = post(archive, path, body, 409)
        assert problem["code"] == "ambiguous"
        assert set(problem["candidates"]) == candidates
    moved = post(archive, f"/series/{first.key('series')}/move", {"study": second.key("study")})
    assert moved["id"] == first.uid("series")
    post(archive, f"/series/{other.uid('series')}/move", {"study": first.uid("study")})


def test_a_patient_that_was_merged_away(archive: Archive) -> None:
    wrong, right, third = instance(), instance(), instance()
    stored(archive, wrong, right, third)
    post(archive, f"/patients/{wrong.patient}/merge", {"into": right.patient})
    for method, path in (("GET", ""), ("GET", "/studies"), ("PUT", ""), ("GET", "/edits"), ("POST", "/merge")):
        answer = archive.client.request(method, f"/api/patients/{wrong.patient}{path}", json={} if path else None)
        assert answer.status_code == 308, (method, path, answer.text)
        assert answer.headers["Location"].endswith(f"/api/patients/{right.patient}{path}")
    problem = post(archive, f"/patients/{third.patient}/merge", {"into": wrong.patient}, 404)
    assert right.patient in problem["detail"], "in a body it is refused, and the other one is named"
    post(archive, f"/studies/{third.uid('study')}/move", {"patient": wrong.patient}, 404)
    post(archive, f"/patients/{right.patient}/merge", {"into": third.patient})
    answer = archive.get(f"/patients/{wrong.patient}", 308)
    assert answer.headers["Location"].endswith(f"/api/patients/{third.patient}"), "on and on"
    archive.delete(edit_of(archive, f"/patients/{third.patient}"))
    assert archive.get(f"/patients/{wrong.patient}", 308).headers["Location"].endswith(right.patient)
    late = instance(PatientID=wrong.dataset.PatientID)
    stored(archive, late)
    assert archive.get(f"/patients/{wrong.patient}").json()["studies_count"] == 1, "it is there again"
    archive.delete(f"/studies/{late.uid('study')}")
    archive.get(f"/patients/{wrong.patient}", 308)
    archive.delete(edit_of(archive, f"/patients/{right.patient}"))
    assert archive.get(f"/patients/{wrong.patient}").json()["images_count"] == 1


def test_an_id_that_is_percent_encoded_is_redirected_too(archive: Archive) -> None:
    wrong, right = instance(), instance()
    stored(archive, wrong, right)
    post(archive, f"/patients/{wrong.patient}/merge", {"into": right.patient})
    encoded = f"%{ord(wrong.patient[0]):02x}{wrong.patient[1:]}"
    for path in ("", "/studies", f"/studies?limit=1&patient_name=/{wrong.patient}", "/edits?"):
        answer = archive.client.request("GET", f"/api/patients/{encoded}{path}")
        assert answer.request.url.raw_path.decode().startswith(f"/api/patients/%{ord(wrong.patient[0]):02x}")
        assert answer.status_code == 308, (path, answer.text)
        assert answer.headers["Location"] == f"/api/patients/{right.patient}{path}"
    followed = archive.client.get(f"/api/patients/{encoded}/studies?limit=1", follow_redirects=True)
    assert [study["patient"] for study in followed.json()] == [right.patient]


def test_an_edit_is_undone_where_it_is_listed(archive: Archive) -> None:
    wrong, right = instance(), instance()
    stored(archive, wrong, right)
    post(archive, f"/studies/{wrong.uid('study')}/move", {"patient": right.patient})
    [edit] = archive.get(f"/studies/{wrong.uid('study')}/edits").json()
    for path in (
        f"/studies/{right.uid('study')}",
        f"/series/{wrong.uid('series')}",
        f"/patients/{right.patient}",
        f"/instances/{wrong.uid('instance')}",
    ):
        archive.delete(f"{path}/edits/{edit['edit']}", 404)
    url = f"/api/studies/{wrong.uid('study')}/edits/{edit['edit']}"
    with ThreadPoolExecutor() as pool:
        statuses = list(pool.map(lambda _: archive.client.delete(url).status_code, range(8)))
    assert sorted(statuses) == [204, *[404] * 7]
    assert archive.get(f"/studies/{wrong.uid('study')}").json()["patient"] == wrong.patient


def test_labels_go_along(archive: Archive) -> None:
    made = collision("PatientID")
    first, second = made.both
    stored(archive, first, second)
    labels = {one.patient: {level: own() for level in ("study", "series", "instance")} for one in made.both}
    many = {"study": "studies", "series": "series", "instance": "instances"}
    for one in made.both:
        for level, label in labels[one.patient].items():
            give(archive, f"/{many[level]}/{one.key(level)}", label)
    patient_label = own()
    give(archive, f"/patients/{first.patient}", patient_label)
    path = f"/studies/{first.key('study')}"
    post(archive, f"{path}/move", {"patient": second.patient})
    for level in ("study", "series", "instance"):
        both = sorted(labels[one.patient][level] for one in made.both)
        assert archive.get(f"/{many[level]}/{first.uid(level)}").json()["labels"] == both, level
        for label in both:
            found = archive.get(f"/{many[level]}", labels=label).json()
            assert [entity["id"] for entity in found] == [first.uid(level)], level
    assert archive.get(f"/patients/{second.patient}").json()["labels"] == []
    archive.delete(edit_of(archive, path))
    for one in made.both:
        for level, label in labels[one.patient].items():
            assert archive.get(f"/{many[level]}/{one.key(level)}").json()["labels"] == [label], level
            assert [entity["key"] for entity in archive.get(f"/{many[level]}", labels=label).json()] == [one.key(level)]
    assert archive.get(f"/patients/{first.patient}").json()["labels"] == [patient_label]


def test_a_merge_gives_the_labels_of_the_patient(archive: Archive) -> None:
    wrong, right = instance(), instance()
    stored(archive, wrong, right)
    first, second = own(), own()
    for patient, label in ((wrong.patient, first), (wrong.patient, "protected"), (right.patient, second)):
        give(archive, f"/patients/{patient}", label)
    merged = post(archive, f"/patients/{wrong.patient}/merge", {"into": right.patient})
    assert merged["labels"] == sorted([first, second, "protected"]), "what was protected from a quota stays so"
    assert [one["id"] for one in archive.get("/patients", labels=first).json()] == [right.patient]
    archive.delete(edit_of(archive, f"/patients/{right.patient}"))
    assert archive.get(f"/patients/{wrong.patient}").json()["labels"] == sorted([first, "protected"])
    assert archive.get(f"/patients/{right.patient}").json()["labels"] == sorted([first, second, "protected"])
    for patient in (wrong.patient, right.patient):
        archive.delete(f"/patients/{patient}/labels/protected")


def test_two_patients_that_are_merged_into_each_other_at_once(archive: Archive) -> None:
    for _ in range(3):
        pair = instance(), instance()
        stored(archive, *pair)
        paths = [(one.patient, other.patient) for one, other in (pair, pair[::-1])] * 2

        def ask(of: tuple[str, str]) -> int:
            return archive.client.post(f"/api/patients/{of[0]}/merge", json={"into": of[1]}).status_code

        with ThreadPoolExecutor() as pool:
            statuses = sorted(pool.map(ask, paths))
        assert statuses[0] == 200
        assert set(statuses[1:]) <= {308, 404, 409}, statuses
        patients = {archive.get(f"/studies/{one.uid('study')}").json()["patient"] for one in pair}
        assert len(patients) == 1
        assert archive.get(f"/patients/{patients.pop()}").json()["images_count"] == 2


def test_everything_is_an_edit_of_a_user(archive: Archive) -> None:
    wrong, right = instance(), instance()
    more = instance(PatientID=right.dataset.PatientID, StudyInstanceUID=right.uid("study"))
    stored(archive, wrong, right, more)
    post(archive, f"/patients/{wrong.patient}/merge", {"into": right.patient})
    post(archive, f"/series/{wrong.uid('series')}/move", {"study": right.uid("study")})
    made = post(archive, f"/studies/{right.uid('study')}/split", {"series": [more.uid("series")]})
    for path, field, before, after in (
        (f"/patients/{right.patient}", "patient", wrong.patient, right.patient),
        (f"/series/{wrong.uid('series')}", "study", wrong.uid("study"), right.uid("study")),
        (f"/studies/{made['id']}", "study", right.uid("study"), made["id"]),
        (f"/series/{more.uid('series')}", "study", right.uid("study"), made["id"]),
    ):
        [edit] = archive.get(f"{path}/edits").json()
        assert (edit["field"], edit["before"], edit["after"], edit["value"]) == (field, before, after, after), path
        assert edit["user"] == "local@localhost"
        assert edit["time"].endswith("Z")
