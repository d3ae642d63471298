"""Rejection of associations while the server can't serve any, such as during a migration of its catalog."""

import asyncio
import logging
from contextlib import suppress
from ssl import SSLContext
from types import TracebackType
from typing import Self

from neurdicom.errors import Unavailable

log = logging.getLogger(__name__)

#: A-ASSOCIATE-RJ (PS3.8 9.3.4): rejected-transient, by the presentation-related service provider, temporary-congestion.
REJECTION = bytes([0x03, 0, 0, 0, 0, 4, 0, 2, 3, 1])

#: Seconds in which a peer sends its whole request.
REQUEST_SECONDS = 5.0

#: Most bytes of a request; longer ones are not read to their end.
MOST_BYTES = 1 << 20

_HEADER = 6


class AssociationRejecter:
    """Listener that rejects each association as transient, so that peers try again later.

    Parameters
    ----------
    host : str
        Host name or address to listen on.
    port : int
        TCP port; 0 to listen on none.
    tls : SSLContext or None
        TLS of the later listener.
    """

    def __init__(self, host: str, port: int, tls: SSLContext | None = None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        if self._port:
            try:
                self._server = await asyncio.start_server(self._answer, self._host, self._port, ssl=self._tls)
            except OSError as error:
                raise Unavailable(
                    f"can't listen for DIMSE on {self._host} port {self._port}: {error.strerror}; "
                    "choose others with --host and --dimse-port"
                ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for writer in self._open.values():
            writer.transport.abort()
        if self._open:
            await asyncio.wait(self._open)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            await self._reject(reader, writer)
        finally:
            del self._open[task]

    async def _reject(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        log.info("an association from %s is rejected: the catalog is being migrated", peer[0] if peer else "a peer")
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(REQUEST_SECONDS):
                header = await reader.readexactly(_HEADER)
                await reader.readexactly(min(int.from_bytes(header[2:], "big"), MOST_BYTES))
                writer.write(REJECTION)
                await writer.drain()
                await reader.read(1)  # the peer closes the connection (PS3.8 9.2, AE-4)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
