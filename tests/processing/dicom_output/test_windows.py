"""Derived images have the window of their source, or their full range where their values are of another kind."""

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, MRImageStorage, SecondaryCaptureImageStorage

from tests.support.derived_objects import COLUMNS, ROWS, ct_slice, errors_of
from tests.support.dicom_output import DerivedSite

HU = "ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)"
#: In the unit of the source, as what reduces noise gives: values that need a rescale.
SMOOTH = f"return ({HU}) * 0.97 + 0.123"
#: Values of `ct_slice(1)`, in HU.
LOW, HIGH = 1 - 1024, 40 * (ROWS - 1) + COLUMNS - 1024


def windows_of(ds: Dataset) -> tuple[list[float], list[float]]:
    centers, widths = (np.atleast_1d(ds[name].value).astype(float).tolist() for name in ("WindowCenter", "WindowWidth"))
    return centers, widths


def derived(site: DerivedSite, source: Dataset, body: str = SMOOTH, **params: Any) -> Dataset:
    """The one derived image of a source, which the standard's own checker finds nothing wrong with."""
    instance = site.upload(source)
    site.plugin(body, input="modality")
    (file,) = site.store(instance, **params)
    assert errors_of(file) == []
    return dcmread(file)


@pytest.mark.parametrize("body", [SMOOTH, f"return np.rint({HU})", f"return ({HU}).astype('f4') + 0.5"])
def test_the_sources_window(site: DerivedSite, body: str) -> None:
    ds = derived(site, ct_slice(1, WindowCenter=40, WindowWidth=400), body)
    assert windows_of(ds) == ([40], [400])
    assert "VOILUTFunction" not in ds


def test_several_windows_with_their_explanations_and_function(site: DerivedSite) -> None:
    source = ct_slice(
        1,
        WindowCenter=[40, -600],
        WindowWidth=[400, 1500],
        WindowCenterWidthExplanation=["SOFT TISSUE", "LUNG"],
        VOILUTFunction="SIGMOID",
    )
    ds = derived(site, source)
    assert windows_of(ds) == ([40, -600], [400, 1500])
    assert list(ds.WindowCenterWidthExplanation) == ["SOFT TISSUE", "LUNG"]
    assert ds.VOILUTFunction == "SIGMOID"


@pytest.mark.parametrize(
    ("center", "width", "kept"),
    [
        (["40", ""], ["400", ""], ([40], [400])),
        (["", "40"], ["", "400"], ([40], [400])),
        (["40", "-600"], ["0", "1500"], ([-600], [1500])),
        ("40", ["400", "1500"], ([40], [400])),
    ],
)
def test_windows_that_make_no_sense_are_left_out(
    site: DerivedSite, center: Any, width: Any, kept: tuple[list[float], list[float]]
) -> None:
    source = ct_slice(1, WindowCenter=center, WindowWidth=width, WindowCenterWidthExplanation=["A", "B", "C"])
    ds = derived(site, source)
    assert windows_of(ds) == kept
    assert "WindowCenterWidthExplanation" not in ds


def test_an_edited_window(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1, WindowCenter=40, WindowWidth=400))
    edit = {"window_center": [-50], "window_width": [350]}
    assert site.client.put(f"/api/instances/{instance}", json=edit).status_code == 200
    site.plugin(SMOOTH, input="modality")
    assert windows_of(dcmread(site.store(instance)[0])) == ([-50], [350])


@pytest.mark.parametrize(
    ("body", "low", "high"),
    [
        (f"return ({HU} - ({LOW})) / ({HIGH} - ({LOW}))", 0, 1),
        (f"return 5000 + {HU}", 5000 + LOW, 5000 + HIGH),
        (f"return ({HU} > -500).astype('u2')", 0, 1),
    ],
)
def test_values_of_another_kind_have_their_full_range(site: DerivedSite, body: str, low: float, high: float) -> None:
    ds = derived(site, ct_slice(1, WindowCenter=40, WindowWidth=400), body)
    assert windows_of(ds) == ([pytest.approx((low + high + 1) / 2)], [pytest.approx(high - low + 1)])


def test_a_source_without_a_window(site: DerivedSite) -> None:
    ds = derived(site, ct_slice(1), f"return {HU}")
    assert windows_of(ds) == ([(LOW + HIGH + 1) / 2], [HIGH - LOW + 1])


def test_an_mr_image(site: DerivedSite) -> None:
    source = dcmread(get_testdata_file("MR_small.dcm"))
    source.WindowCenter, source.WindowWidth = 600, 1600
    ds = derived(site, source, "return ds.pixel_array * 0.99")
    assert (ds.SOPClassUID, windows_of(ds)) == (MRImageStorage, ([600], [1600]))
    root = derived(site, source, "return np.sqrt(np.abs(ds.pixel_array))")
    assert windows_of(root)[1][0] < 100


@pytest.mark.parametrize(("number", "expected"), [(1, ([50], [350])), (2, ([-600], [1500]))])
def test_a_frame_of_an_enhanced_image(
    site: DerivedSite, number: int, expected: tuple[list[float], list[float]]
) -> None:
    def groups(**window: Any) -> Dataset:
        group, voi = Dataset(), Dataset()
        for keyword, value in window.items():
            setattr(voi, keyword, value)
        group.FrameVOILUTSequence = Sequence([voi])
        return group

    shared, measures, orientation = groups(WindowCenter=50, WindowWidth=350), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], 2.5
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    frames = [Dataset(), groups(WindowCenter=-600, WindowWidth=1500, WindowCenterWidthExplanation="LUNG")]
    for index, frame in enumerate(frames):
        place = Dataset()
        place.ImagePositionPatient = [0, 0, 2.5 * index]
        frame.PlanePositionSequence = [place]
    source = ct_slice(1, SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=2, WindowCenter=1, WindowWidth=2)
    source.SharedFunctionalGroupsSequence, source.PerFrameFunctionalGroupsSequence = [shared], frames
    source.PixelData *= 2
    instance = site.upload(source)
    site.plugin(f"return ({HU})[0]", input="modality")
    assert windows_of(dcmread(site.store(instance, frame=number)[0])) == expected


def test_a_capture_in_the_unit_of_its_source(site: DerivedSite) -> None:
    """A CT without a position becomes Secondary Capture; its values are still in HU."""
    source = ct_slice(1, WindowCenter=40, WindowWidth=400, ImagePositionPatient=None)
    ds = derived(site, source)
    assert (ds.SOPClassUID, windows_of(ds)) == (SecondaryCaptureImageStorage, ([40], [400]))


@pytest.mark.parametrize(("slope", "kept"), [(1, True), (2, False)])
def test_a_capture_of_stored_values(site: DerivedSite, slope: int, kept: bool) -> None:
    source = ct_slice(1, WindowCenter=500, WindowWidth=800, RescaleSlope=slope, RescaleIntercept=0)
    instance = site.upload(source)
    site.plugin("return ds.pixel_array * 0.5", input="stored")
    ds = dcmread(site.store(instance)[0])
    assert ds.SOPClassUID == SecondaryCaptureImageStorage
    assert (windows_of(ds) == ([500], [800])) is kept


def test_a_stack_of_frames_has_the_window_that_all_share(site: DerivedSite) -> None:
    source = ct_slice(1, WindowCenter=500, WindowWidth=800, RescaleSlope=None, RescaleIntercept=None, NumberOfFrames=3)
    source.PixelData *= 3
    instance = site.upload(source)
    site.plugin("return ds.pixel_array.astype('u2') + 1", input="stored")
    ds = dcmread(site.store(instance)[0])
    assert (int(ds.NumberOfFrames), windows_of(ds)) == (3, ([500], [800]))
