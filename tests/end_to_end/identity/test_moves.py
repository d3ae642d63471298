"""Merges, moves and splits by REST, DICOMweb and DIMSE, with files that arrive later, and their undo."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, generate_uid

from tests.support.archive_client import Archive
from tests.support.colliding import LEVELS, CollidingInstance, collision, instance
from tests.support.dicomweb.paths import key_path, metadata, patient_id, retrieve_url
from tests.support.dicomweb.stow import part, related, store
from tests.support.dimse.remotes import associated, find
from tests.support.moves import edit_of, found_by, original, outgoing, post
from tests.support.server import Server

WRONG: dict[str, Any] = {"PatientName": "Wrong^Walter", "PatientBirthDate": "19500505", "PatientSex": "M"}
RIGHT: dict[str, Any] = {"PatientName": "Right^Rita", "PatientBirthDate": "19700707", "PatientSex": "F"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, options: list[str]) -> Iterator[Server]:
    """A server that takes associations, on each catalog; every test works with patients and UIDs of its own."""
    with Server.with_dimse(tmp_path_factory.mktemp("moves"), "--dimse-accept", "any", *options) as running:
        yield running


@pytest.fixture
def archive(server: Server) -> Archive:
    return Archive(server)


def another(one: CollidingInstance, **elements: Any) -> CollidingInstance:
    """Make a further instance of the same series, unless the elements say otherwise."""
    keywords = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "SeriesInstanceUID")
    return instance(**{keyword: one.dataset[keyword].value for keyword in keywords} | elements)


def stowed(server: Server, one: CollidingInstance) -> None:
    answer = store(server, related(part(one.file)))
    assert answer.status_code == 200, answer.text
    [item] = answer.json()["00081199"]["Value"]
    [found] = metadata(server, retrieve_url(item))
    assert found["00080018"]["Value"] == [one.uid("instance")], "the Retrieve URL is where it lies"


def sent(server: Server, one: CollidingInstance) -> None:
    with associated(server, CTImageStorage) as assoc:
        assert assoc.send_c_store(one.dataset).Status == 0x0000


def uploaded(server: Server, one: CollidingInstance) -> None:
    assert Archive(server).store(one.file)["status"] == "stored"


WAYS: list[Callable[[Server, CollidingInstance], None]] = [uploaded, stowed, sent]


def check(server: Server, one: CollidingInstance, study: str, shown: dict[str, str], said: dict[str, str]) -> None:
    """Check what each way out says of an instance, and what it said of itself."""
    for door, ds in outgoing(server, one, study).items():
        assert {keyword: str(ds.get(keyword) or "") for keyword in shown} == shown, door
        former = original(ds)
        assert {keyword: former.get(keyword) for keyword in said} == said, door
        assert said or not former, door


def test_a_study_of_another_patient(server: Server, archive: Archive) -> None:
    wrong, right = instance(**WRONG), instance(**RIGHT)
    for one in (wrong, right):
        archive.store(one.file)
    study, ids = wrong.uid("study"), {name: patient_id(one) for name, one in (("wrong", wrong), ("right", right))}
    path = f"/studies/{study}"
    before = archive.get(path).json()
    moved = post(archive, f"{path}/move", {"patient": right.patient})
    assert moved == archive.get(path).json()
    assert (moved["id"], moved["key"], moved["patient"]) == (study, wrong.key("study"), right.patient)
    assert (moved["patient_name"], moved["patient_birth_date"], moved["patient_sex"]) == (
        "Right^Rita",
        "19700707",
        "F",
    )
    assert archive.get(f"/patients/{right.patient}").json()["studies_count"] == 2
    archive.get(f"/patients/{wrong.patient}", 404)
    later = [another(wrong), another(wrong, SeriesInstanceUID=generate_uid()), another(wrong)]
    for way, one in zip(WAYS, later, strict=True):
        way(server, one)
    assert archive.get(path).json()["images_count"] == 4
    assert found_by(server, PatientID=ids["wrong"]) == [set()] * 3
    assert found_by(server, PatientID=ids["right"]) == [{study, right.uid("study")}] * 3
    assert found_by(server, PatientID=ids["right"], PatientName="Wrong*") == [set()] * 3
    shown = RIGHT | {"PatientID": ids["right"], "StudyInstanceUID": study}
    for one in (wrong, *later[:2]):
        check(server, one, study, shown, WRONG | {"PatientID": ids["wrong"]})
        file = archive.get(f"/instances/{one.uid('instance')}/file", original="true").content
        assert file == one.file or one is later[2]
    [edit] = archive.get(f"{path}/edits").json()
    assert (edit["field"], edit["before"], edit["after"]) == ("patient", wrong.patient, right.patient)
    assert edit["edit"]
    assert edit["time"]
    archive.delete(f"{path}/edits/{edit['edit']}")
    archive.delete(f"{path}/edits/{edit['edit']}", 404)
    assert archive.get(f"{path}/edits").json() == []
    assert archive.get(path).json() == before | {
        name: archive.get(path).json()[name] for name in ("images_count", "series_count")
    }
    assert archive.get(f"/patients/{wrong.patient}").json()["images_count"] == 4
    assert found_by(server, PatientID=ids["right"]) == [{right.uid("study")}] * 3
    for one in (wrong, later[1]):
        check(server, one, study, WRONG | {"PatientID": ids["wrong"]}, {})


def test_a_study_of_a_patient_that_is_made(server: Server, archive: Archive) -> None:
    wrong = instance(**WRONG)
    archive.store(wrong.file)
    study, made = wrong.uid("study"), instance().dataset.PatientID
    named = {"patient_id": made, "issuer_of_patient_id": "Hospital", "patient_name": "Ngô^Bảo=吳^寶"}
    moved = post(archive, f"/studies/{study}/move", {"patient": named})
    assert {name: moved[name] for name in named} == named
    assert (moved["patient_birth_date"], moved["patient_sex"]) == (None, None), "what is not given is empty"
    patient = archive.get(f"/patients/{moved['patient']}").json()
    assert {name: patient[name] for name in named} == named
    assert found_by(server, PatientID=made) == [{study}] * 3
    assert found_by(server, PatientID=made, PatientName="Ng?^*") == [{study}] * 3
    shown = {"PatientID": made, "IssuerOfPatientID": "Hospital", "PatientBirthDate": "", "PatientSex": ""}
    check(server, wrong, study, shown, WRONG | {"PatientID": patient_id(wrong)})
    again = instance(PatientID=made, IssuerOfPatientID="Hospital", PatientName="Ngo^Bao")
    archive.store(again.file)
    assert archive.get(f"/patients/{moved['patient']}").json()["studies_count"] == 2, "it is that patient"
    archive.delete(edit_of(archive, f"/studies/{study}"))
    assert found_by(server, PatientID=patient_id(wrong)) == [{study}] * 3


def test_a_merge(server: Server, archive: Archive) -> None:
    wrong, right = instance(**WRONG), instance(**RIGHT)
    second = another(wrong, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid())
    for one in (wrong, second, right):
        archive.store(one.file)
    studies = {one.uid("study") for one in (wrong, second, right)}
    path, into = f"/patients/{wrong.patient}", f"/patients/{right.patient}"
    merged = post(archive, f"{path}/merge", {"into": right.patient, "from_now_on": True})
    assert merged == archive.get(into).json()
    assert (merged["id"], merged["studies_count"], merged["images_count"]) == (right.patient, 3, 3)
    for below in ("", "/studies", "/edits"):
        query = "?limit=5" if below == "/studies" else ""
        answer = archive.get(f"{path}{below}{query}", 308)
        assert answer.headers["Location"].endswith(f"/api{into}{below}{query}")
    followed = archive.client.get(f"/api{path}", follow_redirects=True)
    assert followed.json() == merged
    assert found_by(server, PatientID=patient_id(right)) == [studies] * 3
    assert found_by(server, PatientID=patient_id(wrong)) == [set()] * 3
    later = [another(wrong, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid()) for _ in WAYS]
    for way, one in zip(WAYS, later, strict=True):
        way(server, one)
    studies |= {one.uid("study") for one in later}
    assert found_by(server, PatientID=patient_id(right)) == [studies] * 3
    shown = RIGHT | {"PatientID": patient_id(right)}
    for one in (second, later[1]):
        check(server, one, one.uid("study"), shown, WRONG | {"PatientID": patient_id(wrong)})
    archive.put(into, {"patient_name": "Edited^Name"})
    check(server, second, second.uid("study"), shown | {"PatientName": "Edited^Name"}, {"PatientName": "Wrong^Walter"})
    [merge, _] = archive.get(f"{into}/edits").json()
    assert (merge["field"], merge["before"], merge["after"]) == ("patient", wrong.patient, right.patient)
    archive.delete(f"{into}/edits/{merge['edit']}")
    assert archive.get(path).json()["studies_count"] == 5
    assert found_by(server, PatientID=patient_id(right)) == [{right.uid("study")}] * 3
    check(server, later[1], later[1].uid("study"), WRONG | {"PatientID": patient_id(wrong)}, {})


def test_a_series_of_another_study(server: Server, archive: Archive) -> None:
    place = {"StudyDescription": "wrong study", "StudyDate": "20230101", "StudyID": generate_uid()[-12:]}
    first = instance(**WRONG, **place)
    right = instance(**RIGHT, StudyDescription="right study", StudyDate="20240404", StudyID=generate_uid()[-12:])
    wrong = another(first, SeriesInstanceUID=generate_uid(), **place)
    for one in (first, right, wrong):
        archive.store(one.file)
    series, old, new = wrong.uid("series"), first.uid("study"), right.uid("study")
    moved = post(archive, f"/series/{series}/move", {"study": new})
    assert archive.get(f"/series/{series}").json() == moved | {"is_stable": False}
    assert (moved["study"], moved["patient"], moved["key"]) == (new, right.patient, wrong.key("series"))
    for level, many in (("series", "series"), ("instance", "instances")):
        assert archive.get(f"/{many}/{wrong.key(level)}").json()["study"] == new
    assert server.client.get(f"/dicom-web/studies/{old}/series/{series}/metadata").status_code == 404
    later = [another(wrong, **place) for _ in WAYS]
    for way, one in zip(WAYS, later, strict=True):
        way(server, one)
    counts = {study: archive.get(f"/studies/{study}").json() for study in (old, new)}
    assert {study: (one["series_count"], one["images_count"]) for study, one in counts.items()} == {
        old: (1, 1),
        new: (2, 5),
    }
    matches, *_ = find(server, "SERIES", StudyInstanceUID=new, SeriesInstanceUID="")
    assert {str(ds.SeriesInstanceUID) for ds in matches} == {series, right.uid("series")}
    assert found_by(server, StudyID=place["StudyID"]) == [{old}] * 3
    shown = RIGHT | {"PatientID": patient_id(right), "StudyInstanceUID": new, "StudyDescription": "right study"}
    shown |= {"StudyDate": "20240404", "StudyID": str(right.dataset.StudyID), "SeriesInstanceUID": series}
    said = {"PatientID": patient_id(wrong), "StudyInstanceUID": old, **WRONG, **place}
    for one in (wrong, *later[1:]):
        check(server, one, new, shown, said)
    [edit] = archive.get(f"/series/{series}/edits").json()
    assert (edit["field"], edit["before"], edit["after"]) == ("study", old, new)
    archive.delete(f"/series/{series}/edits/{edit['edit']}")
    assert archive.get(f"/studies/{old}").json()["images_count"] == 5
    check(server, wrong, old, said | {"SeriesInstanceUID": series}, {})


def test_a_split(server: Server, archive: Archive) -> None:
    first = instance(**WRONG, StudyDescription="whole", StudyID="7")
    more = {"StudyDescription": "whole", "StudyID": "7"}
    second, third = (another(first, SeriesInstanceUID=generate_uid(), **more) for _ in range(2))
    for one in (first, second, third):
        archive.store(one.file)
    old = first.uid("study")
    archive.put(f"/studies/{old}", {"study_description": "edited"})
    made = post(archive, f"/studies/{old}/split", {"series": [second.uid("series"), third.key("series")]})
    new = made["study_instance_uid"]
    assert made["id"] == new != old
    assert (made["patient"], made["series_count"], made["study_description"]) == (first.patient, 2, "edited")
    assert archive.get(f"/studies/{old}").json()["series_count"] == 1
    assert archive.get(f"/patients/{first.patient}").json()["studies_count"] == 2
    later = [another(second, **more) for _ in WAYS]
    for way, one in zip(WAYS, later, strict=True):
        way(server, one)
    assert archive.get(f"/studies/{new}").json()["images_count"] == 5
    assert found_by(server, PatientID=patient_id(first)) == [{old, new}] * 3
    shown = {"StudyInstanceUID": new, "StudyDescription": "edited", "StudyID": "7", **WRONG}
    for one in (third, *later[1:]):
        check(server, one, new, shown, {"StudyInstanceUID": old, "StudyDescription": "whole"})
    [edit, split] = archive.get(f"/studies/{old}/edits").json()
    assert archive.get(f"/studies/{new}/edits").json()[0]["edit"] == split["edit"]
    assert edit["field"] == "study_description"
    archive.delete(f"/studies/{new}/edits/{split['edit']}")
    archive.get(f"/studies/{new}", 404)
    assert archive.get(f"/studies/{old}").json()["images_count"] == 6
    check(server, third, old, {"StudyInstanceUID": old, "StudyDescription": "edited"}, {"StudyDescription": "whole"})


@pytest.mark.parametrize("different", [("PatientID",), ("PatientID", "SOPInstanceUID"), ("StudyInstanceUID",)], ids=str)
def test_a_conflict_that_a_move_ends(server: Server, archive: Archive, different: tuple[str, ...]) -> None:
    made = collision(*different)
    first, second = made.both
    for one in made.both:
        archive.store(one.file)
    uid = made.listed[0]["uid"]
    assert uid in {each["uid"] for each in archive.get("/conflicts", limit=1000).json()}
    if first.patient == second.patient:
        path = f"/series/{first.key('series')}"
        post(archive, f"{path}/move", {"study": second.uid("study")})
    else:
        path = f"/studies/{first.key('study')}"
        post(archive, f"{path}/move", {"patient": second.patient})
    assert uid not in {each["uid"] for each in archive.get("/conflicts", limit=1000).json()}
    is_one = first.uid("instance") == second.uid("instance")
    series = archive.get(f"/series/{second.uid('series')}").json()
    assert series["images_count"] == (1 if is_one else 2)
    for level, (many, *_) in LEVELS.items():
        if level in made.shared:
            shown = archive.get(f"/{many}/{second.uid(level)}").json()
            for one in made.both:
                assert archive.get(f"/{many}/{one.key(level)}").json() == shown, level
                if level == "study":
                    assert len(metadata(server, f"/studies/{one.key(level)}")) == series["images_count"]
    check(server, second, second.uid("study"), {"PatientID": patient_id(second)}, {})
    if is_one:
        answer = server.client.get(f"/dicom-web{key_path(second)}", headers={"Accept": "application/dicom"})
        assert answer.status_code == 200
        versions = archive.get(f"/instances/{second.uid('instance')}/versions").json()
        assert [one["current"] for one in versions] == [True, False]
        for version, one in zip(versions, (second, first), strict=True):
            params = {"version": version["sha256"]}
            assert archive.get(f"/instances/{second.uid('instance')}/file", **params).content == one.file
    archive.delete(edit_of(archive, path))
    assert uid in {each["uid"] for each in archive.get("/conflicts", limit=1000).json()}
    for one in made.both:
        assert archive.get(f"/instances/{one.key('instance')}/file").content == one.file
