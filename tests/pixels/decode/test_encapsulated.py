"""Frames of compressed pixel data, however they are cut into fragments, and what is broken about them."""

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate_extended
from pydicom.uid import HTJ2KLossless, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from neurdicom.dicom.header import Layout
from neurdicom.errors import NeurdicomError, NotAvailable
from neurdicom.pixels import tasks
from neurdicom.pixels.encode.codecs import ENCODERS
from neurdicom.pixels.pipeline import load_stored
from tests.support.pixel_files import copy_cut, encapsulated, make_file

FRAMES = np.random.default_rng(2).integers(0, 4096, (3, 20, 30)).astype("u2")
SYNTAXES = [RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless]


def store(path: Path, data: bytes, syntax: str, **elements: Any) -> tuple[Path, Layout]:
    shape = {"Rows": 20, "Columns": 30, "NumberOfFrames": 3, "BitsStored": 12}
    return make_file(path, data, transfer_syntax=syntax, **(shape | elements))


def codestreams(syntax: str) -> list[bytes]:
    return [ENCODERS[syntax].encode(frame, 12, True) for frame in FRAMES]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", [True, False])
def test_fragments_with_and_without_offsets(tmp_path: Path, syntax: str, fragments: int, table: bool) -> None:
    data = encapsulated(codestreams(syntax), fragments=fragments, table=table)
    found = store(tmp_path / "a.dcm", data, syntax)
    for number, frame in enumerate(FRAMES, 1):
        assert np.array_equal(load_stored(*found, number).array, frame)


def test_extended_offsets(tmp_path: Path) -> None:
    data, offsets, lengths = encapsulate_extended(codestreams(JPEGLSLossless))
    elements = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    found = store(tmp_path / "a.dcm", data, JPEGLSLossless, **elements)
    assert np.array_equal(load_stored(*found, 3).array, FRAMES[2])


@pytest.mark.parametrize("lie", [b"\xff" * 12, b"\0" * 12, struct.pack("<3I", 0, 4, 8)])
def test_a_table_that_lies_is_not_believed(tmp_path: Path, lie: bytes) -> None:
    data = encapsulated(codestreams(JPEGLSLossless))
    found = store(tmp_path / "a.dcm", data[:8] + lie + data[20:], JPEGLSLossless)
    assert np.array_equal(load_stored(*found, 2).array, FRAMES[1])


def test_fewer_frames_than_declared(tmp_path: Path) -> None:
    data = encapsulated(codestreams(JPEGLSLossless)[:2], table=False)
    found = store(tmp_path / "a.dcm", data, JPEGLSLossless)
    assert np.array_equal(load_stored(*found, 2).array, FRAMES[1])
    with pytest.raises(NotAvailable, match="3 frames are declared, the pixel data holds 2"):
        load_stored(*found, 3)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_more_frames_than_declared(tmp_path: Path, syntax: str) -> None:
    found = store(tmp_path / "a.dcm", encapsulated(codestreams(syntax), table=False), syntax, NumberOfFrames=None)
    assert np.array_equal(load_stored(*found).array, FRAMES[0])


def test_a_file_that_ends_within_a_frame(tmp_path: Path) -> None:
    path, layout = store(tmp_path / "a.dcm", encapsulated(codestreams(JPEGLSLossless)), JPEGLSLossless)
    cut = copy_cut(path, tmp_path / "cut.dcm", path.stat().st_size - 40)
    assert np.array_equal(load_stored(cut, layout, 2).array, FRAMES[1])
    with pytest.raises(NotAvailable, match="ends within the frame"):
        load_stored(cut, layout, 3)


def test_a_codestream_of_another_size_is_refused(tmp_path: Path) -> None:
    data = encapsulated(codestreams(JPEGLSLossless)[:1])
    found = store(tmp_path / "a.dcm", data, JPEGLSLossless, NumberOfFrames=1, Rows=40)
    with pytest.raises(NotAvailable, match="30 x 20 pixels of 1 samples, the header 30 x 40"):
        load_stored(*found)


def test_pixel_data_that_is_no_item(tmp_path: Path) -> None:
    path, layout = store(tmp_path / "a.dcm", encapsulated(codestreams(JPEGLSLossless)), JPEGLSLossless)
    assert layout.pixel_offset is not None
    data = bytearray(path.read_bytes())
    data[layout.pixel_offset] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(NotAvailable, match="doesn't begin with an item"):
        load_stored(path, layout)


def test_signed_values_in_codestreams_without_a_sign(tmp_path: Path) -> None:
    values = (FRAMES[0].astype("i4") - 2048).astype("i2")
    for syntax in SYNTAXES:
        data = encapsulated([ENCODERS[syntax].encode(values, 12, True)])
        found = store(tmp_path / "a.dcm", data, syntax, PixelRepresentation=1, NumberOfFrames=1)
        loaded = load_stored(*found).array
        assert loaded.dtype == np.dtype("i2")
        assert np.array_equal(loaded, values)


@pytest.mark.parametrize("bits", [8, 12])
def test_lossy_jpeg_of_both_depths(tmp_path: Path, bits: int) -> None:
    y, x = np.mgrid[0:64, 0:64]
    array = ((np.sin(x / 9) + np.cos(y / 7) + 2) / 4 * ((1 << bits) - 1)).astype("u1" if bits == 8 else "u2")
    codestream = imagecodecs.jpeg8_encode(array, level=100, bitspersample=bits)
    syntax = JPEGBaseline8Bit if bits == 8 else "1.2.840.10008.1.2.4.51"
    found = make_file(tmp_path / "a.dcm", encapsulated([codestream]), Rows=64, Columns=64, BitsStored=bits,
                      BitsAllocated=8 if bits == 8 else 16, transfer_syntax=syntax)  # fmt: skip
    assert np.abs(load_stored(*found).array.astype(int) - array).max() <= 4


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("model", ["RGB", "YCBCR"])
def test_a_jpegs_own_colour_model_counts(tmp_path: Path, photometric: str, model: str) -> None:
    array = np.zeros((32, 32, 3), "u1")
    array[:16, :, 0], array[16:, :, 2] = 200, 220
    codestream = imagecodecs.jpeg8_encode(array, level=98, colorspace="RGB", outcolorspace=model, subsampling="444")
    found = make_file(tmp_path / "a.dcm", encapsulated([codestream]), Rows=32, Columns=32, BitsAllocated=8,
                      SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation=photometric,
                      transfer_syntax=JPEGBaseline8Bit)  # fmt: skip
    frame = load_stored(*found)
    assert frame.photometric == "RGB"
    assert np.abs(frame.array.astype(int) - array).max() < 10


def test_htj2k_deeper_than_its_codec_can_is_refused(tmp_path: Path) -> None:
    codestream = imagecodecs.htj2k_encode(np.full((9, 13), 1 << 30, "u4"), reversible=True)
    found = make_file(tmp_path / "a.dcm", encapsulated([codestream]), Rows=9, Columns=13, BitsAllocated=32,
                      transfer_syntax=HTJ2KLossless)  # fmt: skip
    with pytest.raises(NotAvailable, match=r"can't be decoded \(1\.2\.840\.10008\.1\.2\.4\.201\)"):
        load_stored(*found)


def lossy(syntax: str, array: np.ndarray) -> bytes:
    if syntax.endswith("81"):
        return bytes(imagecodecs.jpegls_encode(array, level=3, out=1 << 16))
    return bytes(imagecodecs.jpeg2k_encode(array, level=70, codecformat="J2K", bitspersample=16))


@pytest.mark.parametrize(
    ("syntax", "signed"),
    [("1.2.840.10008.1.2.4.81", 0), ("1.2.840.10008.1.2.4.91", 0), ("1.2.840.10008.1.2.4.91", 1)],
)
def test_what_a_lossy_codec_puts_beyond_bits_stored_does_not_wrap(tmp_path: Path, syntax: str, signed: int) -> None:
    array = np.random.default_rng(5).integers(4000, 4096, (32, 32)).astype("i4")
    array[::2] = 4095
    stored = (array - 2048).astype("i2") if signed else array.astype("u2")
    found = make_file(tmp_path / "a.dcm", encapsulated([lossy(syntax, stored)]), Rows=32, Columns=32, BitsStored=12,
                      HighBit=11, PixelRepresentation=signed, transfer_syntax=syntax)  # fmt: skip
    loaded = load_stored(*found).array
    assert loaded.max() == stored.max()
    assert np.abs(loaded.astype(int) - stored).max() < 200


def test_an_rle_segment_that_unpacks_to_more_than_the_frame(tmp_path: Path) -> None:
    header = struct.pack("<16I", 1, 64, *[0] * 14)
    bomb = header + b"\x81\x07" * (1 << 16)
    found = make_file(tmp_path / "a.dcm", encapsulated([bomb]), Rows=10, Columns=10, BitsAllocated=8,
                      transfer_syntax=RLELossless)  # fmt: skip
    assert load_stored(*found).array.tolist() == [[7] * 10] * 10


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, Layout, Path]]:
    folder = tmp_path_factory.mktemp("fuzz")
    found = []
    for syntax in [*SYNTAXES, JPEGBaseline8Bit]:
        if syntax == JPEGBaseline8Bit:
            frames = [ENCODERS[syntax].encode((frame >> 4).astype("u1"), 8, True) for frame in FRAMES]
            elements: dict[str, Any] = {"BitsAllocated": 8, "BitsStored": 8}
        else:
            frames, elements = codestreams(syntax), {}
        path, layout = store(folder / f"{syntax}.dcm", encapsulated(frames), syntax, **elements)
        found.append((path.read_bytes(), layout, folder / "fuzzed.dcm"))
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_gives_our_errors_and_no_others(whole: list[tuple[bytes, Layout, Path]], data: st.DataObject) -> None:
    original, layout, path = data.draw(st.sampled_from(whole))
    assert layout.pixel_offset is not None
    damaged = bytearray(original)
    places = st.integers(layout.pixel_offset, len(original) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        damaged[place] = value
    path.write_bytes(damaged[: data.draw(st.one_of(st.just(len(original)), places))])
    arguments = {
        "path": str(path),
        "layout": layout.to_document(),
        "frame": data.draw(st.integers(1, 3)),
        "format": "png",
    }
    try:
        tasks.image(arguments)
    except NeurdicomError as error:
        assert str(error)
