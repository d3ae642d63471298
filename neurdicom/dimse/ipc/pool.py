"""The pool of DIMSE processes of a server: one at first, more when all are busy, fewer when they are idle."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

from neurdicom.config import Settings
from neurdicom.coordination import BackgroundTasks, Periodic
from neurdicom.dimse.ipc.backend import DimseBackend
from neurdicom.dimse.ipc.contract import ProcessSettings
from neurdicom.dimse.ipc.process import DimseProcess
from neurdicom.errors import Unavailable

log = logging.getLogger(__name__)

#: Seconds after which an idle process is ended; the last one is replaced by a new one, which is small.
IDLE_SECONDS = 60.0

#: Seconds between the end of a process that never had a connection and its successor.
RESTART_SECONDS = 1.0


class DimseProcessPool:
    """Pool of DIMSE processes, which distributes accepted connections and operations as SCU among them.

    If a process dies, only its own associations are lost.

    Parameters
    ----------
    settings : Settings
        The server's settings.
    backend : DimseBackend
        The verbs that the processes may call.
    spool : Path
        Folder that the processes write arrivals to.
    """

    def __init__(self, settings: Settings, backend: DimseBackend, spool: Path) -> None:
        self._backend = backend
        self._most = settings.dimse_processes
        self._process_settings = ProcessSettings(
            spool=str(spool),
            ae_title=settings.ae_title,
            storage=settings.dimse_storage,
            relational=settings.dimse_relational,
            timeout=settings.dimse_timeout,
            largest=settings.max_upload,
            certificate=settings.dimse_tls_certificate,
            key=settings.dimse_tls_key,
            ca=settings.dimse_tls_ca,
            log_level=settings.log_level,
            log_format=settings.log_format,
        )
        self._processes: list[DimseProcess] = []
        self._numbers = count(1)
        self._starting: asyncio.Task[None] | None = None
        self._tasks = BackgroundTasks("the files of a DIMSE process that has ended are not deleted")
        self._idle = Periodic(self._end_idle, IDLE_SECONDS / 4, "an idle DIMSE process is not ended")
        self._keeps_one = False
        self._is_open = False

    @property
    def connections(self) -> int:
        """Number of connections of all processes."""
        return sum(len(process.usage.connections) for process in self._processes)

    def open(self, *, keep_one: bool) -> None:
        """Open the pool, which starts processes when they are needed.

        Parameters
        ----------
        keep_one : bool
            True to start one process now, and to have one ready at any time.
        """
        self._is_open = True
        self._keeps_one = keep_one
        self._idle.start()
        if keep_one:
            self._start_another()

    async def make_room(self) -> None:
        """Start another process and wait for it, if all are busy and there may be more."""
        if not any(process.ready and not process.load for process in self._processes):
            self._start_another()
            await self._started()

    def hand_over(self, sock: socket.socket, remote: Any) -> bool:
        """Hand a connection over to the least busy process, and start another if all are busy now.

        Returns
        -------
        bool
            True if a process took it. The caller still has to close its socket.
        """
        ready = [process for process in self._processes if process.ready]
        taken = any(
            process.hand_over(sock, next(self._numbers), remote)
            for process in sorted(ready, key=lambda process: process.load)
        )
        if all(process.load for process in self._processes):
            self._start_another()
        return taken

    async def operate(self, verb: str, body: bytes = b"", **arguments: Any) -> AsyncIterator[Any]:
        """Run an operation in the least busy process; see `DimseProcess.operate`.

        Parameters
        ----------
        verb, body, **arguments
            As for `DimseProcess.operate`.

        Yields
        ------
        tuple
            As `DimseProcess.operate`.

        Raises
        ------
        NeurdicomError
            As `DimseProcess.operate`; `Unavailable` if no process can be started.
        """
        if not any(process.ready for process in self._processes):
            self._start_another()
            await self._started()
        ready = [process for process in self._processes if process.ready]
        if not ready:
            raise Unavailable("no DIMSE process can be started")
        steps = min(ready, key=lambda process: process.load).operate(verb, body, **arguments)
        async with contextlib.aclosing(steps) as operation:  # type: ignore[type-var]
            async for step in operation:
                yield step

    def _start_another(self, delay: float = 0.0) -> None:
        """Start a process in the background, unless one is being started or the limit is reached."""
        if self._starting is None and len(self._processes) < self._most:
            self._start(delay)

    def _start(self, delay: float = 0.0) -> None:
        if self._is_open:
            self._starting = asyncio.create_task(self._run_start(delay))

    async def _run_start(self, delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            process = DimseProcess(self._backend.verbs, self._ended)
            await process.start(self._process_settings)
            self._processes.append(process)
        except Unavailable as error:
            log.warning("%s", error)
        finally:
            self._starting = None

    async def _started(self) -> None:
        if self._starting is not None:
            await asyncio.wait([self._starting])

    def _ended(self, process: DimseProcess) -> None:
        self._processes.remove(process)
        self._tasks.start(self._backend.clean_up(process))
        if self._keeps_one and not self._processes:
            self._start_another(0.0 if process.usage.was_used else RESTART_SECONDS)

    async def _end_idle(self) -> None:
        """End idle processes; the last one is replaced by a new one if it has loaded the protocol."""
        now = asyncio.get_running_loop().time()
        for process in list(self._processes):
            if process.load or not process.ready or now - process.usage.idle_since < IDLE_SECONDS:
                continue
            others = any(other.ready for other in self._processes if other is not process)
            if not others and not process.usage.was_used:
                continue
            if others or not self._keeps_one:
                await process.stop(0.0)
            elif self._starting is None:
                self._start()  # one more than usual, for a moment

    async def close(self, grace: float) -> None:
        """End the processes; running operations and associations get `grace` seconds."""
        self._is_open = False
        self._idle.cancel()
        await self._started()
        await asyncio.gather(*(process.stop(grace) for process in list(self._processes)))
        await self._tasks.drain()
