"""Edits on every way out: JSON, datasets, and the bytes of files."""

import io
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest

from neurdicom.dicom.dicomjson import to_tags
from neurdicom.dicom.edits import apply_to_json, edit_dataset, rewrite_header
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import NeurdicomError
from tests.dicom.files import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Writer

#: PatientName comes again after Pixel Data, where pydicom takes the last one; and files of which it reads not all.
MISREAD = {
    "GH179A.dcm",
    "TC0405_latin1_utf8_payload.dcm",
    "TC0445_duplicate_tags.dcm",
    "emri_small_jpeg_2k_lossless_too_short.dcm",
}
SYNTAXES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]


TIME = "2026-11-24T10:20:30.450Z"
MODIFIED, ORIGINALS = "04000550", "04000561"


def edits(time: str = TIME, user: str = "someone@example.org", **values: Any) -> list[dict[str, Any]]:
    return [{"field": field, "value": value, "user": user, "time": time} for field, value in values.items()]


def edited(path: Path, **values: Any) -> bytes:
    header, copy_from = rewrite_header(path, read_header(path).layout, edits(**values))
    return header + path.read_bytes()[copy_from:]


def history(w: Writer, modified: bytes) -> bytes:
    return w.sequence(
        0x04000561,
        w.item(
            w.sequence(0x04000550, w.item(modified))
            + w.element(0x04000562, "DT", "20261124102030.450+0000")
            + w.element(0x04000563, "LO", "NEURDICOM")
            + w.element(0x04000564, "LO", "")
            + w.element(0x04000565, "CS", "CORRECT")
        ),
    )


def read_json(path: Path) -> dict[str, Any]:
    return dict(orjson.loads(read_header(path).json))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return tmp_path / "stored.dcm"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("name", ["ROE^RICHARD", "Łukasz=山田", None])
def test_the_three_ways_out_agree(stored: Path, tmp_path: Path, syntax: str, name: str | None) -> None:
    w = Writer(syntax)
    latin = w.element(0x00081030, "LO", b"Caf\xe9")
    sequence = w.sequence(0x00081115, w.item(latin + w.element(0x00081150, "UI", "1.2"), undefined=True))
    before = w.element(0x00080060, "CS", "CT") + latin + sequence
    middle = w.element(0x00100010, "PN", b"J\xe9") + w.element(0x00104000, "LT", b"\xfc")
    stored.write_bytes(w.file(w.dataset(before, middle, w.image(), charset="ISO_IR 100")))
    changes = {
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
    w = Writer()
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
    w = Writer()
    group_length = w.element(0x00100000, "UL", b"\x0a\0\0\0")
    whole = w.file(w.dataset(middle=group_length + w.element(0x00100010, "PN", "AB")))
    stored.write_bytes(whole)
    old, new = w.element(0x00100010, "PN", "AB"), w.element(0x00100010, "PN", "LONGER")
    assert edited(stored, patient_name="LONGER") == whole.replace(group_length, b"").replace(old, new) + history(w, old)


def test_elements_out_of_order_are_replaced(stored: Path, tmp_path: Path) -> None:
    w = Writer()
    stored.write_bytes(w.file(w.dataset(after=w.element(0x00100010, "PN", "OLD"))))
    result = tmp_path / "edited.dcm"
    result.write_bytes(edited(stored, patient_name="NEW"))
    assert to_tags(read_json(result))["PatientName"] == "NEW"
    assert result.read_bytes().count(b"\x10\x00\x10\x00PN") == 2, "the new one, and the old one as the previous value"


def test_text_changes_to_utf_8_everywhere(stored: Path, tmp_path: Path) -> None:
    implicit = Writer(IMPLICIT)
    for syntax in (EXPLICIT, BIG_ENDIAN):
        w = Writer(syntax)
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


def test_every_file_of_the_data_set_can_be_edited(data_set: Path, tmp_path: Path) -> None:
    result = tmp_path / "edited.dcm"
    changes = {"patient_name": "Łukasz^山田", "study_description": "x", "image_comments": None}
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


def test_each_time_and_user_of_an_edit_has_an_item(stored: Path, tmp_path: Path) -> None:
    w = Writer()
    before = w.element(0x00081030, "LO", "OLD") + w.element(0x00080090, "PN", "A^B")
    stored.write_bytes(w.file(w.dataset(before, w.element(0x00100010, "PN", "NAME"))))
    changes = [
        *edits("2026-11-24T10:00:00.000Z", "b", study_description="NEW", referring_physician_name="C"),
        *edits("2026-11-24T09:00:00.000Z", "a", patient_name="OTHER"),
        *edits("2026-11-24T10:00:00.000Z", "c", study_id="7"),
    ]
    header, copy_from = rewrite_header(stored, read_header(stored).layout, changes)
    result = tmp_path / "edited.dcm"
    result.write_bytes(header + stored.read_bytes()[copy_from:])
    assert read_json(result) == apply_to_json(read_json(stored), changes)
    items = to_tags(read_json(result))["OriginalAttributesSequence"]
    assert [item["ModifiedAttributesSequence"] for item in items] == [
        [{"PatientName": "NAME"}],
        [{"StudyDescription": "OLD", "ReferringPhysicianName": "A^B"}],
        [{"StudyID": None}],
    ]
    assert [item["AttributeModificationDateTime"] for item in items] == [
        "20261124090000.000+0000",
        "20261124100000.000+0000",
        "20261124100000.000+0000",
    ]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_edit_to_what_the_file_has_is_none(stored: Path, syntax: str) -> None:
    w = Writer(syntax)
    before = w.element(0x00081030, "LO", "SAME ") + w.element(0x00080090, "PN", b"J\xe9^B=  ")
    middle = w.element(0x00100010, "PN", "") + w.element(0x00281050, "DS", "1.50\\2 ")
    stored.write_bytes(w.file(w.dataset(before, middle, charset="ISO_IR 100")))
    same = edits(
        study_description="SAME",
        referring_physician_name="Jé^B",
        patient_name=None,
        patient_sex=None,
        window_center=[1.5, 2.0],
    )
    assert rewrite_header(stored, read_header(stored).layout, same) == (b"", 0)
    dataset = read_json(stored)
    assert apply_to_json(dataset, same) == dataset
    ds = pydicom.dcmread(stored)
    before_edit = ds.to_json()
    edit_dataset(ds, same)
    assert ds.to_json() == before_edit
    # Beside a real change those that are none are not told.
    [item] = apply_to_json(dataset, [*same, *edits(study_id="7")])[ORIGINALS]["Value"]
    assert to_tags(item[MODIFIED]["Value"][0]) == {"StudyID": None}


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("name", ["X", "Łukasz"])
def test_items_that_a_file_has_already_stay_first(
    stored: Path, tmp_path: Path, syntax: str, undefined: bool, name: str
) -> None:
    w = Writer(syntax)
    modified = w.sequence(0x04000550, w.item(w.element(0x00100010, "PN", b"\xc9ric"), undefined=undefined))
    earlier = w.sequence(
        0x04000561,
        w.item(modified + w.element(0x04000565, "CS", "COERCE"), undefined=undefined),
        w.item(b"", undefined=undefined),
        undefined=undefined,
    )
    stored.write_bytes(
        w.file(w.dataset(middle=w.element(0x00100010, "PN", b"Ren\xe9"), after=earlier, charset="ISO_IR 100"))
    )
    result = tmp_path / "edited.dcm"
    result.write_bytes(edited(stored, patient_name=name))
    assert read_json(result) == apply_to_json(read_json(stored), edits(patient_name=name))
    items = to_tags(read_json(result))["OriginalAttributesSequence"]
    assert items[0] == {
        "ModifiedAttributesSequence": [{"PatientName": "Éric"}],
        "ReasonForTheAttributeModification": "COERCE",
    }
    assert items[1] == {}
    assert items[2]["ModifiedAttributesSequence"] == [{"PatientName": "René"}]
    again = pydicom.dcmread(result).OriginalAttributesSequence
    assert [str(item.ModifiedAttributesSequence[0].PatientName) for item in (again[0], again[2])] == ["Éric", "René"]
    live = pydicom.dcmread(stored)
    edit_dataset(live, edits(patient_name=name))
    live.save_as(result, enforce_file_format=True)
    assert read_json(result)[ORIGINALS] == apply_to_json(read_json(stored), edits(patient_name=name))[ORIGINALS]


def test_an_unknown_sequence_is_continued_in_its_own_encoding(stored: Path, tmp_path: Path) -> None:
    implicit = Writer(IMPLICIT)
    for syntax in (EXPLICIT, BIG_ENDIAN):
        w = Writer(syntax)
        earlier = w.element(0x04000561, "UN", implicit.item(implicit.element(0x04000565, "CS", "COERCE")))
        stored.write_bytes(w.file(w.dataset(middle=w.element(0x00100010, "PN", "OLD"), after=earlier)))
        result = tmp_path / "edited.dcm"
        for name in ("NEW", "Ł"):
            result.write_bytes(edited(stored, patient_name=name))
            assert read_json(result) == apply_to_json(read_json(stored), edits(patient_name=name))
            assert len(to_tags(read_json(result))["OriginalAttributesSequence"]) == 2


@pytest.mark.parametrize(
    ("tag", "vr", "raw"),
    [
        (0x00200011, "IS", b"seven "),
        (0x00281050, "DS", b"4,5 "),
        (0x00200011, "US", b"\1\0"),
        (0x00104000, "OB", b"\1\0"),
        (0x00104000, "LT", b"x" * 2_000_000),
    ],
)
def test_a_value_that_is_not_conforming_is_told_as_an_empty_one(
    stored: Path, tmp_path: Path, tag: int, vr: str, raw: bytes
) -> None:
    w = Writer(IMPLICIT if len(raw) > 65535 else EXPLICIT)
    changes = edits(series_number=7, window_center=[1.0], patient_comments="x")
    stored.write_bytes(w.file(w.dataset(after=w.element(tag, vr, raw))))
    header, copy_from = rewrite_header(stored, read_header(stored).layout, changes)
    result = tmp_path / "edited.dcm"
    result.write_bytes(header + stored.read_bytes()[copy_from:])
    assert read_json(result) == apply_to_json(read_json(stored), changes)
    told = read_json(result)[ORIGINALS]["Value"][0][MODIFIED]["Value"][0]
    assert to_tags(told) == {"SeriesNumber": None, "WindowCenter": None, "PatientComments": None}
    if len(raw) < 65535:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(stored)
            edit_dataset(ds, changes)
            last = ds.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
            assert all(element.is_empty for element in last)


def test_dcmtk_reads_what_was_written(stored: Path, tmp_path: Path) -> None:
    dcmdump = shutil.which("dcmdump")
    if dcmdump is None:
        pytest.skip("dcmdump of DCMTK is not installed")
    for syntax in SYNTAXES:
        w = Writer(syntax)
        stored.write_bytes(w.file(w.dataset(middle=w.element(0x00100010, "PN", "OLD^NAME"), after=w.image())))
        result = tmp_path / "edited.dcm"
        result.write_bytes(edited(stored, patient_name="NEW^NAME", study_description="y"))
        dump = subprocess.run([dcmdump, "-q", str(result)], capture_output=True, text=True, check=True)
        assert dump.stderr == ""
        assert "PN [NEW^NAME]" in dump.stdout
        assert "PN [OLD^NAME]" in dump.stdout
        assert "DT [20261124102030.450+0000]" in dump.stdout


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
