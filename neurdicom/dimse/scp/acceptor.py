"""The association acceptor of a DIMSE process, which serves the connections that the server hands over."""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from pynetdicom import evt
from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE, N_ACTION
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from neurdicom.dimse.identifier import MODELS
from neurdicom.dimse.ipc.contract import (
    CONGESTION,
    NO_REASON,
    REASONS,
    UNKNOWN_CALLING,
    UNKNOWN_CONTEXT,
    WRONG_CALLED,
    Refusal,
    Verdict,
)
from neurdicom.dimse.ipc.link import Link
from neurdicom.dimse.scp.commitment import serve_commitment
from neurdicom.dimse.scp.contexts import accept, is_storage
from neurdicom.dimse.scp.find import negotiated, serve_find
from neurdicom.dimse.scp.operation_log import StoreCounts, logged
from neurdicom.dimse.scp.retrieve import RetrieveOperation
from neurdicom.dimse.scp.storage import StorageProvider
from neurdicom.dimse.scu.requestor import Requestor
from neurdicom.dimse.statuses import SUCCESS
from neurdicom.dimse.ul.association import Association, Service, respond_to
from neurdicom.dimse.ul.exchange import SMALLEST_PDU, Disconnected
from neurdicom.dimse.ul.items import BLANK_TITLE
from neurdicom.dimse.ul.transport import end_connection
from neurdicom.errors import NeurdicomError

log = logging.getLogger(__name__)

#: Name of DICOM's application context (PS3.7 A.2.1).
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

#: Seconds without a request after which an association does not keep a stopping server waiting.
_QUIET_SECONDS = 1.0


@contextmanager
def as_end_of(assoc: Association) -> Iterator[None]:
    """Log, and not raise, the end of an association during an operation, which is the peer's choice."""
    try:
        yield
    except Disconnected as error:
        log.info("%s ended its association before the answer to its request: %s", assoc.peer, error)


def serve_echo(assoc: Association, request: C_ECHO, context: Any) -> None:
    """Answer a C-ECHO request (PS3.4 A).

    Parameters
    ----------
    assoc : Association
        The association.
    request : C_ECHO
        The request.
    context : PresentationContext
        Its presentation context.
    """
    with logged(assoc, request) as exchange:
        exchange.respond(respond_to(request, SUCCESS), context.context_id)


class Acceptor:
    """Acceptor of associations; serves each connection in a thread of its own.

    Parameters
    ----------
    link : Link
        The connection to the server.
    requestor : Requestor
        Opens associations with the destinations of C-MOVE; accepted associations use its `local`.
    storage : StorageProvider
        Serves C-STORE.
    any_class : bool
        True to store private SOP classes too.
    relational : bool
        True to answer relational queries and retrievals.
    tls : ssl.SSLContext or None
        TLS context of accepted connections; None without TLS.
    """

    def __init__(
        self,
        link: Link,
        requestor: Requestor,
        storage: StorageProvider,
        *,
        any_class: bool,
        relational: bool,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._link = link
        self._requestor = requestor
        self._any_class = any_class
        self._relational = relational
        self._tls = tls
        self._threads: dict[threading.Thread, Association | None] = {}
        self._changed = threading.Condition()  # guards and signals changes of _threads
        self._is_draining = False
        self._storage = storage
        self._services: dict[tuple[type, str], Service] = {
            (C_ECHO, Verification): self._echo,
            **{(C_FIND, model.find): self._find for model in MODELS},
            **{(C_MOVE, model.move): self._retrieve for model in MODELS},
            **{(C_GET, model.get): self._retrieve for model in MODELS},
            (N_ACTION, StorageCommitmentPushModel): self._commit,
        }

    def _find_service(self, counts: StoreCounts, kind: type, sop_class: str) -> Service | None:
        if kind is C_STORE and is_storage(sop_class, any_class=self._any_class):
            return partial(self._storage.serve, counts=counts)
        return self._services.get((kind, sop_class))

    def take(self, sock: socket.socket, number: int, remote: list[Any], local: list[Any]) -> None:
        """Serve a connection in a thread of its own.

        Parameters
        ----------
        sock : socket
            The accepted connection; closed here.
        number : int
            Its number.
        remote, local : list
            Addresses of the peer and of this side, as sockets give them.
        """
        thread = threading.Thread(
            target=self._serve, args=(sock, number, remote, local), name=f"connection-{number}", daemon=True
        )
        with self._changed:
            self._threads[thread] = None
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread left
            log.warning("a DIMSE connection from %s is closed: %s", remote[0], error)
            with self._changed:
                del self._threads[thread]
            sock.close()
            self._link.tell("closed", number=number)

    def _serve(self, sock: socket.socket, number: int, remote: list[Any], local: list[Any]) -> None:
        assoc: Association | None = None
        counts = StoreCounts()
        sock.settimeout(self._requestor.local.timeout)
        try:
            sock = self._secure(sock)
            assoc = self._associate(sock, number, remote, local, counts)
            with self._changed:
                self._threads[threading.current_thread()] = assoc
                if self._is_draining:
                    assoc.drain(_QUIET_SECONDS)
            assoc.run()
        except OSError as error:
            log.info("a DIMSE connection from %s has ended: %s", remote[0], error)
        except Exception:
            log.exception("a DIMSE connection from %s failed, and is closed: internal error", remote[0])
            if assoc is not None:
                assoc.dul.hang_up()
        finally:
            if assoc is not None:
                assoc.kill()
                assoc.dimse.close()
                counts.write(assoc)
            sock.close()
            with self._changed:
                del self._threads[threading.current_thread()]
                self._changed.notify_all()
            self._link.tell("closed", number=number)

    def _echo(self, assoc: Association, request: Any, context: Any) -> None:
        with as_end_of(assoc):
            serve_echo(assoc, request, context)

    def _find(self, assoc: Association, request: Any, context: Any) -> None:
        with as_end_of(assoc), logged(assoc, request) as exchange:
            ae_title = self._requestor.local.ae_title
            serve_find(exchange, request, context, self._link, ae_title, relational=self._relational)

    def _retrieve(self, assoc: Association, request: Any, context: Any) -> None:
        with as_end_of(assoc), logged(assoc, request) as exchange:
            relational = self._relational
            RetrieveOperation(exchange, request, context, self._link, self._requestor, relational=relational).serve()

    def _commit(self, assoc: Association, request: Any, context: Any) -> None:
        with as_end_of(assoc), logged(assoc, request) as exchange:
            serve_commitment(exchange, request, context, self._link)

    def _secure(self, sock: socket.socket) -> socket.socket:
        """Do the TLS handshake if TLS is configured. Raises `OSError` after closing the connection."""
        if self._tls is None:
            return sock
        secured = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        # A peer that stalls in the handshake is cut off, however little it sends within each timeout.
        cutter = threading.Timer(self._requestor.local.timeout, end_connection, [secured])
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

    def _associate(
        self, sock: socket.socket, number: int, remote: Sequence[Any], local: Sequence[Any], counts: StoreCounts
    ) -> Association:
        def release() -> None:
            counts.is_released = True
            self._link.tell("released", number=number)

        assoc = self._requestor.local.accepting(
            sock,
            local=local,
            remote=remote,
            find_service=partial(self._find_service, counts),
            on_release=release,
        )
        assoc.bind(evt.EVT_REQUESTED, self._on_requested, [number])
        assoc.bind(evt.EVT_SOP_EXTENDED, lambda event: negotiated(event.app_info, relational=self._relational))
        return assoc

    def _on_requested(self, event: Event, number: int) -> None:
        """Ask the server for its verdict on a requested association, and choose the presentation contexts."""
        assoc = event.assoc
        request = assoc.requestor.primitive
        proposed = request.presentation_context_definition_list
        assoc.requestor.ae_title = request.calling_ae_title
        for title, refusal in ((request.called_ae_title, WRONG_CALLED), (assoc.peer, UNKNOWN_CALLING)):
            if title == BLANK_TITLE:
                self._reject(assoc, number, refusal)
                return
        if request.application_context_name != _APPLICATION_CONTEXT:
            self._reject(assoc, number, UNKNOWN_CONTEXT)
            return
        if 0 < (assoc.requestor.maximum_length or 0) < SMALLEST_PDU or not proposed:
            self._reject(assoc, number, NO_REASON)
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
            log.warning(
                "the server could not decide on an association with %s, which is rejected: %s", assoc.peer, error
            )
            verdict = Verdict(refusal=CONGESTION)
        if verdict.refusal is None and not verdict.known:
            if any(context.abstract_syntax == Verification for context in proposed):
                log.info("%s at %s is not a known node: it may only verify", assoc.peer, assoc.requestor.address)
            else:
                verdict = Verdict(refusal=UNKNOWN_CALLING)
        if verdict.refusal is not None:
            self._reject(assoc, number, verdict.refusal)
            return
        receives = {uid for uid, item in assoc.requestor.role_selection.items() if item.scp_role}
        assoc.acceptor.supported_contexts = accept(
            proposed, known=verdict.known, any_class=self._any_class, receives=receives
        )

    def _reject(self, assoc: Association, number: int, refusal: Refusal) -> None:
        log.warning(
            "an association with %s at %s is rejected: %s", assoc.peer, assoc.requestor.address, REASONS[refusal]
        )
        self._link.tell("released", number=number)
        assoc.acse.send_reject(*refusal)
        assoc.kill()

    def close(self, grace: float) -> None:
        """Let running operations end, within `grace` seconds; abort all other associations."""
        with self._changed:
            self._is_draining = True
            for assoc in self._associations():
                assoc.drain(_QUIET_SECONDS)
            self._changed.wait_for(lambda: not self._associations(), grace)
            left = self._associations()
        for assoc in left:  # which may take as long as a peer that takes nothing
            assoc.close()
        with self._changed:
            self._changed.wait_for(lambda: not self._associations(), _QUIET_SECONDS)

    def _associations(self) -> list[Association]:
        return [assoc for assoc in self._threads.values() if assoc is not None]
