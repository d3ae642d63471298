"""Windows and lookup tables as real files have them: wrong depths, empty values, packed or missing entries."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from neurdicom.pixels.grayscale.picture import render
from neurdicom.pixels.pipeline import load_stored, to_double
from tests.support.pixel_files import make_file

#: All values of 12 bits in steps of 16.
RAMP = np.arange(0, 4096, 16).astype("u2").reshape(16, 16)
FULL = np.arange(4096)
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def picture_of(tmp_path: Path, array: np.ndarray, **elements: Any) -> np.ndarray:
    return render(load_stored(*make_file(tmp_path / "a.dcm", array, **elements))).astype(int)


def table(descriptor: list[int], entries: np.ndarray, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """An item of a LUT sequence; entries of one byte are packed two to a word."""
    item = Dataset()
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    item.add_new(0x00283002, "SS" if descriptor[1] < 0 else "US", descriptor)
    words = (
        entries if entries.dtype.itemsize == 2 else np.frombuffer(entries.tobytes() + bytes(len(entries) % 2), "<u2")
    )
    item.add_new(0x00283006, "OW", words.astype(f"{order}u2").tobytes())
    return item


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("says", "highest"),
    [
        (16, 1023),
        (16, 4095),
        (16, 3000),
        (16, 16383),
        (16, 300),
        (14, 1023),
        (12, 1023),
        (8, 4095),
        (10, 65535),
        (0, 9),
    ],
)
def test_a_table_is_scaled_by_its_entries_where_its_depth_is_wrong(
    tmp_path: Path, syntax: str, says: int, highest: int
) -> None:
    entries = (FULL * highest // 4095).astype("u2")
    item = table([4096, 0, says], entries, syntax)
    picture = picture_of(tmp_path, RAMP, transfer_syntax=syntax, VOILUTSequence=Sequence([item]))
    assert np.abs(picture - entries[RAMP] / highest * 255).max() <= 0.51


@pytest.mark.parametrize(("says", "highest"), [(16, 40000), (12, 2100), (8, 128)])
def test_a_table_that_uses_the_upper_half_of_its_depth_is_taken_at_its_word(
    tmp_path: Path, says: int, highest: int
) -> None:
    entries = (FULL * highest // 4095).astype("u2")
    picture = picture_of(tmp_path, RAMP, VOILUTSequence=Sequence([table([4096, 0, says], entries)]))
    assert picture[-1, -1] == int(entries[4080] / ((1 << says) - 1) * 255 + 0.5)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("says", [8, 16])
@pytest.mark.parametrize("count", [256, 255])
@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_entries_of_a_byte_packed_in_words(tmp_path: Path, syntax: str, says: int, count: int, keyword: str) -> None:
    item = table([count, 0, says], np.arange(count)[::-1].astype("u1"), syntax)
    array = np.arange(256).astype("u2").reshape(16, 16)
    picture = picture_of(tmp_path, array, transfer_syntax=syntax, **{keyword: Sequence([item])})
    assert picture[0, 0] >= 254
    assert picture[-1, -1] == 0
    assert (np.diff(picture.reshape(-1)) <= 0).all()


def test_a_table_of_65536_entries_says_0(tmp_path: Path) -> None:
    array = np.array([[0, 32768, 65535]], "u2")
    item = table([0, 0, 16], np.arange(65536)[::-1].astype("u2"))
    assert picture_of(tmp_path, array, VOILUTSequence=Sequence([item])).tolist() == [[255, 127, 0]]


@pytest.mark.parametrize("says", [0, 4096])
def test_a_table_that_is_shorter_than_it_says_ends_with_its_last_entry(tmp_path: Path, says: int) -> None:
    picture = picture_of(tmp_path, RAMP, VOILUTSequence=Sequence([table([says, 0, 12], FULL[:3000].astype("u2"))]))
    assert np.array_equal(picture, (np.minimum(RAMP, 2999) / 4095 * 255 + 0.5).astype(int))


def test_the_first_of_several_tables_that_can_be_read(tmp_path: Path) -> None:
    empty, first, second = Dataset(), table([4096, 0, 12], FULL[::-1].astype("u2")), table([4096, 0, 12], FULL * 0 + 9)
    picture = picture_of(tmp_path, RAMP, VOILUTSequence=Sequence([empty, first, second]), WindowCenter=1, WindowWidth=2)
    assert np.array_equal(picture, ((4095 - RAMP) / 4095 * 255 + 0.5).astype(int))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_first_mapped_value_below_zero(tmp_path: Path, syntax: str) -> None:
    array = np.array([[-2000, -1000, 0, 1000, 2000]], "i2")
    item = table([2001, -1000, 12], np.linspace(0, 4095, 2001).astype("u2"), syntax)
    picture = picture_of(tmp_path, array, transfer_syntax=syntax, VOILUTSequence=Sequence([item]))
    assert picture.tolist() == [[0, 0, 127, 255, 255]]


@pytest.mark.parametrize(
    ("center", "width", "shown"),
    [
        ("1024\\", "512\\", (1024, 512)),
        ("1024\\\\40", "512\\\\400", (1024, 512)),
        ("\\1024", "\\512", (1024, 512)),
        ("\\1024", "400\\512", (1024, 512)),
        ("1024", "512\\400", (1024, 512)),
        ("1024\\40", "512", (1024, 512)),
        (" 1024 \\40", " 512 \\80", (1024, 512)),
        ("40\\1024", "0\\512", (1024, 512)),
        ("40\\1024", "-80\\512", (1024, 512)),
        ("abc\\1024", "80\\512", (1024, 512)),
        ("40\\1024", "x\\512", (1024, 512)),
        ("nan\\1024", "80\\512", (1024, 512)),
        ("40\\1024", "1e400\\512", (1024, 512)),
        ("1_0\\1024", "80\\512", (1024, 512)),
        ("40", "0", None),
        ("40", "-80", None),
        ("40", "", None),
        ("", "80", None),
        ("x", "y", None),
    ],
)
def test_the_first_window_that_makes_sense(
    tmp_path: Path, center: str, width: str, shown: tuple[int, int] | None
) -> None:
    path, layout = make_file(tmp_path / "a.dcm", RAMP, WindowCenter="1111111111", WindowWidth="2222222222")
    data = path.read_bytes().replace(b"1" * 10, center.ljust(10).encode()).replace(b"2" * 10, width.ljust(10).encode())
    path.write_bytes(data)
    picture = render(load_stored(path, layout)).astype(int)
    low, high = (RAMP.min(), RAMP.max()) if shown is None else (shown[0] - shown[1] / 2, shown[0] + shown[1] / 2 - 1)
    assert np.array_equal(picture, (np.clip((RAMP - low) / (high - low), 0, 1) * 255 + 0.5).astype(int))


def test_a_window_narrower_than_its_function_allows_is_exact(tmp_path: Path) -> None:
    array = np.array([[0.0, 0.25, 0.5, 0.75, 1.0]], "f4")
    elements: dict[str, Any] = {"PixelData": None, "FloatPixelData": array.tobytes(), "PixelRepresentation": None}
    assert picture_of(tmp_path, array, WindowCenter="0.5", WindowWidth="0.5", **elements).tolist() == [
        [0, 0, 128, 255, 255]
    ]


@pytest.mark.parametrize("elements", [{"RescaleSlope": "0", "RescaleIntercept": "-24"}, {"RescaleIntercept": "-24\\"}])
def test_a_rescale_of_slope_0_or_with_empty_values(tmp_path: Path, elements: dict[str, Any]) -> None:
    frame = load_stored(*make_file(tmp_path / "a.dcm", RAMP, WindowCenter="1000", WindowWidth="2048", **elements))
    assert np.array_equal(to_double(frame, "modality"), RAMP - 24.0)
    assert np.array_equal(render(frame), (np.clip((RAMP - 24 + 24) / 2047, 0, 1) * 255 + 0.5).astype("u1"))


@pytest.mark.parametrize("number", ["12.1", "12.2"])
@pytest.mark.parametrize("relationship", ["LIN", "LOG", "DISP"])
def test_the_way_back_to_the_beams_intensity_is_no_part_of_an_angiogram(
    tmp_path: Path, number: str, relationship: str
) -> None:
    elements: dict[str, Any] = {
        "SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{number}",
        "PixelIntensityRelationship": relationship,
        "ModalityLUTSequence": Sequence([table([4096, 0, 16], (FULL[::-1] ** 2 // 256).astype("u2"))]),
        "WindowCenter": 2048,
        "WindowWidth": 4096,
    }
    assert np.array_equal(picture_of(tmp_path, RAMP, **elements), (RAMP / 4095 * 255 + 0.5).astype(int))


@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (12, 7), (12, 20), (20, 19), (16, 3), (0, 15)])
def test_bits_that_contradict_each_other(tmp_path: Path, stored: int, high: int) -> None:
    array = RAMP << 4 if (stored, high) == (12, 15) else RAMP
    frame = load_stored(*make_file(tmp_path / "a.dcm", array, BitsStored=stored, HighBit=high))
    assert np.array_equal(frame.array, RAMP)
