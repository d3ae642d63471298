"""The fork server: the process that forks the workers (`python -m neurdicom.workers.forkserver FD FOLDERS`).

It has imported what every worker needs, has one thread, and never runs a plugin's code, so a new worker costs a fork
and starts from a clean state. It is the parent of all workers and adopts the processes that they leave behind: when a
worker ends, every process of the worker's session is killed too. When the server ends, in whatever way, it kills the
remaining workers and ends.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from neurdicom.workers import limits, worker
from neurdicom.workers.read_only import ReadOnlyFolders

#: Modules that workers need at once; a missing one is reported by the worker that needs it.
PRELOADED = (
    "numpy",
    "numpy.random",
    "PIL.Image",
    "pydicom",
    "pydicom.pixels",
    "neurdicom.workers.loaders.native",
    "neurdicom.workers.loaders.results",
    "neurdicom.pixels.tasks",
    "neurdicom.pixels.decode.preload",
)


class Forkserver:
    """Forks workers on request, kills them on request, and reports how each ended."""

    def __init__(self, control: socket.socket, read_only: ReadOnlyFolders) -> None:
        self._control = control
        self._read_only = read_only
        self._pids: dict[int, int] = {}
        self._workers: dict[int, int] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> None:
        """Serve until the server closes its end, then end all workers."""
        limits.adopt_orphans()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll()}
            if self._wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                self._reap()
            if self._control.fileno() in ready and not self._obey():
                break
        self._end()

    def _obey(self) -> bool:
        """Serve one request of the server; return False when the server is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 4096, 2, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return False
        if not data:
            return False
        request = orjson.loads(data)
        if "spawn" in request:
            self._spawn(request["spawn"], *descriptors)
        else:
            self._kill(self._pids.get(request["kill"]))
        return True

    def _spawn(self, number: int, connection: int, output: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._tell({"worker": number, "refused": str(error)})
        else:
            if pid == 0:
                self._become_worker(connection, output)
            self._pids[number] = pid
            self._workers[pid] = number
            self._tell({"worker": number, "pid": pid})
        finally:
            os.close(connection)
            os.close(output)

    def _become_worker(self, connection: int, output: int) -> None:
        """Turn this process, the child of a fork, into a worker; never returns."""
        status = 1
        try:
            parent = os.getppid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            limits.die_with_parent(parent)
            os.setsid()
            self._control.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(nothing)
            os.close(output)
            worker.run(socket.socket(fileno=connection), self._read_only)
            status = 0
        except SystemExit as end:
            status = worker.exit_status(end)
        except BaseException:  # the interpreter's own handler is out of reach below the fork
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        """Collect ended processes; kill every process that an ended worker left behind."""
        base = _resident()
        while (dead := self._next_dead()) is not None:
            number = self._workers.get(dead)
            if number is not None:
                self._kill(dead)  # until it is reaped, no other process has its id
            _, status, usage = os.wait4(dead, 0)
            if number is not None:
                del self._workers[dead], self._pids[number]
                self._tell({"worker": number, "status": status, "grown": max(0, (usage.ru_maxrss << 10) - base)})
        for pid in _children():
            if pid not in self._workers and _session(pid) not in self._workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _next_dead(self) -> int | None:
        with contextlib.suppress(ChildProcessError):
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return found.si_pid if found else None
        return None

    def _kill(self, pid: int | None) -> None:
        if pid is not None:
            for send in (os.killpg, os.kill):  # the group may not be there yet, just after the fork
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    send(pid, signal.SIGKILL)

    def _tell(self, fact: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            self._control.send(orjson.dumps(fact))

    def _end(self) -> None:
        """Kill all workers and whatever they started; wait until they are gone."""
        until = time.monotonic() + 10.0
        while time.monotonic() < until:
            for pid in list(self._workers):
                self._kill(pid)
            self._reap()
            if not self._workers and not _children():
                return
            time.sleep(0.005)


def _children() -> list[int]:
    """List the processes whose parent is this one."""
    own = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{own}/children").read_text(encoding="ascii").split()]
    except FileNotFoundError:  # a kernel built without this list
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if _stat(pid, 1) == own]


def _session(pid: int) -> int:
    return _stat(pid, 3)


def _stat(pid: int, index: int) -> int:
    """Read a field of /proc/PID/stat, counted from the state; 0 when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(text.rpartition(")")[2].split()[index])


def _resident() -> int:
    """Measure this process's resident memory in bytes, with which a fork starts."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Import the modules to share, then serve on the descriptor given on the command line.

    The other argument is JSON: the fields of `ReadOnlyFolders`.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    control.setblocking(True)
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"not preloaded: {name}: {error}", file=sys.stderr)
    gc.collect()
    gc.freeze()
    Forkserver(control, ReadOnlyFolders(**orjson.loads(sys.argv[2]))).run()


if __name__ == "__main__":
    main()
