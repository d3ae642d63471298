"""The DIMSE service of a server: it accepts connections and hands them over to DIMSE processes."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from typing import Any

from neurdicom.config import Settings
from neurdicom.coordination import BackgroundTasks
from neurdicom.dimse.ipc.backend import DimseBackend
from neurdicom.dimse.ipc.pool import DimseProcessPool
from neurdicom.dimse.ul.tls import acceptor_context
from neurdicom.errors import Unavailable

log = logging.getLogger(__name__)

#: Connections beyond the limit of associations that still get a rejection; more are closed at once.
REJECTED_AT_A_TIME = 32

_BACKLOG = 128


class DimseService:
    """Listener for DIMSE, which hands each connection over to the least busy process.

    Parameters
    ----------
    settings : Settings
        The server's settings.
    pool : DimseProcessPool
        The processes; opened and closed with the service.
    backend : DimseBackend
        Counts associations and received instances.

    Attributes
    ----------
    address : str
        Address that it listens on, such as `127.0.0.1:4242`; empty without a port.
    """

    def __init__(self, settings: Settings, pool: DimseProcessPool, backend: DimseBackend) -> None:
        self._settings = settings
        self._pool = pool
        self._backend = backend
        self._sockets: list[socket.socket] = []
        self._tasks = BackgroundTasks("a DIMSE connection is lost")
        self._held = 0  # connections that wait for a process
        self.address = ""

    @property
    def port(self) -> int:
        """TCP port; 0 without one."""
        return self._settings.dimse_port

    @property
    def associations(self) -> int:
        """Number of open associations that were accepted."""
        return self._backend.associations

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Number of instances received by C-STORE, by outcome; see `DimseBackend.outcomes`."""
        return self._backend.outcomes

    async def open(self) -> None:
        """Listen, and start the first process; without a port, operations start it.

        Raises
        ------
        Invalid
            The TLS files are missing or not valid.
        Unavailable
            The address is taken.
        """
        settings = self._settings
        acceptor_context(settings.dimse_tls_certificate, settings.dimse_tls_key, settings.dimse_tls_ca)
        if settings.dimse_port:
            await self._listen()
        self._pool.open(keep_one=bool(settings.dimse_port))

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
            raise Unavailable(
                f"can't listen for DIMSE on {host} port {port}: {error.strerror}; "
                "choose others with --host and --dimse-port"
            ) from error
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
            self._tasks.start(self._place(sock, remote))

    async def _place(self, sock: socket.socket, remote: Any) -> None:
        """Hand a connection over to a process; close it if no process takes it, or there are too many connections."""
        with sock:
            try:
                await self._pool.make_room()
            finally:
                self._held -= 1
            if self._pool.connections + self._held >= self._settings.dimse_associations + REJECTED_AT_A_TIME:
                log.warning("a DIMSE connection from %s is closed: there are too many", remote[0])
            elif not self._pool.hand_over(sock, remote):
                log.warning("a DIMSE connection from %s is closed: no DIMSE process takes it", remote[0])

    async def close(self, grace: float) -> None:
        """Stop listening, let running operations end within `grace` seconds, and end the processes."""
        self._stop_listening()
        await self._pool.close(grace)
        await self._tasks.drain()
