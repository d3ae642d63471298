"""Deletion: what is below goes too, parents left empty go, counts stay right, files are gone."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from tests.support.archive_client import Archive


def files(archive: Archive) -> set[Path]:
    return {path for path in (archive.server.data / "blobs" / "objects").rglob("*") if path.is_file()}


@pytest.fixture
def tree(archive: Archive) -> dict[str, Any]:
    """A patient with two studies: one of two series of two slices, one of a single slice."""
    patient_id = generate_uid()
    studies = [generate_uid(), generate_uid()]
    series = [generate_uid() for _ in range(3)]
    before = files(archive)
    made = [
        archive.make(2, PatientID=patient_id, StudyInstanceUID=studies[0], SeriesInstanceUID=series[0]),
        archive.make(2, PatientID=patient_id, StudyInstanceUID=studies[0], SeriesInstanceUID=series[1], Modality="PT"),
        archive.make(1, PatientID=patient_id, StudyInstanceUID=studies[1], SeriesInstanceUID=series[2]),
    ]
    patient = archive.get(f"/studies/{studies[0]}").json()["patient"]
    return {"patient": patient, "studies": studies, "series": series, "made": made, "before": before}


def test_an_instance(archive: Archive, tree: dict[str, Any]) -> None:
    gone = tree["made"][0][0]["id"]
    assert archive.delete(f"/instances/{gone}").content == b""
    for path in (f"/instances/{gone}", f"/instances/{gone}/file", f"/instances/{gone}/tags"):
        archive.get(path, status=404)
    assert archive.get(f"/series/{tree['series'][0]}").json()["images_count"] == 1
    assert archive.get(f"/studies/{tree['studies'][0]}").json()["images_count"] == 3
    assert archive.get(f"/patients/{tree['patient']}").json()["images_count"] == 4
    assert len(files(archive) - tree["before"]) == 4
    archive.delete(f"/instances/{gone}", status=404)


def test_the_last_instance_takes_its_empty_parents_along(archive: Archive, tree: dict[str, Any]) -> None:
    archive.delete(f"/instances/{tree['made'][2][0]['id']}")
    archive.get(f"/series/{tree['series'][2]}", status=404)
    archive.get(f"/studies/{tree['studies'][1]}", status=404)
    patient = archive.get(f"/patients/{tree['patient']}").json()
    assert (patient["studies_count"], patient["images_count"]) == (1, 4)


def test_a_series(archive: Archive, tree: dict[str, Any]) -> None:
    assert archive.get(f"/studies/{tree['studies'][0]}").json()["modalities"] == ["CT", "PT"]
    archive.delete(f"/series/{tree['series'][1]}")
    study = archive.get(f"/studies/{tree['studies'][0]}").json()
    assert (study["series_count"], study["images_count"], study["modalities"]) == (1, 2, ["CT"])
    assert len(files(archive) - tree["before"]) == 3


def test_a_study(archive: Archive, tree: dict[str, Any]) -> None:
    archive.delete(f"/studies/{tree['studies'][0]}")
    assert archive.get("/instances", patient=tree["patient"]).headers["X-Total-Count"] == "1"
    assert len(files(archive) - tree["before"]) == 1


def test_a_patient_and_its_edits(archive: Archive, tree: dict[str, Any]) -> None:
    archive.put(f"/patients/{tree['patient']}", {"patient_name": "EDITED"})
    patient_id = archive.get(f"/patients/{tree['patient']}").json()["patient_id"]
    archive.delete(f"/patients/{tree['patient']}")
    archive.get(f"/patients/{tree['patient']}", status=404)
    for study in tree["studies"]:
        archive.get(f"/studies/{study}/series", status=404)
    assert files(archive) == tree["before"]

    archive.make(PatientID=patient_id, PatientName="AS^SENT")
    assert archive.get(f"/patients/{tree['patient']}").json()["patient_name"] == "AS^SENT"


def test_what_was_deleted_can_be_stored_again(archive: Archive) -> None:
    first = archive.make()[0]
    content = archive.get(f"/instances/{first['id']}/file").content
    archive.delete(f"/studies/{first['study']}")
    assert archive.store(content)["status"] == "stored"
    assert archive.get(f"/instances/{first['id']}/file").content == content


@pytest.mark.parametrize("many", ["patients", "studies", "series", "instances"])
def test_an_unknown_id_is_404(archive: Archive, many: str) -> None:
    assert archive.delete(f"/{many}/1.2.3.4", status=404).json()["code"] == "not_found"
