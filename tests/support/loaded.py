"""A server with the whole data set in it, and pydicom's reading of a file."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pydicom

from neurdicom.dicom.query.attributes import Level
from tests.support.server import Server

MANY = {Level.PATIENT: "patients", Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}


@dataclass
class LoadedServer:
    """A server with the data set in it.

    Attributes
    ----------
    server : Server
    files : list of Path
        Every file, in the order of the upload.
    answers : dict[Path, httpx.Response]
        What the server answered to each.
    final : dict[str, Path]
        SOP Instance UID to the file that was stored last under it.
    """

    server: Server
    files: list[Path]
    answers: dict[Path, httpx.Response] = field(default_factory=dict)
    final: dict[str, Path] = field(default_factory=dict)

    @property
    def client(self) -> httpx.Client:
        """Its client."""
        return self.server.client

    def get(self, path: str, **params: Any) -> httpx.Response:
        """GET below `/api`; must succeed."""
        answer = self.client.get(f"/api{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer

    def walk(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Every entity of a list, by following its links to the last page; the totals must agree."""
        answer = self.get(path, **params)
        entities, total = answer.json(), int(answer.headers["X-Total-Count"])
        while "next" in answer.links:
            answer = self.client.get(answer.links["next"]["url"])
            assert answer.status_code == 200, answer.text
            assert int(answer.headers["X-Total-Count"]) == total
            assert answer.json(), "a page that was linked to is empty"
            entities += answer.json()
        assert len(entities) == total
        return entities

    def upload(self) -> None:
        """Upload every file as a raw body."""
        for path in self.files:
            answer = self.client.post(
                "/api/instances", content=path.read_bytes(), headers={"Content-Type": "application/dicom"}
            )
            self.answers[path] = answer
            if answer.status_code in {200, 201}:
                self.final[answer.json()["results"][0]["id"]] = path


@cache
def read(path: Path) -> pydicom.Dataset | None:
    """A file as pydicom reads it without pixels, once for all tests; None where it does not."""
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        ds.decode()
    except Exception:
        return None
    return ds
