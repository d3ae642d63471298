"""The HTTP server: route tables on Tornado's event loop, from listening to the last answer."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from socket import socket

from tornado.netutil import bind_sockets

from neurdicom.config import Settings
from neurdicom.errors import Unavailable
from neurdicom.http.base import ApiHandler, UnknownRoute
from neurdicom.http.context import HttpContext
from neurdicom.http.listener import HttpListener, RoutedApplication
from neurdicom.http.paths import RequestPaths
from neurdicom.http.routing import RouteTable

log = logging.getLogger(__name__)


def bind(settings: Settings) -> list[socket]:
    """Listen at the settings' host and port; connections wait until a server accepts them.

    Raises
    ------
    Unavailable
        The port is taken.
    """
    try:
        return bind_sockets(settings.port, settings.host)
    except OSError as error:
        raise Unavailable(
            f"can't listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose others with --host and --port"
        ) from error


class ApiServer:
    """HTTP server that serves a route table at the settings' host and port.

    Parameters
    ----------
    context : HttpContext
        Handed to every handler.
    routes : RouteTable
        The routes.
    services : sequence of object
        Services that handlers declare, found by their types.
    on_answer : callable
        Called with each handler once its answer is sent: for the log and the metrics.

    Attributes
    ----------
    url : str
        Base URL, once it listens.
    """

    def __init__(
        self,
        context: HttpContext,
        routes: RouteTable,
        services: Sequence[object],
        on_answer: Callable[[ApiHandler], None],
    ) -> None:
        self._context = context
        application = RoutedApplication(
            RequestPaths(routes, context.proxies.prefix),
            [route.to_url_spec(context, services) for route in routes],
            default_handler_class=UnknownRoute,
            default_handler_args={"context": context},
            log_function=on_answer,
        )
        self._http = HttpListener(application)
        self.url = ""

    def listen(self, sockets: list[socket]) -> None:
        """Accept requests on listening sockets from now on, and close these in the end."""
        host = self._context.settings.host
        self._http.listen(sockets)
        host = f"[{host}]" if ":" in host else host
        self.url = f"http://{host}:{sockets[0].getsockname()[1]}"
        self._context.ready = True

    async def close(self, grace: float) -> None:
        """Accept no more requests, and give those under way `grace` seconds to finish."""
        under_way = self._context.under_way
        self._context.ready = False
        self._http.stop()
        deadline = time.monotonic() + grace
        while under_way and time.monotonic() < deadline:  # noqa: ASYNC110 (once, at the end)
            await asyncio.sleep(0.02)
        if under_way:
            log.warning("%d requests did not end within %g s of the stop, and are cut off", len(under_way), grace)
        await self._http.close()
