"""The HTTP server of an application: it accepts connections, and routes requests by what `RequestPaths` reads."""

from collections.abc import Callable
from socket import socket
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import add_accept_handler
from tornado.web import Application

from neurdicom.http.oversized import LARGEST_HEAD, HeadLimitedStream, RefusedConnections
from neurdicom.http.paths import RequestPaths

#: Bytes read from a socket at a time; Tornado's copies of larger pieces would not stay in the CPU's cache.
READ_CHUNK = 64 * 1024


class RoutedApplication(Application):
    """Application that reads paths as `RequestPaths` does before it finds their routes.

    Parameters
    ----------
    paths : RequestPaths
        Reads them.
    **options
        Those of `Application`.
    """

    def __init__(self, paths: RequestPaths, handlers: list[Any] | None = None, **options: Any) -> None:
        super().__init__(handlers, **options)
        self._paths = paths

    def find_handler(self, request: HTTPServerRequest, **options: Any) -> Any:
        """Find the handler of a request, after its path and its URI are those of the routes."""
        path = self._paths.read(request.path)
        if path != request.path:
            request.path = path
            request.uri = f"{path}?{request.query}" if request.query else path
        return super().find_handler(request, **options)


class HttpListener:
    """HTTP server of an application on listening sockets.

    Parameters
    ----------
    application : Application
        Answers the requests.
    """

    def __init__(self, application: Application) -> None:
        self._http = HTTPServer(application, max_body_size=1 << 62, chunk_size=READ_CHUNK, max_header_size=LARGEST_HEAD)
        self._refused = RefusedConnections()
        self._sockets: list[tuple[socket, Callable[[], None]]] = []

    def listen(self, sockets: list[socket]) -> None:
        """Accept connections on listening sockets from now on; `stop` closes these."""
        self._sockets += [(sock, add_accept_handler(sock, self._accept)) for sock in sockets]

    def _accept(self, connection: socket, address: Any) -> None:
        stream = HeadLimitedStream(
            connection,
            self._refused,
            max_buffer_size=self._http.max_buffer_size,
            read_chunk_size=self._http.read_chunk_size,
        )
        self._http.handle_stream(stream, address)

    def stop(self) -> None:
        """Accept no more connections."""
        while self._sockets:
            sock, remove = self._sockets.pop()
            remove()
            sock.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close_all_connections()
        await self._refused.close()
