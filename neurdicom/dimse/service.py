"""The DIMSE services of a server: listens, and spreads the connections over processes."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from itertools import count
from typing import Any

from neurdicom.config import Settings
from neurdicom.dimse.ipc.backend import Door
from neurdicom.dimse.ipc.process import DimseProcess
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
        self._starting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0  # connections that wait for a process
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

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many instances came by C-STORE, by what became of them; see `Door.outcomes`."""
        return self._door.outcomes

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
        self._start_another()

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
            self._held += 1
            self._later(self._place(sock, remote))

    async def _place(self, sock: socket.socket, remote: Any) -> None:
        """Give a connection to the process with the least to do; it is closed when there is none."""
        with sock:
            try:
                if not any(process.ready and not process.load for process in self._processes):
                    self._start_another()
                    if self._starting is not None:
                        await asyncio.wait([self._starting])
            finally:
                self._held -= 1
            connections = sum(len(process.connections) for process in self._processes) + self._held
            if connections >= self._settings.dimse_associations + REJECTED_AT_A_TIME:
                log.warning("a DIMSE connection of %s is closed: there are too many", remote[0])
                return
            ready = [process for process in self._processes if process.ready]
            for process in sorted(ready, key=lambda process: process.load):
                if process.hand_over(sock, next(self._numbers), remote):
                    break
            else:
                log.warning("a DIMSE connection of %s is closed: no process takes it", remote[0])
        self._start_in_advance()

    def _start_in_advance(self) -> None:
        """Have a process ready for the next who comes."""
        if all(process.load for process in self._processes):
            self._start_another()

    def _start_another(self, delay: float = 0.0) -> None:
        """Begin to start a process, unless one is being started, or there are as many as there may be."""
        if self._closing or self._starting is not None or len(self._processes) >= self._settings.dimse_processes:
            return
        self._starting = asyncio.create_task(self._start(delay))

    async def _start(self, delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            process = DimseProcess(self._door.verbs, self._ended)
            await process.start(self._door.arguments())
            self._processes.append(process)
        except Unavailable as error:
            log.warning("%s", error)
        finally:
            self._starting = None

    def _ended(self, process: DimseProcess) -> None:
        self._processes.remove(process)
        self._later(self._door.left(process))
        if self._sockets and not self._processes:
            self._start_another(0.0 if process.was_used else RESTART_SECONDS)

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def operate(self, verb: str, body: bytes = b"", **arguments: Any) -> AsyncIterator[Any]:
        """Have a process do something for the server, such as an operation as SCU; see `DimseProcess.operate`."""
        if not any(process.ready for process in self._processes):
            self._start_another()
            if self._starting is not None:
                await asyncio.wait([self._starting])
        ready = [process for process in self._processes if process.ready]
        if not ready:
            raise Unavailable("no DIMSE process can be started")
        steps = min(ready, key=lambda process: process.load).operate(verb, body, **arguments)
        async with contextlib.aclosing(steps) as operation:  # type: ignore[type-var]
            async for step in operation:
                yield step

    async def _tick(self) -> None:
        """End processes that have had nothing to do for a while; the last one, if it has grown, for a new one."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(IDLE_SECONDS / 4)
            for process in list(self._processes):
                if process.load or not process.ready or loop.time() - process.idle_since < IDLE_SECONDS:
                    continue
                others = any(other.ready for other in self._processes if other is not process)
                if not others and not process.was_used:
                    continue
                if others or not self._sockets:
                    await process.stop(0.0)
                elif self._starting is None and not self._closing:
                    self._starting = asyncio.create_task(self._start(0.0))  # one more than usual, for a moment

    async def close(self, grace: float) -> None:
        """Take no more connections, let what is under way end within `grace` seconds, end the processes."""
        self._closing = True
        self._stop_listening()
        if self._ticker is not None:
            self._ticker.cancel()
        if self._starting is not None:
            await asyncio.wait([self._starting])
        await asyncio.gather(*(process.stop(grace) for process in list(self._processes)))
        if self._tasks:
            await asyncio.wait(self._tasks)
