"""Datasets that a plugin returns are checked, and stored as they are."""

from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from tests.support.derived_objects import ct_slice, errors_of
from tests.support.dicom_output import DerivedSite
from tests.support.files import ROOT

#: A copy of the source with a UID of its own, to be changed.
COPY = f"""
import copy
new = copy.deepcopy(ds)
new.PixelData = (ds.pixel_array + 1).astype('<i2').tobytes()
new.SOPInstanceUID = '{ROOT}.77.' + str(ds.InstanceNumber)
new.SeriesInstanceUID = '{ROOT}.77'
new.file_meta = ds.file_meta
""".strip()


def test_it_is_stored_as_it_is(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(3))
    site.plugin(f"{COPY}\nnew.ImageComments = 'mine'\nreturn new")
    answer = site.run(instance, store="true")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/dicom")
    ds = site.dataset(f"{ROOT}.77.3")
    assert answer.headers["X-Stored-Instances"] == ds.SOPInstanceUID
    assert (ds.ImageComments, ds.Modality) == ("mine", "CT")
    assert np.array_equal(ds.pixel_array, np.frombuffer(ct_slice(3).PixelData, "<i2").reshape(24, 32) + 1)
    assert ds.ContributingEquipmentSequence[-1].StationName == "NEURDICOM"
    again = site.run(instance, store="true")
    assert (again.status_code, again.headers["X-Stored-Instances"]) == (200, ds.SOPInstanceUID)
    assert site.client.get(f"/api/studies/{ds.StudyInstanceUID}").json()["images_count"] == 2


def test_what_is_missing_is_set(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(3, PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100"))
    site.plugin(
        "new = Dataset()\nnew.SOPClassUID = '1.2.840.10008.5.1.4.1.1.66'\nnew.Modality = 'OT'\nnew.StudyID = 'own'\n"
        "return new"
    )
    (file,) = site.store(instance)
    ds, source = dcmread(file), ct_slice(3)
    assert (ds.StudyInstanceUID, ds.PatientID, ds.StudyID) == (source.StudyInstanceUID, source.PatientID, "own")
    assert str(ds.PatientName) == "Müller^Jörg"
    assert ds.SeriesInstanceUID != source.SeriesInstanceUID
    assert site.store(instance) == [file]


def test_several(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(3))
    site.plugin(f"{COPY}\nother = copy.deepcopy(new)\nother.SOPInstanceUID = '{ROOT}.77.100'\nreturn [new, other]")
    answer = site.run(instance, store="true")
    assert answer.headers["Content-Type"].startswith('multipart/related; type="application/dicom"')
    assert answer.headers["X-Stored-Count"] == "2"
    given = site.run(instance, format="dicom")
    assert given.content.count(b"DICM") == 2
    for uid in answer.headers["X-Stored-Instances"].split(","):
        assert "CT" in site.dataset(uid).Modality
    assert errors_of(site.file(f"{ROOT}.77.100")) == errors_of(site.file(f"{ROOT}.77.3"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("new.SOPInstanceUID = ds.SOPInstanceUID", "SOP Instance UID of its source"),
        ("new.StudyInstanceUID = '1.2.3'", "StudyInstanceUID '1.2.3'"),
        ("new.PatientID = 'other'", "PatientID 'other'"),
        ("new.PatientName = 'Somebody^Else'", "PatientName 'Somebody^Else'; that of its source, 'Derived^Test'"),
        ("new.IssuerOfPatientID = 'elsewhere'", "IssuerOfPatientID 'elsewhere'"),
        ("new.PixelData = b'12'", "bytes of PixelData"),
        ("new.Rows = None", "lacks Rows"),
        ("del new.SOPClassUID; del new.file_meta.MediaStorageSOPClassUID", ""),
        ("new.SeriesInstanceUID = '1.2~x'", "series_instance_uid"),
        ("new.SOPInstanceUID = '1.' * 70 + '1'", "sop_instance_uid"),
    ],
)
def test_what_can_not_be_stored(site: DerivedSite, change: str, words: str) -> None:
    instance = site.upload(ct_slice(3))
    site.plugin(f"{COPY}\n{change}\nreturn new")
    answer = site.run(instance, store="true")
    assert (answer.status_code, answer.json()["code"]) == (500, "plugin_failed")
    assert words in answer.json()["detail"]
    assert site.client.get(f"/api/studies/{ct_slice(3).StudyInstanceUID}").json()["images_count"] == 1


def test_another_instance_is_not_replaced(site: DerivedSite) -> None:
    """A plugin that gives two results the same UID loses the second, not the first."""
    instance, other = site.upload(ct_slice(3)), site.upload(ct_slice(4))
    fixed: Any = f"{COPY}\nnew.SOPInstanceUID = '{ROOT}.77.1'\nreturn new"
    site.plugin(fixed)
    assert site.run(instance, store="true").status_code == 200
    before = site.file(f"{ROOT}.77.1").read_bytes()
    answer = site.run(other, store="true")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert site.file(f"{ROOT}.77.1").read_bytes() == before


def test_the_series_of_another_study_is_not_taken(site: DerivedSite) -> None:
    instance, other = site.upload(ct_slice(3)), ct_slice(1, study=2, PatientID="D2", PatientName="Somebody^Else")
    site.upload(other)
    before = site.client.get(f"/api/studies/{other.StudyInstanceUID}").json()
    site.plugin(f"{COPY}\nnew.SeriesInstanceUID = '{other.SeriesInstanceUID}'\nreturn new")
    answer = site.run(instance, store="true")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert f"which a series of the study {other.StudyInstanceUID} has already" in answer.json()["detail"]
    assert site.client.get(f"/api/studies/{other.StudyInstanceUID}").json() == before
    assert site.client.get(f"/api/studies/{ct_slice(3).StudyInstanceUID}").json()["images_count"] == 1
    site.plugin(f"{COPY}\nnew.SeriesInstanceUID = ds.SeriesInstanceUID\nreturn new")
    assert site.run(instance, store="true").status_code == 200, "a series of the source's study is taken"


def test_a_name_in_another_spelling_is_that_of_the_source(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(3, PatientName="Müller^Jörg^^", SpecificCharacterSet="ISO_IR 100"))
    for name in ("Müller^Jörg", "MÜLLER^Jörg ^", "Müller^Jörg=Group"):
        site.plugin(f"{COPY}\nnew.PatientName = {name!r}\nreturn new")
        answer = site.run(instance, format="dicom")
        assert answer.status_code == 200, answer.text
    site.plugin(f"{COPY}\nnew.PatientName = 'Maier^Jörg'\nreturn new")
    assert site.run(instance, format="dicom").json()["code"] == "plugin_failed"
