"""Orthanc as a DICOMweb client: its plugin pushes, queries and retrieves."""

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import free_port

_PLUGINS = (Path("/usr/share/orthanc/plugins"), Path("/usr/local/share/orthanc/plugins"))
_START_SECONDS = 30


@contextlib.contextmanager
def orthanc(folder: Path, base: str, email: str, password: str) -> Iterator[httpx.Client]:
    """Start Orthanc in a folder; it knows the DICOMweb services at `base` as `neurdicom`."""
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    plugin = next((each for each in _PLUGINS if (each / "libOrthancDicomWeb.so").exists()), None)
    if program is None or plugin is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    folder.mkdir()
    port = free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [str(plugin / "libOrthancDicomWeb.so")],
        "DicomWeb": {"Servers": {"neurdicom": {"Url": base, "Username": email, "Password": password}}},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with subprocess.Popen(
        [program, str(folder / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                _wait(client)
                yield client
        finally:
            process.terminate()


def _wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.get("/system").raise_for_status()
        except httpx.TransportError:
            assert time.monotonic() < deadline, "Orthanc did not start"
            time.sleep(0.05)
        else:
            return
