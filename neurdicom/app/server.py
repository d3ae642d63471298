"""The server in this process, and the order in which its parts start and stop."""

import gc
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from socket import socket

from neurdicom.app.components import Components, compose
from neurdicom.app.migration import answering_unready, is_empty, is_migration_due, migrate
from neurdicom.app.storage import Storage, open_executor, open_storage
from neurdicom.config import Settings
from neurdicom.dicomweb import routes as dicomweb
from neurdicom.http import home, openapi
from neurdicom.http.context import HttpContext
from neurdicom.http.migrating import MigrationState
from neurdicom.http.paths import RequestPaths
from neurdicom.http.proxies import ProxyPolicy
from neurdicom.http.routing import RouteTable
from neurdicom.http.server import ApiServer, bind
from neurdicom.security.authentication import NoAuthentication
from neurdicom.security.bootstrap import FirstSignIn
from neurdicom.web import routes as web
from neurdicom.web.metrics import Metrics, log_request
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.read_only import ReadOnlyFolders

log = logging.getLogger(__name__)

#: Seconds that a stopping server gives to the requests and associations that it is serving.
GRACE_SECONDS = 25.0

#: Number of new containers after which the garbage collector examines the youngest generation.
_GARBAGE_THRESHOLD = 20_000

#: All routes, in the order in which they match and are described.
ROUTES = RouteTable([*web.ROUTES, *dicomweb.ROUTES, *openapi.ROUTES, *home.ROUTES])


class NeurdicomServer:
    """A NeurDICOM server in this process.

    `start` opens its parts in order and listens; `stop` closes them in reverse order, after the current requests have
    ended.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stack = AsyncExitStack()
        self._sockets: list[socket] = []
        self._proxies = ProxyPolicy(settings.trusted_proxies, settings.public_url)
        self.url = ""
        self.dimse_address = ""
        self.first_sign_in: FirstSignIn | None = None

    async def start(self) -> None:
        """Open all parts, create the first administrator where there is no user, and listen for requests.

        While a catalog of an earlier version is migrated, requests are answered with 503 and its state.

        Raises
        ------
        Conflict
            Another process uses the data folder.
        Invalid
            The data folder can't be made or written.
        Unavailable
            MongoDB does not respond, or the address or the port is in use.
        """
        parts = await self.open(self._migrate_listening)
        try:
            if not self.settings.no_auth:
                self.first_sign_in = await parts.users.ensure_administrator()
            self._listen(parts)
            _settle_garbage_collection()
        except BaseException:
            await self._stack.aclose()
            raise

    async def open(self, prepare: Callable[[Storage], Awaitable[None]] | None = None) -> Components:
        """Open all parts without listening, for a command on the folder of a stopped server; `stop` closes them.

        Parameters
        ----------
        prepare : callable, optional
            Called with the storage before anything uses it; by default a catalog of an earlier version is migrated.

        Raises
        ------
        Conflict, Invalid, Unavailable
            As `start`.
        """
        settings, stack = self.settings, self._stack
        try:
            storage = await open_storage(settings, stack)
            await (prepare(storage) if prepare is not None else migrate(storage.catalog))
            spool = storage.blobs.spool_folder
            read_only = ReadOnlyFolders.of([settings.data, spool.parent], spool)
            if (weakness := read_only.weakness()) is not None:
                log.warning(weakness)
            pool = WorkerPool(settings.plugin_workers, read_only=read_only)
            stack.push_async_callback(pool.close)
            await pool.open()
            parts = compose(settings, storage, pool, await open_executor(settings, pool, stack))
            await open_components(parts, stack)
        except BaseException:
            await stack.aclose()
            raise
        self.dimse_address = parts.network.dimse.address
        return parts

    async def _migrate_listening(self, storage: Storage) -> None:
        """Migrate a catalog of an earlier version, and answer requests meanwhile."""
        if not await is_migration_due(storage.catalog):
            return
        if await is_empty(storage.catalog):
            await migrate(storage.catalog)
            return
        self._sockets = bind(self.settings)
        for sock in self._sockets:
            self._stack.callback(sock.close)
        state = MigrationState()
        paths = RequestPaths(ROUTES, self._proxies.prefix)
        async with answering_unready(self.settings, self._sockets, state, paths):
            await migrate(storage.catalog, state)

    def _listen(self, parts: Components) -> None:
        metrics = Metrics(ROUTES, parts.network.dimse, parts.processing.results, parts.background.overview)
        authenticator = NoAuthentication() if self.settings.no_auth else parts.users.authenticator
        context = HttpContext(
            settings=self.settings,
            authenticator=authenticator,
            started=time.monotonic(),
            proxies=self._proxies,
        )
        http = ApiServer(context, ROUTES, [*parts.services(), metrics, ROUTES], partial(log_request, metrics))
        http.listen(self._sockets or bind(self.settings))
        self._stack.push_async_callback(http.close, GRACE_SECONDS)
        self.url = http.url

    async def stop(self) -> None:
        """Stop listening, wait for the current requests, and close all parts in reverse order. Idempotent."""
        await self._stack.aclose()


async def open_components(parts: Components, stack: AsyncExitStack) -> None:
    """Start the services, each after those that it uses; the stack stops them in reverse order."""
    stack.push_async_callback(parts.users.close)
    stack.push_async_callback(parts.integrity.damage.close)
    await parts.integrity.damage.open()
    stack.push_async_callback(parts.archive.ingest.close)
    await parts.archive.ingest.recover()
    stack.push_async_callback(parts.tools.models.close)
    await parts.tools.models.open()
    stack.push_async_callback(parts.tools.plugins.close)
    await parts.tools.plugins.open()
    stack.push_async_callback(parts.processing.results.close)
    await parts.processing.results.open()
    stack.push_async_callback(parts.archive.trash.close)
    await parts.archive.trash.open()
    await parts.processing.results.recover()
    stack.push_async_callback(parts.background.rules.close)
    await parts.background.rules.open()
    stack.push_async_callback(parts.network.dimse.close, GRACE_SECONDS)
    await parts.network.dimse.open()
    stack.push_async_callback(parts.network.dicomweb_peer.close)
    stack.push_async_callback(parts.background.jobs.close)
    await parts.background.jobs.open()
    stack.push_async_callback(parts.integrity.periodic.close)
    await parts.integrity.periodic.open()
    stack.push_async_callback(parts.background.quota.close)
    await parts.background.quota.open()


def _settle_garbage_collection() -> None:
    """Exclude the objects that live as long as the server from garbage collection, and make collection less frequent.

    A response with a hundred matches consists of thousands of short-lived containers, none of them in a cycle: with the
    default threshold the collector took half the time of making them.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD, 20, 50)
