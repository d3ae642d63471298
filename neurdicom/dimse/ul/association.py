"""pynetdicom's association on our upper layer and messages: it waits for events, and trusts no request."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pynetdicom import association, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_STORE, N_EVENT_REPORT
from pynetdicom.sop_class import Verification

from neurdicom.dimse.scp.contexts import SERVICES
from neurdicom.dimse.statuses import INVALID_ARGUMENT, SOP_CLASS_NOT_SUPPORTED, UNRECOGNIZED_OPERATION
from neurdicom.dimse.ul.messages import Messages
from neurdicom.dimse.ul.upper_layer import UpperLayer

log = logging.getLogger(__name__)

#: Seconds between looks at the timers while nothing happens.
_TICK = 0.5


class Association(association.Association):
    """An association, as acceptor or as requestor.

    Parameters
    ----------
    ae : ApplicationEntity
    mode : {"acceptor", "requestor"}
    spool : Path
        Where datasets go that arrive by C-STORE.
    largest : int
        Most bytes that such a dataset may have; 0 for no limit.

    Attributes
    ----------
    awake : threading.Event
        Set when something has happened.
    services : Mapping[(type, str), Callable[[Association, request, context], None]]
        What serves requests of a class of primitives for a SOP class, in place of pynetdicom's own service classes.
    """

    def __init__(self, ae: ApplicationEntity, mode: str, *, spool: Path, largest: int = 0) -> None:
        super().__init__(ae, mode)
        self.dul = UpperLayer(self)
        self.dimse = Messages(self, spool, largest)
        # Again, since these are kept by the upper layer.
        self.acse_timeout, self.network_timeout = ae.acse_timeout, ae.network_timeout
        self.awake = threading.Event()
        self.services: Mapping[tuple[type, str], Callable[[Association, Any, Any], None]] = {}
        self._serving = False

    @property
    def peer(self) -> str:
        """AE title of the other side."""
        return str((self.requestor if self.is_acceptor else self.acceptor).ae_title)

    @property
    def is_working(self) -> bool:
        """Whether a request is served or arriving."""
        return self._serving or not self.dimse.is_idle

    def break_off(self) -> None:
        """Note that the upper layer has ended it."""
        self.is_aborted, self.is_established, self._kill = True, False, True
        self.awake.set()

    def close(self) -> None:
        """Abort it, from any thread, without waiting. Idempotent."""
        self.abort(block=False)
        self._kill = True
        self.awake.set()
        if not self.is_established:
            self.dul.hang_up()

    def released(self) -> None:
        """Hook: the association is over, and the peer learns of it next."""

    def _run_reactor(self) -> None:
        """Serve requests until the association is over; as the original, without its sleep."""
        while not self._kill:
            self._is_paused = True
            self.awake.wait(_TICK)
            self.awake.clear()
            self._reactor_checkpoint.wait()
            self._is_paused = False
            while not self._kill and (message := self.dimse.get_msg(block=False))[1] is not None:
                self.serve(*message)
            if self.is_established and self.acse.is_release_requested():
                self.released()
                self.acse.send_release(is_response=True)
                self.is_released, self.is_established = True, False
                evt.trigger(self, evt.EVT_RELEASED, {})
                break
            if self.acse.is_aborted():
                log.info("%s aborted its association", self.peer)
                self.dul.receive_pdu(wait=False)
                self.is_aborted, self.is_established = True, False
                evt.trigger(self, evt.EVT_ABORTED, {})
                break
            if not self.dul.is_alive():
                break
            if self.dul.idle_timer_expired():
                log.info("%s was silent for %g s: its association is aborted", self.peer, self.network_timeout)
                self.abort(block=False)
                break
        self.kill()

    def serve(self, context_id: int, message: Any) -> None:
        """Serve a request that has arrived."""
        self._serving = True
        try:
            self._serve_request(message, context_id)
        finally:
            self._serving = False
            if isinstance(message, C_STORE) and message._dataset_file is not None:
                message._dataset_file.close()
            # The time that the answer took is not the peer's silence.
            self.dul._idle_timer.restart()
            self.dul.wake()  # it may read on

    def _serve_request(self, msg: Any, context_id: int) -> None:
        """Serve a request if it is one, and of its presentation context's SOP class.

        The original takes the service from the request alone, so that whoever may verify could store.
        """
        if self.is_acceptor and isinstance(msg, N_EVENT_REPORT):  # which pynetdicom serves in yet another thread
            log.warning("%s sends N-EVENT-REPORT, which is not negotiated: its association is aborted", self.peer)
            self.abort(block=False)
            return
        if isinstance(msg, C_CANCEL):  # more of them than pynetdicom keeps
            return
        context = self._accepted_cx.get(context_id)
        named = getattr(msg, "AffectedSOPClassUID", None) or getattr(msg, "RequestedSOPClassUID", None)
        if context is not None and msg.MessageID is not None and msg.MessageIDBeingRespondedTo is None:
            if not msg.is_valid_request:
                self._refuse(msg, context_id, INVALID_ARGUMENT, "a mandatory element of the request is missing")
                return
            if named != context.abstract_syntax:
                self._refuse(msg, context_id, SOP_CLASS_NOT_SUPPORTED, "not this presentation context's SOP class")
                return
            service = self.services.get((type(msg), str(named)))
            if service is not None:
                self.dimse.cancel_req = {}  # of earlier operations
                self._is_paused = True
                service(self, msg, context)
                return
            if named in SERVICES or not isinstance(msg, C_ECHO if named == Verification else C_STORE):
                self._refuse(msg, context_id, UNRECOGNIZED_OPERATION, "the SOP class has no such operation")
                return
        super()._serve_request(msg, context_id)

    def _refuse(self, request: Any, context_id: int, status: int, comment: str) -> None:
        response = type(request)()
        response.MessageIDBeingRespondedTo = request.MessageID
        for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID"):
            if getattr(request, keyword, None) is not None:
                setattr(response, keyword, getattr(request, keyword))
        response.Status = status
        if hasattr(response, "ErrorComment"):
            response.ErrorComment = comment
        self.dimse.send_msg(response, context_id)
