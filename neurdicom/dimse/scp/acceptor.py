"""The SCP of one DIMSE process: serves the connections that it is handed."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pynetdicom import evt
from pynetdicom._globals import APPLICATION_CONTEXT_NAME, MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE, N_ACTION
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification
from pynetdicom.transport import AddressInformation

from neurdicom.dicom.codec.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from neurdicom.dimse.identifier import MODELS
from neurdicom.dimse.ipc.contract import (
    CONGESTION,
    NO_REASON,
    UNKNOWN_CALLING,
    UNKNOWN_CONTEXT,
    ProcessSettings,
    Refusal,
    Verdict,
)
from neurdicom.dimse.ipc.link import Link
from neurdicom.dimse.scp.commitment import serve_commitment
from neurdicom.dimse.scp.contexts import accept, is_storage
from neurdicom.dimse.scp.find import negotiated, serve_find
from neurdicom.dimse.scp.retrieve import Retrieval
from neurdicom.dimse.scp.storage import on_store
from neurdicom.dimse.scu.requestor import Requestor
from neurdicom.dimse.ul.association import Association
from neurdicom.dimse.ul.exchange import SMALLEST_PDU, Disconnected, Exchange
from neurdicom.dimse.ul.tls import acceptor_context
from neurdicom.dimse.ul.upper_layer import MAXIMUM_PDU, Transport, cut
from neurdicom.errors import NeurdicomError

log = logging.getLogger(__name__)

#: Service Class UID of storage (PS3.6 A), which pynetdicom finds the service of any SOP class by.
_STORAGE_SERVICE = "1.2.840.10008.4.2"

#: Seconds without a request after which an association does not keep a stopping server waiting.
_QUIET_SECONDS = 1.0


@contextmanager
def as_end_of(assoc: Association) -> Iterator[None]:
    """Take the end of an association under an operation for what it is: the peer's choice."""
    try:
        yield
    except Disconnected as error:
        log.info("%s did not wait for the end of its request: %s", assoc.peer, error)


class Accepted(Association):
    """An accepted association, which tells the server when it is over."""

    def __init__(self, ae: ApplicationEntity, *, on_release: Callable[[], None], spool: Path, largest: int) -> None:
        super().__init__(ae, MODE_ACCEPTOR, spool=spool, largest=largest)
        self._on_release = on_release

    def released(self) -> None:
        """Give the place up before the peer learns that it is released, and comes again at once."""
        self._on_release()


class Acceptor:
    """Serves connections, each in a thread of its own.

    Parameters
    ----------
    link : Link
        The way to the server.
    settings : ProcessSettings
    requestor : Requestor
        Opens associations with the destinations of C-MOVE.

    Attributes
    ----------
    handlers : list of (event, callable, list)
        What pynetdicom calls, with further arguments.
    """

    def __init__(self, link: Link, settings: ProcessSettings, requestor: Requestor) -> None:
        self._link = link
        self._spool = Path(settings.spool)
        self._largest = settings.largest
        self._any_class = settings.storage == "any"
        self._timeout = settings.timeout
        self._tls = acceptor_context(settings.certificate, settings.key, settings.ca)
        self._threads: dict[threading.Thread, Association | None] = {}
        self._changing = threading.Lock()
        self.ae = ae = ApplicationEntity(settings.ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = MAXIMUM_PDU
        ae.maximum_associations = 1 << 20  # the server counts them, over all processes
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = self._timeout
        self._requestor = requestor
        self._services = {
            **{(C_FIND, model.find): self._find for model in MODELS},
            **{(C_MOVE, model.move): self._retrieve for model in MODELS},
            **{(C_GET, model.get): self._retrieve for model in MODELS},
            (N_ACTION, StorageCommitmentPushModel): self._commit,
        }
        self.handlers: list[tuple[Any, Callable[..., Any], list[Any]]] = [
            (evt.EVT_SOP_COMMON, self._on_common, []),
            (evt.EVT_C_ECHO, lambda _event: 0x0000, []),
            (evt.EVT_SOP_EXTENDED, lambda event: negotiated(event.app_info), []),
            (evt.EVT_C_STORE, on_store, [link]),
        ]

    def take(self, sock: socket.socket, number: int, remote: list[Any], local: list[Any]) -> None:
        """Serve a connection."""
        thread = threading.Thread(
            target=self._serve, args=(sock, number, remote, local), name=f"connection-{number}", daemon=True
        )
        with self._changing:
            self._threads[thread] = None
        try:
            thread.start()
        except RuntimeError as error:  # no thread to be had
            log.warning("the connection of %s is closed: %s", remote[0], error)
            with self._changing:
                del self._threads[thread]
            sock.close()
            self._link.tell("closed", number=number)

    def _serve(self, sock: socket.socket, number: int, remote: list[Any], local: list[Any]) -> None:
        assoc: Association | None = None
        sock.settimeout(self._timeout)
        try:
            sock = self._secure(sock)
            assoc = self._associate(sock, number, remote, local)
            with self._changing:
                self._threads[threading.current_thread()] = assoc
            assoc.run()
        except OSError as error:
            log.info("the connection of %s ended: %s", remote[0], error)
        except Exception:
            log.exception("the connection of %s failed", remote[0])
            if assoc is not None:
                assoc.dul.hang_up()
        finally:
            if assoc is not None:
                assoc.kill()
                assoc.dimse.close()
            sock.close()
            with self._changing:
                del self._threads[threading.current_thread()]
            self._link.tell("closed", number=number)

    def _find(self, assoc: Association, request: Any, context: Any) -> None:
        with as_end_of(assoc):
            serve_find(Exchange(assoc), request, context, self._link, self.ae.ae_title)

    def _retrieve(self, assoc: Association, request: Any, context: Any) -> None:
        with as_end_of(assoc):
            Retrieval(Exchange(assoc), request, context, self._link, self._requestor).serve()

    def _commit(self, assoc: Association, request: Any, context: Any) -> None:
        with as_end_of(assoc):
            serve_commitment(Exchange(assoc), request, context, self._link)

    def _secure(self, sock: socket.socket) -> socket.socket:
        """Speak TLS if that is asked for. Raises `OSError`; then the connection is closed."""
        if self._tls is None:
            return sock
        secured = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        # A peer that stalls in the handshake is cut off, however little it sends within each timeout.
        cutter = threading.Timer(self._timeout, cut, [secured])
        cutter.daemon = True
        cutter.start()
        try:
            secured.do_handshake()
        except OSError:
            secured.close()
            raise
        finally:
            cutter.cancel()
        return secured

    def _associate(self, sock: socket.socket, number: int, remote: list[Any], local: list[Any]) -> Association:
        assoc = Accepted(
            self.ae,
            on_release=lambda: self._link.tell("released", number=number),
            spool=self._spool,
            largest=self._largest,
        )
        assoc.set_socket(Transport(assoc, self._timeout, client_socket=sock))
        assoc.acceptor.maximum_length = self.ae.maximum_pdu_size
        assoc.acceptor.ae_title = self.ae.ae_title
        assoc.acceptor.address_info = AddressInformation.from_tuple(tuple(local))
        assoc.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        assoc.acceptor.implementation_version_name = self.ae.implementation_version_name
        assoc.requestor.address_info = AddressInformation.from_tuple(tuple(remote))
        assoc.bind(evt.EVT_REQUESTED, self._on_requested, [number])
        assoc.services = self._services
        for event, handler, further in self.handlers:
            assoc.bind(event, handler, further)
        return assoc

    def _on_requested(self, event: Event, number: int) -> None:
        """Ask the server for its verdict, and choose the contexts."""
        assoc = event.assoc
        request = assoc.requestor.primitive
        assoc.requestor.ae_title = request.calling_ae_title
        if request.application_context_name != APPLICATION_CONTEXT_NAME:
            self._reject(assoc, UNKNOWN_CONTEXT)
            return
        if 0 < (assoc.requestor.maximum_length or 0) < SMALLEST_PDU:
            self._reject(assoc, NO_REASON)
            return
        try:
            verdict = Verdict.from_wire(
                self._link.call(
                    "policy",
                    number=number,
                    calling=request.calling_ae_title,
                    called=request.called_ae_title,
                    address=assoc.requestor.address,
                )
            )
        except NeurdicomError as error:
            log.warning("no verdict on %s: %s", assoc.peer, error)
            verdict = Verdict(refusal=CONGESTION)
        proposed = request.presentation_context_definition_list
        if verdict.refusal is None and not verdict.known:
            if any(context.abstract_syntax == Verification for context in proposed):
                log.info("%s at %s is no node here: it may verify only", assoc.peer, assoc.requestor.address)
            else:
                verdict = Verdict(refusal=UNKNOWN_CALLING)
        if verdict.refusal is not None:
            self._reject(assoc, verdict.refusal)
            return
        receives = {uid for uid, item in assoc.requestor.role_selection.items() if item.scp_role}
        assoc.acceptor.supported_contexts = accept(
            proposed, known=verdict.known, any_class=self._any_class, receives=receives
        )

    def _reject(self, assoc: Association, refusal: Refusal) -> None:
        log.warning(
            "an association of %s at %s is rejected: result %d, source %d, reason %d",
            *(assoc.peer, assoc.requestor.address, *refusal),
        )
        assoc.released()
        assoc.acse.send_reject(*refusal)
        assoc.kill()

    def _on_common(self, event: Event) -> dict[Any, SOPClassCommonExtendedNegotiation]:
        """Say which service the SOP classes are of that pynetdicom does not know (PS3.7 D.3.3.6)."""
        items = {}
        for context in event.assoc.acceptor.supported_contexts:
            if is_storage(context.abstract_syntax, any_class=self._any_class):
                item = SOPClassCommonExtendedNegotiation()
                item.sop_class_uid = context.abstract_syntax
                item.service_class_uid = _STORAGE_SERVICE
                items[context.abstract_syntax] = item
        return items

    def close(self, grace: float) -> None:
        """Let what is under way end, `grace` seconds at most; associations that only wait are aborted."""
        deadline = time.monotonic() + grace
        quiet: dict[Association, float] = {}
        while True:
            with self._changing:
                associations = [assoc for assoc in self._threads.values() if assoc is not None]
            now = time.monotonic()
            for assoc in associations:
                if assoc.is_working:
                    quiet.pop(assoc, None)
                elif now - quiet.setdefault(assoc, now) > _QUIET_SECONDS:
                    assoc.close()
                if now > deadline:
                    assoc.close()
            if not associations or now > deadline + _QUIET_SECONDS:
                return
            time.sleep(0.02)
