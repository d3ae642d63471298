"""Merges, moves and splits over REST, and an instance from every way out, for tests."""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from tests.support.archive_client import Archive
from tests.support.colliding import CollidingInstance
from tests.support.dimse.remotes import add_node, find, run_tool, storescp
from tests.support.server import Server
from tests.support.waiting import wait_for


def post(archive: Archive, path: str, body: Any, status: int = 200) -> dict[str, Any]:
    """POST JSON below `/api`, and hold the status; the answer, or the problem."""
    answer = archive.client.post(f"/api{path}", json=body)
    assert answer.status_code == status, answer.text[:1000]
    return dict(answer.json())


def edit_of(archive: Archive, path: str) -> str:
    """Path of the latest edit of an entity."""
    return f"{path}/edits/{archive.get(f'{path}/edits').json()[-1]['edit']}"


def listed(archive: Archive) -> dict[str, Any]:
    """All entities, conflicts and edits that a server answers; times of arrival are the files' own after a reindex."""
    shown: dict[str, Any] = {}
    for level in ("patients", "studies", "series", "instances"):
        entities = archive.get(f"/{level}", limit=1000).json()
        for one in entities:
            one.pop("received", None)
        shown[level] = entities
        shown[f"edits of {level}"] = {one["id"]: archive.get(f"/{level}/{one['id']}/edits").json() for one in entities}
    shown["versions"] = {
        one["id"]: {each["sha256"] for each in archive.get(f"/instances/{one['id']}/versions").json()}
        for one in shown["instances"]
    }
    conflicts = archive.get("/conflicts", limit=1000).json()
    shown["conflicts"] = [{name: value for name, value in one.items() if name != "since"} for one in conflicts]
    found = archive.client.get("/dicom-web/studies", params={"includefield": "all"})
    shown["QIDO"] = found.text.replace(archive.server.url, "")
    return shown


def differences(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Listed entries that are not expected, by kind, then expected ones that are not listed."""
    return {
        kind: (found[kind], expected[kind])
        if not isinstance(found[kind], list)
        else (
            [one for one in found[kind] if one not in expected[kind]],
            [one for one in expected[kind] if one not in found[kind]],
        )
        for kind in found
        if found[kind] != expected[kind]
    }


def reindex(data: Path, *options: str) -> None:
    """Run `neurdicom reindex` on the data folder of a server that is stopped."""
    command = [sys.executable, "-m", "neurdicom", "reindex", "--data", str(data), *options]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


def original(ds: Dataset) -> dict[str, Any]:
    """Original values of an instance, by its Original Attributes Sequence, the first of each attribute."""
    found: dict[str, Any] = {}
    for item in ds.get("OriginalAttributesSequence", []):
        for element in item.ModifiedAttributesSequence[0]:
            found.setdefault(element.keyword, str(element.value or ""))
    return found


def outgoing(server: Server, one: CollidingInstance, study: str) -> dict[str, Dataset]:
    """An instance as each way out gives it, from the study of this UID."""
    series, instance = one.uid("series"), one.uid("instance")
    path = f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"
    served = server.client.get(path, headers={"Accept": "application/dicom"})
    assert served.status_code == 200, served.text
    [metadata] = server.client.get(f"{path}/metadata").raise_for_status().json()
    tags = server.client.get(f"/api/instances/{instance}/tags", params={"format": "dicom+json"}).json()
    file = server.client.get(f"/api/instances/{instance}/file").raise_for_status().content
    return {
        "REST": pydicom.dcmread(io.BytesIO(file)),
        "tags": _from_model(tags),
        "WADO-RS": pydicom.dcmread(io.BytesIO(served.content)),
        "metadata": _from_model(metadata),
        "C-GET": retrieved(server, "C-GET", study)[instance],
        "C-MOVE": retrieved(server, "C-MOVE", study)[instance],
    }


def retrieved(server: Server, by: str, study: str) -> dict[str, Dataset]:
    """All instances of a study that DCMTK gets, by SOP Instance UID."""
    folder = Path(tempfile.mkdtemp())
    keys = ["-S", "-aec", "NEURDICOM", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    try:
        if by == "C-GET":
            code, output = run_tool(server, "getscu", *keys, "-od", str(folder))
        else:
            with storescp(folder, "STORE") as (port, _):
                add_node(server, "STORE", port)
                code, output = run_tool(server, "movescu", *keys, "-aem", "STORE")
                count = server.client.get(f"/api/studies/{study}").json()["images_count"]
                wait_for(lambda: sum(each.stat().st_size > 0 for each in folder.iterdir()) == count, "all files")
        assert code == 0, output
        found = [pydicom.dcmread(each) for each in folder.iterdir()]
    finally:
        shutil.rmtree(folder)
    return {str(ds.SOPInstanceUID): ds for ds in found}


def found_by(server: Server, **keys: str) -> list[set[str]]:
    """Study UIDs that REST, QIDO-RS and C-FIND find by keywords."""
    fields = {"PatientID": "patient_id", "PatientName": "patient_name", "StudyID": "study_id"}
    listing = server.client.get("/api/studies", params={fields[key]: value for key, value in keys.items()}).json()
    answer = server.client.get("/dicom-web/studies", params=keys)
    wanted: dict[str, Any] = {"StudyInstanceUID": ""} | keys
    matches, *_ = find(server, "STUDY", **wanted)
    return [
        {one["study_instance_uid"] for one in listing},
        {one["0020000D"]["Value"][0] for one in (answer.json() if answer.content else ())},
        {str(ds.StudyInstanceUID) for ds in matches},
    ]


def _from_model(model: dict[str, Any]) -> Dataset:
    return Dataset.from_json({key: element for key, element in model.items() if "BulkDataURI" not in element})
