"""The Native DICOM Model, against pydicom's own reading of the same files and its dictionary."""

import warnings
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset

from neurdicom.dicom.codec.native_xml import to_xml
from neurdicom.dicom.part10 import read_header

FOLDER = Path(pydicom.__file__).parent / "data"
FILES = sorted([*FOLDER.glob("charset_files/*.dcm"), *FOLDER.glob("test_files/*.dcm")])
NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def parsed(node: ET.Element) -> dict[str, dict[str, Any]]:
    """The model's attributes by tag: VR, keyword, private creator, values."""
    found = {}
    for attribute in node.findall(f"{NAMESPACE}DicomAttribute"):
        values: list[Any] = []
        for child in attribute:
            kind = child.tag.removeprefix(NAMESPACE)
            if kind == "Item":
                values.append(parsed(child))
            elif kind == "PersonName":
                values.append(person(child))
            elif kind == "Value":
                values.append(child.text or "")
            if kind in ("Item", "PersonName", "Value"):
                assert child.get("number") == str(len(values))
        found[attribute.attrib["tag"]] = {**attribute.attrib, "values": values}
    return found


def person(node: ET.Element) -> str:
    groups = []
    for name in ("Alphabetic", "Ideographic", "Phonetic"):
        group = node.find(f"{NAMESPACE}{name}")
        parts = [] if group is None else [group.findtext(f"{NAMESPACE}{part}", "") for part in COMPONENTS]
        groups.append("^".join(parts).rstrip("^"))
    return "=".join(groups).rstrip("=")


def headers() -> list[Any]:
    found = []
    for path in FILES:
        try:
            found.append(pytest.param(path, read_header(path).json, id=path.name))
        except ValueError:
            continue
    return found


@pytest.mark.parametrize(("path", "header"), headers())
def test_every_element_is_there(path: Path, header: bytes) -> None:
    model = orjson.loads(header)
    root = ET.fromstring(to_xml(model))
    assert root.tag == f"{NAMESPACE}NativeDicomModel"
    found = parsed(root)
    assert list(found) == list(model)
    with warnings.catch_warnings(action="ignore"):
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        ds.decode()
        check(ds, found)


def check(ds: Dataset, found: dict[str, dict[str, Any]]) -> None:
    for tag, attribute in found.items():
        number = int(tag, 16)
        if number not in ds:
            continue
        element = ds[number]
        if element.tag.is_private:
            if not element.tag.is_private_creator and ds.get((element.tag.group, element.tag.element >> 8)):
                creator = ds[element.tag.group, element.tag.element >> 8].value
                assert attribute.get("privateCreator") == str(creator).strip()
            continue
        name = keyword_for_tag(number)
        if name and not 0x50 <= number >> 24 <= 0x60:
            assert attribute["keyword"] == name
            assert attribute["vr"] in dictionary_VR(number)
        if element.VR == "PN" and element.VM == 1:
            components = "=".join(group.rstrip("^") for group in str(element.value).split("=")).rstrip("=")
            assert attribute["values"] == [components]
        elif element.VR in ("CS", "LO", "SH", "UI", "DA") and element.VM == 1:
            assert attribute["values"] == [str(element.value).strip()]
        elif element.VR == "SQ":
            assert len(attribute["values"]) == len(element.value)
            for item, inside in zip(element.value, attribute["values"], strict=True):
                check(item, inside)


def test_what_xml_can_not_carry() -> None:
    model = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A<&>\x00^B\x1b"}, None]},
        "00104000": {"vr": "LT", "Value": ["line\r\nline ]]> \ud800"]},
        "00090010": {"vr": "LO", "Value": ['"QUOTED" & <']},
        "00091001": {"vr": "UN", "InlineBinary": "AAE="},
        "7FE00010": {"vr": "OW", "BulkDataURI": "bulk?a=1&b=2"},
        "00081140": {"vr": "SQ", "Value": [{}, None]},
        "00200032": {"vr": "DS", "Value": [1.5, None, "odd"]},
    }
    found = parsed(ET.fromstring(to_xml(model)))
    assert found["00100010"]["values"][0] == "A<&>\ufffd^B\ufffd"
    assert found["00104000"]["values"] == ["line\r\nline ]]> \ufffd"]
    assert found["00091001"]["privateCreator"] == '"QUOTED" & <'
    assert found["00081140"]["values"] == [{}, {}]
    assert found["00200032"]["values"] == ["1.5", "", "odd"]
