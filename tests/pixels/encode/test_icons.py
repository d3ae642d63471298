"""Compressed pixels of items: icons and others, at any level, become native with the file, or are left out."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from neurdicom.dicom.part10 import read_header
from neurdicom.pixels.encode.codecs import ENCODERS
from neurdicom.pixels.encode.transcode import targets, transcode
from tests.support.dicom.files import EXPLICIT, IMPLICIT, ElementWriter
from tests.support.pixel_files import encapsulated

SYNTAXES = [syntax for syntax, encoder in ENCODERS.items() if not encoder.lossy]
BASELINE = "1.2.840.10008.1.2.4.50"
GREY = np.arange(48, dtype="u1").reshape(6, 8)
COLOUR = np.stack((GREY, GREY[::-1], GREY * 2), axis=-1)
SEQUENCES = {"an icon": 0x00880200, "a private sequence": 0x00091002}


def pixels_of(w: ElementWriter, array: np.ndarray, data: bytes | None, *, planar: int = 0) -> bytes:
    """The Image Pixel module and the pixels of an item or of the file; those of `data` are compressed."""
    samples = array.shape[2] if array.ndim == 3 else 1
    bits = array.dtype.itemsize * 8
    head = w.us(0x00280002, samples) + w.element(0x00280004, "CS", "RGB" if samples == 3 else "MONOCHROME2")
    if samples == 3:
        head += w.us(0x00280006, planar)
    head += b"".join(
        w.us(tag, value)
        for tag, value in ((0x00280010, array.shape[0]), (0x00280011, array.shape[1]), (0x00280100, bits),
                           (0x00280101, bits), (0x00280102, bits - 1), (0x00280103, 0))
    )  # fmt: skip
    if data is None:
        return head + w.element(0x7FE00010, "OB" if bits == 8 else "OW", array.tobytes())
    return head + w.element(0x7FE00010, "OB", b"", 0xFFFFFFFF) + data + b"\xfe\xff\xdd\xe0\0\0\0\0"


def compressed(syntax: str, array: np.ndarray, *, fragments: int = 1) -> bytes:
    stream = ENCODERS[syntax].encode(array, array.dtype.itemsize * 8, True)
    return encapsulated([stream], fragments=fragments, table=False)


def make(path: Path, syntax: str, items: Sequence[bytes], tag: int = 0x00880200, *, deep: bool = False) -> Path:
    """A compressed image with a sequence of items, which lies in two others if `deep`."""
    w = ElementWriter()
    w.syntax = syntax
    sequence = w.sequence(tag, *(w.item(each, undefined=True) for each in items), undefined=True)
    if tag >> 16 & 1:
        sequence = w.element(tag >> 16 << 16 | 0x10, "LO", "SOMEBODY") + sequence
    if deep:
        sequence = w.sequence(0x00081199, w.item(w.sequence(0x00082218, w.item(sequence, undefined=True))))
    main = np.arange(400, dtype="u1").reshape(20, 20)
    body = w.dataset(before=sequence) if tag < 0x00200000 else w.dataset(after=sequence)
    if deep:
        body = w.dataset(before=sequence)
    image = pixels_of(w, main, compressed(syntax, main))
    # The icon's tag lies between the Image Pixel module and Pixel Data.
    if tag > 0x00280000 and not deep:
        place = image.rindex(b"\xe0\x7f\x10\x00")
        body, image = w.dataset(), image[:place] + sequence + image[place:]
    path.write_bytes(w.file(body + image))
    return path


def convert(path: Path, target: str, tmp_path: Path) -> Dataset:
    transcode(path, read_header(path).layout, target, tmp_path / "b.dcm")
    return dcmread(tmp_path / "b.dcm")


def item_of(ds: Dataset, tag: int, *, deep: bool) -> Dataset:
    if deep:
        ds = ds[0x00081199].value[0][0x00082218].value[0]
    element = ds[tag]
    return element.value[0]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("array", [GREY, GREY.astype("u2") * 300, COLOUR], ids=["grey", "16 bits", "colour"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_icons_become_native(tmp_path: Path, syntax: str, array: np.ndarray, deep: bool) -> None:
    w = ElementWriter()
    path = make(tmp_path / "a.dcm", syntax, [pixels_of(w, array, compressed(syntax, array, fragments=2))], deep=deep)
    for target in targets():
        if target in (syntax, BASELINE):
            continue
        icon = item_of(convert(path, target, tmp_path), 0x00880200, deep=deep)
        assert icon["PixelData"].is_undefined_length is False
        assert icon.PixelData == array.tobytes()
        assert ("OW" if array.dtype.itemsize == 2 or target == IMPLICIT else "OB") == icon["PixelData"].VR
        assert (icon.BitsAllocated, icon.Rows, icon.Columns) == (array.dtype.itemsize * 8, 6, 8)


@pytest.mark.parametrize("target", [EXPLICIT, "1.2.840.10008.1.2.4.80"])
def test_pixels_in_private_sequences(tmp_path: Path, target: str) -> None:
    syntax = "1.2.840.10008.1.2.4.90"
    path = make(tmp_path / "a.dcm", syntax, [pixels_of(ElementWriter(), GREY, compressed(syntax, GREY))], 0x00091002)
    assert item_of(convert(path, target, tmp_path), 0x00091002, deep=False).PixelData == GREY.tobytes()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_planes_and_native_icons_stay(tmp_path: Path, syntax: str) -> None:
    w = ElementWriter()
    planes = COLOUR.transpose(2, 0, 1)
    native = pixels_of(w, COLOUR, None, planar=1).replace(COLOUR.tobytes(), planes.tobytes())
    path = make(tmp_path / "a.dcm", syntax, [pixels_of(w, COLOUR, compressed(syntax, COLOUR), planar=1), native])
    for ds in (convert(path, EXPLICIT, tmp_path), convert(path, IMPLICIT, tmp_path)):
        for icon in ds.IconImageSequence:
            assert icon.PlanarConfiguration == 1
            assert icon.PixelData == planes.tobytes()


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("broken", [b"no codestream at all", b""])
@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.4.80"])
def test_icons_that_can_not_be_converted_are_left_out(tmp_path: Path, target: str, broken: bytes, deep: bool) -> None:
    syntax = "1.2.840.10008.1.2.4.90"
    data = struct.pack("<4sI4sI", b"\xfe\xff\x00\xe0", 0, b"\xfe\xff\x00\xe0", len(broken)) + broken
    path = make(tmp_path / "a.dcm", syntax, [pixels_of(ElementWriter(), GREY, data)], deep=deep)
    ds = convert(path, target, tmp_path)
    level = ds[0x00081199].value[0][0x00082218].value[0] if deep else ds
    assert "IconImageSequence" not in level
    assert ds.Rows == 20
    transcode(path, read_header(path).layout, syntax, tmp_path / "same.dcm")
    assert (tmp_path / "same.dcm").read_bytes() == path.read_bytes()


def test_an_icon_that_was_left_compressed_in_a_native_file(tmp_path: Path) -> None:
    """Its codestream tells what it is; such files come from converters that looked at the top level only."""
    for number, syntax in enumerate(SYNTAXES):
        w = ElementWriter(EXPLICIT)
        icon = pixels_of(w, GREY, compressed(syntax, GREY))
        sequence = w.sequence(0x00880200, w.item(icon, undefined=True), undefined=True)
        image = w.image()
        place = image.rindex(b"\xe0\x7f\x10\x00")
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(w.file(w.dataset() + image[:place] + sequence + image[place:]))
        assert convert(path, IMPLICIT, tmp_path).IconImageSequence[0].PixelData == GREY.tobytes()
