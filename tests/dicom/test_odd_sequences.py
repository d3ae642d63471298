"""Sequences where no VR is expected, or in the place of a private creator."""

import struct
from pathlib import Path
from typing import Any

import orjson
import pytest

from neurdicom.dicom.codec.native_xml import from_xml, to_xml
from neurdicom.dicom.part10 import read_header
from tests.support.dicom.files import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, UNDEFINED, ElementWriter

SYNTAXES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]


def read(folder: Path, file: bytes) -> dict[str, Any]:
    """Read the header of a file."""
    path = folder / "file.dcm"
    path.write_bytes(file)
    found: dict[str, Any] = orjson.loads(read_header(path).json)
    return found


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("tag", [0x00090010, 0x000900FF, 0x00091010, 0x00090001, 0x00080005, 0x00280103, 0x00081115])
def test_a_sequence_at_any_tag_has_its_items(tmp_path: Path, tag: int, undefined: bool, syntax: str) -> None:
    """Private creators have no other VR than LO, but files have sequences, numbers and bytes in their place."""
    w = ElementWriter(syntax)
    content = w.item(w.element(0x00100020, "LO", "X"), undefined=undefined)
    known = tag in (0x00081115, 0x00090010, 0x000900FF)
    if syntax == IMPLICIT and not known and not undefined:
        return  # nothing says that it is a sequence
    elements = {0x00080016: w.element(0x00080016, "UI", "1.2"), 0x00080018: w.element(0x00080018, "UI", "1.2.3.4.5")}
    elements |= {0x0020000D: w.ids(), tag: w.sequence(tag, content, undefined=undefined)}
    elements[0x00400254] = w.element(0x00400254, "LO", "after it")
    got = read(tmp_path, w.file(b"".join(elements[each] for each in sorted(elements))))
    assert got[f"{tag:08X}"] == {"vr": "SQ", "Value": [{"00100020": {"vr": "LO", "Value": ["X"]}}]}
    assert got["00400254"] == {"vr": "LO", "Value": ["after it"]}
    assert from_xml(to_xml(got))[f"{tag:08X}"] == got[f"{tag:08X}"]


@pytest.mark.parametrize("vr", ["LO", "SH", "ST", "CS", "UT", "UC", "UN", "LT", "UI"])
def test_a_private_creator_of_any_text_vr_names_its_block(tmp_path: Path, vr: str) -> None:
    w = ElementWriter(EXPLICIT)
    block = w.element(0x00090010, vr, "GEMS_IDEN_01") + w.element(0x00091004, "UN", "system")
    got = read(tmp_path, w.file(w.dataset(block)))
    assert got["00091004"] == {"vr": "SH", "Value": ["system"]}


@pytest.mark.parametrize(("vr", "raw"), [("OB", b"\1\2\3\4"), ("OW", b"\1\2\3\4"), ("US", b"\1\0"), ("FD", bytes(8))])
def test_bytes_and_numbers_in_the_place_of_a_private_creator_stay_what_they_are(
    tmp_path: Path, vr: str, raw: bytes
) -> None:
    w = ElementWriter(EXPLICIT)
    got = read(tmp_path, w.file(w.dataset(w.element(0x00090010, vr, raw) + w.element(0x00091004, "UN", "xy"))))
    assert got["00090010"]["vr"] == vr
    assert ("InlineBinary" in got["00090010"]) == (vr in ("OB", "OW"))
    assert got["00091004"] == {"vr": "UN", "InlineBinary": "eHk="}


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize(("tag", "known"), [(0x00081140, True), (0x00091001, False), (0x00090010, False)])
def test_a_sequence_of_vr_un(tmp_path: Path, tag: int, known: bool, undefined: bool) -> None:
    """Of defined length it is bytes, unless the dictionary knows better; of undefined length it has items."""
    w, implicit = ElementWriter(EXPLICIT), ElementWriter(IMPLICIT)
    content = implicit.item(implicit.element(0x00100020, "LO", "X"), undefined=undefined)
    sequence = w.element(tag, "UN", content) if not undefined else w.element(tag, "UN", b"", UNDEFINED) + content
    sequence += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if undefined else b""
    got = read(tmp_path, w.file(w.dataset(sequence)))[f"{tag:08X}"]
    if undefined or known or tag == 0x00090010:
        assert got == {"vr": "SQ", "Value": [{"00100020": {"vr": "LO", "Value": ["X"]}}]}
    else:
        assert got["vr"] == "UN" and "InlineBinary" in got
