"""Orthanc as a remote node."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.dimse.remotes import wait_for_port
from tests.support.server import free_port


@dataclass(frozen=True)
class Orthanc:
    """A running one."""

    http: httpx.Client
    port: int


@contextlib.contextmanager
def orthanc(folder: Path, neurdicom_port: int) -> Iterator[Orthanc]:
    """Start Orthanc in a folder; it knows NEURDICOM, and takes everything from it."""
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("Orthanc is not installed")
    dicom, http = free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": "ORTHANC",
        "DicomPort": dicom,
        "HttpPort": http,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [],
        "DicomModalities": {"neurdicom": ["NEURDICOM", "127.0.0.1", neurdicom_port]},
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowGet": True,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (
        (folder / "orthanc.log").open("wb") as output,
        subprocess.Popen([program, str(folder / "orthanc.json")], stdout=output, stderr=output) as process,
    ):
        try:
            wait_for_port(dicom)
            wait_for_port(http)
            with httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=30) as client:
                yield Orthanc(client, dicom)
        finally:
            process.terminate()
