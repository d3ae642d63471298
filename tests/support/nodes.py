"""Nodes and jobs as a client of the API sees them."""

import io
import re
from collections.abc import Callable
from typing import Any

import httpx
import pydicom
from pydicom.uid import generate_uid

from tests.support.api import upload
from tests.support.faulty import FaultyRequest, store_answer
from tests.support.resource_files import make_file
from tests.support.waiting import wait_for

RELATED = 'multipart/related; type="application/dicom"; boundary='


def study(count: int = 3, series: int = 2, **elements: Any) -> tuple[str, list[bytes]]:
    """A study's UID, and its files."""
    uid = generate_uid()
    patient = {"PatientID": uid[-12:], "PatientName": "Müller^Jürgen", "StudyInstanceUID": uid} | elements
    files = []
    for number in range(series):
        own = {"SeriesInstanceUID": generate_uid(), "SeriesNumber": number + 1}
        files += [make_file(InstanceNumber=n + 1, **(patient | own)) for n in range(count)]
    return uid, files


def uids_of(body: bytes) -> list[str]:
    """SOP Instance UIDs of the files in a body that was sent."""
    parts = re.split(rb"\r?\n?--[0-9a-f]{32}(?:--)?\r\n", body)
    files = [part.partition(b"\r\n\r\n")[2] for part in parts if part]
    return [str(pydicom.dcmread(io.BytesIO(file)).SOPInstanceUID) for file in files if file]


def takes_all(request: FaultyRequest) -> None:
    """Store whatever comes."""
    request.answer_json(store_answer(uids_of(request.read())))


def series_of(uid: str, files: list[bytes]) -> list[dict[str, object]]:
    """Return a node's answer to a request for the series of a study."""
    found = sorted({str(pydicom.dcmread(io.BytesIO(file)).SeriesInstanceUID) for file in files})
    return [{"0020000D": {"vr": "UI", "Value": [uid]}, "0020000E": {"vr": "UI", "Value": [series]}} for series in found]


class NodesClient:
    """A client of a server, with what tests of nodes and jobs need."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def add_node(self, name: str, url: str, **fields: Any) -> None:
        """Make a DICOMweb node, in place of any of its name."""
        self.http.delete(f"/api/dicom_nodes/{name}")
        node = {"name": name, "protocol": "DICOMWEB", "url": url} | fields
        answer = self.http.post("/api/dicom_nodes", json=node)
        assert answer.status_code == 201, answer.text

    def store(self, *files: bytes) -> list[str]:
        """Upload files; their SOP Instance UIDs."""
        return [upload(self.http, file)["id"] for file in files]

    def echo(self, node: str) -> httpx.Response:
        """Echo a node."""
        return self.http.post(f"/api/dicom_nodes/{node}/echo")

    def find(self, node: str, level: str, query: dict[str, Any] | None = None, **more: Any) -> list[dict[str, Any]]:
        """Query a node, and hold the status."""
        answer = self.http.post(f"/api/dicom_nodes/{node}/find", json={"level": level, "query": query or {}} | more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def submit(self, node: str, verb: str, **request: Any) -> str:
        """Make a job; its id."""
        answer = self.http.post(f"/api/dicom_nodes/{node}/{verb}", json=request)
        assert answer.status_code == 202, answer.text
        assert answer.headers["Location"] == f"/api/jobs/{answer.json()['id']}"
        return answer.json()["id"]

    def job(self, job: str) -> dict[str, Any]:
        """A job as it is now."""
        answer = self.http.get(f"/api/jobs/{job}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def when(self, job: str, holds: Callable[[dict[str, Any]], bool], *, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until something holds of a job."""
        return wait_for(lambda: self.job(job), f"job {job}", seconds, holds=holds)

    def ended(self, job: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until a job is over."""
        return self.when(job, lambda now: now["ended"] is not None, seconds=seconds)

    def run(self, node: str, verb: str, **request: Any) -> dict[str, Any]:
        """Make a job, and wait for its end."""
        return self.ended(self.submit(node, verb, **request))

    def count(self, study: str) -> int:
        """Instances of a study here."""
        answer = self.http.get(f"/api/studies/{study}")
        return answer.json()["images_count"] if answer.status_code == 200 else 0
