"""Native pixel data of every form, against values that are known because the test made them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from neurdicom.errors import Invalid, NotAvailable
from neurdicom.pixels.pipeline import aligned_doubles, load_stored, to_double
from tests.support.pixel_files import copy_cut, make_file

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_integers_of_every_width(tmp_path: Path, dtype: str, syntax: str) -> None:
    info = np.iinfo(dtype)
    array = np.linspace(info.min, info.max, 35).astype(dtype).reshape(5, 7)
    # An odd number of 8-bit cells as OW in big endian is padded inside its last word.
    vr = {"vr": "OB"} if syntax == ExplicitVRBigEndian and dtype[1] == "1" else {}
    found = make_file(tmp_path / "a.dcm", array, transfer_syntax=syntax, **vr)
    loaded = load_stored(*found).array
    assert loaded.dtype == np.dtype(dtype)
    assert np.array_equal(loaded, array)


@pytest.mark.parametrize("stored", [8, 10, 12, 15])
@pytest.mark.parametrize("high", [None, 15])
@pytest.mark.parametrize("signed", [0, 1])
def test_bits_outside_bits_stored_are_no_value(tmp_path: Path, stored: int, high: int | None, signed: int) -> None:
    low = -(1 << stored - 1) if signed else 0
    values = np.linspace(low, low + (1 << stored) - 1, 24).astype("i4").reshape(4, 6)
    shift = 0 if high is None else high + 1 - stored
    cells = ((values & ((1 << stored) - 1)) << shift).astype("u2")
    overlay = ~np.uint16(((1 << stored) - 1) << shift)
    cells[::2] |= overlay
    found = make_file(
        tmp_path / "a.dcm", cells, BitsStored=stored, HighBit=shift + stored - 1, PixelRepresentation=signed
    )
    loaded = load_stored(*found).array
    assert loaded.dtype == np.dtype("i2" if signed else "u2")
    assert np.array_equal(loaded, values)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_colour_in_both_planar_configurations(tmp_path: Path, planar: int, dtype: str, syntax: str) -> None:
    array = np.arange(4 * 6 * 3).astype(dtype).reshape(4, 6, 3)
    laid = np.ascontiguousarray(array.transpose(2, 0, 1)).reshape(4, 6, 3) if planar else array
    vr = {"vr": "OB"} if dtype == "u1" else {}
    found = make_file(tmp_path / "a.dcm", laid, PlanarConfiguration=planar, transfer_syntax=syntax, **vr)
    assert np.array_equal(load_stored(*found).array, array)


@pytest.mark.parametrize("frame", [1, 2, 3, 4, 5])
def test_single_bits_of_frames_that_share_bytes(tmp_path: Path, frame: int) -> None:
    frames = np.random.default_rng(1).integers(0, 2, (5, 3, 7)).astype("u1")
    packed = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    found = make_file(tmp_path / "a.dcm", packed, Rows=3, Columns=7, BitsAllocated=1, NumberOfFrames=5)
    assert np.array_equal(load_stored(*found, frame).array, frames[frame - 1])


def test_eight_bits_in_big_endian_words(tmp_path: Path) -> None:
    array = np.arange(15).astype("u1").reshape(3, 5)
    words = np.append(array.reshape(-1), np.uint8(0)).view("u2").byteswap().tobytes()
    found = make_file(
        tmp_path / "a.dcm",
        words,
        Rows=3,
        Columns=5,
        BitsAllocated=8,
        vr="OW",
        transfer_syntax=ExplicitVRBigEndian,
    )
    assert np.array_equal(load_stored(*found).array, array)


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")])
def test_floats(tmp_path: Path, keyword: str, dtype: str) -> None:
    array = np.array([[0.5, -1e30, np.inf], [1e-20, 3.25, np.nan]], dtype)
    elements: dict[str, Any] = {
        "PixelData": None,
        keyword: array.tobytes(),
        "BitsStored": None,
        "HighBit": None,
        "PixelRepresentation": None,
        "BitsAllocated": array.dtype.itemsize * 8,
    }
    loaded = load_stored(*make_file(tmp_path / "a.dcm", array, **elements)).array
    assert loaded.dtype == array.dtype
    assert np.array_equal(loaded, array, equal_nan=True)


def test_ybr_full_422_shares_chroma(tmp_path: Path) -> None:
    grey = np.array([[10, 20, 128, 128], [200, 255, 128, 128]], "u1").reshape(1, 8).tobytes()
    found = make_file(
        tmp_path / "a.dcm",
        grey,
        Rows=2,
        Columns=2,
        BitsAllocated=8,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="YBR_FULL_422",
    )
    frame = load_stored(*found)
    assert frame.photometric == "RGB"
    assert frame.array.tolist() == [[[10] * 3, [20] * 3], [[200] * 3, [255] * 3]]


def test_ybr_full_422_that_is_not_halved_has_the_length_of_ybr_full(tmp_path: Path) -> None:
    array = np.random.default_rng(6).integers(0, 256, (3, 5, 3)).astype("u1")
    one, other = (
        load_stored(*make_file(tmp_path / "a.dcm", array, PhotometricInterpretation=photometric)).array
        for photometric in ("YBR_FULL", "YBR_FULL_422")
    )
    assert np.array_equal(one, other)


def test_only_the_wanted_frame_is_needed(tmp_path: Path) -> None:
    frames = np.arange(3 * 4 * 5).astype("u2").reshape(3, 4, 5)
    path, layout = make_file(tmp_path / "a.dcm", frames.tobytes(), Rows=4, Columns=5, NumberOfFrames=3)
    assert layout.pixel_offset is not None
    cut = copy_cut(path, tmp_path / "cut.dcm", layout.pixel_offset + 2 * 40 + 10)
    assert np.array_equal(load_stored(cut, layout, 2).array, frames[1])
    with pytest.raises(NotAvailable, match="ends before frame 3 does"):
        load_stored(cut, layout, 3)


@pytest.mark.parametrize("frame", [0, -1, 2, 10**9])
def test_a_frame_that_is_not_there(tmp_path: Path, frame: int) -> None:
    found = make_file(tmp_path / "a.dcm", np.zeros((2, 2), "u2"))
    with pytest.raises(Invalid) as caught:
        load_stored(*found, frame)
    assert caught.value.field == "frame"


@pytest.mark.parametrize(
    "absurd",
    [
        {"Rows": 65535, "Columns": 65535},
        {"Rows": 0},
        {"Columns": None},
        {"BitsAllocated": 0},
        {"BitsAllocated": 128},
        {"SamplesPerPixel": 7},
        {"Rows": 16000, "Columns": 16000},
        {"NumberOfFrames": "2147483647", "frame": 2147483647},
    ],
)
def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path: Path, absurd: dict[str, Any]) -> None:
    frame = absurd.pop("frame", 1)
    elements = {"Rows": 4, "Columns": 4, **absurd}
    found = make_file(tmp_path / "a.dcm", bytes(32), **elements)
    with pytest.raises(NotAvailable):
        load_stored(*found, frame)


def test_modality_units_and_a_buffer_of_ones_own(tmp_path: Path) -> None:
    array = np.arange(-8, 16).astype("i2").reshape(4, 6)
    found = make_file(tmp_path / "a.dcm", array, RescaleSlope="2.5", RescaleIntercept="-1024")
    frame = load_stored(*found)
    out = aligned_doubles((4, 6))
    assert to_double(frame, "modality", out=out) is out
    assert np.array_equal(out, array * 2.5 - 1024)
    assert np.array_equal(to_double(frame), array)
    with pytest.raises(ValueError, match="C-contiguous"):
        to_double(frame, out=np.empty((6, 4)))
    with pytest.raises(Invalid):
        to_double(frame, "units")  # type: ignore[arg-type]


def test_encapsulated_data_in_a_native_transfer_syntax(tmp_path: Path) -> None:
    path, layout = make_file(tmp_path / "a.dcm", np.zeros((2, 2), "u2"))
    broken = type(layout).from_document(layout.to_document() | {"pixel_length": None})
    with pytest.raises(NotAvailable, match="encapsulated"):
        load_stored(path, broken)
