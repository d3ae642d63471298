"""A client of a server's DICOMweb base, and parsers of its responses."""

import io
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pydicom
from pydicom.dataset import Dataset

from tests.support.api import upload
from tests.support.files import dicom_file
from tests.support.server import Server

BASE = "/dicom-web"


class Web:
    """A client of a server's DICOMweb base, and what a test needs to put something there."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = server.client
        self.url = server.url + BASE

    def store(self, content: bytes | Path) -> str:
        """Store a file, and answer the path of its instance."""
        found = upload(self.client, content)
        return f"/studies/{found['study']}/series/{found['series']}/instances/{found['id']}"

    def make(self, **elements: Any) -> str:
        """Store a small image of a study, and a patient, of its own, unless the elements say otherwise."""
        root = f"2.25.{uuid.uuid4().int}"
        own = {"StudyInstanceUID": f"{root}.1", "SeriesInstanceUID": f"{root}.2", "SOPInstanceUID": f"{root}.3"}
        patient = str(elements.get("StudyInstanceUID", root))
        return self.store(dicom_file(**{**own, "PatientID": patient, **elements}))

    def get(self, path: str, accept: str | None = None, *, status: int = 200, **more: Any) -> httpx.Response:
        """GET below the base, and hold the status."""
        headers = {**more.pop("headers", {}), **({} if accept is None else {"Accept": accept})}
        answer = self.client.get(path if path.startswith("http") else BASE + path, headers=headers, **more)
        assert answer.status_code == status, answer.text[:1000]
        return answer


def parts_of(answer: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """Cut a multipart/related answer into parts, header fields in lower case, strictly by RFC 2046."""
    content_type = answer.headers["Content-Type"]
    assert content_type.startswith("multipart/related; type="), content_type
    boundary = content_type.split("boundary=")[1].encode()
    body = b"\r\n" + answer.content
    assert body.endswith(b"\r\n--" + boundary + b"--\r\n")
    found = []
    for piece in body.removesuffix(b"--\r\n").split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        found.append(({name.lower(): value for name, value in fields.items()}, content))
    for fields, content in found:
        assert int(fields.get("content-length", len(content))) == len(content)
    return found


def dataset_of(content: bytes) -> Dataset:
    """Parse a file."""
    return pydicom.dcmread(io.BytesIO(content))


@dataclass(frozen=True)
class StoredFile:
    """A file of the data set that is stored, and the path of its instance."""

    file: Path
    path: str

    def read(self) -> Dataset:
        """Read the file by pydicom."""
        return pydicom.dcmread(self.file)
