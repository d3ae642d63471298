"""An association that waits for events instead of polling, and checks each request before serving it."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse_primitives import C_CANCEL, C_STORE, N_EVENT_REPORT

from neurdicom.dimse.statuses import INVALID_ARGUMENT, SOP_CLASS_NOT_SUPPORTED, UNRECOGNIZED_OPERATION
from neurdicom.dimse.ul.lifecycle import StatefulAssociation
from neurdicom.dimse.ul.messages import Messages, incoming_of
from neurdicom.dimse.ul.states import OVER, AssociationEvent
from neurdicom.dimse.ul.upper_layer import UpperLayer

log = logging.getLogger(__name__)

#: Function that serves a request of the peer: takes the association, the primitive and its presentation context.
Service = Callable[["Association", Any, Any], None]

#: Function that finds the service for a class of primitives and a SOP class; None where there is no such operation.
ServiceFinder = Callable[[type, str], Service | None]


class Association(StatefulAssociation):
    """An association, as acceptor or as requestor.

    Parameters
    ----------
    ae : ApplicationEntity
        pynetdicom's application entity.
    mode : {"acceptor", "requestor"}
        Our role in the association.
    spool : Path
        Folder for datasets that arrive by C-STORE.
    largest : int
        Most bytes that such a dataset may have; 0 for no limit.

    Attributes
    ----------
    find_service : ServiceFinder
        Finds the services for the peer's requests, instead of pynetdicom's own service classes; none at first.
    on_release : callable
        Called when the peer has requested the release, before the release is confirmed.
    """

    def __init__(self, ae: ApplicationEntity, mode: str, *, spool: Path, largest: int = 0) -> None:
        super().__init__(ae, mode)
        self.dimse = Messages(self, spool, largest)
        self.dul = UpperLayer(self, self.dimse)
        # Set again, since our upper layer keeps them.
        self.acse_timeout, self.network_timeout = ae.acse_timeout, ae.network_timeout
        self.find_service: ServiceFinder = lambda kind, sop_class: None
        self.on_release: Callable[[], None] = lambda: None
        self._is_draining = False

    def drain(self, seconds: float) -> None:
        """End the association once it has been idle for some seconds. Thread-safe."""
        self.network_timeout = seconds
        self.dul.restart_idle_timer()
        self._is_draining = True
        if self.is_acceptor and self.requestor.primitive is None:
            self.dul.hang_up()  # the peer has not requested an association yet, and may never do so
        self.awake.set()

    @property
    def _patience(self) -> float | None:
        """Seconds left for which the peer may be silent; None, for no limit, while draining with a request arriving."""
        seconds: float | None = self.dul.idle_seconds
        return None if self._is_draining and not self.dimse.is_idle else seconds

    def _run_reactor(self) -> None:
        """Serve requests until the association is over; overrides the original, which polls."""
        while not self._kill:
            self.awake.wait(self._patience)
            self.awake.clear()
            with self.receiving:
                if self._kill or not self._goes_on():
                    break
        self.kill()

    def _goes_on(self) -> bool:
        """Handle requests, release, abort and timeout; return False if the association is over."""
        while not self._kill and self.state not in OVER and not self.dimse.msg_queue.empty():
            if (arrived := self.dimse.take()) is not None:
                self.serve(*arrived)
        if self.is_established and self.acse.is_release_requested():
            self.happen(AssociationEvent.RELEASE)
            self.on_release()
            self.acse.send_release(is_response=True)
            self.happen(AssociationEvent.RELEASED)
            return False
        if self.acse.is_aborted():
            log.info("%s aborted its association", self.peer)
            self.happen(AssociationEvent.ABORT)
            return False
        if self.dul.is_ending or self.state in OVER:
            return False
        if self._patience == 0:
            log.info("%s was silent for %g s: its association is aborted", self.peer, self.network_timeout)
            self.abort(block=False)
            return False
        return True

    def serve(self, context_id: int, message: Any) -> None:
        """Serve a request that has arrived."""
        self.happen(AssociationEvent.SERVE)
        try:
            self._serve_request(message, context_id)
        finally:
            self.happen(AssociationEvent.SERVED)
            if isinstance(message, C_STORE) and (incoming := incoming_of(message)) is not None:
                incoming.close()
            # The time that the answer took does not count as the peer's silence.
            self.dul.restart_idle_timer()

    def _serve_request(self, msg: Any, context_id: int) -> None:
        """Serve a message if it is a valid request of its presentation context's SOP class.

        The original chooses the service by the request alone, so that a peer that may only verify could store.
        """
        if self.is_acceptor and isinstance(msg, N_EVENT_REPORT):  # which pynetdicom serves in yet another thread
            log.warning("%s sent N-EVENT-REPORT, which was not negotiated: its association is aborted", self.peer)
            self.abort(block=False)
            return
        if isinstance(msg, C_CANCEL):  # more of them than pynetdicom keeps
            return
        if msg.MessageID is None or msg.MessageIDBeingRespondedTo is not None:
            log.warning("%s sent a response to no request; it is ignored", self.peer)
            return
        context = self._accepted_cx.get(context_id)
        if context is None:
            log.warning(
                "%s sent a request in presentation context %s, which was not accepted: its association is aborted",
                self.peer,
                context_id,
            )
            self.abort(block=False)
            return
        named = getattr(msg, "AffectedSOPClassUID", None) or getattr(msg, "RequestedSOPClassUID", None)
        if not msg.is_valid_request:
            self._refuse(msg, context_id, INVALID_ARGUMENT, "a mandatory element of the request is missing")
        elif named != context.abstract_syntax:
            self._refuse(msg, context_id, SOP_CLASS_NOT_SUPPORTED, "not this presentation context's SOP class")
        elif (service := self.find_service(type(msg), str(named))) is None:
            self._refuse(msg, context_id, UNRECOGNIZED_OPERATION, "the SOP class has no such operation")
        else:
            self.dimse.cancel_req = {}  # of earlier operations
            service(self, msg, context)

    def _refuse(self, request: Any, context_id: int, status: int, comment: str) -> None:
        response = respond_to(request, status)
        if hasattr(response, "ErrorComment"):
            response.ErrorComment = comment
        self.dimse.send_msg(response, context_id)


def respond_to(request: Any, status: int) -> Any:
    """Make the response to a request, of its SOP class and instance."""
    response = type(request)()
    response.MessageIDBeingRespondedTo = request.MessageID
    for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID"):
        if getattr(request, keyword, None) is not None:
            setattr(response, keyword, getattr(request, keyword))
    response.Status = status
    return response
