"""A DIMSE process: waits, small, for the first connection or operation, and loads the protocol then."""

import logging
import os
import resource
import signal
import socket
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from neurdicom.dimse.ipc.link import Link, Operation
from neurdicom.logs import configure_logging
from neurdicom.workers.limits import die_with_parent

if TYPE_CHECKING:
    from neurdicom.dimse.scp.acceptor import Acceptor
    from neurdicom.dimse.scu.operations import User

log = logging.getLogger("neurdicom.dimse")

#: What pydicom would load at its import and no DIMSE process uses, since it never touches a pixel: 30 MB.
_NOT_NEEDED = ("numpy", "PIL", "gdcm", "pylibjpeg", "requests")

_HANDOVER_BYTES = 4096

#: What the server may have a process do with a remote node; methods of `scu.User`.
VERBS = ("echo", "find", "send", "get", "move", "report")


class DimseWorker:
    """The parts of a DIMSE process.

    Parameters
    ----------
    handover : socket
        Where accepted connections come from.
    link : Link
        The connection to the server.
    arguments : dict
        What the server's `Door.arguments` tells.
    """

    def __init__(self, handover: socket.socket, link: Link, arguments: dict[str, Any]) -> None:
        self._handover = handover
        self._link = link
        self._arguments = arguments
        self._loading = threading.Lock()
        self._acceptor: Acceptor | None = None
        self._user: User | None = None
        self._grace = 0.0
        self._ending = threading.Event()
        link.operators["end"] = self._end
        link.operators |= {verb: partial(self._use, verb) for verb in VERBS}

    @property
    def acceptor(self) -> "Acceptor":
        """What serves the connections, with the whole protocol; loaded when it is first needed."""
        with self._loading:
            if self._acceptor is None:
                from neurdicom.dimse.scp.acceptor import Acceptor

                self._acceptor = Acceptor(self._link, self._arguments)
            return self._acceptor

    def _use(self, verb: str, operation: Operation) -> Any:
        """Speak with a remote node."""
        with self._loading:
            if self._user is None:
                from neurdicom.dimse.scp.acceptor import configure_library
                from neurdicom.dimse.scu.operations import User
                from neurdicom.dimse.scu.requestor import Requestor

                configure_library(self._arguments["log_level"] == "debug")
                self._user = User(Requestor.of(self._arguments))
        return getattr(self._user, verb)(operation)

    def run(self) -> None:
        """Serve until the server closes the hand-over; then let associations end."""
        threading.Thread(target=self._listen, name="link", daemon=True).start()
        while True:
            text, descriptors, _, _ = socket.recv_fds(self._handover, _HANDOVER_BYTES, 1)
            if not text:
                break
            arrival = orjson.loads(text)
            sock = socket.socket(fileno=descriptors[0])
            self.acceptor.take(sock, arrival["number"], arrival["remote"], arrival["local"])
        self._ending.wait()
        if self._acceptor is not None:
            self._acceptor.close(self._grace)

    def _listen(self) -> None:
        self._link.run()
        os._exit(0)  # the server is gone, and what is under way can't be stored any more

    def _end(self, operation: Operation) -> None:
        self._grace = operation.arguments["grace"]
        self._ending.set()


def main() -> None:
    """Run until the server ends; its arguments are two descriptors and the server's process id."""
    handover, connection, parent = map(int, sys.argv[1:])
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of the terminal; the server says when
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # three for each association
    sys.modules.update(dict.fromkeys(_NOT_NEEDED))  # type: ignore[arg-type]
    link = Link(socket.socket(fileno=connection))
    message = link.receive()
    if message is None:
        return
    arguments = message[0]["arguments"]
    configure_logging(arguments["log_level"], arguments["log_format"])
    DimseWorker(socket.socket(fileno=handover), link, arguments).run()
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
