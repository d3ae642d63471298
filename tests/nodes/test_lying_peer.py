"""A node that answers with something else than it was asked for: nothing of it is stored or shown as asked for."""

import io
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.support.datasets import to_bytes
from tests.support.faulty import FaultyRequest, FaultyServer, multipart
from tests.support.nodes import RELATED, NodesClient, series_of, study


def dataset_of(file: bytes) -> Dataset:
    return dcmread(io.BytesIO(file))


def test_instances_of_other_entities_are_refused_and_named(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(2, 1)
    other, others = study(2, 1)
    here.store(others[0])
    before = here.http.get(f"/api/studies/{other}").json()
    forged = dataset_of(others[0])
    forged.Rows = 1  # the same instance with other bytes, which would take the place of the one that is here
    second = dataset_of(files[1])
    second.SeriesInstanceUID = other  # of the study, and of another series

    def node(request: FaultyRequest) -> None:
        if "/series?" in request.path:
            request.answer_json(series_of(uid, files))
        else:
            sent = [files[0], to_bytes(forged), others[1], to_bytes(second)]
            request.answer(200, multipart(sent), RELATED + "b")

    faulty.behaviour = node
    job = here.run("faulty", "retrieve", level="STUDY", ids=[uid])
    assert (job["state"], job["done"], job["failed"]) == ("done", 1, 3), job
    reasons = {each["instance"]: each["reason"] for each in job["errors"]}
    unasked = [str(dataset_of(file).SOPInstanceUID) for file in (others[0], others[1], files[1])]
    assert sorted(reasons) == sorted(unasked), reasons
    assert f"its StudyInstanceUID is '{other}'; '{uid}' was requested" in reasons[unasked[0]]
    assert f"its SeriesInstanceUID is '{other}'" in reasons[unasked[2]]
    assert (here.count(uid), here.count(other)) == (1, 1)
    assert here.http.get(f"/api/studies/{other}").json() == before


def test_another_patients_study_is_refused(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(1, 1, PatientID="OTHER")
    faulty.behaviour = lambda request: (
        request.answer_json(series_of(uid, files))
        if "/series?" in request.path
        else request.answer(200, multipart(files), RELATED + "b")
    )
    job = here.run("faulty", "retrieve", level="PATIENT", ids=["ASKED"])
    assert (job["done"], job["failed"]) == (0, 1), job
    assert "its PatientID is 'OTHER'; 'ASKED' was requested" in job["errors"][0]["reason"]
    assert here.count(uid) == 0


@pytest.mark.parametrize(
    ("requested", "found", "text"), [("p-77", "P-77", "ISO_IR 100"), ("pü-77", "Pü-77", "ISO_IR 101")]
)
def test_a_patient_is_retrieved_whatever_the_case_and_character_set(
    here: NodesClient, faulty: FaultyServer, requested: str, found: str, text: str
) -> None:
    uid, files = study(1, 1, PatientID=found, SpecificCharacterSet="ISO_IR 100")
    files = [file.replace(b"ISO_IR 100", text.encode()) for file in files]
    if text != "ISO_IR 100":
        files = [file.replace("ü".encode("latin-1"), b"\xb1") for file in files]
    faulty.behaviour = lambda request: (
        request.answer_json(series_of(uid, files))
        if "/series?" in request.path
        else request.answer(200, multipart(files), RELATED + "b")
    )
    job = here.run("faulty", "retrieve", level="PATIENT", ids=[requested])
    assert (job["done"], job["failed"]) == (1, 0), job
    assert here.count(uid) == 1


@pytest.mark.parametrize("level", ["STUDY", "SERIES"])
def test_matches_of_other_entities_are_dropped(here: NodesClient, faulty: FaultyServer, level: str) -> None:
    def match(study: str, patient: str) -> dict[str, Any]:
        elements = {"0020000D": ("UI", study), "00100020": ("LO", patient), "0020000E": ("UI", f"{study}.1")}
        return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in elements.items()}

    found = [match("1.2.3", "P1"), match("1.2.4", "P1"), match("1.2.3", "P2"), match("1.2.3", "p1 ")]
    faulty.behaviour = lambda request: request.answer_json(found)
    query = {"StudyInstanceUID": "1.2.3", "PatientID": "P1"}
    assert [each["PatientID"] for each in here.find("faulty", level, query)] == ["P1", "p1 "]
    assert len(here.find("faulty", level, {"PatientID": "P*"})) == 4, "wildcards are the node's to interpret"
    assert len(here.find("faulty", level)) == 4
