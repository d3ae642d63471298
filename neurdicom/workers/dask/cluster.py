"""The server's connection to a Dask cluster: made in the background, watched, and made again when it is lost."""

import asyncio
import contextlib
import importlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from neurdicom.errors import Invalid, Unavailable
from neurdicom.installation import how_to_install

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)

#: Seconds that a connection may take, that closing it may take, and between looks at the cluster.
_CONNECT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 3.0
_CLOSE_TRIES: Final = 3
_WATCH_SECONDS: Final = 2.0

#: Seconds between attempts to connect: after the first, and at most.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files for a scheduler at a `tls://` address: the certificate authority, our certificate, its key."""

    ca: str
    certificate: str
    key: str


class Cluster:
    """Connection to a Dask cluster, by the address of its scheduler.

    Parameters
    ----------
    address : str
        Such as tcp://host:8786.
    tls : Tls, optional
        Files for a `tls://` address.

    Attributes
    ----------
    threads : dict of str to int
        Threads of each Dask worker, by its address, as of the last look.
    """

    def __init__(self, address: str, tls: Tls | None = None) -> None:
        self.address = address
        self.threads: dict[str, int] = {}
        self._tls = tls
        self._client: Client | None = None
        self._problem = "it has not been asked yet"
        self._away_since: float | None = time.monotonic()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to connect, without waiting for it. Raises `Invalid` when dask.distributed is not installed."""
        try:
            await asyncio.to_thread(importlib.import_module, "distributed")
        except ImportError as error:
            raise Invalid(
                f"dask is {self.address!r}, and {error.name} is not installed; {how_to_install('dask')}",
                field="dask",
            ) from error
        _adopt_logging()
        self._task = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        task, self._task = self._task, None
        for _ in range(_CLOSE_TRIES):  # the library may swallow a cancellation while it connects
            if task is None or task.done():
                return
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSE_SECONDS)
        if task is not None and not task.done():
            _log.warning("the connection to Dask cluster %s did not close in time, and is abandoned", self.address)

    @property
    def problem(self) -> str | None:
        """Reason why the cluster can run nothing now; None when it can."""
        if self._client is None:
            return f"the Dask cluster {self.address} does not answer: {self._problem}"
        return None if self.threads else f"the Dask cluster {self.address} has no workers"

    async def client(self, patience: float) -> "Client":
        """Wait for a cluster that has workers, and return the connection to it.

        Parameters
        ----------
        patience : float
            Seconds, from the moment that it was lost, to wait for it.

        Raises
        ------
        Unavailable
            The cluster has been away, or without workers, for `patience` seconds.
        """
        if self._away_since is not None:
            left = self._away_since + patience - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, left)), self._changed:
                    await self._changed.wait_for(lambda: self.problem is None)
            except TimeoutError:
                raise Unavailable(self.problem or f"the Dask cluster {self.address} does not answer") from None
        assert self._client is not None
        return self._client

    async def _keep_connected(self) -> None:
        wait = _FIRST_WAIT
        while True:
            try:
                client = await self._connect()
            except Exception as error:  # whatever the library meets, the next attempt may be better
                reason = (str(error) if isinstance(error, OSError) else "") or type(error).__name__
                if reason != self._problem and not isinstance(error, OSError):
                    _log.warning("Dask cluster %s can't be connected to, and is tried again: %r", self.address, error)
                await self._note(None, {}, reason)
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            wait = _FIRST_WAIT
            try:
                await self._watch(client)  # for as long as it answers
            finally:
                await self._note(None, {}, "the connection was lost")
                await _disconnect(client)

    async def _connect(self) -> "Client":
        from distributed import Client, Security

        security: dict[str, Any] = {}
        if self._tls is not None:
            security["security"] = Security(
                tls_ca_file=self._tls.ca,
                tls_client_cert=self._tls.certificate,
                tls_client_key=self._tls.key,
                require_encryption=True,
            )
        client: Client = Client(
            self.address,
            asynchronous=True,
            timeout=_CONNECT_SECONDS,
            set_as_default=False,
            direct_to_workers=True,  # results do not pass through the scheduler
            **security,
        )
        try:
            await client
        except BaseException:
            await _disconnect(client)
            raise
        return client

    async def _watch(self, client: "Client") -> None:
        """Count the cluster's workers again and again for as long as it answers."""
        while client.status == "running":
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    threads = dict(await client.nthreads())
            except Exception as error:  # whatever the library meets, the next attempt may be better
                _log.warning("Dask cluster %s does not answer, and is connected to again: %r", self.address, error)
                return
            await self._note(client, threads)
            await asyncio.sleep(_WATCH_SECONDS)

    async def _note(self, client: "Client | None", threads: dict[str, int], problem: str = "") -> None:
        before = self.problem
        async with self._changed:
            self._client, self.threads, self._problem = client, threads, problem
            self._away_since = None if self.problem is None else self._away_since or time.monotonic()
            self._changed.notify_all()
        if self.problem != before and self._task is not None:
            if self.problem is None:
                _log.info("Dask cluster %s has %d workers", self.address, len(threads))
            else:
                _log.warning("%s", self.problem)


async def _disconnect(client: "Client") -> None:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client._close(fast=True)  # `close` would wait for a scheduler that may be gone


def _adopt_logging() -> None:
    """Route the library's log to ours; it brings handlers of its own."""
    for name in ("distributed", "distributed.client", "bokeh", "tornado", "tornado.application"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
