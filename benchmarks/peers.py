"""The servers that are compared, each started for one run on an empty folder: NeurDICOM and Debian's Orthanc."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc/plugins")
START_SECONDS = 30.0


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{url} does not answer; the process's status is {process.poll()}")


@contextmanager
def neurdicom(folder: Path, *options: str) -> Iterator[str]:
    """NeurDICOM without credentials, on the embedded catalog; answers its URL."""
    port = free_port()
    command = [sys.executable, "-m", "neurdicom", "serve", "--no-auth", "--data", str(folder), "--port", str(port)]
    with _running([*command, "--log-level", "warning", *options], f"http://127.0.0.1:{port}/api/health", folder):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def orthanc(folder: Path, *, python: Path | None = None) -> Iterator[str]:
    """Orthanc as DESIGN asks for it: keep-alive and no-delay on; `python` is a script for its Python plugin."""
    if shutil.which("Orthanc") is None:
        raise FileNotFoundError("Orthanc is not installed (Debian: apt-get install orthanc orthanc-python)")
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "KeepAlive": True,
        "TcpNoDelay": True,
        "Plugins": [],
    }
    if python is not None:
        library = next(p for place in PLUGIN_FOLDERS for p in Path(place).glob("libOrthancPython*"))
        settings |= {"Plugins": [str(library)], "PythonScript": str(python)}
    file = folder / "orthanc.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    with _running(["Orthanc", str(file)], f"http://127.0.0.1:{port}/system", folder):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _running(command: list[str], url: str, folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(url, process)
            yield
        finally:
            process.terminate()
            process.wait(60)
