"""Text in sets that files name in a wrong way, or without escape sequences, by every door."""

import io
import itertools

import pytest
from pydicom import dcmread

from tests.support import api
from tests.support.dicom.files import EXPLICIT, IMPLICIT, ElementWriter
from tests.support.dimse.remotes import find
from tests.support.server import Server

#: Terms, codec of the bytes, name.
NAMES = [
    ("ISO 2022 IR 149", "euc_kr", "김^희"),
    ("ISO_IR 149", "euc_kr", "김^희"),
    ("\\ISO 2022 IR 149", "euc_kr", "김^희"),
    ("ISO 2022 IR 58", "gb2312", "张^小东"),
    ("ISO_IR 58", "gb2312", "张^小东"),
    ("\\ISO 2022 IR 87", "shift_jis", "山田^太郎"),
    ("GBK", "gbk", "張^小東"),
    ("ISO-IR 100", "latin_1", "Buc^Jérôme"),
    ("ISO 2022 IR 192", "utf_8", "Wang^小東"),
    ("UTF-8", "utf_8", "Wang^小東"),
    ("latin1", "latin_1", "Buc^Jérôme"),
    ("", "utf_8", "Buc^Jérôme"),
]
_numbers = itertools.count(1)


def file_of(terms: str, name: bytes, syntax: str, root: str) -> bytes:
    """A file with a name and a description of these bytes."""
    writer = ElementWriter(syntax)
    dataset = (
        writer.element(0x00080005, "CS", terms)
        + writer.element(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7")
        + writer.element(0x00080018, "UI", f"{root}.3")
        + writer.element(0x00081030, "LO", name.replace(b"^", b" "))
        + writer.element(0x00100010, "PN", name)
        + writer.element(0x00100020, "LO", root)
        + writer.element(0x0020000D, "UI", f"{root}.1")
        + writer.element(0x0020000E, "UI", f"{root}.2")
    )
    return writer.file(dataset)


@pytest.mark.parametrize(("terms", "codec", "name"), NAMES)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_names_are_shown_and_found(dimse: Server, terms: str, codec: str, name: str, syntax: str) -> None:
    root = f"1.2.826.0.1.3680043.8.498.77.{next(_numbers)}"
    study, client = f"{root}.1", dimse.client
    api.upload(client, file_of(terms, name.encode(codec), syntax, root))
    assert client.get(f"/api/studies/{study}").json()["patient_name"] == name
    listed = client.get("/api/studies", params={"patient_name": name, "patient_id": root}).json()
    assert [each["study_description"] for each in listed] == [name.replace("^", " ")]
    [found] = client.get("/dicom-web/studies", params={"PatientName": name, "PatientID": root}).json()
    assert found["00100010"]["Value"][0]["Alphabetic"] == name
    [metadata] = client.get(f"/dicom-web/studies/{study}/metadata").json()
    assert metadata["00081030"]["Value"] == [name.replace("^", " ")]
    matches, _, _ = find(
        dimse, "STUDY", SpecificCharacterSet="ISO_IR 192", PatientName=name, PatientID=root, StudyInstanceUID=""
    )
    assert [str(match.PatientName) for match in matches] == [name]
    edited = client.put(f"/api/studies/{study}", json={"study_description": "neu é 김"})
    assert edited.status_code == 200, edited.text
    for wanted in (None, EXPLICIT, IMPLICIT):
        params = {} if wanted is None else {"transfer_syntax": wanted}
        content = client.get(f"/api/instances/{root}.3/file", params=params).content
        ds = dcmread(io.BytesIO(content))
        assert (str(ds.PatientName), ds.StudyDescription) == (name, "neu é 김")
