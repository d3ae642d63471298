"""Images become Secondary Capture: values, colours, the study they lie in, and how they came about."""

import json

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from tests.support.derived_objects import COLUMNS, ROWS, ct_slice, dump, errors_of
from tests.support.dicom_output import DerivedSite


def test_a_picture_is_stored_in_the_study_of_its_source(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(3, PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100", StudyID="S7"))
    site.plugin("return (ds.pixel_array > kwargs['above']).astype('u1') * 255", params={"above": {"type": "int"}})
    answer = site.run(instance, store="true", above=500)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    (uid,) = answer.headers["X-Stored-Instances"].split(",")
    assert answer.headers["Location"] == f"/api/instances/{uid}"
    ds = site.dataset(uid)
    assert ds.SOPClassUID == SecondaryCaptureImageStorage
    source = ct_slice(3)
    assert (ds.StudyInstanceUID, ds.PatientID, ds.StudyID) == (source.StudyInstanceUID, "D1", "S7")
    assert ds.SeriesInstanceUID != source.SeriesInstanceUID
    assert str(ds.PatientName) == "Müller^Jörg"
    assert (ds.SeriesDescription, ds.SeriesNumber, ds.InstanceNumber) == ("Derive Tést 1.2", 1001, 3)
    assert ds.ImageType == ["DERIVED", "SECONDARY"]
    assert set(np.unique(ds.pixel_array)) == {0, 255}
    assert ds.ImagePositionPatient == source.ImagePositionPatient
    (referred,) = ds.SourceImageSequence
    assert referred.ReferencedSOPInstanceUID == instance
    tool = ds.ContributingEquipmentSequence[-1]
    assert (tool.ManufacturerModelName, tool.SoftwareVersions) == ("Derive Tést", "1.2")
    described = json.loads(tool.ContributionDescription)
    plugin = site.client.get("/api/plugins/test.derived").json()
    assert described == {
        "type": "plugin", "id": "test.derived", "digest": plugin["digest"], "params": {"above": 500},
    }  # fmt: skip
    assert '"above":500' in ds.DerivationDescription
    assert errors_of(site.file(uid)) == []
    study = site.client.get(f"/api/studies/{ds.StudyInstanceUID}").json()
    assert (study["series_count"], study["images_count"]) == (2, 2)


@pytest.mark.parametrize(
    ("body", "photometric", "dtype"),
    [
        ("return ds.pixel_array / 7", "MONOCHROME2", "u2"),
        ("return ds.pixel_array", "MONOCHROME2", "i2"),
        ("return ds.pixel_array.astype('u4') + 10", "MONOCHROME2", "u2"),
        ("return ds.pixel_array.astype('i8') * 1000000", "MONOCHROME2", "u2"),
        ("return ds.pixel_array > 400", "MONOCHROME2", "u1"),
        ("return np.dstack([ds.pixel_array % 256] * 3).astype('u1')", "RGB", "u1"),
        ("return np.dstack([ds.pixel_array % 256] * 4).astype('u1')", "RGB", "u1"),
        ("return np.dstack([ds.pixel_array / 9.5] * 3)", "RGB", "u1"),
        ("return np.full((1, 1), 0.25)", "MONOCHROME2", "u2"),
        ("a = ds.pixel_array / 7; a[0, :3] = np.nan, np.inf, -np.inf; return a", "MONOCHROME2", "u2"),
        ("return np.full((5, 3), np.nan)", "MONOCHROME2", "u2"),
        ("return np.array([[1e308, -1e308], [0, 1e-320]])", "MONOCHROME2", "u2"),
        ("from PIL import Image; return Image.new('L', (7, 5), 99)", "MONOCHROME2", "u1"),
    ],
)
def test_pixels(site: DerivedSite, body: str, photometric: str, dtype: str) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin(body)
    (file,) = site.store(instance)
    assert errors_of(file) == []
    ds = dcmread(file)
    assert (ds.PhotometricInterpretation, ds.pixel_array.dtype) == (photometric, dtype)


def test_numbers_are_kept_within_a_step(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin("return np.sin(ds.pixel_array / 50.0) * 1e-3")
    expected = np.sin(ct_slice(1).PixelData and np.frombuffer(ct_slice(1).PixelData, "<i2") / 50.0) * 1e-3
    ds = dcmread(site.store(instance)[0])
    values = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    assert np.abs(values.ravel() - expected).max() <= float(ds.RescaleSlope) * 0.51
    shown = site.client.get(f"/api/instances/{ds.SOPInstanceUID}/image")
    assert shown.status_code == 200


def test_a_result_of_another_size_covers_the_same_field(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin("return ds.pixel_array[::2, ::2].astype('u1')")
    ds = dcmread(site.store(instance)[0])
    assert (ds.Rows, ds.Columns) == (ROWS // 2, COLUMNS // 2)
    assert ds.PixelSpacing == [1.0, 1.5]
    assert ds.ImagePositionPatient == [-10.5 + 0.375, -20 + 0.25, 2.5]


def test_several_frames_of_colour(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin("return np.zeros((4, 6, 5, 3), 'u1')", result={"type": "IMAGE"})
    answer = site.run(instance, format="dicom")
    assert answer.status_code == 200, answer.text
    file = site.folder / "colour.dcm"
    file.write_bytes(answer.content)
    assert errors_of(file) == []
    assert dcmread(file).pixel_array.shape == (4, 6, 5, 3)


def test_the_file_is_given_and_not_kept(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin("return ds.pixel_array")
    answer = site.run(instance, format="dicom")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/dicom")
    assert "X-Stored-Instances" not in answer.headers
    file = site.folder / "given.dcm"
    file.write_bytes(answer.content)
    assert errors_of(file) == []
    assert "DERIVED" in dump(file, "dcmdump")
    assert site.client.get(f"/api/studies/{ct_slice(1).StudyInstanceUID}").json()["images_count"] == 1


def test_the_same_again_is_no_copy(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin("return ds.pixel_array * 2.5")
    first = site.run(instance, store="true").headers["X-Stored-Instances"]
    before = site.client.get(f"/api/instances/{first}").json()
    again = site.run(instance, store="true", format="npy").headers["X-Stored-Instances"]
    assert (again, site.client.get(f"/api/instances/{first}").json()) == (first, before)
    site.plugin("return ds.pixel_array * 2.5", version="1.3")
    other = site.run(instance, store="true").headers["X-Stored-Instances"]
    assert other != first
    assert site.client.get(f"/api/studies/{ct_slice(1).StudyInstanceUID}").json()["images_count"] == 3


def test_slices_of_one_series_make_one_series(site: DerivedSite) -> None:
    instances = [site.upload(ct_slice(number)) for number in (1, 2, 3)]
    site.plugin("return ds.pixel_array")
    made = [dcmread(site.store(instance)[0]) for instance in instances]
    assert len({ds.SeriesInstanceUID for ds in made}) == 1
    assert [ds.InstanceNumber for ds in made] == [1, 2, 3]


def test_edits_of_the_source_are_taken_over(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    patient = site.client.get(f"/api/studies/{ct_slice(1).StudyInstanceUID}").json()["patient"]
    changed = {"patient_name": "Ямада^Тарō=山田^太郎=やまだ^たろう"}
    assert site.client.put(f"/api/patients/{patient}", json=changed).status_code == 200
    site.plugin("return ds.pixel_array")
    answer = site.run(instance, format="dicom")
    file = site.folder / "edited.dcm"
    file.write_bytes(answer.content)
    ds = dcmread(file)
    assert (str(ds.PatientName), ds.SpecificCharacterSet) == (changed["patient_name"], "ISO_IR 192")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("return {'a': 1}", 406, "MEASUREMENTS"),
        ("return b'123'", 406, "no form in DICOM"),
        ("raise ValueError('deliberate')", 500, "deliberate"),
    ],
)
def test_what_has_no_form_in_dicom(site: DerivedSite, body: str, status: int, words: str) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin(body)
    for asked in ({"format": "dicom"}, {"store": "true"}):
        answer = site.run(instance, **asked)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert site.client.get(f"/api/studies/{ct_slice(1).StudyInstanceUID}").json()["images_count"] == 1
