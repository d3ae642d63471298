"""An edit shows at every door alike, by real tools: REST, WADO-RS, QIDO-RS, C-FIND, C-GET and C-MOVE."""

import io
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset

from tests.support.dimse.remotes import add_node, find, run_tool, storescp, tool
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server

STUDY = f"{ROOT}.1"
INSTANCE = f"{ROOT}.1.1.1"
PATIENT = {"patient_name": "Ngô^Bảo", "patient_birth_date": "19720628"}
DESCRIPTION = {"study_description": "corrected"}
ORIGINAL = [[("PatientName", "Müller^Jörg"), ("PatientBirthDate", "")], [("StudyDescription", "as sent")]]


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one instance, its patient and its study edited after it came by C-STORE."""
    folder = tmp_path_factory.mktemp("edited")
    file = folder / "sent.dcm"
    file.write_bytes(
        dicom_file(PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100", StudyDescription="as sent")
    )
    with Server.with_dimse(folder / "data", "--dimse-accept", "any") as server:
        command = [tool("storescu"), "-aec", "NEURDICOM", "127.0.0.1", str(server.dimse_port), str(file)]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
        patient = server.client.get(f"/api/studies/{STUDY}").json()["patient"]
        assert server.client.put(f"/api/patients/{patient}", json=PATIENT).status_code == 200
        assert server.client.put(f"/api/studies/{STUDY}", json=DESCRIPTION).status_code == 200
        yield server
        stored = server.client.get(f"/api/instances/{INSTANCE}/file", params={"original": "true"}).content
        assert pydicom.dcmread(io.BytesIO(stored)).PixelData == pydicom.dcmread(file).PixelData
        assert str(pydicom.dcmread(io.BytesIO(stored)).PatientName) == "Müller^Jörg"


def check(ds: Dataset) -> None:
    """Check the edits in a dataset, the same from every service."""
    assert (str(ds.PatientName), ds.PatientBirthDate) == ("Ngô^Bảo", "19720628")
    assert ds.StudyDescription == "corrected"
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    told = [
        [(each.keyword, str(each.value or "")) for each in item.ModifiedAttributesSequence[0]]
        for item in ds.OriginalAttributesSequence
    ]
    assert told == ORIGINAL
    assert {item.ReasonForTheAttributeModification for item in ds.OriginalAttributesSequence} == {"CORRECT"}


def from_model(model: dict[str, Any]) -> Dataset:
    """A dataset of the DICOM JSON model, its pixels left aside."""
    return Dataset.from_json({key: element for key, element in model.items() if "BulkDataURI" not in element})


def received(folder: Path, seconds: float = 20) -> list[Dataset]:
    """Read the files that a tool wrote to a folder, once they are there."""
    deadline = time.monotonic() + seconds
    while not (files := [each for each in folder.iterdir() if each.is_file() and each.stat().st_size]):
        assert time.monotonic() < deadline, "nothing arrived"
        time.sleep(0.05)
    return [pydicom.dcmread(each) for each in files]


@pytest.mark.parametrize("syntax", [None, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"])
def test_downloads(edited: Server, syntax: str | None) -> None:
    params = {"transfer_syntax": syntax} if syntax else {}
    content = edited.client.get(f"/api/instances/{INSTANCE}/file", params=params).raise_for_status().content
    check(pydicom.dcmread(io.BytesIO(content)))


def test_dicomweb(edited: Server) -> None:
    client = DICOMwebClient(f"{edited.url}/dicom-web")
    series = f"{ROOT}.1.1"
    check(client.retrieve_instance(STUDY, series, INSTANCE))
    check(from_model(client.retrieve_instance_metadata(STUDY, series, INSTANCE)))
    (found,) = client.search_for_studies(search_filters={"PatientName": "ngô*"})
    ds = Dataset.from_json(found)
    assert (str(ds.PatientName), ds.StudyInstanceUID) == ("Ngô^Bảo", STUDY)
    assert client.search_for_studies(search_filters={"PatientName": "Müller*"}) == []


def test_find_and_get(edited: Server, tmp_path: Path) -> None:
    matches, status, _ = find(edited, "STUDY", PatientName="Ng*", StudyInstanceUID="", StudyDescription="")
    assert status.Status == 0x0000
    assert [(str(match.PatientName), match.StudyDescription) for match in matches] == [("Ngô^Bảo", "corrected")]
    keys: list[Any] = [
        "-S", "-aec", "NEURDICOM", "-od", str(tmp_path),
        "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}",
    ]  # fmt: skip
    code, output = run_tool(edited, "getscu", *keys)
    assert code == 0, output
    for ds in received(tmp_path):
        check(ds)


@pytest.mark.parametrize("options", [["+xe"], ["+xi"]])
def test_move(edited: Server, tmp_path: Path, options: list[str]) -> None:
    with storescp(tmp_path, "STORE", *options) as (port, _):
        add_node(edited, "STORE", port)
        keys = ["-S", "-aec", "NEURDICOM", "-aem", "STORE", "-k", "QueryRetrieveLevel=STUDY"]
        code, output = run_tool(edited, "movescu", *keys, "-k", f"StudyInstanceUID={STUDY}")
        assert code == 0, output
        for ds in received(tmp_path):
            check(ds)


def test_tags(edited: Server) -> None:
    model = edited.client.get(f"/api/instances/{INSTANCE}/tags", params={"format": "dicom+json"}).content
    check(from_model(orjson.loads(model)))
