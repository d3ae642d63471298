"""The application entity of a DIMSE process: an SCP and an SCU. Importing this module loads the whole protocol."""

import socket
from pathlib import Path
from typing import Any

from neurdicom.dimse.ipc.contract import ProcessSettings
from neurdicom.dimse.ipc.link import Link, Operator, ServerOperation
from neurdicom.dimse.scp.acceptor import Acceptor
from neurdicom.dimse.scp.commitment import report
from neurdicom.dimse.scp.storage import StorageProvider
from neurdicom.dimse.scu.operations import ServiceClassUser
from neurdicom.dimse.scu.requestor import Requestor
from neurdicom.dimse.ul.local import LocalUser, configure_library
from neurdicom.dimse.ul.tls import acceptor_context, requestor_context


class ApplicationEntity:
    """The SCP and the SCU of a DIMSE process, with their dependencies.

    Parameters
    ----------
    link : Link
        The connection to the server.
    settings : ProcessSettings
        The settings of the process.
    """

    def __init__(self, link: Link, settings: ProcessSettings) -> None:
        configure_library(debug=settings.log_level == "debug")
        local = LocalUser(settings.ae_title, settings.timeout, Path(settings.spool), settings.largest)
        files = (settings.certificate, settings.key, settings.ca)
        requestor = Requestor(local, requestor_context(*files))
        storage = StorageProvider(link)
        self._acceptor = Acceptor(
            link,
            requestor,
            storage,
            any_class=settings.storage == "any",
            relational=settings.relational,
            tls=acceptor_context(*files),
        )
        user = ServiceClassUser(requestor, storage.serve)
        self._operators: dict[str, Operator] = {
            "echo": user.echo,
            "find": user.find,
            "send": user.send,
            "get": user.get,
            "move": user.move,
            "report": lambda operation: report(requestor, operation),
        }

    def accept(self, sock: socket.socket, arrival: dict[str, Any]) -> None:
        """Serve a connection that the server accepted."""
        self._acceptor.take(sock, arrival["number"], arrival["remote"], arrival["local"])

    def perform(self, verb: str, operation: ServerOperation) -> Any:
        """Run an operation that the server requested; `verb` is one of `neurdicom.dimse.__main__.VERBS`."""
        return self._operators[verb](operation)

    def close(self, grace: float) -> None:
        """End the associations; running operations get `grace` seconds."""
        self._acceptor.close(grace)
