"""The application entity of a DIMSE process: an SCP and an SCU. Importing this loads the whole protocol."""

import socket
from typing import Any

from neurdicom.dimse.ipc.contract import ProcessSettings
from neurdicom.dimse.ipc.link import Link, ServerOperation
from neurdicom.dimse.scp.acceptor import Acceptor
from neurdicom.dimse.scu.operations import ServiceClassUser
from neurdicom.dimse.scu.requestor import Requestor
from neurdicom.dimse.ul.library import configure_library


class ApplicationEntity:
    """Whoever speaks with remote nodes in a DIMSE process.

    Parameters
    ----------
    link : Link
        The way to the server.
    settings : ProcessSettings
    """

    def __init__(self, link: Link, settings: ProcessSettings) -> None:
        configure_library(debug=settings.log_level == "debug")
        requestor = Requestor.of(settings)
        self._acceptor = Acceptor(link, settings, requestor)
        self._user = ServiceClassUser(requestor)

    def accept(self, sock: socket.socket, arrival: dict[str, Any]) -> None:
        """Serve a connection that the server accepted."""
        self._acceptor.take(sock, arrival["number"], arrival["remote"], arrival["local"])

    def perform(self, verb: str, operation: ServerOperation) -> Any:
        """Do what the server asked for; `verb` is one of `neurdicom.dimse.__main__.VERBS`."""
        return getattr(self._user, verb)(operation)

    def close(self, grace: float) -> None:
        """End the associations; what is under way gets `grace` seconds."""
        self._acceptor.close(grace)
