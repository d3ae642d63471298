"""Windows, lookup tables, palettes and padding, against the formulas of PS3.3 written out."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from neurdicom.dicom.header import Layout
from neurdicom.errors import Invalid, NotAvailable
from neurdicom.pixels.grayscale.picture import render, resize
from neurdicom.pixels.grayscale.voi import Window, WindowFunction, apply_voi
from neurdicom.pixels.pipeline import load_stored, to_double
from tests.support.pixel_files import layout_of, make_file


def shade(x: float, center: float, width: float, function: WindowFunction) -> float:
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2, for an output from 0 to 1."""
    if function is WindowFunction.LINEAR:
        if x <= center - 0.5 - (width - 1) / 2:
            return 0
        if x > center - 0.5 + (width - 1) / 2:
            return 1
        return (x - (center - 0.5)) / (width - 1) + 0.5
    if function is WindowFunction.LINEAR_EXACT:
        if x <= center - width / 2:
            return 0
        if x > center + width / 2:
            return 1
        return (x - center) / width + 0.5
    return 1 / (1 + math.exp(max(min(-4 * (x - center) / width, 700), -700)))


@given(
    st.lists(st.integers(-40000, 70000), min_size=1, max_size=20),
    st.floats(-3000, 3000),
    st.floats(1, 5000),
    st.sampled_from(list(WindowFunction)),
)
def test_windows_are_those_of_the_standard(
    values: list[int], center: float, width: float, function: WindowFunction
) -> None:
    shades = apply_voi(np.array(values), Window(center, width, function))
    expected = [shade(value, center, width, function) for value in values]
    assert np.allclose(shades, expected, atol=1e-6)


def picture_of(tmp_path: Path, array: np.ndarray, window: Window | None = None, **elements: Any) -> np.ndarray:
    return render(load_stored(*make_file(tmp_path / "a.dcm", array, **elements)), window)


RAMP = np.arange(0, 256).astype("u2").reshape(16, 16)


def test_no_window_means_minimum_to_maximum(tmp_path: Path) -> None:
    array = np.array([[100, 150, 200]], "u2")
    assert picture_of(tmp_path, array).tolist() == [[0, 128, 255]]
    assert picture_of(tmp_path, array, PhotometricInterpretation="MONOCHROME1").tolist() == [[255, 128, 0]]
    assert picture_of(tmp_path, np.full((2, 2), 7, "u2")).tolist() == [[0, 0], [0, 0]]
    wide = np.array([[-(2**31), 0, 2**31 - 1]], "i4")
    assert picture_of(tmp_path, wide).tolist() == [[0, 128, 255]]


def test_a_negative_slope_turns_the_range_round(tmp_path: Path) -> None:
    array = np.array([[0, 50, 100]], "u2")
    assert picture_of(tmp_path, array, RescaleSlope="-1", RescaleIntercept="0").tolist() == [[255, 128, 0]]


def test_the_first_valid_of_several_windows(tmp_path: Path) -> None:
    picture = picture_of(tmp_path, RAMP, WindowCenter=["128", "40"], WindowWidth=["0", "41"])
    assert np.array_equal(picture, _windowed(RAMP, 40, 41))


def _windowed(array: np.ndarray, center: float, width: float) -> np.ndarray:
    linear = WindowFunction.LINEAR
    return np.vectorize(lambda x: int(shade(float(x), center, width, linear) * 255 + 0.5))(array).astype("u1")


def test_the_window_is_in_modality_units(tmp_path: Path) -> None:
    array = RAMP.astype("i2") - 100
    picture = picture_of(tmp_path, array, WindowCenter="0", WindowWidth="400", RescaleSlope="2", RescaleIntercept="-50")
    assert np.array_equal(picture, _windowed(array * 2.0 - 50, 0, 400))


@pytest.mark.parametrize("function", ["SIGMOID", "LINEAR_EXACT", "LINEAR", "UNKNOWN"])
def test_the_files_function_applies_to_an_asked_window(tmp_path: Path, function: str) -> None:
    picture = picture_of(tmp_path, RAMP, Window(100, 50), VOILUTFunction=function)
    known = WindowFunction(function) if function != "UNKNOWN" else WindowFunction.LINEAR
    expected = np.vectorize(lambda x: int(shade(float(x), 100, 50, known) * 255 + 0.5))(RAMP)
    assert np.array_equal(picture, expected)


def lut(first: int, entries: np.ndarray, bits: int, *, signed: bool = False) -> Sequence:
    item = Dataset()
    item.add_new(0x00283002, "SS" if signed else "US", [len(entries) % 65536, first, bits])
    item.add_new(0x00283006, "OW", entries.astype("<u2").tobytes() if bits > 8 else entries.astype("u1").tobytes())
    return Sequence([item])


def test_a_voi_lut_comes_before_a_window(tmp_path: Path) -> None:
    entries = np.linspace(4095, 0, 100).astype("u2")
    picture = picture_of(tmp_path, RAMP, VOILUTSequence=lut(50, entries, 12), WindowCenter="1", WindowWidth="2")
    expected = entries[np.clip(RAMP.astype(int) - 50, 0, 99)] / 4095 * 255
    assert np.array_equal(picture, (expected + 0.5).astype("u1"))


def test_an_asked_window_comes_before_a_voi_lut(tmp_path: Path) -> None:
    sequence = lut(0, np.zeros(10), 12)
    assert np.array_equal(picture_of(tmp_path, RAMP, Window(40, 41), VOILUTSequence=sequence), _windowed(RAMP, 40, 41))


def test_a_modality_lut_with_a_negative_first_value(tmp_path: Path) -> None:
    array = np.array([[-5, -4, -3, 0, 9]], "i2")
    entries = np.array([10, 20, 30, 40])
    elements = {"ModalityLUTSequence": lut(-4, entries, 16, signed=True)}
    frame = load_stored(*make_file(tmp_path / "a.dcm", array, **elements))
    assert to_double(frame, "modality").tolist() == [[10, 10, 20, 40, 40]]
    assert render(frame).tolist() == [[0, 0, 85, 255, 255]]


def test_padding_is_black_and_no_part_of_the_range(tmp_path: Path) -> None:
    array = np.array([[-2000, 100, 200], [-1999, 150, -1990]], "i2")
    picture = picture_of(tmp_path, array, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990)
    assert picture.tolist() == [[0, 0, 255], [0, 128, 0]]
    inverse = picture_of(tmp_path, array, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990,
                         PhotometricInterpretation="MONOCHROME1")  # fmt: skip
    assert inverse.tolist() == [[0, 255, 0], [0, 128, 0]]


@pytest.mark.parametrize(
    ("vr", "value", "signed"), [("US", 63536, 1), ("SS", -2000, 1), ("SS", -96, 0), ("US", 4000, 0)]
)
def test_padding_with_the_wrong_sign_or_width(tmp_path: Path, vr: str, value: int, signed: int) -> None:
    padding = -2000 if signed else 4000
    array = np.array([[padding, 100, 200]], "i2" if signed else "u2")
    path = make_file(tmp_path / "a.dcm", array, BitsStored=12, HighBit=11)[0]
    ds = dcmread(path)
    ds.add_new(0x00280120, vr, value)
    ds.save_as(path)
    assert render(load_stored(*layout_of(path, tmp_path))).tolist() == [[0, 0, 255]]


def test_an_inverse_presentation_lut_inverts_once(tmp_path: Path) -> None:
    array = np.array([[0, 100]], "u2")
    assert picture_of(tmp_path, array, PresentationLUTShape="INVERSE").tolist() == [[255, 0]]
    both = picture_of(tmp_path, array, PresentationLUTShape="INVERSE", PhotometricInterpretation="MONOCHROME1")
    assert both.tolist() == [[255, 0]]


def test_edited_windows_apply(tmp_path: Path) -> None:
    frame = load_stored(*make_file(tmp_path / "a.dcm", RAMP, WindowCenter="1", WindowWidth="2"))
    edits = {"window_center": [40.0, 7.0], "window_width": 41.0, "image_comments": "x"}
    assert np.array_equal(render(frame, edits=edits), _windowed(RAMP, 40, 41))
    assert np.array_equal(render(frame, edits={"window_width": 41.0}), _windowed(RAMP, 1, 41))


def test_functional_groups_of_the_frame_come_before_the_shared(tmp_path: Path) -> None:
    def window(center: int, slope: int) -> Dataset:
        group, voi, rescale = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = center, 41
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = slope, 0, "US"
        group.FrameVOILUTSequence = Sequence([voi])
        group.PixelValueTransformationSequence = Sequence([rescale])
        return group

    path, layout = make_file(
        tmp_path / "a.dcm",
        RAMP.tobytes() * 2,
        Rows=16,
        Columns=16,
        NumberOfFrames=2,
        SharedFunctionalGroupsSequence=Sequence([window(100, 3)]),
        PerFrameFunctionalGroupsSequence=Sequence([Dataset(), window(40, 2)]),
    )
    assert np.array_equal(render(load_stored(path, layout, 1)), _windowed(RAMP * 3.0, 100, 41))
    assert np.array_equal(render(load_stored(path, layout, 2)), _windowed(RAMP * 2.0, 40, 41))


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes(tmp_path: Path, bits: int) -> None:
    red, green, blue = (np.arange(4) * step for step in (10, 20, 60))
    array = np.array([[2, 3, 4, 5, 6]], "u1")
    picture = picture_of(tmp_path, array, **_palette([red, green, blue], 2, bits))
    assert picture[0, :, 0].tolist() == [0, 10, 20, 30, 30]
    assert picture[0, :, 2].tolist() == [0, 60, 120, 180, 180]
    frame = load_stored(*make_file(tmp_path / "b.dcm", array, **_palette([red, green, blue], 2, bits)))
    assert to_double(frame)[0, 1] == pytest.approx(0.299 * 10 + 0.587 * 20 + 0.114 * 60)


def _palette(tables: list[np.ndarray], first: int, bits: int) -> dict[str, Any]:
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [len(table), first, bits]
        data = (table * 257).astype("<u2") if bits == 16 else table.astype("u1")
        elements[f"{colour}PaletteColorLookupTableData"] = data.tobytes()
    return elements


def test_segmented_palettes(tmp_path: Path) -> None:
    # Discrete 0, 1000; linear to 5000 in 4 steps; the discrete and the linear segment once more.
    segments = np.array([0, 2, 0, 1000, 1, 4, 5000, 2, 2, 0, 0], "<u2")
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [12, 0, 16]
        elements[f"Segmented{colour}PaletteColorLookupTableData"] = segments.tobytes()
    picture = picture_of(tmp_path, np.arange(12).astype("u1").reshape(1, 12), **elements)
    expected = np.array([0, 1000, 2000, 3000, 4000, 5000] * 2) >> 8
    assert picture[0, :, 1].tolist() == expected.tolist()


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("counts", ["bytes", "entries"])
def test_segments_are_repeated_from_a_byte_offset(tmp_path: Path, size: int, counts: str) -> None:
    top = 200 << 8 * (size - 1)
    offset = 4 * size if counts == "bytes" else 4
    # Discrete 0, 0; linear to the top in 2 steps; discrete 0; the linear segment and the last once more.
    segments = [0, 2, 0, 0, 1, 2, top, 0, 1, 0, 2, 2, *([offset, 0, 0, 0] if size == 1 else [offset, 0])]
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [8, 0, 8 * size]
        elements[f"Segmented{colour}PaletteColorLookupTableData"] = np.array(segments, f"<u{size}").tobytes()
    picture = picture_of(tmp_path, np.arange(8).astype("u1").reshape(1, 8), **elements)
    assert picture[0, :, 1].tolist() == [0, 0, 100, 200, 0, 100, 200, 0]


def test_a_segment_that_is_repeated_from_nowhere(tmp_path: Path) -> None:
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        segments = np.array([0, 2, 0, 1000, 2, 1, 6, 0], "<u2")
        elements[f"Segmented{colour}PaletteColorLookupTableData"] = segments.tobytes()
    with pytest.raises(NotAvailable, match="fewer entries"):
        picture_of(tmp_path, np.zeros((2, 2), "u1"), **elements)


def test_a_dark_colour_of_a_palette_stays_dark(tmp_path: Path) -> None:
    array = np.arange(4).astype("u1").reshape(1, 4)
    elements = _palette([np.array([0, 80, 160, 255])] * 3, 0, 16)
    elements["BluePaletteColorLookupTableData"] = np.array([0, 80, 160, 255], "<u2").tobytes()
    assert picture_of(tmp_path, array, **elements).tolist() == [[[0, 0, 0], [80, 80, 0], [160, 160, 0], [255, 255, 0]]]


def test_bytes_packed_in_words_of_a_big_endian_file(tmp_path: Path) -> None:
    elements = _palette([np.array([10, 20, 30, 40])] * 3, 0, 8)
    for colour in ("Red", "Green", "Blue"):
        elements[f"{colour}PaletteColorLookupTableData"] = b"\x14\x0a\x28\x1e"
    elements |= {"transfer_syntax": ExplicitVRBigEndian, "vr": "OB"}
    picture = picture_of(tmp_path, np.arange(4).astype("u1").reshape(1, 4), **elements)
    assert picture[0, :, 0].tolist() == [10, 20, 30, 40]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_the_first_value_of_a_voi_lut_is_below_zero_where_its_input_may_be(tmp_path: Path, syntax: str) -> None:
    array = np.array([[0, 25, 50, 75]], "u2")
    elements: dict[str, Any] = {"RescaleSlope": "2", "RescaleIntercept": "-100", "transfer_syntax": syntax}
    sequence = lut(65536 - 100, np.linspace(0, 4095, 151).astype("u2"), 12)
    picture = picture_of(tmp_path, array, VOILUTSequence=sequence, **elements)
    assert picture.tolist() == [[0, 85, 170, 255]]


def test_a_missing_palette_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotAvailable, match="Red Palette"):
        picture_of(tmp_path, np.zeros((2, 2), "u1"), PhotometricInterpretation="PALETTE COLOR")


def test_deep_colour_keeps_its_upper_bits(tmp_path: Path) -> None:
    array = np.array([[[0, 32768, 65535]]], "u2")
    assert picture_of(tmp_path, array).tolist() == [[[0, 128, 255]]]


def test_an_unknown_photometric_interpretation_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotAvailable, match="FUZZ"):
        picture_of(tmp_path, np.zeros((2, 2), "u2"), PhotometricInterpretation="FUZZ")


def test_single_bits_are_black_and_white_even_where_a_frame_is_empty(tmp_path: Path) -> None:
    path, layout = make_file(tmp_path / "a.dcm", b"\xff\x00", Rows=2, Columns=4, BitsAllocated=1, NumberOfFrames=2)
    assert render(load_stored(path, layout, 1)).min() == 255
    assert render(load_stored(path, layout, 2)).max() == 0


@pytest.mark.parametrize("number", ["66.4", "66.7"])
@pytest.mark.parametrize(("most", "shades"), [(100, [0, 128, 255]), (None, [0, 128, 255])])
def test_segments_begin_with_0_whatever_occurs_in_a_frame(
    tmp_path: Path, number: str, most: int | None, shades: list[int]
) -> None:
    elements: dict[str, Any] = {"SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{number}", "MaximumFractionalValue": most}
    assert picture_of(tmp_path, np.array([[0, 50, 100]], "u1"), **elements).tolist() == [shades]
    assert picture_of(tmp_path, np.full((2, 2), most or 1, "u1"), **elements).min() == 255
    assert picture_of(tmp_path, np.zeros((2, 2), "u1"), **elements).max() == 0
    if most:
        assert picture_of(tmp_path, np.full((2, 2), 50, "u1"), **elements).tolist() == [[128, 128], [128, 128]]


def test_floats_with_holes(tmp_path: Path) -> None:
    array = np.array([[np.nan, -1.0, 0.0, 1.0]], "f4")
    elements: dict[str, Any] = {"PixelData": None, "FloatPixelData": array.tobytes(), "PixelRepresentation": None}
    assert picture_of(tmp_path, array, **elements).tolist() == [[0, 0, 128, 255]]


def test_broken_elements_count_as_absent(tmp_path: Path) -> None:
    path, layout = make_file(tmp_path / "a.dcm", RAMP, WindowCenter="40", WindowWidth="41", RescaleSlope="1")
    data = path.read_bytes().replace(b"DS\x02\x0041", b"DS\x02\x00ab").replace(b"DS\x02\x001 ", b"DS\x02\x00x ")
    path.write_bytes(data)
    assert np.array_equal(render(load_stored(path, layout)), RAMP)


def test_resizing(tmp_path: Path) -> None:
    picture = np.zeros((30, 60), "u1")
    assert resize(picture, 20).shape == (10, 20)
    assert resize(np.zeros((30, 60, 3), "u1"), 120).shape == (60, 120, 3)
    assert resize(np.zeros((1, 5000), "u1"), 10).shape == (1, 10)
    with pytest.raises(Invalid):
        resize(np.zeros((5000, 1), "u1"), 16384)


def test_the_layout_is_enough_as_json(tmp_path: Path) -> None:
    path, layout = make_file(tmp_path / "a.dcm", RAMP)
    assert Layout.from_document(layout.to_document()) == layout
    assert np.array_equal(load_stored(str(path), layout.to_document()).array, RAMP)
