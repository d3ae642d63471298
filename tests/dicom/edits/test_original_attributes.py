"""Original Attributes Sequence of an edited instance, with the values before its edits (PS3.3 C.12.1.1.9)."""

import shutil
import subprocess
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_charset_files

from neurdicom.dicom.codec.json_model import to_tags
from neurdicom.dicom.edits.apply import apply_to_json, edit_dataset, rewrite_header
from neurdicom.dicom.part10 import read_header
from tests.support.dicom.edited import MODIFIED, ORIGINALS, SYNTAXES, edited, edits, read_json
from tests.support.dicom.files import BIG_ENDIAN, EXPLICIT, IMPLICIT, ElementWriter

#: pydicom's test files that are instances; the others lack UIDs.
CHARSETS = sorted(get_charset_files("chr[A-RX]*.dcm"))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return tmp_path / "stored.dcm"


def test_each_time_and_user_of_an_edit_has_an_item(stored: Path, tmp_path: Path) -> None:
    w = ElementWriter()
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
    w = ElementWriter(syntax)
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
    w = ElementWriter(syntax)
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
    implicit = ElementWriter(IMPLICIT)
    for syntax in (EXPLICIT, BIG_ENDIAN):
        w = ElementWriter(syntax)
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
    w = ElementWriter(IMPLICIT if len(raw) > 65535 else EXPLICIT)
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


@pytest.mark.parametrize("name", ["X", "Łukasz"])
@pytest.mark.parametrize("path", CHARSETS, ids=lambda path: Path(path).stem)
def test_previous_values_read_right_in_every_character_set(path: str, name: str, tmp_path: Path) -> None:
    file, result = Path(path), tmp_path / "edited.dcm"
    result.write_bytes(edited(file, patient_name=name))
    original = read_json(file)["00100010"]
    assert read_json(result)[ORIGINALS]["Value"][0][MODIFIED]["Value"] == [{"00100010": original}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = pydicom.dcmread(result).OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
        live = pydicom.dcmread(file)
        assert str(told.PatientName) == str(live.PatientName)
        edit_dataset(live, edits(patient_name=name))
        live.save_as(result, enforce_file_format=True)
    assert read_json(result)[ORIGINALS]["Value"][0][MODIFIED]["Value"] == [{"00100010": original}]


def test_dcmtk_reads_what_was_written(stored: Path, tmp_path: Path) -> None:
    dcmdump = shutil.which("dcmdump")
    if dcmdump is None:
        pytest.skip("dcmdump of DCMTK is not installed")
    for syntax in SYNTAXES:
        w = ElementWriter(syntax)
        stored.write_bytes(w.file(w.dataset(middle=w.element(0x00100010, "PN", "OLD^NAME"), after=w.image())))
        result = tmp_path / "edited.dcm"
        result.write_bytes(edited(stored, patient_name="NEW^NAME", study_description="y"))
        dump = subprocess.run([dcmdump, "-q", str(result)], capture_output=True, text=True, check=True)
        assert dump.stderr == ""
        assert "PN [NEW^NAME]" in dump.stdout
        assert "PN [OLD^NAME]" in dump.stdout
        assert "DT [20261124102030.450+0000]" in dump.stdout
