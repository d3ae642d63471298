"""Files compared with their conversions, element by element, in all pairs of transfer syntaxes."""

import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from pydicom import dcmread
from pydicom.uid import JPEGBaseline8Bit

from neurdicom.dicom.header import Layout
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Malformed
from neurdicom.pixels import tasks
from neurdicom.pixels.decode.elements import read_header as read_elements
from neurdicom.pixels.encode.codecs import ENCODERS
from neurdicom.pixels.encode.transcode import targets, transcode
from neurdicom.pixels.pipeline import load_stored
from tests.support.compared import differences, tree_of
from tests.support.dicom.files import ALL_DEFLATED, BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, ElementWriter
from tests.support.pixel_files import layout_of

JPEG_LS = "1.2.840.10008.1.2.4.80"
LOSSLESS = [target for target in targets() if target != JPEGBaseline8Bit]
NATIVE = [target for target in LOSSLESS if target not in ENCODERS]
SOURCES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, *ALL_DEFLATED, JPEG_LS]
LONG = "x" * 70_000

WORDS = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OL": 4, "OF": 4, "FD": 8, "OD": 8, "OV": 8,
         "SV": 8, "UV": 8}  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """An element: its value in little endian, or its items; a sequence of undefined length if `open`."""

    tag: int
    vr: str
    value: bytes = b""
    items: Sequence[Sequence["Spec"]] | None = None
    open: bool = False

    def write(self, w: ElementWriter) -> bytes:
        """Encode it."""
        if self.items is not None:
            items = [w.item(b"".join(each.write(w) for each in item), undefined=self.open) for item in self.items]
            return w.sequence(self.tag, *items, undefined=self.open)
        size = WORDS.get(self.vr, 1)
        swap = w.order == ">" and size > 1
        return w.element(self.tag, self.vr, np.frombuffer(self.value, f"u{size}").byteswap().tobytes() if swap
                         else self.value)  # fmt: skip


def sq(tag: int, *items: Sequence[Spec], open: bool = False) -> Spec:
    return Spec(tag, "SQ", items=items, open=open)


def us(value: int) -> bytes:
    return struct.pack("<H", value)


NESTED = [
    Spec(0x00081150, "UI", b"1.2.3\0"),
    Spec(0x00280106, "US", b"\1\2"),
    Spec(0x00291010, "LO", b"NESTED CREATOR"[:13] + b" "),
]
LUT = [
    Spec(0x00283002, "US", struct.pack("<3H", 3, 0, 16)),
    Spec(0x00283003, "LO", "Größe ".encode("latin_1")),
    Spec(0x00283006, "OW", struct.pack("<3H", 1, 2, 515)),
]
HEADER = [
    Spec(0x00080000, "UL", b"\xff\0\0\0"),
    Spec(0x00080005, "CS", b"ISO 2022 IR 6\\ISO 2022 IR 87 "),
    Spec(0x00080008, "CS", b"ORIGINAL\\PRIMARY"),
    Spec(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    Spec(0x00080018, "UI", b"1.2.3.4.5\0"),
    Spec(0x00081140, "SQ", items=()),
    sq(0x00081199, [], []),
    sq(0x00082218, NESTED[:1], open=True),
    Spec(0x00091001, "UN", b"no creator\1\2\3\4"),
    Spec(0x00100010, "PN", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B "),
    Spec(0x00104000, "LT", b" kept  as it is\\ \xe9 "),
    Spec(0x00110010, "LO", b"SOMEBODY"),
    Spec(0x00111001, "OB", b"\1\2\3\4"),
    Spec(0x00111002, "US", struct.pack("<3H", 1, 2, 3)),
    Spec(0x00111003, "FD", struct.pack("<2d", 1.5, -2.25)),
    sq(0x00111004, [Spec(0x00110010, "LO", b"SOMEBODY"), Spec(0x00111001, "SL", b"\1\2\3\4")], NESTED),
    sq(0x00111005, [sq(0x00111006, NESTED, open=True)], open=True),
    Spec(0x00180050, "DS", b"1.50000000001e+0"),
    Spec(0x0020000D, "UI", b"1.2.3\0"),
    Spec(0x0020000E, "UI", b"1.2.3.4\0"),
    Spec(0x00200013, "IS", b" 7  "),
    Spec(0x00209165, "AT", struct.pack("<2H", 0x0020, 0x9056)),
    Spec(0x00280002, "US", us(1)),
    Spec(0x00280004, "CS", b"MONOCHROME2 "),
    Spec(0x00280010, "US", us(2)),
    Spec(0x00280011, "US", us(3)),
    Spec(0x00280100, "US", us(16)),
    Spec(0x00280101, "US", us(16)),
    Spec(0x00280102, "US", us(15)),
    Spec(0x00280103, "US", us(1)),
    Spec(0x00280106, "SS", struct.pack("<h", -200)),
    Spec(0x00280120, "SS", struct.pack("<h", -3)),
    sq(0x00283010, LUT, LUT),
    Spec(0x00380500, "LO", b""),
    Spec(0x00400555, "SQ", items=(), open=True),
    sq(0x52009229, [sq(0x00209116, [Spec(0x00209056, "SH", b"1 ")]), sq(0x00289145, LUT, open=True)], [], open=True),
    Spec(0x54000100, "SQ", items=([Spec(0x54001010, "OW", struct.pack("<4h", 1, -2, 3, -4))],)),
    Spec(0x60003000, "OW", b"\1\2\3\4"),
    Spec(0x7FDF0010, "LO", b"SOMEBODY"),
]  # fmt: skip
TAIL = [
    Spec(0xCB0D0010, "LO", b"DOBCO Medical Systems "),
    Spec(0xCB0D1011, "SH", b"kept"),
    Spec(0xCB0D1012, "OW", struct.pack("<3H", 1, 2, 515)),
    sq(0xCB0D1013, NESTED, open=True),
    sq(0xCB0D1014, [Spec(0xCB0D0010, "LO", b"SOMEBODY"), Spec(0xCB0D1001, "FL", struct.pack("<f", 0.5))]),
    Spec(0xFFFC0000, "UL", b"\1\0\0\0"),
]
DROPPED = [
    sq(0xFFFAFFFA, [Spec(0x04000005, "US", us(1))]),
    Spec(0xFFFCFFFC, "OB", bytes(64)),
]
#: Elements that explicit VR alone can name, or that are new.
EXPLICIT_ONLY = [
    Spec(0x00111007, "UV", struct.pack("<Q", 1 << 60)),
    Spec(0x00111008, "SV", struct.pack("<q", -(1 << 60))),
    Spec(0x00111009, "OV", struct.pack("<2Q", 1, 1 << 60)),
    Spec(0x0011100A, "OL", struct.pack("<I", 0x01020304)),
    Spec(0x0011100B, "OD", struct.pack("<d", 0.25)),
    Spec(0x0011100C, "UC", LONG.encode()),
]
PIXELS = np.array([[0, 1, 2], [-3, 515, -32768]], "i2")


def pixel_data(w: ElementWriter) -> bytes:
    if w.syntax != JPEG_LS:
        return w.element(0x7FE00010, "OW", PIXELS.astype(f"{w.order}i2").tobytes())
    stream = ENCODERS[JPEG_LS].encode(PIXELS, 16, False)
    items = w.item(b"") + w.item(stream + bytes(len(stream) % 2))
    return w.element(0x7FE00010, "OB", b"", 0xFFFFFFFF) + items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def make(path: Path, syntax: str, header: Sequence[Spec], tail: Sequence[Spec]) -> Path:
    w = ElementWriter(syntax)
    parts = [spec.write(w) for spec in sorted(header, key=lambda spec: spec.tag)]
    path.write_bytes(w.file(b"".join(parts) + pixel_data(w) + b"".join(spec.write(w) for spec in tail)))
    return path


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """pydicom warns of what these files are made for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(("source", "target"), [pair for pair in product(SOURCES, LOSSLESS) if len(set(pair)) == 2])
def test_all_kinds_of_elements(tmp_path: Path, source: str, target: str) -> None:
    header = [*HEADER, *(EXPLICIT_ONLY if source != IMPLICIT else ())]
    path = make(tmp_path / "a.dcm", source, header, [*TAIL, *DROPPED])
    layout = read_header(path).layout
    transcode(path, layout, target, tmp_path / "b.dcm")
    if source in ALL_DEFLATED:  # pydicom inflates no dataset of JPIP
        path = make(tmp_path / "a.dcm", DEFLATED, header, [*TAIL, *DROPPED])
    old, new = tree_of(path)[1], tree_of(tmp_path / "b.dcm")[1]
    is_copied = source != JPEG_LS and target not in ENCODERS
    assert differences(old, new, frozenset() if is_copied else frozenset({0x7FE00010})) == []
    assert not {0x00080000, 0xFFFC0000, 0xFFFCFFFC, 0xFFFAFFFA} & vrs_of(tmp_path / "b.dcm").keys()
    assert np.array_equal(load_stored(*layout_of(tmp_path / "b.dcm", tmp_path)).array, PIXELS)
    # The catalog's own reader finds the same.
    assert metadata(tmp_path / "b.dcm").keys() == metadata(path).keys() - {"FFFAFFFA", "FFFCFFFC"}


def metadata(path: Path) -> dict[str, Any]:
    return dict(orjson.loads(read_header(path).json))


@pytest.mark.parametrize("source", [EXPLICIT, BIG_ENDIAN, DEFLATED, JPEG_LS])
def test_value_representations_stay(tmp_path: Path, source: str) -> None:
    path = make(tmp_path / "a.dcm", source, [*HEADER, *EXPLICIT_ONLY], TAIL)
    old = metadata(path)
    for target in (EXPLICIT, DEFLATED, "1.2.840.10008.1.2.4.90"):
        transcode(path, read_header(path).layout, target, tmp_path / "b.dcm")
        new = metadata(tmp_path / "b.dcm")
        new.pop("7FE00010")
        assert {tag: element["vr"] for tag, element in new.items()} == {tag: old[tag]["vr"] for tag in new}
        values = {tag: element for tag, element in old.items() if "BulkDataURI" not in element}
        assert {tag: new.get(tag) for tag in values} == values


def test_value_representations_that_the_file_does_not_name(tmp_path: Path) -> None:
    """Implicit VR: by the dictionary, the sign of pixel values where two are possible, and UN for what is unknown."""
    unsigned = [spec if spec.tag != 0x00280103 else Spec(0x00280103, "US", us(0)) for spec in HEADER]
    single = [Spec(0x00283002, "US", struct.pack("<3H", 1, 0, 16)), Spec(0x00283006, "OW", us(9))]
    siemens = [Spec(0x00190010, "LO", b"SIEMENS MR HEADER "), Spec(0x0019100C, "IS", b"5 ")]
    more = [sq(0x00283000, single), Spec(0x00189810, "SS", struct.pack("<h", -1)), *siemens,
            Spec(0x00081080, "LO", LONG.encode())]  # fmt: skip
    for header, sign in ((HEADER, "SS"), (unsigned, "US")):
        path = make(tmp_path / "a.dcm", IMPLICIT, [*header, *more], TAIL)
        transcode(path, read_header(path).layout, EXPLICIT, tmp_path / "b.dcm")
        found = vrs_of(tmp_path / "b.dcm")
        assert {tag: found[tag] for tag in (0x00280106, 0x00280120, 0x00189810)} == dict.fromkeys(
            (0x00280106, 0x00280120, 0x00189810), sign
        )
        assert (found[0x0019100C], found[0x00111001], found[0x00081080]) == ("IS", "UN", "UN")
        assert (found[0x60003000], found[0x7FE00010], found[0xCB0D0010], found[0xCB0D1011]) == ("OW", "OW", "LO", "UN")
        ds = dcmread(tmp_path / "b.dcm")
        assert (ds.ModalityLUTSequence[0]["LUTData"].VR, ds.VOILUTSequence[0]["LUTData"].VR) == ("US", "OW")
        assert ds[0x00081080].value == LONG.encode()
        assert ds[0xCB0D, 0x1013].VR == "SQ", "a private sequence of undefined length"


def vrs_of(path: Path) -> dict[int, str | None]:
    """Value representations as they are in an explicit file."""
    ds = dcmread(path)
    tags = ds.keys()  # iterating over a dataset reads its elements
    return {int(tag): ds.get_item(tag).VR for tag in tags}


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("length", [1, 3, 65535])
def test_values_of_odd_length_are_made_even(tmp_path: Path, target: str, length: int) -> None:
    w = ElementWriter(IMPLICIT)
    odd = w.element(0x00081080, "LO", "x" * length, length) + w.element(0x00091002, "UN", b"\1" * length, length)
    path = tmp_path / "a.dcm"
    path.write_bytes(w.file(w.dataset(before=odd) + w.image()))
    transcode(path, read_header(path).layout, target, tmp_path / "b.dcm")
    if target == IMPLICIT:
        assert path.read_bytes() == (tmp_path / "b.dcm").read_bytes()
        return
    ds = dcmread(tmp_path / "b.dcm")
    assert (ds.get_item(0x00081080).value, ds.get_item(0x00091002).value) == (
        b"x" * length + b" ", b"\1" * length + b"\0",
    )  # fmt: skip


@pytest.mark.parametrize("syntax", ALL_DEFLATED)
def test_all_deflated_transfer_syntaxes(tmp_path: Path, syntax: str) -> None:
    """Deflated Explicit VR, and the two of JPIP: read, shown, edited and converted alike."""
    voi = [Spec(0x00281050, "DS", b"40"), Spec(0x00281051, "DS", b"400 ")]
    path = make(tmp_path / "a.dcm", syntax, [*HEADER, *voi], TAIL)
    layout = read_header(path).layout
    assert metadata(path)["CB0D1011"] == {"vr": "SH", "Value": ["kept"]}
    assert tasks.raw({"path": str(path), "layout": layout, "frame": 1})[0]["shape"] == [2, 3]
    assert tasks.image({"path": str(path), "layout": layout, "frame": 1, "format": "png"})[1]
    assert read_window(path, layout) == (40, 400)
    for target in (EXPLICIT, syntax):
        frame = {"path": str(path), "layout": layout, "frame": 1, "transfer_syntax": target}
        assert tasks.frame(frame)[1] == PIXELS.tobytes()
    edit = {"field": "study_description", "value": "edited", "user": "", "time": "2026-01-02T03:04:05Z"}
    for target in (EXPLICIT, IMPLICIT, JPEG_LS, syntax):
        transcode(path, layout, target, tmp_path / "b.dcm", [edit])
        found = metadata(tmp_path / "b.dcm")
        assert (found["00081030"]["Value"], "CB0D1011" in found) == (["edited"], True)
        assert np.array_equal(load_stored(*layout_of(tmp_path / "b.dcm", tmp_path)).array, PIXELS)


def read_window(path: Path, layout: Layout) -> tuple[float | None, float | None]:
    top = read_elements(path, layout, 0).top
    return top.number("WindowCenter"), top.number("WindowWidth")


@pytest.mark.parametrize("syntax", ALL_DEFLATED)
def test_a_deflated_dataset_that_is_cut_off(tmp_path: Path, syntax: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 1 << 16, (400, 500)).astype("u2")
    w = ElementWriter(syntax)
    image = w.image(400, 500)
    image = image[:-400_000] + pixels.tobytes()
    whole = w.file(w.dataset() + image + w.element(0xCB0D1011, "SH", "kept"))
    path = tmp_path / "a.dcm"
    path.write_bytes(whole)
    assert metadata(path)["CB0D1011"]["Value"] == ["kept"]
    for size in (len(whole) - 100, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(Malformed, match="cut off"):
            read_header(path)


@pytest.mark.parametrize("after", [b"\0" * 4, bytes(600), b"\xff" * 100, b"garbage after the pixels"])
@pytest.mark.parametrize("source", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_garbage_after_pixel_data_is_left_out(tmp_path: Path, source: str, after: bytes) -> None:
    path = make(tmp_path / "a.dcm", source, HEADER, ())
    path.write_bytes(path.read_bytes() + after)
    for target in (EXPLICIT, IMPLICIT, DEFLATED, JPEG_LS):
        if target != source:
            transcode(path, read_header(path).layout, target, tmp_path / "b.dcm")
            tree = tree_of(tmp_path / "b.dcm")[1]
            assert max(tree) == 0x7FE00010


def test_fragments_of_other_elements(tmp_path: Path) -> None:
    """Kept with their items in explicit VR; in implicit VR, which could not tell them from a sequence, as one value."""
    w = ElementWriter(EXPLICIT)
    items = w.item(b"") + w.item(b"abcdef")
    fragments = w.element(0x00091002, "OB", b"", 0xFFFFFFFF) + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    path = tmp_path / "a.dcm"
    path.write_bytes(w.file(w.dataset(before=w.element(0x00090010, "LO", "SOMEBODY") + fragments) + w.image()))
    transcode(path, read_header(path).layout, DEFLATED, tmp_path / "b.dcm")
    assert dcmread(tmp_path / "b.dcm").get_item(0x00091002).value == items
    transcode(path, read_header(path).layout, IMPLICIT, tmp_path / "c.dcm")
    assert dcmread(tmp_path / "c.dcm").get_item(0x00091002).value == items
    assert metadata(tmp_path / "c.dcm")["00280010"]["Value"] == [2]


def test_garbage_in_a_sequence_after_pixel_data(tmp_path: Path) -> None:
    """Ignored with all that follows Pixel Data, as in the metadata."""
    w = ElementWriter(EXPLICIT)
    broken = w.element(0xCB0D1013, "SQ", w.item(b"12345678")[:-8] + b"1234")
    path = tmp_path / "a.dcm"
    path.write_bytes(w.file(w.dataset() + w.image() + broken))
    assert "CB0D1013" not in metadata(path)
    transcode(path, read_header(path).layout, IMPLICIT, tmp_path / "b.dcm")
    assert max(tree_of(tmp_path / "b.dcm")[1]) == 0x7FE00010


@pytest.mark.parametrize("source", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, JPEG_LS])
def test_an_element_that_comes_again_after_pixel_data(tmp_path: Path, source: str) -> None:
    """The first one counts, in the metadata and in converted files; one that is new there is kept."""
    again = [Spec(0x00080008, "CS", b"AGAIN "), Spec(0x00104000, "LT", b"again "), Spec(0x00200011, "IS", b"3 ")]
    path = make(tmp_path / "a.dcm", source, HEADER, [*again, *TAIL])
    assert metadata(path)["00080008"]["Value"] == ["ORIGINAL", "PRIMARY"]
    for target in (EXPLICIT, IMPLICIT, DEFLATED, "1.2.840.10008.1.2.4.90"):
        if target != source:
            transcode(path, read_header(path).layout, target, tmp_path / "b.dcm")
            ds = dcmread(tmp_path / "b.dcm")
            assert list(ds.ImageType) == ["ORIGINAL", "PRIMARY"]
            assert ds.get_item(0x00104000).value.startswith(b" kept  as it is\\ \xe9 ")
            assert ds.SeriesNumber == 3
            assert 0xCB0D1011 in ds


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEG_LS])
@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT, DEFLATED, "1.2.840.10008.1.2.4.90"])
def test_text_after_pixel_data_follows_the_character_set(tmp_path: Path, syntax: str, target: str) -> None:
    """An edit that the file's character set can't write turns all text to UTF-8, that after Pixel Data too."""
    latin = [spec if spec.tag != 0x00080005 else Spec(0x00080005, "CS", b"ISO_IR 100") for spec in HEADER]
    latin = [spec for spec in latin if spec.tag != 0x00100010]
    tail = [Spec(0xCB0D0010, "LO", b"DOBCO Medical Systems "), Spec(0xCB0D1011, "SH", b"Gr\xf6\xdfe ")]
    path = make(tmp_path / "a.dcm", syntax, latin, tail)
    edit = {"field": "patient_name", "value": "山田", "user": "", "time": "2026-01-02T03:04:05Z"}
    transcode(path, read_header(path).layout, target, tmp_path / "b.dcm", [edit])
    tree = tree_of(tmp_path / "b.dcm")[1]
    assert tree[0x00100010].decode().strip() == "山田"
    raw = tree[0xCB0D1011]
    # Without a VR nobody knows that it is text.
    assert raw.decode("utf_8" if syntax != IMPLICIT else "latin_1").strip() == "Größe"
