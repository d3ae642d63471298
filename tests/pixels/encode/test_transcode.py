"""Files in other transfer syntaxes: what is kept, what changes, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from neurdicom.errors import NotAvailable
from neurdicom.pixels.decode.pydicom_decoder import register_codecs
from neurdicom.pixels.encode.codecs import ENCODERS
from neurdicom.pixels.encode.transcode import frame_bytes, targets, transcode
from neurdicom.pixels.pipeline import load_stored
from tests.support.pixel_files import encapsulated, layout_of, make_dataset, make_file, save

LOSSLESS = [target for target in targets() if target != JPEGBaseline8Bit]
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
COMPRESSED = [*(target for target in ENCODERS if target != JPEGBaseline8Bit), UNCOMPRESSED]
NATIVE = [target for target in targets() if target not in ENCODERS]
RNG = np.random.default_rng(3)


@pytest.mark.parametrize("target", LOSSLESS)
@pytest.mark.parametrize(
    ("dtype", "stored", "samples"),
    [
        ("u1", 8, 1),
        ("u2", 5, 1),
        ("u2", 8, 1),
        ("u2", 12, 1),
        ("i2", 8, 1),
        ("i2", 11, 1),
        ("i2", 16, 1),
        ("u1", 8, 3),
        ("u2", 16, 3),
    ],
)
def test_lossless_targets_keep_every_value(tmp_path: Path, target: str, dtype: str, stored: int, samples: int) -> None:
    low = -(1 << stored - 1) if dtype[0] == "i" else 0
    shape = (17, 23) if samples == 1 else (17, 23, 3)
    array = RNG.integers(low, low + (1 << stored), shape).astype(dtype)
    path, layout = make_file(tmp_path / "a.dcm", array, BitsStored=stored, HighBit=stored - 1, PatientComments="Grüße",
                             SpecificCharacterSet="ISO_IR 100")  # fmt: skip
    output = tmp_path / "b.dcm"
    transcode(path, layout, target, output)
    _, new = layout_of(output, tmp_path)
    assert new.transfer_syntax == target
    frame = load_stored(output, new)
    assert frame.array.dtype == array.dtype
    assert np.array_equal(frame.array, array)
    register_codecs()
    ds = dcmread(output)
    assert ds.PatientComments == "Grüße"
    assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID == dcmread(path).SOPInstanceUID
    assert np.array_equal(ds.pixel_array, array)


@pytest.mark.parametrize("target", LOSSLESS)
def test_one_pixel_in_planes(tmp_path: Path, target: str) -> None:
    path, layout = make_file(tmp_path / "a.dcm", b"\1\2\3", Rows=1, Columns=1, BitsAllocated=8, SamplesPerPixel=3,
                             PhotometricInterpretation="RGB", PlanarConfiguration=1)  # fmt: skip
    output = tmp_path / "b.dcm"
    transcode(path, layout, target, output)
    assert load_stored(*layout_of(output, tmp_path)).array.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("target", LOSSLESS)
@pytest.mark.parametrize("source", [ExplicitVRLittleEndian, *COMPRESSED])
@pytest.mark.parametrize("planar", [0, 1])
def test_planar_configuration_is_that_of_the_bytes(tmp_path: Path, source: str, target: str, planar: int) -> None:
    """Decoded samples lie as Planar Configuration says; in compressed frames it has no meaning, and is 0."""
    frames = RNG.integers(0, 256, (2, 6, 10, 3)).astype("u1")
    lying = frames.transpose(0, 3, 1, 2) if planar else frames
    data = lying.tobytes() if source == ExplicitVRLittleEndian else encapsulated(
        [frame.tobytes() if source == UNCOMPRESSED else ENCODERS[source].encode(frame, 8, True)
         for frame in (lying if source == UNCOMPRESSED else frames)]
    )  # fmt: skip
    path, layout = make_file(tmp_path / "a.dcm", data, Rows=6, Columns=10, SamplesPerPixel=3, BitsAllocated=8,
                             PhotometricInterpretation="RGB", PlanarConfiguration=planar, NumberOfFrames=2,
                             transfer_syntax=source)  # fmt: skip
    assert np.array_equal(load_stored(path, layout, 2).array, frames[1])
    if target == source:
        return
    transcode(path, layout, target, tmp_path / "b.dcm")
    ds = dcmread(tmp_path / "b.dcm")
    found = layout_of(tmp_path / "b.dcm", tmp_path)
    assert np.array_equal([load_stored(*found, number).array for number in (1, 2)], frames)
    if target in ENCODERS:
        assert ds.PlanarConfiguration == 0
        return
    assert ds.PlanarConfiguration == planar
    assert ds.PixelData == lying.tobytes()
    assert [frame_bytes(path, layout, number, target) for number in (1, 2)] == [each.tobytes() for each in lying]


@pytest.mark.parametrize("target", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.1"])
def test_frame_by_frame(tmp_path: Path, target: str) -> None:
    frames = RNG.integers(0, 65536, (7, 5, 9)).astype("u2")
    path, layout = make_file(tmp_path / "a.dcm", frames.tobytes(), Rows=5, Columns=9, NumberOfFrames=7)
    output = tmp_path / "b.dcm"
    transcode(path, layout, target, output)
    found = layout_of(output, tmp_path)
    assert all(np.array_equal(load_stored(*found, index + 1).array, frames[index]) for index in range(7))


@pytest.mark.parametrize("target", ["1.2.840.10008.1.2.5", *(f"1.2.840.10008.1.2.4.{n}" for n in (57, 70, 80, 90))])
def test_ybr_full_stays_what_it_is(tmp_path: Path, target: str) -> None:
    array = RNG.integers(0, 256, (8, 8, 3)).astype("u1")
    path, layout = make_file(tmp_path / "a.dcm", array, PhotometricInterpretation="YBR_FULL")
    output = tmp_path / "b.dcm"
    transcode(path, layout, target, output)
    ds = dcmread(output)
    assert ds.PhotometricInterpretation == "YBR_FULL"
    rgb = load_stored(path, layout).array
    assert np.array_equal(load_stored(*layout_of(output, tmp_path)).array, rgb)
    back = tmp_path / "c.dcm"
    transcode(*layout_of(output, tmp_path), ExplicitVRLittleEndian, back)
    assert dcmread(back).PixelData == array.tobytes()


def test_shared_bytes_of_single_bits(tmp_path: Path) -> None:
    frames = RNG.integers(0, 2, (5, 3, 7)).astype("u1")
    packed = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    path, layout = make_file(tmp_path / "a.dcm", packed, Rows=3, Columns=7, BitsAllocated=1, NumberOfFrames=5)
    output = tmp_path / "b.dcm"
    transcode(path, layout, ImplicitVRLittleEndian, output)
    assert dcmread(output).PixelData == packed + bytes(len(packed) % 2)
    with pytest.raises(NotAvailable, match="1-bit"):
        transcode(path, layout, "1.2.840.10008.1.2.5", output)


def test_words_of_big_endian_files_are_swapped_everywhere(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [3, 0, 16])
    item.add_new(0x00283006, "OW", np.array([1, 2, 515], ">u2").tobytes())
    array = np.array([[0, 1, 2]], "u2")
    path, layout = make_file(
        tmp_path / "a.dcm", array, transfer_syntax=ExplicitVRBigEndian, VOILUTSequence=Sequence([item])
    )
    output = tmp_path / "b.dcm"
    transcode(path, layout, ExplicitVRLittleEndian, output)
    ds = dcmread(output)
    assert np.array_equal(np.frombuffer(ds.VOILUTSequence[0].LUTData, "<u2"), [1, 2, 515])
    assert np.array_equal(ds.pixel_array, array)


def test_a_lossy_target_makes_another_instance_and_says_so(tmp_path: Path) -> None:
    y, x = np.mgrid[0:40, 0:40]
    array = np.dstack((x * 5, y * 5, x * 3)).astype("u1")
    path, layout = make_file(tmp_path / "a.dcm", array, ImageType=["ORIGINAL", "PRIMARY"])
    first, second = tmp_path / "b.dcm", tmp_path / "c.dcm"
    transcode(path, layout, JPEGBaseline8Bit, first)
    transcode(path, layout, JPEGBaseline8Bit, second)
    assert first.read_bytes() == second.read_bytes()
    ds = dcmread(first)
    assert ds.SOPInstanceUID != dcmread(path).SOPInstanceUID
    assert (ds.LossyImageCompression, ds.PhotometricInterpretation) == ("01", "YBR_FULL_422")
    assert list(ds.ImageType) == ["DERIVED", "PRIMARY"]
    loaded = load_stored(*layout_of(first, tmp_path)).array
    assert np.abs(loaded.astype(int) - array).mean() < 4


def test_edits_are_applied(tmp_path: Path) -> None:
    path, layout = make_file(tmp_path / "a.dcm", np.zeros((2, 2), "u2"), StudyDescription="before")
    edits = [{"field": "study_description", "value": "nachher: Größe, 後", "user": "", "time": "2026-01-02T03:04:05Z"}]
    for target in (layout.transfer_syntax, "1.2.840.10008.1.2.4.80"):
        output = tmp_path / "b.dcm"
        assert transcode(path, layout, target, output, edits) == output.stat().st_size
        assert dcmread(output).StudyDescription == "nachher: Größe, 後"


def test_its_own_transfer_syntax_is_the_same_bytes(tmp_path: Path) -> None:
    codestream = ENCODERS[JPEGBaseline8Bit].encode(RNG.integers(0, 255, (16, 16)).astype("u1"), 8, True)
    path, layout = make_file(tmp_path / "a.dcm", encapsulated([codestream]), Rows=16, Columns=16, BitsAllocated=8,
                             transfer_syntax=JPEGBaseline8Bit)  # fmt: skip
    output = tmp_path / "b.dcm"
    transcode(path, layout, JPEGBaseline8Bit, output)
    assert output.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("elements", "target", "words"),
    [
        ({}, "1.2.840.10008.1.2.4.50", "16-bit"),
        ({"dtype": "i1"}, "1.2.840.10008.1.2.4.50", "signed"),
        ({"dtype": "u1", "BitsStored": 6, "HighBit": 5}, "1.2.840.10008.1.2.4.50", "Bits Stored 6"),
        ({}, "1.2.840.10008.1.2.2", "can't be given"),
        ({}, "1.2.840.10008.1.2.4.100", "can't be given"),
    ],
)
def test_what_a_transfer_syntax_can_not_hold(tmp_path: Path, elements: dict[str, Any], target: str, words: str) -> None:
    dtype = elements.get("dtype", "u2")
    elements = {keyword: value for keyword, value in elements.items() if keyword != "dtype"}
    path, layout = make_file(tmp_path / "a.dcm", np.zeros((4, 4), dtype), **elements)
    with pytest.raises(NotAvailable, match=words):
        transcode(path, layout, target, tmp_path / "b.dcm")


@pytest.mark.parametrize("target", [*ENCODERS])
@pytest.mark.parametrize("frames", ["3", "2147483647"])
def test_frames_that_are_not_there_write_nothing(tmp_path: Path, target: str, frames: str) -> None:
    path, layout = make_file(tmp_path / "a.dcm", bytes(32), Rows=2, Columns=4, NumberOfFrames=frames,
                             transfer_syntax=ExplicitVRBigEndian)  # fmt: skip
    with pytest.raises(NotAvailable, match=f"{frames} frames need"):
        transcode(path, layout, target, tmp_path / "b.dcm")
    assert not (tmp_path / "b.dcm").exists()


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("frames", ["3", "2147483647"])
def test_a_native_value_that_is_too_short_stays_as_it_is(tmp_path: Path, target: str, frames: str) -> None:
    words = np.arange(16, dtype="u2")
    path, layout = make_file(tmp_path / "a.dcm", words.astype(">u2").tobytes(), Rows=2, Columns=4,
                             NumberOfFrames=frames, transfer_syntax=ExplicitVRBigEndian)  # fmt: skip
    transcode(path, layout, target, tmp_path / "b.dcm")
    assert dcmread(tmp_path / "b.dcm").PixelData == words.tobytes()


def test_compressed_frames_that_are_not_there_take_no_memory(tmp_path: Path) -> None:
    codestream = ENCODERS["1.2.840.10008.1.2.4.80"].encode(np.zeros((2, 4), "u2"), 16, True)
    path, layout = make_file(tmp_path / "a.dcm", encapsulated([codestream]), Rows=2, Columns=4,
                             NumberOfFrames="1000000000", transfer_syntax="1.2.840.10008.1.2.4.80")  # fmt: skip
    with pytest.raises(NotAvailable, match="holds 1"):
        transcode(path, layout, "1.2.840.10008.1.2.5", tmp_path / "b.dcm")
    assert (tmp_path / "b.dcm").stat().st_blocks * 512 < 1 << 20
    with pytest.raises(NotAvailable, match="no room"):
        many = type(layout).from_document(layout.to_document() | {"number_of_frames": 2_000_000_000})
        transcode(path, many, "1.2.840.10008.1.2.5", tmp_path / "b.dcm")


def test_instances_without_pixels(tmp_path: Path) -> None:
    path, layout = save(make_dataset(b"", 1, 1, PixelData=None, Rows=None, Columns=None), tmp_path / "a.dcm")
    transcode(path, layout, ImplicitVRLittleEndian, tmp_path / "b.dcm")
    assert dcmread(tmp_path / "b.dcm").PatientID == "PIXELS"
    with pytest.raises(NotAvailable, match="no pixel data"):
        transcode(path, layout, "1.2.840.10008.1.2.5", tmp_path / "b.dcm")


def test_a_deflated_instance_without_pixels_is_given_whole(tmp_path: Path) -> None:
    text = "again " * 1500
    made = make_dataset(b"", 1, 1, PixelData=None, transfer_syntax=DeflatedExplicitVRLittleEndian, TextValue=text)
    path, layout = save(made, tmp_path / "a.dcm")
    assert path.stat().st_size < len(text)
    transcode(path, layout, ExplicitVRLittleEndian, tmp_path / "b.dcm")
    assert dcmread(tmp_path / "b.dcm").TextValue == text.rstrip()
