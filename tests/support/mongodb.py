"""A MongoDB for the tests: the one that the environment names, `mongod`, or the wire-protocol server nx-27017."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import free_port

START_SECONDS = 30.0


@contextmanager
def mongodb(folder: Path) -> Iterator[str]:
    """Yield the URI of a server; one that is started here ends with the context."""
    named = os.environ.get("NEURDICOM_TEST_MONGODB_URI")
    if named:
        yield named
        return
    port = free_port()
    real = shutil.which("mongod")
    if real:
        command = [real, "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"]
    else:
        server = Path(sys.executable).with_name("nx-27017")
        command = [str(server), "--data-dir", str(folder), "--host", "127.0.0.1", "-p", str(port)]
        # Its own defaults are files for the whole machine: a second test session, or another user's, would be refused.
        command += ["--pid-file", str(folder / "server.pid"), "--log-file", str(folder / "nx.log")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        _wait_for(port, process, folder / "server.log")
        yield f"mongodb://127.0.0.1:{port}/"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the MongoDB of the tests does not start: {log.read_text(errors='replace')[-2000:]}")
