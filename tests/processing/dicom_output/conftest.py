"""A server, plugins made of a few lines, and what they stored."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydicom import Dataset, dcmread

from tests.support.derived_objects import as_file
from tests.support.packages import package
from tests.support.server import Server

SOURCE = """
import numpy as np
from pydicom import Dataset

class Plugin:
    def init(self): ...

    def process(self, ds=None, **kwargs):
        {body}

    def destroy(self): ...
"""


@dataclass
class Site:
    """A server and what a test does to it."""

    server: Server
    folder: Path
    uploaded: list[str] = field(default_factory=list)

    @property
    def client(self) -> httpx.Client:
        return self.server.client

    def upload(self, content: Dataset | bytes) -> str:
        """Store an instance; answers its id."""
        data = as_file(content) if isinstance(content, Dataset) else content
        answer = self.client.post("/api/instances", content=data, headers={"Content-Type": "application/dicom"})
        assert answer.status_code in (200, 201), answer.text
        (result,) = answer.json()["results"]
        self.uploaded.append(result["study"])
        return str(result["id"])

    def plugin(self, body: str, **meta: Any) -> str:
        """Install a Python plugin whose `process` is these lines."""
        meta = {"plugin_guid": "test.derived", "name": "Derive Tést", "version": "1.2", **meta}
        archive = package(SOURCE.format(body=body.replace("\n", "\n        ")), **meta)
        answer = self.client.post("/api/plugins", content=archive, headers={"Content-Type": "application/zip"})
        assert answer.status_code in (200, 201), answer.text
        return str(meta["plugin_guid"])

    def run(self, instance: str, guid: str = "test.derived", **params: Any) -> httpx.Response:
        return self.client.get(f"/api/instances/{instance}/process/by_plugin/{guid}", params=params)

    def store(self, instance: str, **params: Any) -> list[Path]:
        """Run with store=true; the files of the instances that it made."""
        answer = self.run(instance, store="true", **params)
        assert answer.status_code == 200, answer.text
        return [self.file(uid) for uid in answer.headers["X-Stored-Instances"].split(",")]

    def file(self, instance: str) -> Path:
        """An instance's file, as the server gives it."""
        answer = self.client.get(f"/api/instances/{instance}/file")
        assert answer.status_code == 200, answer.text
        path = self.folder / f"{instance}.dcm"
        path.write_bytes(answer.content)
        return path

    def dataset(self, instance: str) -> Dataset:
        return dcmread(self.file(instance))


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Iterator[Site]:
    """The shared server; what a test stores and installs goes with it."""
    site = Site(server, tmp_path)
    yield site
    for plugin in site.client.get("/api/plugins").json():
        site.client.delete(f"/api/plugins/{quote(plugin['id'], safe='')}")
    for study in {*site.uploaded}:
        site.client.delete(f"/api/studies/{study}")
    left = [path.name for path in (server.data / "blobs" / "spool").iterdir()]
    assert left == [], "files are left in the spool folder"
