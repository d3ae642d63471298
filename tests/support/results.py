"""A plugin that counts its calls, and the results that a server keeps."""

import time
from pathlib import Path
from typing import Any

import httpx

from tests.support.packages import package
from tests.support.server import Server

#: Appends a line to a file for each call, so that a test can tell how often it was called.
COUNTING = """
import os, time
import numpy as np

class Plugin:
    def init(self): pass
    def process(self, ds=None, *args, **kwargs):
        with open(%r, "a") as file:
            file.write("x\\n")
        give = kwargs.get("give", "json")
        time.sleep(kwargs.get("wait", 0.0))
        if give == "fail":
            raise ValueError("told to")
        if give == "image":
            return ds.pixel_array * np.float64(kwargs.get("factor", 1.0))
        if give == "stack":
            return np.stack([ds.pixel_array, ds.pixel_array + 100, ds.pixel_array + 7, -ds.pixel_array, ds.pixel_array])
        if give == "big":
            return np.random.default_rng(1).random((512, 512))
        if give == "bytes":
            return b"\\x00\\x01bytes"
        measured = {"volume_ml": kwargs.get("factor", 1.0), "labels": ["liver", "spleen"]}
        return {"measurements": measured, "patient": str(ds.PatientName), "list": [{"v": 1}, {"v": 2}]}
    def destroy(self): pass
"""
PARAMS = {
    "give": {"type": "text", "default": "json"},
    "factor": {"type": "double", "default": 1},
    "wait": {"type": "double", "default": 0},
}


class Counter:
    """The plugin's calls."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def calls(self) -> int:
        return len(self.path.read_text().splitlines()) if self.path.exists() else 0

    def archive(self, guid: str = "test.plugin", version: str = "1.0", **fields: Any) -> bytes:
        source = COUNTING % str(self.path)
        return package(source, params=PARAMS, plugin_guid=guid, version=version, **fields)


def ids(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["X-Total-Count"]) == len(answer.json())
    return {one["id"] for one in answer.json()}


def finished(client: httpx.Client, job: str) -> dict[str, Any]:
    """A job once it is over."""
    deadline = time.monotonic() + 30
    while (found := dict(client.get(f"/api/jobs/{job}").json()))["ended"] is None:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def files(server: Server) -> list[Path]:
    """The bodies in the data folder."""
    return [path for path in (server.data / "results" / "objects").rglob("*") if path.is_file()]
