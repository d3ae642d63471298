"""Main program of a DIMSE process, which loads the protocol at its first connection or operation."""

import logging
import os
import resource
import signal
import socket
import sys
import threading
from functools import partial
from typing import Any, Protocol

import orjson

from neurdicom.dimse.ipc.contract import ProcessSettings
from neurdicom.dimse.ipc.link import Link, ServerOperation
from neurdicom.logs import configure_logging
from neurdicom.workers.limits import die_with_parent

log = logging.getLogger("neurdicom.dimse")

#: Packages that pydicom would import (30 MB), and that no DIMSE process needs, since it never reads pixels.
_NOT_NEEDED = ("numpy", "PIL", "gdcm", "pylibjpeg", "requests")

_HANDOVER_BYTES = 4096

#: Operations with remote nodes that the server may request.
VERBS = ("echo", "find", "send", "get", "move", "report")


class EntityProtocol(Protocol):
    """Interface of the application entity, for a process that has not loaded the protocol; see `dimse.entity`."""

    def accept(self, sock: socket.socket, arrival: dict[str, Any]) -> None:
        """Serve a connection that the server accepted."""

    def perform(self, verb: str, operation: ServerOperation) -> Any:
        """Run an operation that the server requested."""

    def close(self, grace: float) -> None:
        """End the associations; running operations get `grace` seconds."""


def load_entity(link: Link, settings: ProcessSettings) -> EntityProtocol:
    """Load the protocol and make the application entity."""
    from neurdicom.dimse.entity import ApplicationEntity

    return ApplicationEntity(link, settings)


class DimseWorker:
    """The main loop of a DIMSE process.

    Parameters
    ----------
    handover : socket
        The socket on which the server hands over accepted connections.
    link : Link
        The connection to the server.
    settings : ProcessSettings
        The settings of the process.
    """

    def __init__(self, handover: socket.socket, link: Link, settings: ProcessSettings) -> None:
        self._handover = handover
        self._link = link
        self._settings = settings
        self._loading = threading.Lock()
        self._loaded: EntityProtocol | None = None
        self._grace = 0.0
        self._ending = threading.Event()
        link.operators["end"] = self._end
        link.operators |= {verb: partial(self._perform, verb) for verb in VERBS}

    @property
    def _entity(self) -> EntityProtocol:
        """The application entity, loaded when it is first needed."""
        with self._loading:
            if self._loaded is None:
                self._loaded = load_entity(self._link, self._settings)
            return self._loaded

    def _perform(self, verb: str, operation: ServerOperation) -> Any:
        return self._entity.perform(verb, operation)

    def run(self) -> None:
        """Serve until the server closes the hand-over socket; then let associations end."""
        threading.Thread(target=self._listen, name="link", daemon=True).start()
        while True:
            text, descriptors, _, _ = socket.recv_fds(self._handover, _HANDOVER_BYTES, 1)
            if not text:
                break
            arrival = orjson.loads(text)
            sock = socket.socket(fileno=descriptors[0])
            self._entity.accept(sock, arrival)
        self._ending.wait()
        if self._loaded is not None:
            self._loaded.close(self._grace)

    def _listen(self) -> None:
        self._link.run()
        os._exit(0)  # the server has ended, and arriving instances can't be stored any more

    def _end(self, operation: ServerOperation) -> None:
        self._grace = operation.arguments["grace"]
        self._ending.set()


def main() -> None:
    """Run the process until the server ends; its arguments are two descriptors and the server's process id."""
    handover, connection, parent = map(int, sys.argv[1:])
    die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal signals all; the server ends us
        signal.signal(number, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # three for each association
    sys.modules.update(dict.fromkeys(_NOT_NEEDED))  # type: ignore[arg-type]
    link = Link(socket.socket(fileno=connection))
    message = link.receive()
    if message is None:
        return
    settings = ProcessSettings.from_wire(message[0]["arguments"])
    configure_logging(settings.log_level, settings.log_format)
    DimseWorker(socket.socket(fileno=handover), link, settings).run()
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
