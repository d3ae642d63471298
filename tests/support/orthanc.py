"""Orthanc as another server: a node of ours, and a client."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import free_port
from tests.support.waiting import wait_for_port

_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
_PLUGINS = (Path("/usr/share/orthanc/plugins"), Path("/usr/local/share/orthanc/plugins"))


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc.

    Attributes
    ----------
    http : httpx.Client
        A client of its REST API.
    url : str
        Of that; DICOMweb is at `/dicom-web/` below it.
    port : int
        TCP port for DIMSE, at which it is ORTHANC.
    """

    http: httpx.Client
    url: str
    port: int


@contextlib.contextmanager
def orthanc(folder: Path, **settings: Any) -> Iterator[Orthanc]:
    """Run Orthanc in a folder; the test is skipped where it is not installed.

    Parameters
    ----------
    folder : Path
        For its files, its settings and its log; made if missing.
    **settings : object
        Settings of Orthanc's beside the ports. `DicomWeb` loads that plugin; `DicomModalities` opens the DIMSE port.
    """
    program = shutil.which("Orthanc", path=_PATH)
    if program is None:
        pytest.skip("Orthanc is not installed")
    if "DicomWeb" in settings:
        plugin = next((file for each in _PLUGINS if (file := each / "libOrthancDicomWeb.so").exists()), None)
        if plugin is None:
            pytest.skip("Orthanc's DICOMweb plugin is not installed")
        settings["Plugins"] = [str(plugin)]
    folder.mkdir(parents=True, exist_ok=True)
    http, dicom = free_port(), free_port()
    own = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http,
        "DicomAet": "ORTHANC",
        "DicomPort": dicom,
        "DicomServerEnabled": "DicomModalities" in settings,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [],
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(own | settings))
    with (
        (folder / "orthanc.log").open("wb") as log,
        subprocess.Popen([program, str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
    ):
        try:
            wait_for_port(http)
            if "DicomModalities" in settings:
                wait_for_port(dicom)
            url = f"http://127.0.0.1:{http}"
            with httpx.Client(base_url=url, timeout=60) as client:
                yield Orthanc(client, url, dicom)
        finally:
            process.terminate()


def dimse_settings(neurdicom_port: int) -> dict[str, Any]:
    """Settings of an Orthanc that knows a server of ours as NEURDICOM, and lets it do everything."""
    return {
        "DicomModalities": {"neurdicom": ["NEURDICOM", "127.0.0.1", neurdicom_port]},
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowGet": True,
    }
