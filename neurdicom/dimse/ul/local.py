"""Our side of every association of a process, and pynetdicom's settings."""

import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from neurdicom.dicom.codec.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from neurdicom.dimse.ul.association import Association, ServiceFinder
from neurdicom.dimse.ul.transport import Transport
from neurdicom.dimse.ul.upper_layer import MAXIMUM_PDU


def _take(_: str) -> tuple[bool, str]:
    """Validate any value, for pynetdicom."""
    return True, ""


def configure_library(*, debug: bool) -> None:
    """Keep pynetdicom and pydicom from logging what is not shown, and from refusing values that we take."""
    _config.LOG_HANDLER_LEVEL = "none"
    # What a value may be is decided here (`items`, `command`), not by errors that end associations.
    _config.VALIDATORS = dict.fromkeys(_config.VALIDATORS, _take)
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    logging.getLogger("pynetdicom").setLevel(logging.DEBUG if debug else logging.ERROR)
    if not debug:  # these log a traceback for each broken connection; we log a line
        for name in ("dul", "fsm", "transport", "dimse", "utils"):
            logging.getLogger(f"pynetdicom.{name}").setLevel(logging.CRITICAL)
        logging.getLogger("pydicom").setLevel(logging.ERROR)  # it warns of a bad UID whenever it is copied


@dataclass(frozen=True, slots=True)
class LocalUser:
    """The local service user, as acceptor and as requestor of associations.

    Attributes
    ----------
    ae_title : str
        Our AE title.
    timeout : float
        Seconds that a peer may be silent.
    spool : Path
        Folder for arriving instances.
    largest : int
        Most bytes that an instance may have; 0 for no limit.
    """

    ae_title: str
    timeout: float
    spool: Path
    largest: int = 0

    def accepting(
        self,
        sock: socket.socket,
        *,
        local: Sequence[Any],
        remote: Sequence[Any],
        find_service: ServiceFinder,
        on_release: Callable[[], None],
    ) -> Association:
        """Make an association for an accepted connection; its `run` negotiates and serves.

        Parameters
        ----------
        sock : socket
            The connection, after the TLS handshake.
        local, remote : sequence
            Its addresses, as sockets give them.
        find_service : callable
            Finds the services for the peer's requests.
        on_release : callable
            Called when the peer has requested the release, before the release is confirmed.
        """
        assoc = self._associate("acceptor")
        assoc.set_socket(Transport(assoc, self.timeout, client_socket=sock))
        self._introduce(assoc.acceptor, AddressInformation.from_tuple(tuple(local)))
        assoc.requestor.address_info = AddressInformation.from_tuple(tuple(remote))
        assoc.find_service, assoc.on_release = find_service, on_release
        return assoc

    def requesting(
        self,
        ae_title: str,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        contexts: Sequence[PresentationContext],
        items: Sequence[Any],
    ) -> Association:
        """Make an association with a peer; its `request` connects and negotiates.

        Parameters
        ----------
        ae_title : str
            AE title of the peer.
        host : str
            Its host name or address.
        port : int
            Its TCP port.
        tls : ssl.SSLContext, optional
            TLS context for a peer that uses TLS.
        contexts : sequence of PresentationContext
            Presentation contexts to propose; their ids are set.
        items : sequence
            Items of extended negotiation.

        Raises
        ------
        OSError
            The name of the host can't be resolved.
        """
        assoc = self._associate("requestor")
        there = AddressInformation.from_addr_port(host, port)
        here = AddressInformation("::" if ":" in there.address else "", 0)
        transport = Transport(assoc, self.timeout, address=here)
        transport.tls_args = (tls, host) if tls is not None else None
        assoc.set_socket(transport)
        assoc.acceptor.ae_title, assoc.acceptor.address_info = ae_title, there
        self._introduce(assoc.requestor, here)
        for item in items:
            assoc.requestor.add_negotiation_item(item)
        for number, context in enumerate(contexts):
            context.context_id = 2 * number + 1
        assoc.requestor.requested_contexts = list(contexts)
        return assoc

    def _associate(self, mode: str) -> Association:
        ae = ApplicationEntity(self.ae_title)
        ae.acse_timeout = ae.dimse_timeout = ae.connection_timeout = self.timeout
        # One that we requested is idle while other processes work, such as convert a file; its messages have a limit.
        ae.network_timeout = self.timeout if mode == "acceptor" else None
        return Association(ae, mode, spool=self.spool, largest=self.largest)

    def _introduce(self, user: Any, address: AddressInformation) -> None:
        user.ae_title, user.address_info = self.ae_title, address
        user.maximum_length = MAXIMUM_PDU
        user.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        user.implementation_version_name = IMPLEMENTATION_VERSION_NAME
