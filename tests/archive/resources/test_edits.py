"""Edits: answered, found and served from then on, while the stored bytes stay as they came."""

import io
import re
from typing import Any

import pydicom
import pytest
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from neurdicom.dicom.codec.json_model import to_tags
from tests.support.archive_client import Archive
from tests.support.datasets import to_bytes
from tests.support.resource_files import make_dataset, make_file


def read(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def test_an_edit_reaches_every_way_out(archive: Archive) -> None:
    results = archive.make(2, PatientName="BEFORE^EDIT", PatientID="edit-every-way")
    instance, patient = results[0]["id"], archive.get(f"/instances/{results[0]['id']}").json()["patient"]
    stored = archive.get(f"/instances/{instance}/file").content

    changed = archive.put(
        f"/patients/{patient}", {"patient_name": "Ngô^Bảo=吳^寶", "patient_birth_date": None, "patient_sex": "F"}
    )

    assert changed == archive.get(f"/patients/{patient}").json()
    assert (changed["patient_name"], changed["patient_birth_date"], changed["patient_sex"]) == (
        "Ngô^Bảo=吳^寶",
        None,
        "F",
    )
    assert archive.get(f"/studies/{results[0]['study']}").json()["patient_name"] == "Ngô^Bảo=吳^寶"
    found = archive.get("/instances", patient_name="吳*", patient_id="edit-every-way").json()
    assert {item["id"] for item in found} == {result["id"] for result in results}
    assert archive.get("/patients", patient_name="BEFORE^EDIT", patient_id="edit-every-way").json() == []
    assert archive.get("/patients", patient_birth_date="19700101", patient_id="edit-every-way").json() == []
    for result in results:
        tags = archive.get(f"/instances/{result['id']}/tags").json()
        assert tags["PatientSex"] == "F"
        ds = read(archive.get(f"/instances/{result['id']}/file").content)
        assert (str(ds.PatientName), ds.PatientBirthDate, ds.PatientSex) == ("Ngô^Bảo=吳^寶", "", "F")
        assert "ISO_IR 192" in ds.SpecificCharacterSet
    model = archive.get(f"/instances/{instance}/tags", format="dicom+json").json()
    assert model["00100010"]["Value"] == [{"Alphabetic": "Ngô^Bảo", "Ideographic": "吳^寶"}]
    assert archive.get(f"/instances/{instance}/file", original="true").content == stored


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("/studies/{study}", {"study_description": "Größe", "accession_number": "A-17", "patient_weight": 70.5}),
        ("/series/{series}", {"series_description": "axial", "operators_name": ["A^B", "C^D"], "series_number": 7}),
        ("/instances/{id}", {"instance_number": 12, "window_center": [40, 50.5], "window_width": [400, 80]}),
    ],
)
def test_every_level_can_be_edited(archive: Archive, path: str, changes: dict[str, Any]) -> None:
    result = archive.make()[0]
    changed = archive.put(path.format_map(result), changes)
    assert changed.items() >= changes.items()
    ds = read(archive.get(f"/instances/{result['id']}/file").content)
    for field, value in changes.items():
        keyword = {"operators_name": "OperatorsName"}.get(field) or field.title().replace("_", "")
        element = ds[keyword].value
        if field == "operators_name":
            element = [str(item) for item in element]
        assert element == value, field


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda syntax: syntax.name,
)
def test_the_rest_of_an_edited_file_is_untouched(archive: Archive, syntax: str) -> None:
    ds = make_dataset(PatientID="syntax-" + syntax, PatientComments="short", SeriesDescription=None)
    ds.add_new(0x00091001, "LO", "no creator")
    ds.add_new(0x00091002, "UN", b"\x01\x02")
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.add_new(0x00324000, "LT", "after the images' group would be 7FE0; before it is this")
    result = archive.store(to_bytes(ds))
    archive.put(f"/series/{result['series']}", {"series_description": "x" * 63})

    edited = read(archive.get(f"/instances/{result['id']}/file").content)
    original = read(archive.get(f"/instances/{result['id']}/file", original="true").content)
    assert edited.file_meta.TransferSyntaxUID == syntax
    assert edited.SeriesDescription == "x" * 63
    assert edited.PixelData == original.PixelData
    del edited.SeriesDescription
    assert {e.tag: e.value for e in edited if e.tag not in (0x00080005, 0x04000561)} == {
        e.tag: e.value for e in original if e.tag != 0x00080005
    }


def test_what_is_served_tells_what_it_was_before(archive: Archive) -> None:
    result = archive.make(
        PatientName="Größe^A", StudyDescription="FIRST", StudyID=None, SpecificCharacterSet="ISO_IR 100"
    )[0]
    path = f"/instances/{result['id']}/file"
    patient = archive.get(f"/studies/{result['study']}").json()["patient"]
    etags = [archive.get(path).headers["ETag"]]
    for where, changes in (
        (f"/patients/{patient}", {"patient_name": "Ł^B"}),
        (f"/studies/{result['study']}", {"study_description": "SECOND", "study_id": "7"}),
    ):
        archive.put(where, changes)
        etags.append(archive.get(path).headers["ETag"])
    assert len(set(etags)) == 3
    model = archive.get(f"/instances/{result['id']}/tags", format="dicom+json").json()
    tags = archive.get(f"/instances/{result['id']}/tags").json()
    served = read(archive.get(path).content)
    transcoded = read(archive.get(path, transfer_syntax="1.2.840.10008.1.2.4.90").content)
    for items in (
        tags["OriginalAttributesSequence"],
        [to_tags(item.to_json_dict()) for item in served.OriginalAttributesSequence],
        [to_tags(item.to_json_dict()) for item in transcoded.OriginalAttributesSequence],
        [to_tags(item) for item in model["04000561"]["Value"]],
    ):
        assert [item["ModifiedAttributesSequence"] for item in items] == [
            [{"PatientName": "Größe^A"}],
            [{"StudyDescription": "FIRST", "StudyID": None}],
        ]
        for item in items:
            assert (item["ModifyingSystem"], item["ReasonForTheAttributeModification"]) == ("NEURDICOM", "CORRECT")
            assert re.fullmatch(r"\d{14}\.\d{3}\+0000", item["AttributeModificationDateTime"])
    # Edited back: the file is what it was.
    archive.put(f"/patients/{patient}", {"patient_name": "Größe^A"})
    archive.put(f"/studies/{result['study']}", {"study_description": "FIRST", "study_id": None})
    answer = archive.get(path)
    assert answer.headers["ETag"] == etags[0]
    assert "OriginalAttributesSequence" not in read(answer.content)
    assert "OriginalAttributesSequence" not in archive.get(f"/instances/{result['id']}/tags").json()


def test_who_changed_what_is_told(archive: Archive) -> None:
    result = archive.make(PatientID="who-changed")[0]
    patient = archive.get(f"/studies/{result['study']}").json()["patient"]
    archive.put(f"/patients/{patient}", {"patient_name": "A"})
    archive.put(f"/patients/{patient}", {"patient_name": "B", "patient_sex": None})
    archive.put(f"/instances/{result['id']}", {"window_center": [40.0]})
    edits = archive.get(f"/patients/{patient}/edits").json()
    assert [(edit["field"], edit["before"], edit["value"]) for edit in edits] == [
        ("patient_name", "DOE^JOHN", "A"),
        ("patient_name", "A", "B"),
        ("patient_sex", "O", None),
    ]
    assert {edit["user"] for edit in edits} == {"local@localhost"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", edit["time"]) for edit in edits)
    (edit,) = archive.get(f"/instances/{result['id']}/edits").json()
    assert (edit["field"], edit["value"]) == ("window_center", [40.0])
    for many, entity in (("studies", result["study"]), ("series", result["series"])):
        assert archive.get(f"/{many}/{entity}/edits").json() == []
    assert archive.client.get("/api/studies/1.2.3/edits").status_code == 404


def test_a_later_edit_lies_above_an_earlier_one_and_new_slices_share_it(archive: Archive) -> None:
    series, study = generate_uid(), generate_uid()
    elements: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "PatientID": "later-edit"}
    archive.make(SeriesDescription="as sent", **elements)
    for text in ("first", "second"):
        archive.put(f"/series/{series}", {"series_description": text})
    late = archive.make(SeriesDescription="as sent", InstanceNumber=2, **elements)[0]
    assert archive.get(f"/series/{series}").json()["series_description"] == "second"
    assert read(archive.get(f"/instances/{late['id']}/file").content).SeriesDescription == "second"


def test_an_edit_outlives_a_replacement_of_the_bytes(archive: Archive) -> None:
    result = archive.make()[0]
    archive.put(f"/instances/{result['id']}", {"image_comments": "kept"})
    again = make_file(
        SOPInstanceUID=result["id"],
        StudyInstanceUID=result["study"],
        SeriesInstanceUID=result["series"],
        PatientID=archive.get(f"/studies/{result['study']}").json()["patient_id"],
        PixelData=bytes(48),
    )
    assert archive.store(again)["status"] == "replaced"
    ds = read(archive.get(f"/instances/{result['id']}/file").content)
    assert (ds.get("ImageComments"), ds.PixelData) == ("kept", bytes(48))


@pytest.mark.parametrize(
    ("path", "changes", "field"),
    [
        ("/studies/{study}", {"study_instance_uid": "1.2.3"}, "study_instance_uid"),
        ("/studies/{study}", {"modality": "MR"}, "modality"),
        ("/studies/{study}", {"patient_name": "X"}, "patient_name"),
        ("/studies/{study}", {"images_count": 5}, "images_count"),
        ("/studies/{study}", {"study_description": "good", "study_date": "2024-01-01"}, "study_date"),
        ("/studies/{study}", {"StudyDescription": "keyword"}, "StudyDescription"),
        ("/patients/{patient}", {"patient_id": "other"}, "patient_id"),
        ("/patients/{patient}", {"patient_sex": "X"}, "patient_sex"),
        ("/series/{series}", {"modality": None}, "modality"),
        ("/series/{series}", {"series_number": "7"}, "series_number"),
        ("/instances/{id}", {"rows": 5}, "rows"),
        ("/instances/{id}", {"window_width": [0]}, "window_width"),
        ("/instances/{id}", {}, None),
        ("/instances/{id}", [], None),
        ("/instances/{id}", "text", None),
    ],
)
def test_a_wrong_edit_changes_nothing_and_is_named(
    archive: Archive, path: str, changes: Any, field: str | None
) -> None:
    result = archive.make()[0]
    result["patient"] = archive.get(f"/studies/{result['study']}").json()["patient"]
    before = archive.get(path.format_map(result)).json()
    problem = archive.put(path.format_map(result), changes, status=422)
    assert problem.get("field") == field
    assert archive.get(path.format_map(result)).json() == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"study_id": NaN}', b'{"study_id": "\\ud800"}', b"[" * 100_000]
)
def test_a_body_that_is_no_json_is_400(archive: Archive, body: bytes) -> None:
    result = archive.make()[0]
    answer = archive.client.put(f"/api/studies/{result['study']}", content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed"


def test_a_body_of_more_than_the_limit_is_413(archive: Archive) -> None:
    result = archive.make()[0]
    answer = archive.client.put(
        f"/api/studies/{result['study']}", content=b'{"study_id": "' + b"x" * (17 << 20) + b'"}'
    )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("many", "field"),
    [
        ("patients", "patient_name"),
        ("studies", "study_id"),
        ("series", "series_description"),
        ("instances", "image_comments"),
    ],
)
def test_an_edit_of_an_unknown_id_is_404(archive: Archive, many: str, field: str) -> None:
    assert archive.put(f"/{many}/1.2.3", {field: "x"}, status=404)["code"] == "not_found"


def test_an_edited_modality_is_its_study_s_too(archive: Archive) -> None:
    study = generate_uid()
    first = archive.make(StudyInstanceUID=study, PatientID="modalities")[0]
    archive.make(StudyInstanceUID=study, PatientID="modalities", Modality="MR")
    archive.put(f"/series/{first['series']}", {"modality": "PT"})
    assert archive.get(f"/studies/{study}").json()["modalities"] == ["MR", "PT"]
    assert [one["id"] for one in archive.get("/studies", modalities="pt", patient_id="modalities").json()] == [study]
    assert archive.get("/studies", modalities="CT", patient_id="modalities").json() == []
    archive.delete(f"/series/{first['series']}")
    assert archive.get(f"/studies/{study}").json()["modalities"] == ["MR"]


def test_lists_are_sorted_and_cut_by_edited_values(archive: Archive) -> None:
    studies = [archive.make(PatientID="sorted-by-edit", StudyDate=f"2020010{day}")[0]["study"] for day in (1, 2, 3)]
    archive.put(f"/studies/{studies[1]}", {"study_date": "20301231"})
    archive.put(f"/studies/{studies[2]}", {"study_date": None})
    listed = archive.get("/studies", patient_id="sorted-by-edit", sort="study_date").json()
    assert [study["id"] for study in listed] == [studies[2], studies[0], studies[1]]
    found = archive.get("/studies", patient_id="sorted-by-edit", study_date="20250101-").json()
    assert [study["id"] for study in found] == [studies[1]]
    below = archive.get("/instances", patient_id="sorted-by-edit", study_date="20301231").json()
    assert [instance["study"] for instance in below] == [studies[1]]
