"""Headers of files: what is read of them, and what is refused."""

import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurdicom.dicom.codec.stream import MAX_DEPTH
from neurdicom.dicom.header import Header, Layout
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Invalid, Malformed, NotDicom
from tests.support.dicom.agreement import differences
from tests.support.dicom.files import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, UNDEFINED, ElementWriter

SYNTAXES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]
Read = Callable[[bytes], Header]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write bytes to a file and read its header."""

    def read_bytes(data: bytes) -> Header:
        path = tmp_path / "file.dcm"
        path.write_bytes(data)
        return read_header(path)

    return read_bytes


def json_of(header: Header) -> dict[str, Any]:
    return dict(orjson.loads(header.json))


#: Files whose JSON differs from pydicom's, and why ours is right.
OTHERWISE = {
    "GH179A.dcm": "an element with a blank VR; pydicom takes the rest of the file for its value",
    "GH626.dcm": "a sequence with a wrong length; the delimiters tell",
    "TC0279_stray_seq_delim.dcm": "pydicom keeps a stray delimiter",
    "TC0357_stray_item_tag.dcm": "pydicom keeps a stray item",
    "TC0405_latin1_utf8_payload.dcm": "an element repeated after Pixel Data; the first counts",
    "TC0445_duplicate_tags.dcm": "an element repeated after Pixel Data; the first counts",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "pydicom reads no element of it",
}


@pytest.mark.slow
def test_agrees_with_pydicom_on_every_file_of_the_data_set(data_set: Path) -> None:
    compared = 0
    for path in sorted(data_set.rglob("*")):
        if not path.is_file() or path.name in OTHERWISE:
            continue
        try:
            header = read_header(path)
        except (NotDicom, Malformed, Invalid):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(path)
        # What follows encapsulated Pixel Data is not read, and FFFC,FFFC is padding.
        found = [line for line in differences(json_of(header), ds) if not line.startswith("FFFCFFFC only in pydicom")]
        assert not found, f"{path.name}: {found}"
        compared += 1
    assert compared > 300


def test_refuses_files_of_the_data_set_for_a_reason(data_set: Path) -> None:
    def refused(name: str, error: type[Exception]) -> None:
        with pytest.raises(error):
            read_header(next(data_set.rglob(name)))

    refused("DICOMDIR", NotDicom)
    refused("no_meta.dcm", NotDicom)
    refused("rtplan_truncated.dcm", Malformed)
    refused("UN_sequence.dcm", Invalid)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_reads_attributes_layout_and_ids_in_each_syntax(read: Read, syntax: str) -> None:
    writer = ElementWriter(syntax)
    middle = writer.element(0x00100010, "PN", "DOE^JANE") + writer.element(0x00100020, "LO", "P1")
    dataset = writer.dataset(writer.element(0x00080060, "CS", "CT"), middle, writer.image())
    data = writer.file(dataset)
    header = read(data)
    assert header.attributes["patient_name"] == "DOE^JANE"
    assert header.attributes["modality"] == "CT"
    assert header.attributes["transfer_syntax_uid"] == syntax
    layout = header.layout
    assert (layout.rows, layout.columns, layout.bits_allocated, layout.bits_stored) == (2, 3, 16, 12)
    assert (layout.high_bit, layout.pixel_representation, layout.planar_configuration) == (11, 0, None)
    assert (layout.samples_per_pixel, layout.photometric_interpretation) == (1, "MONOCHROME2")
    assert (layout.transfer_syntax, layout.sop_class) == (syntax, "1.2.840.10008.5.1.4.1.1.2")
    assert (layout.pixel_keyword, layout.pixel_length) == ("PixelData", 12)
    # Offsets are the file's; in a deflated one they count as if it were inflated.
    whole = data[: layout.dataset_offset] + dataset
    assert layout.pixel_offset is not None
    assert layout.header_end == layout.pixel_offset - (8 if syntax == IMPLICIT else 12)
    assert len(whole) == layout.pixel_offset + 12
    assert Layout.from_document(orjson.loads(orjson.dumps(layout.to_document()))) == layout
    patient, *uids = header.ids
    assert uids == ["1.2.3", "1.2.3.4", "1.2.3.4.5"]
    assert len(patient) == 32


def test_each_kind_of_value_in_the_json(read: Read) -> None:
    w = ElementWriter()
    elements: list[tuple[int, str, Any, Any]] = [
        (0x00090010, "LO", "ACME", {"vr": "LO", "Value": ["ACME"]}),
        (0x00091001, "OB", b"\x01\x02", {"vr": "OB", "InlineBinary": "AQI="}),
        (0x00091002, "DS", "1.50\\-2\\\\1,5", {"vr": "DS", "Value": [1.5, -2.0, None, "1,5"]}),
        (0x00091003, "IS", " 12\\1.0\\x\\99999999999999999999", {"vr": "IS", "Value": [12, 1, "x", "9" * 20]}),
        (0x00091004, "AT", struct.pack("<HH", 0x0010, 0x0020), {"vr": "AT", "Value": ["00100020"]}),
        (0x00091005, "FD", struct.pack("<dd", 0.1, float("inf")), {"vr": "FD", "Value": [0.1, "inf"]}),
        (0x00091006, "UV", struct.pack("<Q", 2**64 - 1), {"vr": "UV", "Value": [2**64 - 1]}),
        (0x00091007, "SS", struct.pack("<hh", -1, 5), {"vr": "SS", "Value": [-1, 5]}),
        (0x00091008, "LT", "  a\\b  ", {"vr": "LT", "Value": ["  a\\b"]}),
        (0x00091009, "LO", " a \\ \\b", {"vr": "LO", "Value": ["a", None, "b"]}),
        (0x0009100A, "PN", "A\\=J", {"vr": "PN", "Value": [{"Alphabetic": "A"}, {"Ideographic": "J"}]}),
        (0x0009100B, "CS", "", {"vr": "CS"}),
        (0x0009100C, "ZZ", "what", {"vr": "UN", "InlineBinary": "d2hhdA=="}),
    ]  # fmt: skip
    got = json_of(read(w.file(w.dataset(b"".join(w.element(tag, vr, value) for tag, vr, value, _ in elements)))))
    assert {f"{tag:08X}": got[f"{tag:08X}"] for tag, *_ in elements} == {f"{e[0]:08X}": e[3] for e in elements}


def test_big_endian_words_come_as_little_endian(read: Read) -> None:
    w = ElementWriter(BIG_ENDIAN)
    got = json_of(read(w.file(w.dataset(after=w.element(0x00281201, "OW", b"\x01\x02\x03\x04")))))
    assert got["00281201"] == {"vr": "OW", "InlineBinary": "AgEEAw=="}


def test_the_sign_of_pixels_decides_ambiguous_vrs_in_implicit(read: Read) -> None:
    w = ElementWriter(IMPLICIT)
    after = w.us(0x00280103, 1) + w.element(0x00280106, "SS", struct.pack("<h", -5))
    assert json_of(read(w.file(w.dataset(after=after))))["00280106"] == {"vr": "SS", "Value": [-5]}


def test_what_follows_native_pixel_data_is_read(read: Read) -> None:
    w = ElementWriter()
    tail = w.element(0xFFFCFFFC, "OB", bytes(10)) + w.element(0x00100010, "PN", "NOT^ME")
    got = json_of(read(w.file(w.dataset(middle=w.element(0x00100010, "PN", "ME"), after=w.image() + tail))))
    assert list(got) == sorted(got)
    assert "FFFCFFFC" in got
    assert got["00100010"]["Value"] == [{"Alphabetic": "ME"}]
    # Garbage there harms nothing.
    assert read(w.file(w.dataset(after=w.image() + b"\xff" * 1000))).layout.pixel_length == 12


def test_large_values_are_named_and_not_read(read: Read, tmp_path: Path) -> None:
    w = ElementWriter()
    big = w.element(0x00420011, "OB", b"", 3_000_000_000)
    head = w.file(w.dataset(after=big))
    path = tmp_path / "big.dcm"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 3_000_000_000)  # a hole: it takes no space
    header = read_header(path)
    assert json_of(header)["00420011"] == {
        "vr": "OB",
        "BulkDataURI": f"bulk/00420011?offset={len(head)}&length=3000000000",
    }
    assert header.layout.pixel_keyword is None
    assert header.layout.header_end == len(head) + 3_000_000_000


def test_sequences_of_every_form(read: Read) -> None:
    for syntax in SYNTAXES:
        w = ElementWriter(syntax)
        name = w.element(0x00100010, "PN", "X")
        for undefined in (False, True):
            inner = w.sequence(0x00081140, w.item(name, undefined=undefined), w.item(b""), undefined=undefined)
            outer = w.sequence(0x00081115, w.item(inner, undefined=undefined), undefined=undefined)
            got = json_of(read(w.file(w.dataset(outer))))
            expected = {
                "00081140": {"vr": "SQ", "Value": [{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "X"}]}}, {}]}
            }
            assert got["00081115"] == {"vr": "SQ", "Value": [expected]}


def test_a_sequence_of_vr_un_is_implicit_little_endian(read: Read) -> None:
    implicit = ElementWriter(IMPLICIT)
    content = implicit.item(implicit.element(0x00080100, "SH", "T-1"), undefined=True)
    for syntax in (EXPLICIT, BIG_ENDIAN):
        w = ElementWriter(syntax)
        end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        sequence = w.element(0x00091001, "UN", b"", UNDEFINED) + content + end
        got = json_of(read(w.file(w.dataset(sequence))))
        assert got["00091001"] == {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["T-1"]}}]}


def test_nesting_up_to_the_limit_and_past_it(read: Read) -> None:
    w = ElementWriter()

    def nested(depth: int) -> bytes:
        content = w.element(0x00080100, "SH", "X")
        for _ in range(depth):
            content = w.sequence(0x00081115, w.item(content))
        return w.file(w.dataset(content[: len(content)]))

    level = json_of(read(nested(MAX_DEPTH)))
    for _ in range(MAX_DEPTH):
        (level,) = level["00081115"]["Value"]
    assert level == {"00080100": {"vr": "SH", "Value": ["X"]}}
    with pytest.raises(Malformed, match="nested deeper"):
        read(nested(MAX_DEPTH + 1))
    with pytest.raises(Malformed):
        read(w.file(w.dataset(w.sequence(0x00081115, undefined=True)[:12] * 5000)))


def test_an_icon_is_not_the_image(read: Read) -> None:
    w = ElementWriter()
    icon = w.element(0x7FE00010, "OW", bytes(8))
    fragments = w.element(0x7FE00010, "OB", b"", UNDEFINED) + w.item(b"") + w.item(b"abcd")
    fragments += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    for content in (icon, fragments):
        after = w.sequence(0x00880200, w.item(content))
        header = read(w.file(w.dataset(after=after + w.image())))
        assert header.layout.pixel_length == 12
        assert "7FE00010" in json_of(header)["00880200"]["Value"][0]


def test_sloppy_files_are_read(read: Read) -> None:
    w = ElementWriter()
    whole = w.file(w.dataset(after=w.image()))
    no_group_length = whole[:132] + whole[144:]
    wrong_group_length = whole[:140] + struct.pack("<I", 7) + whole[144:]
    no_syntax = whole.replace(ElementWriter().element(0x00020010, "UI", EXPLICIT), b"")
    odd = w.file(w.dataset(w.element(0x00080060, "CS", b"CTX", 3), after=w.image()))
    blank_vr = w.file(w.dataset(b"\x09\x00\x10\x10  \x02\x00AB", after=w.image()))
    no_vr = w.file(w.dataset(b"\x09\x00\x10\x10\x02\x00\x00\x00AB", after=w.image()))
    for data in (no_group_length, wrong_group_length, no_syntax, odd, blank_vr, no_vr, whole + bytes(3)):
        header = read(data)
        assert header.layout.rows == 2
        assert header.layout.transfer_syntax == EXPLICIT
    report = w.file(w.dataset() + bytes(512))
    assert read(report).ids[3] == "1.2.3.4.5"


def test_a_dataset_in_another_vr_form_than_declared(read: Read) -> None:
    declared, real = ElementWriter(EXPLICIT), ElementWriter(IMPLICIT)
    assert read(declared.file(real.dataset(after=real.image()))).layout.rows == 2
    assert read(real.file(declared.dataset(after=declared.image()))).layout.rows == 2


@pytest.mark.parametrize(
    ("study", "field"),
    [
        ("", "study_instance_uid"),
        ("1.2~abc", "study_instance_uid"),
        ("1.2/3", "study_instance_uid"),
        ("1.2\\1.3", "study_instance_uid"),
        ("1." * 64 + "1", "study_instance_uid"),
    ],
)
def test_bad_ids_are_invalid_by_name(read: Read, study: str, field: str) -> None:
    w = ElementWriter()
    good = w.dataset()
    with pytest.raises(Invalid) as caught:
        read(w.file(good.replace(w.element(0x0020000D, "UI", "1.2.3"), w.element(0x0020000D, "UI", study))))
    assert caught.value.field == field


def test_missing_ids_and_patients(read: Read) -> None:
    w = ElementWriter()
    uid = w.element(0x00080018, "UI", "1.2.3.4.5")
    with pytest.raises(Invalid) as caught:
        read(w.file(w.dataset().replace(uid, b"")))
    assert caught.value.field == "sop_instance_uid"
    # An instance without a PatientID belongs to a patient of its study.
    nobody = read(w.file())
    other = read(w.file(w.dataset().replace(b"1.2.3\0", b"1.2.9\0")))
    assert nobody.ids[0] != other.ids[0]
    someone = read(w.file(w.dataset(middle=w.element(0x00100020, "LO", " P1 "))))
    same = read(w.file(w.dataset(middle=w.element(0x00100020, "LO", "P1")).replace(b"1.2.3\0", b"1.2.9\0")))
    assert someone.ids[0] == same.ids[0]
    issued = w.element(0x00100020, "LO", "P1") + w.element(0x00100021, "LO", "Q")
    assert read(w.file(w.dataset(middle=issued))).ids[0] != same.ids[0]


@pytest.mark.parametrize("data", [b"", b"DICM", bytes(128), bytes(128) + b"DICK", b"\x89PNG" + bytes(500)])
def test_what_is_not_dicom(read: Read, data: bytes) -> None:
    with pytest.raises(NotDicom):
        read(data)


def test_every_cut_of_a_header_is_malformed(read: Read) -> None:
    for syntax in (EXPLICIT, IMPLICIT, DEFLATED):
        w = ElementWriter(syntax)
        sequence = w.sequence(0x00081140, w.item(w.element(0x00100010, "PN", "X"), undefined=True), undefined=True)
        whole = w.file(w.dataset(sequence, after=w.image()))
        end = read(whole).layout.header_end if syntax != DEFLATED else len(whole) - 20
        for cut in range(132, end):
            try:
                header = read(whole[:cut])
            except (Malformed, Invalid):
                continue
            # Between two elements nothing shows that more was to come.
            assert header.layout.pixel_keyword is None
            assert syntax != DEFLATED


def test_a_deflated_header_that_never_ends_is_refused_in_bounded_memory(read: Read) -> None:
    w = ElementWriter(DEFLATED)
    bomb = w.element(0x00091001, "OB", bytes(70 * 1024 * 1024))
    with pytest.raises(Malformed, match="67108864"):
        read(w.file(w.dataset(bomb)))
    with pytest.raises(Malformed):
        read(w.file()[:-40] + b"\xff" * 40)


_W = ElementWriter()
_SEED = _W.file(
    _W.dataset(
        _W.sequence(0x00081140, _W.item(_W.element(0x00100010, "PN", "X"), undefined=True), undefined=True)
        + _W.element(0x00090010, "LO", "ACME")
        + _W.element(0x00091001, "UN", "abcdef"),
        _W.element(0x00100010, "PN", b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        _W.image(),
        charset="\\ISO 2022 IR 87",
    )
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(132, len(_SEED) - 1), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.one_of(st.just(len(_SEED)), st.integers(100, len(_SEED))),
)
def test_no_input_raises_anything_else(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(_SEED)
    for place, value in changes:
        data[place] = value
    path = tmp_path / "fuzz.dcm"
    path.write_bytes(data[:cut])
    try:
        header = read_header(path)
    except (NotDicom, Malformed, Invalid):
        return
    assert isinstance(orjson.loads(header.json), dict)
    assert len(header.ids) == 4


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300),
    syntax=st.sampled_from(SYNTAXES),
    charset=st.sampled_from(["", "ISO_IR 192", "GB18030", "ISO 2022 IR 6\\ISO 2022 IR 149", "ISO_IR 13", "nonsense"]),
)
def test_no_text_and_no_garbage_raises_anything_else(tmp_path: Path, body: bytes, syntax: str, charset: str) -> None:
    w = ElementWriter(syntax)
    path = tmp_path / "fuzz.dcm"
    path.write_bytes(w.file(w.dataset(middle=w.element(0x00100010, "PN", body), charset=charset) + body))
    try:
        header = read_header(path)
    except (NotDicom, Malformed, Invalid):
        return
    assert isinstance(orjson.loads(header.json), dict)


def test_attributes_are_of_their_kind_or_none(read: Read) -> None:
    w = ElementWriter()
    before = (
        w.element(0x00080020, "DA", "2024.02.29")
        + w.element(0x00080030, "TM", "10:15:30.5")
        + w.element(0x00080021, "DA", "20240230")
        + w.element(0x00080060, "CS", "CT\\MR")
        + w.element(0x00081030, "LO", "a\\b")
        + w.element(0x00081070, "PN", "A=B=C\\D")
        + w.sequence(0x00080050, w.item(b""))
    )
    after = w.element(0x00200011, "IS", "x") + w.element(0x00280030, "DS", "0.5\\x") + w.us(0x00280010, 5, 6)
    attributes = read(w.file(w.dataset(before, after=after))).attributes
    assert attributes["study_date"] == "20240229"
    assert attributes["study_time"] == "101530.5"
    assert attributes["series_date"] is None
    assert attributes["modality"] == "CT"
    assert attributes["study_description"] == "a\\b"
    assert attributes["operators_name"] == ["A=B=C", "D"]
    assert attributes["accession_number"] is None
    assert attributes["series_number"] is None
    assert attributes["pixel_spacing"] == [0.5]
    assert attributes["rows"] == 5
