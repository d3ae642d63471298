"""pynetdicom's association with one state in place of its flags, and without its polling."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pynetdicom import association
from pynetdicom.ae import ApplicationEntity

from neurdicom.dimse.ul.states import OPEN, AssociationEvent, AssociationState, next_state


class StatefulAssociation(association.Association):
    """An association in one of the states of `states`; the upper layer and the messages use this class.

    pynetdicom sets flags (`is_established` and three more); here setting one is an event of the state machine.

    Parameters
    ----------
    ae : ApplicationEntity
        pynetdicom's application entity.
    mode : {"acceptor", "requestor"}
        Our role in the association.

    Attributes
    ----------
    awake : threading.Event
        Set when the association's own thread has something to do.
    receiving : threading.RLock
        Held by the thread that receives the messages: the one that serves the peer, or that invokes an operation.
    """

    def __init__(self, ae: ApplicationEntity, mode: str) -> None:
        self._state = AssociationState.ASSOCIATING
        self._changing = threading.Lock()
        self.awake = threading.Event()
        self.receiving = threading.RLock()
        super().__init__(ae, mode)

    @property
    def state(self) -> AssociationState:
        """The current state."""
        return self._state

    def happen(self, event: AssociationEvent) -> None:
        """Change to the next state. Raises `ForbiddenTransition`."""
        with self._changing:
            self._state = next_state(self._state, event)

    @property
    def is_established(self) -> bool:
        """True if messages may be exchanged."""
        return self._state in OPEN

    @is_established.setter
    def is_established(self, value: bool) -> None:
        if value:  # its end is set by the other flags, or by `kill`
            self.happen(AssociationEvent.ACCEPT)

    @property
    def is_rejected(self) -> bool:
        """True if the association was rejected."""
        return self._state is AssociationState.REJECTED

    @is_rejected.setter
    def is_rejected(self, value: bool) -> None:
        if value:
            self.happen(AssociationEvent.REJECT)

    @property
    def is_released(self) -> bool:
        """True if the association was released."""
        return self._state is AssociationState.RELEASED

    @is_released.setter
    def is_released(self, value: bool) -> None:
        if value:
            self.happen(AssociationEvent.RELEASED)

    @property
    def is_aborted(self) -> bool:
        """True if the association was aborted by either side."""
        return self._state is AssociationState.ABORTED

    @is_aborted.setter
    def is_aborted(self, value: bool) -> None:
        if value:
            self.happen(AssociationEvent.ABORT)

    @property
    def is_open(self) -> bool:
        """True if messages may be exchanged, as far as is known; the peer may have ended the association unnoticed."""
        return self._state in OPEN and not self.dul.is_ending and not self.acse.is_aborted()

    @property
    def peer(self) -> str:
        """AE title of the peer."""
        return str((self.requestor if self.is_acceptor else self.acceptor).ae_title)

    def run_reactor(self) -> None:
        """Run the association's own thread; one that we requested is negotiated before its thread starts.

        The original would negotiate again if the association is being released already.
        """
        if self.is_acceptor:
            super().run_reactor()
        else:
            self._run_reactor()

    def notice(self) -> None:
        """Wake the association's own thread, unless an operation of ours receives the messages."""
        if self._state is not AssociationState.INVOKING:
            self.awake.set()

    @contextmanager
    def invoking(self) -> Iterator[None]:
        """Receive the messages that arrive as the responses to an operation of ours."""
        with self.receiving:
            self.happen(AssociationEvent.INVOKE)
            try:
                yield
            finally:
                self.happen(AssociationEvent.INVOKED)
                if not (self.dimse.msg_queue.empty() and self.dul.to_user_queue.empty()):
                    self.awake.set()  # since `notice` did not

    def release(self) -> None:
        """Release the association; unlike the original without polling for the association's own thread."""
        with self.receiving:
            if self.is_open:
                self.happen(AssociationEvent.RELEASE)
                self.acse.negotiate_release()

    def _abort_blocking(self, block: bool = True) -> None:
        """Abort the association once; unlike the original without a pause."""
        if self._state in OPEN or self._state in (AssociationState.ASSOCIATING, AssociationState.RELEASING):
            self.acse.send_abort(0x00)
            if block:
                self.kill()

    def kill(self) -> None:
        """End the threads, and wait for that of the upper layer; unlike the original without polling."""
        self._kill = True
        if self.is_established:
            self.dul.hang_up()
        self.happen(AssociationEvent.ABORT)
        self.awake.set()
        self.dul.finish()

    def break_off(self) -> None:
        """Record that the upper layer has ended the association."""
        self._kill = True
        self.happen(AssociationEvent.ABORT)
        self.awake.set()

    def close(self) -> None:
        """Abort the association without waiting. Thread-safe and idempotent."""
        self.abort(block=False)
        self._kill = True
        self.awake.set()
        self.dul.hang_up()
