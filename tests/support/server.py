"""A real server process, driven over real sockets."""

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.forked import ForkedProcess
from tests.support.waiting import wait_for


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


READY = re.compile(r"ready at (http://\S+)")
START_SECONDS = 60


@cache
def _data_folders() -> str:
    """A folder for the data of this session's servers, beside those of its tests."""
    folder = tempfile.mkdtemp(prefix="neurdicom-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Server:
    """`neurdicom serve` on a free port.

    Attributes
    ----------
    url : str
        Such as `http://127.0.0.1:40123`.
    client : httpx.Client
        With `url` as its base, without a credential.
    data : Path
        The data folder. A new one is made elsewhere and linked from here: workers that Landlock confines make nothing
        in folders that hold the data folder, and tests let plugins write to theirs.
    process : ForkedProcess
        The server process.
    output : collections.deque of str
        The last lines that it printed.
    variables : dict of str to str
        Environment variables of our prefix that it gets; those of the tests' own environment are kept from it.
    dimse_port : int
        Its port for DIMSE, when it was made by `with_dimse`.
    """

    dimse_port = 0

    def __init__(self, data: Path, *options: str, auth: bool = False) -> None:
        self.data = data
        self.options = [*options] if auth else ["--no-auth", *options]
        self.output: deque[str] = deque(maxlen=2000)
        self.variables: dict[str, str] = {}

    @classmethod
    def with_dimse(cls, data: Path, *options: str, auth: bool = False) -> Self:
        """A server that takes associations on a free port, as NEURDICOM unless an option says otherwise."""
        port = free_port()
        server = cls(data, "--dimse-port", str(port), *options, auth=auth)
        server.dimse_port = port
        return server

    def begin_start(self) -> threading.Event:
        """Start, and return at once; the event is set when it is ready, or has ended."""
        self._link_data_folder()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NEURDICOM_")} | self.variables
        self.process = self._launch(["serve", "--data", str(self.data), "--port", "0", *self.options], environment)
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        return ready

    def start(self) -> Self:
        """Start, and return when it is ready."""
        ready = self.begin_start()
        if not ready.wait(START_SECONDS) or self.process.poll() is not None:
            self.kill()
            raise AssertionError("the server did not start:\n" + "".join(self.output))
        self.client = httpx.Client(base_url=self.url, timeout=60)
        return self

    def _launch(self, arguments: list[str], environment: dict[str, str]) -> Any:
        return ForkedProcess(arguments, environment)

    def _link_data_folder(self) -> None:
        if self.data.is_symlink():
            return
        if self.data.exists():
            if any(self.data.iterdir()):
                return
            self.data.rmdir()
        self.data.symlink_to(tempfile.mkdtemp(dir=_data_folders()))

    def _read(self, ready: threading.Event) -> None:
        for line in self.process.stdout:
            self.output.append(line)
            if found := READY.search(line):
                self.url = found[1]
                ready.set()
        ready.set()

    @property
    def files(self) -> Path:
        """The data folder itself, where `data` may lead to it."""
        return self.data.resolve()

    @property
    def log(self) -> str:
        """Output of the server so far."""
        return "".join(self.output)

    def wait_for_empty_spool(self) -> None:
        """Wait until nothing temporary is left of arrivals."""
        wait_for(lambda: not list((self.files / "blobs" / "spool").iterdir()), "an empty spool")

    def stop(self) -> int:
        """Stop as an init system does; answers the exit status."""
        if hasattr(self, "client"):
            self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise
        self._finish()
        return status

    def kill(self) -> None:
        """Stop as a power cut does (kill -9)."""
        if hasattr(self, "client"):
            self.client.close()
        self.process.kill()
        self.process.wait()
        self._finish()

    def _finish(self) -> None:
        self._reader.join(10)
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
