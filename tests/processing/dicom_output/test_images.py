"""Results in modality units become images of their source's kind, with the numbers kept by a rescale."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage

from tests.support.derived_objects import ROWS, ct_slice, errors_of
from tests.support.dicom_output import DerivedSite

HALF = "return (ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)) / 3"


def test_a_ct_image(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(3, KVP=120, ConvolutionKernel="B30f", PatientPosition="HFS", WindowCenter=40))
    site.plugin(HALF, input="modality")
    (file,) = site.store(instance)
    assert errors_of(file) == []
    ds, source = dcmread(file), ct_slice(3)
    assert (ds.SOPClassUID, ds.Modality, ds.RescaleType) == (CTImageStorage, "CT", "HU")
    assert ds.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID"):
        assert ds[keyword].value == source[keyword].value
    assert (ds.KVP, ds.ConvolutionKernel, ds.PatientPosition) == (120, "B30f", "HFS")
    expected = (np.frombuffer(source.PixelData, "<i2").reshape(ROWS, -1) - 1024) / 3
    values = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    assert np.abs(values - expected).max() <= float(ds.RescaleSlope) * 0.51


def test_whole_numbers_stay_what_they_are(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(3))
    site.plugin("return ds.pixel_array.astype('f8') - 1024", input="modality")
    ds = dcmread(site.store(instance)[0])
    assert (ds.RescaleSlope, ds.RescaleIntercept, ds.PixelRepresentation) == (1, 0, 1)
    assert np.array_equal(ds.pixel_array, np.frombuffer(ct_slice(3).PixelData, "<i2").reshape(ROWS, -1) - 1024)


def test_an_mr_image(site: DerivedSite) -> None:
    instance = site.upload(Path(get_testdata_file("MR_small.dcm")).read_bytes())
    site.plugin("return np.sqrt(np.abs(ds.pixel_array))", input="modality")
    (file,) = site.store(instance)
    assert errors_of(file) == []
    ds, source = dcmread(file), dcmread(get_testdata_file("MR_small.dcm"))
    assert ds.SOPClassUID == MRImageStorage
    assert (ds.ScanningSequence, ds.EchoTime) == (source.ScanningSequence, source.EchoTime)


def test_a_frame_of_an_enhanced_image_becomes_a_classic_one(site: DerivedSite, data_set: Path) -> None:
    instance = site.upload((data_set / "pydicom-data" / "eCT_Supplemental.dcm").read_bytes())
    site.plugin("return ds.pixel_array[0] / 7", input="modality")
    (file,) = site.store(instance, frame=2)
    assert errors_of(file) == []
    ds = dcmread(file)
    assert (ds.SOPClassUID, ds.InstanceNumber) == (CTImageStorage, 2)
    assert ds.SourceImageSequence[0].ReferencedFrameNumber == 2


@pytest.mark.parametrize(
    ("body", "elements"),
    [
        ("return ds.pixel_array / 7", {"ImagePositionPatient": None}),
        ("return ds.pixel_array / 7", {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}),
        ("return ds.pixel_array / 7", {"PixelSpacing": [0, 0]}),
        ("return np.zeros((*ds.pixel_array.shape, 3), 'u1')", {}),
    ],
)
def test_what_can_be_no_image_of_that_kind_is_a_capture(site: DerivedSite, body: str, elements: dict[str, Any]) -> None:
    instance = site.upload(ct_slice(1, **elements))
    site.plugin(body, input="modality")
    (file,) = site.store(instance)
    assert errors_of(file) == []
    assert dcmread(file).SOPClassUID == SecondaryCaptureImageStorage
