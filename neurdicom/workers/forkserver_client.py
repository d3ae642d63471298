"""The server's client of the fork server."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import orjson

from neurdicom.workers.protocol import rights_of
from neurdicom.workers.read_only import ReadOnlyFolders, may_mount


@dataclass(frozen=True, slots=True)
class End:
    """End of a worker process.

    Attributes
    ----------
    status : int
        Wait status, as `os.wait4` gives it.
    grown : int
        Bytes that its resident memory grew by, at most.
    refused : str or None
        Why the process could not be forked; None where it was.
    """

    status: int = 0
    grown: int = 0
    refused: str | None = None


@dataclass(slots=True)
class Child:
    """Worker process, as the server sees it.

    Attributes
    ----------
    kill : callable
        Kills it and all processes of its session.
    connection : socket
        The server's end of its socket.
    output : int
        Read end of the pipe that it prints to.
    pid : int or None
        Its process id, once there is a process.
    """

    kill: Callable[[], None]
    connection: socket.socket
    output: int
    pid: int | None = None


class ForkServerClient:
    """Client that has worker processes forked, and reports how each ended.

    All methods belong to the event loop's thread. The fork server is started with the first worker or by `open`, and
    again should it ever be gone.

    Parameters
    ----------
    read_only : ReadOnlyFolders, optional
        Folders that workers can't change; by default none.
    """

    def __init__(self, read_only: ReadOnlyFolders | None = None) -> None:
        self._read_only = read_only or ReadOnlyFolders()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._begins: dict[int, tuple[Child, Callable[[], None]]] = {}
        self._ends: dict[int, Callable[[End], None]] = {}
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        self._count = 0
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def open(self) -> None:
        """Start the fork server if there is none. Returns before it is ready; requests wait for it."""
        if self._control is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own = self._make_folders()
        inside = os.path.realpath(self._temporary.name) if self._temporary is not None else ""
        inside = inside if self._read_only.contain(inside) else ""
        folders = orjson.dumps(asdict(replace(self._read_only, temporary=inside))).decode()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "neurdicom.workers.forkserver", str(theirs.fileno()), folders],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment() | own,
                start_new_session=True,
            )
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._hear)

    async def close(self) -> None:
        """End the fork server and with it all workers; returns when they are gone. Idempotent."""
        if self._process is None:
            return
        process = self._part()
        self._process = None
        await asyncio.to_thread(process.wait)
        self._report(End(status=signal.SIGKILL))
        if self._temporary is not None:
            await asyncio.to_thread(self._temporary.cleanup)
            self._temporary = None

    def _make_folders(self) -> dict[str, str]:
        """Make a temporary folder and a home for workers where they can't make files in the usual ones.

        Many libraries keep settings and caches in the home, which for a server in a container is its data folder. What
        the usual home has is linked from the new one.

        Returns
        -------
        dict of str to str
            Environment variables that name the folders.
        """
        try:
            used = {"TMPDIR": tempfile.gettempdir(), "HOME": os.environ.get("HOME", "")}
            lacking = {name: Path(folder) for name, folder in used.items() if folder and self._is_closed(folder)}
            if lacking and self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="neurdicom-", ignore_cleanup_errors=True)
                if "HOME" in lacking:
                    _link_entries(lacking["HOME"], Path(self._temporary.name, "home"))
        except OSError:  # no folder can be written: a plugin that needs one says so
            return {}
        if self._temporary is None:
            return {}
        made = {"TMPDIR": self._temporary.name, "HOME": str(Path(self._temporary.name, "home"))}
        return {name: folder for name, folder in made.items() if name in lacking}

    def _is_closed(self, folder: str) -> bool:
        """Tell whether workers can't make files in a folder: it is read-only or, by Landlock, holds one that is."""
        return self._read_only.contain(folder) or (not may_mount() and self._read_only.holds(folder))

    def spawn(self, began: Callable[[], None], ended: Callable[[End], None]) -> Child:
        """Start a worker without waiting for it.

        Parameters
        ----------
        began : callable
            Called once there is a process.
        ended : callable
            Called once, when the process is gone, or when there will be none.

        Raises
        ------
        OSError
            The server has no descriptors or processes left.
        """
        self.open()
        ours, theirs = socket.socketpair()
        try:
            read, write = os.pipe2(os.O_CLOEXEC)
        except OSError:
            ours.close()
            theirs.close()
            raise
        ours.setblocking(False)
        os.set_blocking(read, False)
        self._count = number = self._count + 1
        child = Child(partial(self._kill, number), ours, read)
        self._begins[number], self._ends[number] = (child, began), ended
        self._send(orjson.dumps({"spawn": number}), [theirs.detach(), write])
        return child

    def _kill(self, number: int) -> None:
        if number in self._ends:
            self._send(orjson.dumps({"kill": number}), [])

    def _send(self, data: bytes, descriptors: list[int]) -> None:
        self._unsent.append((data, descriptors))
        if len(self._unsent) == 1:
            self._flush()

    def _flush(self) -> None:
        assert self._control is not None
        loop = asyncio.get_running_loop()
        while self._unsent:
            data, descriptors = self._unsent[0]
            try:
                self._control.sendmsg([data], rights_of(descriptors))
            except BlockingIOError:
                loop.add_writer(self._control, self._flush)
                return
            except OSError:  # it is gone: reading will show that, and end all workers
                pass
            self._unsent.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        loop.remove_writer(self._control)

    def _hear(self) -> None:
        assert self._control is not None
        for _ in range(64):
            try:
                data = self._control.recv(4096)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            if not data:
                self._lost()
                return
            fact = orjson.loads(data)
            number = fact["worker"]
            if "pid" in fact:
                child, began = self._begins.pop(number)
                child.pid = fact["pid"]
                began()
                continue
            self._begins.pop(number, None)
            if (ended := self._ends.pop(number, None)) is not None:
                ended(End(fact.get("status", 0), fact.get("grown", 0), fact.get("refused")))

    def _lost(self) -> None:
        """Clean up after a fork server that is gone; the kernel has killed its workers, and the next one can start."""
        process = self._part()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        self._process = None
        self._report(End(status=signal.SIGKILL))

    def _report(self, end: End) -> None:
        for ended in [self._ends.pop(number) for number in list(self._ends)]:
            ended(end)

    def _part(self) -> subprocess.Popen[bytes]:
        """Close the connection, which the fork server takes as the request to end."""
        assert self._process is not None
        if self._control is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._control)
            loop.remove_writer(self._control)
            self._control.close()
            self._control = None
        for _, descriptors in self._unsent:
            for descriptor in descriptors:
                os.close(descriptor)
        self._unsent.clear()
        self._begins.clear()
        return self._process


def _link_entries(folder: Path, new: Path) -> None:
    """Make a new folder of symbolic links to a folder's entries, as far as it can be listed."""
    new.mkdir()
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            (new / entry.name).symlink_to(entry)


def _environment() -> dict[str, str]:
    """Copy the environment without the server's settings, some of which are secrets, and with one thread a worker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEURDICOM_")}
    kept.pop("PYTHONUNBUFFERED", None)  # with it each print of a plugin would be several writes
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        kept.setdefault(name, "1")
    # Images come and go in a worker: memory of their size is kept for the next, not given back and faulted in again.
    kept.setdefault("MALLOC_MMAP_THRESHOLD_", str(16 << 20))
    kept.setdefault("MALLOC_TRIM_THRESHOLD_", str(64 << 20))
    return kept
