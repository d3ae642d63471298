"""Undone edits by REST, DICOMweb and DIMSE, over restarts and a reindex, on both catalogs."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom

from tests.support.archive_client import Archive
from tests.support.dimse.remotes import find, run_tool
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server

STUDY, SERIES, INSTANCE = f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.1"
NAMES = ["Müller^Jörg", "FIRST^A", "SECOND^B"]


def datasets(server: Server, folder: Path) -> list[pydicom.Dataset]:
    """The instance from WADO-RS, REST and C-GET."""
    folder.mkdir()
    keys = ["-S", "-aec", "NEURDICOM", "-od", str(folder), "-k", "QueryRetrieveLevel=STUDY"]
    code, output = run_tool(server, "getscu", *keys, "-k", f"StudyInstanceUID={STUDY}")
    assert code == 0, output
    [received] = list(folder.iterdir())
    path = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/metadata"
    [metadata] = server.client.get(path).raise_for_status().json()
    return [
        pydicom.dcmread(io.BytesIO(server.client.get(f"/api/instances/{INSTANCE}/file").content)),
        pydicom.dcmread(received),
        pydicom.Dataset.from_json({key: one for key, one in metadata.items() if "BulkDataURI" not in one}),
    ]


def check(server: Server, folder: Path, shown: str, comments: str) -> None:
    """Check what lists, QIDO-RS, C-FIND and each way out show, and that nothing finds what is not shown."""
    for name in NAMES:
        count = int(name == shown)
        matches, *_ = find(server, "STUDY", PatientName=name, StudyInstanceUID="")
        found = server.client.get("/dicom-web/studies", params={"PatientName": name})
        listed = server.client.get("/api/studies", params={"patient_name": name}).json()
        assert (len(matches), len(found.json() if found.content else ()), len(listed)) == (count, count, count), name
    for ds in datasets(server, folder):
        assert (str(ds.PatientName), ds.get("ImageComments", "")) == (shown, comments)
        former: dict[str, Any] = {
            one.keyword: one.value
            for item in ds.get("OriginalAttributesSequence", [])
            for one in item.ModifiedAttributesSequence[0]
        }
        assert former == ({} if shown == NAMES[0] else {"PatientName": NAMES[0]}) | (
            {} if comments == "as sent" else {"ImageComments": "as sent"}
        )


def test_what_is_undone_is_nowhere_any_more(tmp_path: Path, own_options: list[str]) -> None:
    file = dicom_file(PatientName=NAMES[0], SpecificCharacterSet="ISO_IR 100", ImageComments="as sent")
    data = tmp_path / "data"
    with Server.with_dimse(data, "--dimse-accept", "any", *own_options) as server:
        archive = Archive(server)
        archive.store(file)
        patient = archive.get(f"/studies/{STUDY}").json()["patient"]
        for name, comments in zip(NAMES[1:], ("one", "two"), strict=True):
            archive.put(f"/patients/{patient}", {"patient_name": name})
            archive.put(f"/instances/{INSTANCE}", {"image_comments": comments})
        check(server, tmp_path / "edited", NAMES[2], "two")
        paths = [f"/patients/{patient}/edits", f"/instances/{INSTANCE}/edits"]
        before = [archive.get(path).json() for path in paths]
    with Server(data, *own_options) as server:
        assert [Archive(server).get(path).json() for path in paths] == before
    command = [sys.executable, "-m", "neurdicom", "reindex", "--data", str(data), *own_options]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    with Server.with_dimse(data, "--dimse-accept", "any", *own_options) as server:
        archive = Archive(server)
        assert [archive.get(path).json() for path in paths] == before
        for number, (path, edits) in enumerate(zip(paths, before, strict=True)):
            archive.delete(f"{path}/{edits[1]['edit']}")
            check(server, tmp_path / f"second-{number}", NAMES[1], "two" if number == 0 else "one")
        for number, (path, edits) in enumerate(zip(paths, before, strict=True)):
            archive.delete(f"{path}/{edits[0]['edit']}")
            check(server, tmp_path / f"first-{number}", NAMES[0], "one" if number == 0 else "as sent")
        assert [archive.get(path).json() for path in paths] == [[], []]
        assert archive.get(f"/instances/{INSTANCE}/file").content == file
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    with Server.with_dimse(data, "--dimse-accept", "any", *own_options) as server:
        check(server, tmp_path / "again", NAMES[0], "as sent")
