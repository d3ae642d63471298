"""pynetdicom's association with its flags as one state, and without its waits in small steps."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pynetdicom import association
from pynetdicom.ae import ApplicationEntity

from neurdicom.dimse.ul.states import OPEN, AssociationEvent, AssociationState, next_state


class StatefulAssociation(association.Association):
    """An association that is in one of the states of `states`; the upper layer and the messages know it as this.

    pynetdicom sets flags (`is_established` and three more); here these are what happens to the state.

    Parameters
    ----------
    ae : ApplicationEntity
    mode : {"acceptor", "requestor"}

    Attributes
    ----------
    awake : threading.Event
        Set when there is something to look at for the association's own thread.
    turn : threading.RLock
        Held by the thread that serves the peer, or that invokes an operation, so that it gets the messages.
    """

    def __init__(self, ae: ApplicationEntity, mode: str) -> None:
        self._state = AssociationState.ASSOCIATING
        self._changing = threading.Lock()
        self.awake = threading.Event()
        self.turn = threading.RLock()
        super().__init__(ae, mode)

    @property
    def state(self) -> AssociationState:
        """The state at this moment."""
        return self._state

    def happen(self, event: AssociationEvent) -> None:
        """Go on to the next state. Raises `ForbiddenTransition`."""
        with self._changing:
            self._state = next_state(self._state, event)

    @property
    def is_established(self) -> bool:
        """Whether messages may pass."""
        return self._state in OPEN

    @is_established.setter
    def is_established(self, value: bool) -> None:
        if value:  # how it ends is said by the other flags, or by `kill`
            self.happen(AssociationEvent.ACCEPT)

    @property
    def is_rejected(self) -> bool:
        """Whether the association was rejected."""
        return self._state is AssociationState.REJECTED

    @is_rejected.setter
    def is_rejected(self, value: bool) -> None:
        if value:
            self.happen(AssociationEvent.REJECT)

    @property
    def is_released(self) -> bool:
        """Whether the association was released."""
        return self._state is AssociationState.RELEASED

    @is_released.setter
    def is_released(self, value: bool) -> None:
        if value:
            self.happen(AssociationEvent.RELEASED)

    @property
    def is_aborted(self) -> bool:
        """Whether the association was aborted, by whomever."""
        return self._state is AssociationState.ABORTED

    @is_aborted.setter
    def is_aborted(self, value: bool) -> None:
        if value:
            self.happen(AssociationEvent.ABORT)

    @property
    def is_open(self) -> bool:
        """Whether messages may pass, as far as is known; the peer may have ended it unnoticed."""
        return self._state in OPEN and not self.dul.is_ending and not self.acse.is_aborted()

    @property
    def peer(self) -> str:
        """AE title of the other side."""
        return str((self.requestor if self.is_acceptor else self.acceptor).ae_title)

    def run_reactor(self) -> None:
        """Run the association's own thread; one that we asked for has been negotiated before its thread starts.

        The original would negotiate anew where the association is being released already.
        """
        if self.is_acceptor:
            super().run_reactor()
        else:
            self._run_reactor()

    def notice(self) -> None:
        """Have the association's own thread look, unless an operation of ours takes what arrives."""
        if self._state is not AssociationState.INVOKING:
            self.awake.set()

    @contextmanager
    def invoking(self) -> Iterator[None]:
        """Take the messages that arrive, as the responses to an operation of ours."""
        with self.turn:
            self.happen(AssociationEvent.INVOKE)
            try:
                yield
            finally:
                self.happen(AssociationEvent.INVOKED)
                if not (self.dimse.msg_queue.empty() and self.dul.to_user_queue.empty()):
                    self.awake.set()  # of which `notice` said nothing

    def release(self) -> None:
        """Release the association; as the original, without its wait for the association's own thread."""
        with self.turn:
            if self.is_open:
                self.happen(AssociationEvent.RELEASE)
                self.acse.negotiate_release()

    def _abort_blocking(self, block: bool = True) -> None:
        """Abort the association once; as the original, without its pause."""
        if self._state in OPEN or self._state in (AssociationState.ASSOCIATING, AssociationState.RELEASING):
            self.acse.send_abort(0x00)
            if block:
                self.kill()

    def kill(self) -> None:
        """End the threads, and wait for the upper layer's; as the original, without looking again and again."""
        self._kill = True
        if self.is_established:
            self.dul.hang_up()
        self.happen(AssociationEvent.ABORT)
        self.awake.set()
        self.dul.finish()

    def break_off(self) -> None:
        """Note that the upper layer has ended the association."""
        self._kill = True
        self.happen(AssociationEvent.ABORT)
        self.awake.set()

    def close(self) -> None:
        """Abort the association, from any thread, without waiting. Idempotent."""
        self.abort(block=False)
        self._kill = True
        self.awake.set()
        self.dul.hang_up()
