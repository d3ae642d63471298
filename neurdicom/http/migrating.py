"""Answers of a server that migrates its catalog: it lives, but is not ready."""

import json
import logging
from dataclasses import dataclass
from socket import socket
from typing import Any

from tornado.web import RequestHandler

from neurdicom.errors import Unavailable
from neurdicom.http.early import EarlyAnswerHandler
from neurdicom.http.listener import HttpListener, RoutedApplication
from neurdicom.http.paths import RequestPaths
from neurdicom.http.problems import problem

#: Seconds after which a client should ask again.
RETRY_AFTER = 10

_HEALTH = "/api/health"


@dataclass(slots=True)
class MigrationState:
    """Numbers of instances that are migrated so far, and of all."""

    done: int = 0
    total: int = 0

    def to_api(self) -> dict[str, int]:
        """Return the numbers as `/api/health` shows them."""
        return {"done": self.done, "total": self.total}


class MigratingHandler(EarlyAnswerHandler):
    """Handler of every request during a migration."""

    def initialize(self, state: MigrationState) -> None:
        """Set the state that `/api/health` shows."""
        self.state = state

    def set_default_headers(self) -> None:
        """Hide the server's software, and keep the answers out of caches."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        """Answer before the body arrives, whatever the method."""
        if self.request.path == f"{_HEALTH}/live":
            self._send(200, {"status": "ok"})
            return
        self.set_header("Retry-After", str(RETRY_AFTER))
        if self.request.path == _HEALTH:
            self._send(503, {"status": "migrating", "ready": False, "migration": self.state.to_api()})
            return
        detail = (
            f"the catalog of an earlier version is being migrated, {self.state.done} of {self.state.total} instances "
            "so far; try again later"
        )
        self._send(503, problem(503, detail, code=Unavailable.code), "application/problem+json")

    def _send(self, status: int, body: dict[str, Any], media_type: str = "application/json") -> None:
        self.set_status(status)
        self.set_header("Content-Type", media_type)
        self.finish(json.dumps(body).encode())


class MigratingServer:
    """HTTP server on the sockets of the later one, for as long as the context lasts.

    Connections that come between its end and the begin of the later one wait in the sockets' queue.

    Parameters
    ----------
    sockets : list of socket
        Listening sockets; this server uses copies of them.
    state : MigrationState
        What `/api/health` shows.
    paths : RequestPaths, optional
        Reads the paths of requests; without it they count as they are.
    """

    def __init__(self, sockets: list[socket], state: MigrationState, paths: RequestPaths | None = None) -> None:
        application = RoutedApplication(
            paths or RequestPaths(()),
            default_handler_class=MigratingHandler,
            default_handler_args={"state": state},
            log_function=_log,
        )
        self._http = HttpListener(application)
        self._sockets = sockets

    async def __aenter__(self) -> None:
        self._http.listen([sock.dup() for sock in self._sockets])

    async def __aexit__(self, *_: object) -> None:
        self._http.stop()
        await self._http.close()


def _log(handler: RequestHandler) -> None:
    logging.getLogger(__name__).debug(
        "%s %s answered %d during the migration", handler.request.method, handler.request.path, handler.get_status()
    )
