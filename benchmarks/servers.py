"""The servers that are compared, each a process of its own on a free port with a data folder of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_READY = re.compile(rb"ready at http://[^:]+:(\d+)")
_START_SECONDS = 30


@contextmanager
def neurdicom(folder: Path, *options: str) -> Iterator[int]:
    """Run NeurDICOM on the embedded catalog; gives its port."""
    command = [sys.executable, "-m", "neurdicom", "serve", "--data", str(folder), "--port", "0", "--no-auth", *options]
    log = folder.with_suffix(".log")
    with log.open("wb") as output, _running(command, output):
        yield _wait(lambda: int(found[1]) if (found := _READY.search(log.read_bytes())) else None, log)


@contextmanager
def orthanc(folder: Path, **settings: object) -> Iterator[int]:
    """Run Debian's Orthanc with keep-alive and no-delay on and no checks of credentials; gives its port."""
    port = free_port()
    folder.mkdir(parents=True)
    configuration = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "DicomPort": free_port(),
        "KeepAlive": True,
        "TcpNoDelay": True,
        "HttpThreadsCount": 50,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [],
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration | settings))
    log = folder.with_suffix(".log")
    with log.open("wb") as output, _running(["Orthanc", str(file)], output):
        yield _wait(lambda: port if _listens(port) else None, log)


@contextmanager
def storescp(folder: Path, port: int, *options: str) -> Iterator[int]:
    """Run DCMTK's storescp, which writes what it gets to files and does not flush them; gives its port."""
    folder.mkdir(parents=True)
    log = folder.with_suffix(".log")
    with log.open("wb") as output, _running(["storescp", *options, "-od", str(folder), str(port)], output):
        yield _wait(lambda: port if _listens(port) else None, log)


@contextmanager
def _running(command: list[str], output: object) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # type: ignore[call-overload]
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(probe, log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        port = probe()
        if port is not None:
            return port
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')}")


def free_port() -> int:
    """Find a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def settle() -> None:
    """Let the disk finish what earlier runs wrote, so that no run pays for another."""
    os.sync()
