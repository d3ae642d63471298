"""A server whose plugins' output is stored as DICOM, and plugins of a few lines."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset, dcmread

from tests.support.api import install, upload
from tests.support.derived_objects import as_file
from tests.support.packages import package
from tests.support.server import Server

LIVER = {"value": "10200004", "scheme": "SCT", "meaning": "Liver"}
VOLUME = {"value": "118565006", "scheme": "SCT", "meaning": "Volume"}
MEASUREMENTS = {
    "type": "MEASUREMENTS",
    "measurements": [
        {"name": "volume_ml", "concept": VOLUME, "unit": "mL", "site": LIVER},
        {"name": "lesions.area", "unit": "mm2"},
    ],
}
BODY = """return {
    "volume_ml": np.float32(1412.5), "mean": 41, "Größe": 2.5, "nothing": None, "nan": float("nan"),
    "verdict": "unauffällig", "is_large": True, "histogram": [1, 2, 3],
    "lesions": [{"area": 4.5, "side": "left"}, {"area": 5.5, "deeper": {"length": 2}}],
}"""
SEGMENTS = [
    {"number": 7, "label": "Läsion", "color": "#ff0000", "tracking_id": "L1", "algorithm_type": "SEMIAUTOMATIC"},
    {"number": 2, "label": "Liver", "type": LIVER, "color": [0, 128, 0], "description": "All of it"},
]
SEGMENTATION = {"type": "SEGMENTATION", "segments": SEGMENTS}
LABELS = "return np.where(ds.pixel_array > 700, 7, np.where(ds.pixel_array > 400, 2, 0))"
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
class DerivedSite:
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
        result = upload(self.client, data)
        self.uploaded.append(result["study"])
        return result["id"]

    def plugin(self, body: str, **meta: Any) -> str:
        """Install a Python plugin whose `process` is these lines."""
        meta = {"plugin_guid": "test.derived", "name": "Derive Tést", "version": "1.2", **meta}
        install(self.client, package(SOURCE.format(body=body.replace("\n", "\n        ")), **meta))
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
