"""The DIMSE services of a server: listens, and spreads the connections over processes."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

from neurdicom.config import Settings
from neurdicom.dimse.door import Door
from neurdicom.dimse.process import DimseProcess
from neurdicom.dimse.tls import acceptor_context
from neurdicom.errors import Unavailable

log = logging.getLogger(__name__)

#: Seconds after which a process without work ends; at least one stays, and starts small again.
IDLE_SECONDS = 60.0

#: Connections beyond the limit of associations that still get a rejection; more are closed at once.
REJECTED_AT_A_TIME = 32

#: Seconds between the end of a process that never had a connection and its successor.
RESTART_SECONDS = 1.0

_BACKLOG = 128


class DimseService:
    """Accepts connections, and hands each to the least busy DIMSE process.

    There is one process at first. When all have something to do, another is started in advance, up to the
    settings' number. A process that dies costs its own associations only.

    Parameters
    ----------
    settings : Settings
    door : Door
        What the processes may ask of the server.

    Attributes
    ----------
    address : str
        Where it listens, such as `127.0.0.1:4242`; empty without a port.
    """

    def __init__(self, settings: Settings, door: Door) -> None:
        self._settings = settings
        self._door = door
        self._sockets: list[socket.socket] = []
        self._processes: list[DimseProcess] = []
        self._numbers = count(1)
        self._starting: set[asyncio.Task[None]] = set()
        self._closing = False
        self._ticker: asyncio.Task[None] | None = None
        self.address = ""

    @property
    def port(self) -> int:
        """TCP port; 0 without one."""
        return self._settings.dimse_port

    @property
    def associations(self) -> int:
        """Associations at this moment."""
        return self._door.associations

    async def open(self) -> None:
        """Start the first process, and listen.

        Raises
        ------
        Invalid
            The TLS files are not what they should be.
        Unavailable
            The address is taken.
        """
        settings = self._settings
        acceptor_context(settings.dimse_tls_certificate, settings.dimse_tls_key, settings.dimse_tls_ca)
        self._ticker = asyncio.create_task(self._tick())
        if not self._settings.dimse_port:
            return
        await self._listen()
        await self._start()

    async def _listen(self) -> None:
        host, port = self._settings.host, self._settings.dimse_port
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(found):
                sock = socket.socket(family, socket.SOCK_STREAM)
                self._sockets.append(sock)
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind(address)
                sock.listen(_BACKLOG)
        except OSError as error:
            self._stop_listening()
            raise Unavailable(f"can't listen for DIMSE on {host} port {port}: {error.strerror}") from error
        for sock in self._sockets:
            loop.add_reader(sock, self._accept, sock)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _stop_listening(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(ValueError):
                asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_BACKLOG):
            try:
                sock, remote = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:  # such as too many open files
                log.warning("a DIMSE connection can't be accepted: %s", error)
                return
            with sock:
                self._distribute(sock, remote)

    def _distribute(self, sock: socket.socket, remote: Any) -> None:
        """Give a connection to the process with the least to do; it is closed when there is none."""
        ready = [process for process in self._processes if process.ready]
        if sum(len(process.connections) for process in ready) >= (
            self._settings.dimse_associations + REJECTED_AT_A_TIME
        ):
            log.warning("a DIMSE connection of %s is closed: there are too many", remote[0])
            return
        for process in sorted(ready, key=lambda process: process.load):
            if process.hand_over(sock, next(self._numbers), remote):
                break
        else:
            log.warning("a DIMSE connection of %s is closed: no process takes it", remote[0])
        self._start_in_advance()

    def _start_in_advance(self) -> None:
        if (
            not self._closing
            and not self._starting
            and len(self._processes) < self._settings.dimse_processes
            and all(process.load for process in self._processes)
        ):
            self._begin_starting()

    def _begin_starting(self) -> None:
        task = asyncio.create_task(self._start_later())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start_later(self, delay: float = 0.0) -> None:
        await asyncio.sleep(delay)
        try:
            await self._start()
        except Unavailable as error:
            log.warning("%s", error)

    async def _start(self) -> DimseProcess:
        process = DimseProcess(self._door.verbs, self._ended)
        await process.start(self._door.arguments())
        self._processes.append(process)
        return process

    def _ended(self, process: DimseProcess) -> None:
        self._processes.remove(process)
        self._door.left(process)
        if self._sockets and not self._processes and not self._closing and not self._starting:
            task = asyncio.create_task(self._start_later(0.0 if process.was_used else RESTART_SECONDS))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def operate(self, verb: str, body: bytes = b"", **arguments: Any) -> AsyncIterator[Any]:
        """Have a process do something for the server, such as an operation as SCU; see `DimseProcess.operate`."""
        ready = [process for process in self._processes if process.ready]
        process = min(ready, key=lambda process: process.load) if ready else await self._start()
        steps = process.operate(verb, body, **arguments)
        self._start_in_advance()
        async with contextlib.aclosing(steps) as operation:  # type: ignore[type-var]
            async for step in operation:
                yield step

    async def _tick(self) -> None:
        """End processes that have had nothing to do for a while."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(IDLE_SECONDS / 4)
            idle = [
                process
                for process in self._processes
                if process.ready and not process.load and loop.time() - process.idle_since > IDLE_SECONDS
            ]
            for process in idle:
                if process.was_used or len(self._processes) > 1:
                    await process.stop(0.0)

    async def close(self, grace: float) -> None:
        """Take no more connections, let what is under way end within `grace` seconds, end the processes."""
        self._closing = True
        self._stop_listening()
        if self._ticker is not None:
            self._ticker.cancel()
        if self._starting:
            await asyncio.wait(self._starting)
        await asyncio.gather(*(process.stop(grace) for process in list(self._processes)))
