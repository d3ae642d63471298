"""Label maps become DICOM SEG: labels, places, references; read back with highdicom."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.support.derived_objects import COLUMNS, ROWS, ct_slice, errors_of, reference
from tests.support.dicom_output import LABELS, SEGMENTATION, DerivedSite


def read(file: Path) -> Any:
    import highdicom  # takes a second, which every collection would spend

    assert errors_of(file) == []
    return highdicom.seg.segread(file)


def test_labels_and_segments(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(3))
    site.plugin(LABELS, result=SEGMENTATION)
    (file,) = site.store(instance)
    seg = read(file)
    assert seg.Modality == "SEG"
    assert seg.number_of_segments == 2
    liver, lesion = (seg.get_segment_description(number) for number in (1, 2))
    assert (liver.segment_label, lesion.segment_label) == ("Liver", "Läsion")
    assert liver.segmented_property_type.value == "10200004"
    assert lesion.segmented_property_type.value == "85756007"
    assert liver.SegmentDescription == "All of it"
    assert (lesion.tracking_id, lesion.algorithm_type.value) == ("L1", "SEMIAUTOMATIC")
    assert lesion.RecommendedDisplayCIELabValue is not None
    values = np.frombuffer(ct_slice(3).PixelData, "<i2").reshape(ROWS, COLUMNS)
    found = seg.get_pixels_by_source_instance([instance], combine_segments=True)[0]
    assert np.array_equal(found, np.where(values > 700, 2, np.where(values > 400, 1, 0)))
    assert seg.FrameOfReferenceUID == ct_slice(3).FrameOfReferenceUID
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == ct_slice(3).SeriesInstanceUID
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence] == [instance]
    assert seg.ContributingEquipmentSequence[-1].ManufacturerModelName == "Derive Tést"


def test_an_empty_segmentation(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin("return np.zeros(ds.pixel_array.shape)", result=SEGMENTATION)
    seg = read(site.store(instance)[0])
    assert (seg.number_of_segments, seg.pixel_array.any()) == (2, False)


def test_labels_without_a_description(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin("return (ds.pixel_array // 100).astype(np.float32)", result={"type": "SEGMENTATION"})
    seg = read(site.store(instance)[0])
    assert [item.SegmentLabel for item in seg.SegmentSequence][:2] == ["Segment 1", "Segment 2"]


def test_one_segmentation_of_a_label_map_as_a_picture_too(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin(LABELS, result=SEGMENTATION)
    assert site.run(instance).headers["Content-Type"] == "image/png"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return ds.pixel_array % 5", "label 1, 3, 4, which"),
        ("return ds.pixel_array * 0 - 1", "label -1; 0 to 65535"),
        ("return ds.pixel_array / 7", "not whole numbers"),
        ("return np.full(ds.pixel_array.shape, np.nan)", "not whole numbers"),
        ("return ds.pixel_array[1:] * 0", "1 x 23 x 32; its source has 1 x 24 x 32"),
        ("return np.zeros((4, 4, 3))", "colours"),
    ],
)
def test_what_is_no_segmentation_of_the_source(site: DerivedSite, body: str, words: str) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin(body, result=SEGMENTATION)
    answer = site.run(instance, store="true")
    assert (answer.status_code, answer.json()["code"]) == (500, "plugin_failed")
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "SC_rgb_small_odd.dcm", "examples_palette.dcm"])
def test_sources_that_lie_nowhere(site: DerivedSite, name: str) -> None:
    """Ultrasound of several frames and pictures have no place in the patient; the frame is named instead."""
    source = reference(name)
    instance = site.upload(Path(get_testdata_file(name)).read_bytes())
    site.plugin("a = np.zeros((ds.Rows, ds.Columns), 'u1'); a[1:3] = 2; return a", result=SEGMENTATION)
    frame = min(2, int(source.get("NumberOfFrames", 1)))
    answer = site.run(instance, store="true", frame=frame)
    seg = read(site.file(answer.headers["X-Stored-Instances"]))
    assert "FrameOfReferenceUID" not in seg
    (item,) = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    assert item.ReferencedSOPInstanceUID == instance
    assert item.get("ReferencedFrameNumber") == (frame if frame > 1 else None)


def test_a_frame_of_an_enhanced_image(site: DerivedSite, data_set: Path) -> None:
    file = data_set / "pydicom-data" / "eCT_Supplemental.dcm"
    source, instance = dcmread(file), site.upload(file.read_bytes())
    site.plugin("a = np.zeros((ds.Rows, ds.Columns), 'u1'); a[1:3] = 2; return a", result=SEGMENTATION)
    answer = site.run(instance, store="true", frame=2)
    seg = read(site.file(answer.headers["X-Stored-Instances"]))
    group = seg.PerFrameFunctionalGroupsSequence[0]
    place = source.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    assert group.PlanePositionSequence[0].ImagePositionPatient == place.ImagePositionPatient
    assert group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber == 2


def test_a_label_map_is_given_as_a_file(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1, PatientID=None, PatientName=None, FrameOfReferenceUID=None, SliceThickness=None))
    site.plugin(LABELS, result=SEGMENTATION)
    answer = site.run(instance, format="dicom")
    file = site.folder / "seg.dcm"
    file.write_bytes(answer.content)
    read(file)
    assert dcmread(file).PatientID in (None, "")
