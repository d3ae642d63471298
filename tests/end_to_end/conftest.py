"""One server on each catalog with the whole data set in it, uploaded file by file, and what pydicom says of it."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from neurdicom.dicom.query.attributes import Level
from tests.support.server import Server

MANY = {Level.PATIENT: "patients", Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}


@dataclass
class Loaded:
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


@pytest.fixture(scope="session", params=["sqlite", "mongodb"])
def options(request: pytest.FixtureRequest) -> list[str]:
    """What makes a server use each catalog; the database is one of the test session's own."""
    if request.param == "sqlite":
        return []
    uri = request.getfixturevalue("mongodb_uri")
    return ["--mongodb-uri", f"{uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"]


@pytest.fixture(scope="session")
def loaded(options: list[str], data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The data set on each catalog; shared, so leave it as it was."""
    with Server(tmp_path_factory.mktemp("loaded"), *options) as server:
        folders = [path for path in data_set.iterdir() if path.is_dir() and path.name != "LICENSES"]
        files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        loaded = Loaded(server, files)
        loaded.upload()
        yield loaded


def read(path: Path) -> pydicom.Dataset | None:
    """A file as pydicom reads it without pixels; None where it does not."""
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        ds.decode()
    except Exception:
        return None
    return ds
