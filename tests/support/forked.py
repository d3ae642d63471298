"""Processes of the command `neurdicom`, forked from one that has imported the server, which takes a second each time.

They are as any that a shell starts: with arguments, an environment and an output of their own.
"""

import atexit
import contextlib
import gc
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import IO

import orjson

from tests.support.checkout import CHECKOUT

_NUMBER = struct.Struct("!i")


class ForkedProcess:
    """What tests use of `subprocess.Popen`.

    Attributes
    ----------
    pid : int
        The process.
    stdout : io.TextIOWrapper
        What it prints, errors too.
    returncode : int or None
        Its exit status, or the negative number of the signal that ended it; None while it is not known to have ended.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        output, theirs = os.pipe()
        self._status, status = socket.socketpair()
        self.stdout: IO[str] = os.fdopen(output, encoding="utf-8")
        self.returncode: int | None = None
        request = orjson.dumps({"arguments": arguments, "environment": environment, "folder": str(Path.cwd())})
        with status:
            socket.send_fds(_forker(), [request], [theirs, status.fileno()])
        os.close(theirs)
        self.pid = self._receive()

    def _receive(self) -> int:
        data = self._status.recv(_NUMBER.size, socket.MSG_WAITALL)
        if not data:
            raise ConnectionError("the process that forks servers has ended")
        number: int = _NUMBER.unpack(data)[0]
        return number

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process, for so many seconds at most, and return its exit status."""
        if self.returncode is None:
            readable, _, _ = select.select([self._status], [], [], timeout)
            if not readable:
                raise subprocess.TimeoutExpired("neurdicom", timeout or 0)
            self.returncode = self._receive()
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended, which is not reported yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.send_signal(signal.SIGKILL)


@cache
def _forker() -> socket.socket:
    """Start the process that forks; it ends, and what it forked, when this one closes its end of the socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEURDICOM_")}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=CHECKOUT,
            env=environment,
        )

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait()

    return ours


class Forker:
    """Forks processes on request, and reports how each ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._statuses: dict[int, socket.socket] = {}
        self._ended, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def serve(self) -> list[str] | None:
        """Serve until the tests end, and return None; in each forked process return its arguments."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        while True:
            waiting: list[socket.socket | int] = [self._control, self._ended]
            ready, _, _ = select.select(waiting, [], [])
            if self._ended in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._ended, 4096)
                self._reap()
            if self._control in ready:
                message, descriptors, _, _ = socket.recv_fds(self._control, 1 << 18, 2)
                if not message:
                    break
                request = orjson.loads(message)
                output, status = descriptors
                if (pid := os.fork()) == 0:
                    self._become(request["environment"], request["folder"], output)
                    os.close(status)
                    arguments: list[str] = request["arguments"]
                    return arguments
                os.close(output)
                self._statuses[pid] = socket.socket(fileno=status)
                self._statuses[pid].sendall(_NUMBER.pack(pid))
        for pid in self._statuses:
            os.kill(pid, signal.SIGKILL)
        return None

    def _reap(self) -> None:
        """Report all that have ended; nobody may listen any more."""
        for pid in list(self._statuses):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._statuses.pop(pid) as told, contextlib.suppress(BrokenPipeError):
                    told.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(status)))

    def _become(self, environment: dict[str, str], folder: str, output: int) -> None:
        """Make a forked process one as a shell would have started it."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for status in [self._control, *self._statuses.values()]:
            status.close()
        for descriptor in (self._ended, self._wake):
            os.close(descriptor)
        for standard in (1, 2):
            os.dup2(output, standard)
        os.close(output)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


if __name__ == "__main__":
    from neurdicom.app import server
    from neurdicom.cli import serve
    from neurdicom.cli.main import main

    assert server and serve
    gc.freeze()
    asked = Forker(socket.socket(fileno=int(sys.argv[1]))).serve()
    if asked is not None:
        sys.argv = ["neurdicom", *asked]
        main(asked, prog_name="neurdicom")
