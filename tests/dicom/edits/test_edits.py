"""Edits on every way out: JSON, datasets, and the bytes of files."""

import io
import warnings
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest

from neurdicom.dicom.codec.json_model import to_tags
from neurdicom.dicom.edits.apply import apply_to_json, edit_dataset, rewrite_header
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import NeurdicomError
from tests.support.dicom.edited import MODIFIED, ORIGINALS, SYNTAXES, edited, edits, history, read_json
from tests.support.dicom.files import BIG_ENDIAN, EXPLICIT, IMPLICIT, ElementWriter

#: PatientName comes again after Pixel Data, where pydicom takes the last one; and files of which it reads not all.
MISREAD = {
    "GH179A.dcm",
    "TC0405_latin1_utf8_payload.dcm",
    "TC0445_duplicate_tags.dcm",
    "emri_small_jpeg_2k_lossless_too_short.dcm",
}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return tmp_path / "stored.dcm"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("name", ["ROE^RICHARD", "Łukasz=山田", None])
def test_the_three_ways_out_agree(stored: Path, tmp_path: Path, syntax: str, name: str | None) -> None:
    w = ElementWriter(syntax)
    latin = w.element(0x00081030, "LO", b"Caf\xe9")
    sequence = w.sequence(0x00081115, w.item(latin + w.element(0x00081150, "UI", "1.2"), undefined=True))
    before = w.element(0x00080060, "CS", "CT") + latin + sequence
    middle = w.element(0x00100010, "PN", b"J\xe9") + w.element(0x00104000, "LT", b"\xfc")
    stored.write_bytes(w.file(w.dataset(before, middle, w.image(), charset="ISO_IR 100")))
    changes: dict[str, Any] = {
        "patient_name": name,
        "patient_birth_date": "19700101",
        "series_number": 7,
        "window_center": [40.0, -0.125],
        "operators_name": ["A^B", "C^D"],
    }
    result = tmp_path / "edited.dcm"
    result.write_bytes(edited(stored, **changes))
    got = read_json(result)
    expected = apply_to_json(read_json(stored), edits(**changes))
    for dataset in (got, expected):
        del dataset["7FE00010"]  # it lies elsewhere
    assert got == expected
    assert list(got) == sorted(got)
    tags = to_tags(got)
    assert tags["PatientName"] == name
    assert tags["StudyDescription"] == tags["ReferencedSeriesSequence"][0]["StudyDescription"] == "Café"
    assert tags["PatientComments"] == "ü"
    assert tags["SpecificCharacterSet"] == ("ISO_IR 192" if name == "Łukasz=山田" else "ISO_IR 100")
    assert (tags["SeriesNumber"], tags["WindowCenter"], tags["OperatorsName"]) == (7, [40, -0.125], ["A^B", "C^D"])
    # Another reader agrees, and the pixels are the same.
    ds = pydicom.dcmread(result)
    assert str(ds.PatientName) == (name or "")
    assert ds.PixelData == pydicom.dcmread(stored).PixelData
    live = pydicom.dcmread(stored)
    edit_dataset(live, edits(**changes))
    buffer = io.BytesIO()
    live.save_as(buffer, enforce_file_format=True)
    again = pydicom.dcmread(io.BytesIO(buffer.getvalue()))
    assert str(again.PatientName) == (name or "")
    assert again.ReferencedSeriesSequence[0].StudyDescription == "Café"
    saved = tmp_path / "saved.dcm"
    saved.write_bytes(buffer.getvalue())
    assert read_json(saved)[ORIGINALS] == got[ORIGINALS]
    original = got[ORIGINALS]["Value"][0][MODIFIED]["Value"]
    assert to_tags(original[0]) == {
        "OperatorsName": None,
        "PatientName": "Jé",
        "PatientBirthDate": None,
        "SeriesNumber": None,
        "WindowCenter": None,
    }


def test_the_bytes_of_what_is_not_edited_stay(stored: Path) -> None:
    w = ElementWriter()
    private = w.element(0x00090010, "LO", "ACME") + w.element(0x00091001, "ZZ", "odd") + b"\x09\x00\x02\x10  \x02\x00AB"
    odd = w.element(0x00080060, "CS", b"CTX", 3)
    whole = w.file(w.dataset(odd + private, after=w.image()))
    stored.write_bytes(whole)
    at = whole.index(w.element(0x0020000D, "UI", "1.2.3"))
    pixels = whole.index(b"\xe0\x7f\x10\x00OW")
    assert edited(stored, patient_name="X") == (
        whole[:at]
        + w.element(0x00100010, "PN", "X")
        + whole[at:pixels]
        + history(w, w.element(0x00100010, "PN", ""))
        + whole[pixels:]
    )
    _, copy_from = rewrite_header(stored, read_header(stored).layout, edits(patient_name="X"))
    assert copy_from == pixels, "the rest is streamed from the file"
    assert rewrite_header(stored, read_header(stored).layout, []) == (b"", 0)


def test_group_lengths_that_would_be_wrong_go(stored: Path) -> None:
    w = ElementWriter()
    group_length = w.element(0x00100000, "UL", b"\x0a\0\0\0")
    whole = w.file(w.dataset(middle=group_length + w.element(0x00100010, "PN", "AB")))
    stored.write_bytes(whole)
    old, new = w.element(0x00100010, "PN", "AB"), w.element(0x00100010, "PN", "LONGER")
    assert edited(stored, patient_name="LONGER") == whole.replace(group_length, b"").replace(old, new) + history(w, old)


def test_elements_out_of_order_are_replaced(stored: Path, tmp_path: Path) -> None:
    w = ElementWriter()
    stored.write_bytes(w.file(w.dataset(after=w.element(0x00100010, "PN", "OLD"))))
    result = tmp_path / "edited.dcm"
    result.write_bytes(edited(stored, patient_name="NEW"))
    assert to_tags(read_json(result))["PatientName"] == "NEW"
    assert result.read_bytes().count(b"\x10\x00\x10\x00PN") == 2, "the new one, and the old one as the previous value"


def test_text_changes_to_utf_8_everywhere(stored: Path, tmp_path: Path) -> None:
    implicit = ElementWriter(IMPLICIT)
    for syntax in (EXPLICIT, BIG_ENDIAN):
        w = ElementWriter(syntax)
        own_set = w.item(w.element(0x00080005, "CS", "ISO_IR 144") + w.element(0x00081030, "LO", b"\xbb\xee"))
        unknown = implicit.item(implicit.element(0x00081030, "LO", b"\xe9"))
        before = (
            w.sequence(0x00081115, own_set, w.item(b""), undefined=True)
            + w.element(0x00081140, "UN", unknown + bytes.fromhex("feffdde000000000"), 0xFFFFFFFF)
            + w.element(0x00081048, "UN", b"\xe8")
        )
        stored.write_bytes(w.file(w.dataset(before, charset="ISO_IR 100")))
        result = tmp_path / "edited.dcm"
        result.write_bytes(edited(stored, patient_name="Ł"))
        old, new = to_tags(read_json(stored)), to_tags(read_json(result))
        assert new["PatientName"] == "Ł"
        assert new["ReferencedSeriesSequence"] == [{"StudyDescription": "Лю"}, {}]
        assert new["ReferencedImageSequence"] == old["ReferencedImageSequence"] == [{"StudyDescription": "é"}]
        assert new["PhysiciansOfRecord"] == old["PhysiciansOfRecord"] == "è"


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_text_in_a_sequence_among_the_private_creators_changes_too(stored: Path, tmp_path: Path, syntax: str) -> None:
    w = ElementWriter(syntax)
    private = w.sequence(0x00090010, w.item(w.element(0x00081030, "LO", b"\xe9\xe8")))
    stored.write_bytes(w.file(w.dataset(private, charset="ISO_IR 100")))
    result = tmp_path / "edited.dcm"
    result.write_bytes(edited(stored, patient_name="Ł"))
    expected = {"vr": "SQ", "Value": [{"00081030": {"vr": "LO", "Value": ["éè"]}}]}
    assert read_json(stored)["00090010"] == read_json(result)["00090010"] == expected


@pytest.mark.slow
def test_every_file_of_the_data_set_can_be_edited(data_set: Path, tmp_path: Path) -> None:
    result = tmp_path / "edited.dcm"
    changes: dict[str, Any] = {"patient_name": "Łukasz^山田", "study_description": "x", "image_comments": None}
    count = 0
    for path in sorted(data_set.rglob("*")):
        if not path.is_file():
            continue
        try:
            before = read_header(path)
        except NeurdicomError:
            continue
        result.write_bytes(edited(path, **changes))
        after = read_header(result)
        expected = apply_to_json(orjson.loads(before.json), edits(**changes))
        got = orjson.loads(after.json)
        assert without_places(to_tags(got)) == without_places(to_tags(expected)), path.name
        assert after.layout.pixel_length == before.layout.pixel_length
        if before.layout.pixel_offset is not None and before.layout.pixel_length and "dfl" not in path.name:
            old, new = before.layout.pixel_offset, after.layout.pixel_offset
            assert path.read_bytes()[old:] == result.read_bytes()[new:], path.name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(result, specific_tags=["PatientName", "OriginalAttributesSequence"])
            if path.name not in MISREAD:
                assert str(ds.get("PatientName")) == "Łukasz^山田", path.name
                previous = ds.OriginalAttributesSequence[-1].ModifiedAttributesSequence[0]
                told = to_tags(got[ORIGINALS]["Value"][-1][MODIFIED]["Value"][0])
                assert str(previous.PatientName) == (told["PatientName"] or ""), path.name
                live = pydicom.dcmread(path, stop_before_pixels=True)
                edit_dataset(live, edits(**changes))
                last = live.OriginalAttributesSequence[-1].ModifiedAttributesSequence[0]
                assert {each.keyword for each in last} == set(told), path.name
                assert str(last.PatientName) == str(previous.PatientName), path.name
        count += 1
    assert count > 300


def without_places(tags: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an item may drop: its own character set."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items() if key != "SpecificCharacterSet"}
        return [clean(item) for item in value] if isinstance(value, list) else value

    return dict(clean(tags))


def test_tags_have_keywords_and_plain_values() -> None:
    dataset = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A", "Phonetic": "C"}]},
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY"]},
        "00100030": {"vr": "DA"},
        "00091001": {"vr": "OB", "InlineBinary": "AQI="},
        "60003000": {"vr": "OW", "BulkDataURI": "bulk/60003000"},
        "60020010": {"vr": "US", "Value": [5]},
        "00081115": {"vr": "SQ", "Value": [{"00081150": {"vr": "UI", "Value": ["1.2"]}}]},
        "00081140": {"vr": "SQ"},
    }
    assert to_tags(dataset) == {
        "PatientName": "A==C",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "PatientBirthDate": None,
        "00091001": "AQI=",
        "OverlayData": None,
        "60020010": 5,
        "ReferencedSeriesSequence": [{"ReferencedSOPClassUID": "1.2"}],
        "ReferencedImageSequence": [],
    }
