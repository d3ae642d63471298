"""A client of the API's archive resources."""

import uuid
from typing import Any

import httpx
from pydicom.uid import generate_uid

from tests.support.api import upload
from tests.support.resource_files import make_file
from tests.support.server import Server


class Archive:
    """A client of a server, with what a test needs to make and to look at DICOM entities."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = server.client

    def get(self, path: str, status: int = 200, **params: Any) -> httpx.Response:
        """GET below `/api`, and hold the status."""
        answer = self.client.get(f"/api{path}", params=params or None)
        assert answer.status_code == status, answer.text[:1000]
        return answer

    def put(self, path: str, changes: Any, status: int = 200) -> dict[str, Any]:
        """PUT JSON, and hold the status."""
        answer = self.client.put(f"/api{path}", json=changes)
        assert answer.status_code == status, answer.text
        return answer.json()

    def delete(self, path: str, status: int = 204) -> httpx.Response:
        """DELETE, and hold the status."""
        answer = self.client.delete(f"/api{path}")
        assert answer.status_code == status, answer.text
        return answer

    def store(self, body: bytes) -> dict[str, Any]:
        """Upload one file, and answer its result."""
        return upload(self.client, body)

    def make(self, count: int = 1, **elements: Any) -> list[dict[str, Any]]:
        """Store slices of one new series of one new study of one new patient, unless the elements say otherwise."""
        shared = {
            "PatientID": uuid.uuid4().hex,
            "StudyInstanceUID": generate_uid(),
            "SeriesInstanceUID": generate_uid(),
        } | elements
        return [self.store(make_file(**{"InstanceNumber": number + 1} | shared)) for number in range(count)]
