"""A real Dask cluster of processes, in a process of its own: `python -m tests.support.dask_cluster WORKERS PORT`."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.checkout import CHECKOUT

START_SECONDS = 60


class DaskCluster:
    """A `distributed.LocalCluster` of worker processes with a thread each, killed one by one as a test likes.

    Attributes
    ----------
    address : str
        Of its scheduler.
    """

    def __init__(self, folder: Path, workers: int = 2, port: int = 0) -> None:
        self.folder = folder
        self._arguments = [str(workers), str(port)]
        self.output: deque[str] = deque(maxlen=2000)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.dask_cluster", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=CHECKOUT,
            env=os.environ | {"DASK_TEMPORARY_DIRECTORY": str(self.folder), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self._ready, self._answers = threading.Event(), deque[str]()
        self._answered = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_SECONDS) or not hasattr(self, "address"):
            self.kill()
            raise AssertionError("the Dask cluster did not start:\n" + "".join(self.output))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        if self._process.poll() is None:
            self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
        self.kill()

    def kill(self) -> None:
        """End all of it at once, as a power cut does."""
        pids = self.pids() if self._process.poll() is None and hasattr(self, "address") else []
        for pid in (self._process.pid, *pids):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        self._reader.join(10)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue

    def pids(self) -> list[int]:
        """Process ids of the Dask workers."""
        found: list[int] = self._ask("pids")
        return found

    def states(self) -> dict[str, dict[str, Any]]:
        """Return each Dask worker's state by its process id; none of one that ran no task yet."""
        found: dict[str, dict[str, Any]] = self._ask("states")
        return found

    def _ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        with self._answered:
            self._answers.clear()
            self._process.stdin.write(f"{what}\n")
            self._process.stdin.flush()
            if not self._answered.wait_for(lambda: self._answers, 30):
                raise AssertionError("the Dask cluster does not answer:\n" + "".join(self.output))
            return json.loads(self._answers.popleft())

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line)
            if found := re.match(r"READY (\S+)", line):
                self.address = found[1]
                self._ready.set()
            elif found := re.match(r"ANSWER (.*)", line):
                with self._answered:
                    self._answers.append(found[1])
                    self._answered.notify_all()
        self._ready.set()


def _serve(workers: int, port: int) -> None:
    from distributed import Client, LocalCluster, Worker

    def state(dask_worker: Worker) -> Any:
        extension = dask_worker.plugins.get("neurdicom")
        return (os.getpid(), extension.state() if extension is not None else None)

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, scheduler_port=port, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        print(f"READY {cluster.scheduler_address}", flush=True)
        for line in sys.stdin:
            if line.strip() == "pids":
                answer: Any = [nanny.pid for nanny in cluster.workers.values()]
            else:
                answer = {pid: found for pid, found in client.run(state).values() if found is not None}
            print(f"ANSWER {json.dumps(answer)}", flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
