"""pynetdicom's upper layer (PS3.8) with events instead of polling, and with bounds.

The original sleeps for a millisecond between any two steps, reads 4 KiB at a time, queues all that is to be sent,
uses `select` (which allows no descriptor above 1023), and allocates whatever length a peer declares for a PDU.
"""

import logging
import os
import queue
import select
import ssl
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.timer import Timer

from neurdicom.dimse.ul.items import ACCEPT, REQUEST, decodable, decodable_end
from neurdicom.dimse.ul.lifecycle import StatefulAssociation
from neurdicom.dimse.ul.messages import Messages
from neurdicom.dimse.ul.transport import HEAD_BYTES, end_connection

log = logging.getLogger(__name__)

#: Most bytes of a P-DATA-TF PDU that we negotiate and accept: no peer gains from more, and DCMTK sends up to 128 KiB.
MAXIMUM_PDU = 256 * 1024

#: Most bytes of an A-ASSOCIATE PDU; 128 contexts with 40 transfer syntaxes each take about 350,000.
LONGEST_ASSOCIATE = 1024 * 1024

#: Most bytes of any other PDU; they have four.
LONGEST_OTHER = 1024

_P_DATA = 0x04
_ASSOCIATE = (REQUEST, ACCEPT)
_HEAD = struct.Struct(">BxI")
_LONGEST = {REQUEST: LONGEST_ASSOCIATE, ACCEPT: LONGEST_ASSOCIATE, _P_DATA: MAXIMUM_PDU}

#: Transport connection closed, ARTIM timer expired, PDU invalid (PS3.8 9.2.2).
_ENDS = ("Evt17", "Evt18", "Evt19")

#: Seconds that a peer gets to end a connection whose association is over (Sta13), before we do.
_LINGER = 0.5


class PduTooLong(ValueError):
    """A peer declares a PDU that is longer than allowed."""


class Deadline(Timer):
    """Timer of pynetdicom that tells the remaining time."""

    def __init__(self, timeout: float | None) -> None:
        super().__init__(timeout)
        self._is_running = False

    def start(self) -> None:
        """Start or restart the timer."""
        super().start()
        self._is_running = True

    def stop(self) -> None:
        """Stop the timer, which then does not expire."""
        super().stop()
        self._is_running = False

    @property
    def expired(self) -> bool:
        """True if the time is over."""
        seconds = self.seconds
        return seconds is not None and seconds <= 0

    @property
    def seconds(self) -> float | None:
        """Seconds left, 0 if it has expired; None if it is stopped or has no timeout."""
        return max(0.0, self.remaining) if self._is_running and self.timeout is not None else None


class _PDataBody:
    """The body of a received P-DATA-TF PDU (PS3.8 9.3.5); its values are views of the received bytes."""

    def __init__(self, body: memoryview, our_ids: Mapping[int, int]) -> None:
        self._values: list[tuple[int, memoryview]] = []
        pos = 0
        while pos < len(body):
            length = int.from_bytes(body[pos : pos + 4], "big")
            end = pos + 4 + length
            if length < 2 or end > len(body):
                raise ValueError(f"a presentation data value at {pos} has {length} bytes; the PDU has {len(body)}")
            context_id = body[pos + 4]
            self._values.append((our_ids.get(context_id, context_id), body[pos + 5 : end]))
            pos = end

    def to_primitive(self) -> P_DATA:
        """Make the P-DATA indication."""
        primitive = P_DATA()
        primitive.presentation_data_value_list.extend(self._values)
        return primitive


class UpperLayer(DULServiceProvider):
    """The upper layer of one association: a thread reads, and each sender sends in its own thread.

    Events are handled in the thread that causes them, one at a time; so a PDU has been sent when `send_pdu` returns,
    and a slow peer slows the sender down instead of filling a queue.
    """

    def __init__(self, assoc: StatefulAssociation, messages: Messages) -> None:
        super().__init__(assoc)
        self._messages = messages
        self.artim_timer, self._idle_timer = Deadline(None), Deadline(None)  # the association sets their timeouts
        self._kill_thread = False
        self._is_finishing = False
        self._acting = threading.RLock()
        self._ringing = threading.Lock()
        self._bell: int | None = None
        self._buffer = bytearray()  # the current P-DATA PDU, which is processed before the next one is read
        self.daemon = True

    def kill_dul(self) -> None:
        """Stop the reading thread."""
        super().kill_dul()
        self.wake()

    def finish(self) -> None:
        """Stop the reading thread as soon as the association is over (Sta1), and wait for its end."""
        self._is_finishing = True
        self.wake()
        if self.is_alive() and threading.current_thread() is not self:
            self.join()

    @property
    def is_ending(self) -> bool:
        """True if the reading thread is ending or has ended; set before waiting threads are woken."""
        return bool(self._kill_thread)

    def restart_idle_timer(self) -> None:
        """Restart the time limit for the peer's silence."""
        self._idle_timer.restart()

    @property
    def idle_seconds(self) -> float | None:
        """Seconds left for which the peer may be silent; None for no limit."""
        return self._idle_timer.seconds

    def hang_up(self) -> None:
        """Close the connection without a PDU; the reading thread notices."""
        sock = self.socket.socket if self.socket is not None else None
        if sock is not None:
            end_connection(sock)

    def wake(self) -> None:
        """Wake the reading thread."""
        with self._ringing, suppress(BlockingIOError):
            if self._bell is not None:
                os.eventfd_write(self._bell, 1)

    def send_pdu(self, primitive: Any) -> None:
        """Send the PDU of a primitive, now."""
        super().send_pdu(primitive)
        with self._acting:
            try:
                while not self._kill_thread and self._process_recv_primitive():
                    self._act()
            except InvalidEventError:  # the peer has ended the association meanwhile
                self.to_provider_queue.queue.clear()
            except Exception as error:  # from a PDU that has arrived meanwhile, not from this one
                self._break_off(error)
        if self.state_machine.current_state != "Sta6":
            self.wake()

    def send_data(self, pdus: bytes | bytearray) -> None:
        """Send encoded P-DATA-TF PDUs; does nothing if the association is over."""
        with self._acting:
            if self.state_machine.current_state == "Sta6" and self.socket is not None:
                self.socket.send(pdus)
                self._act()

    def run_reactor(self) -> None:
        """Read PDUs and handle their events until the association is over."""
        self._bell = bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            opened = False
            while not self._kill_thread and not ((opened or self._is_finishing) and self._is_over):
                self._step(bell)
                opened = opened or not self._is_over
                if not (self._messages.msg_queue.empty() and self.to_user_queue.empty()):
                    self.assoc.notice()  # not for each PDU: waking a thread costs more than taking one
        finally:
            self._kill_thread = True
            # Nothing more will arrive: wake the threads that wait for a message.
            self.to_user_queue.put(None)
            self._messages.look()
            self.assoc.awake.set()
            with self._ringing:  # no thread may write to the next file that gets this descriptor
                self._bell = None
                os.close(bell)

    @property
    def _is_over(self) -> bool:
        return bool(self.state_machine.current_state == "Sta1")

    def _step(self, bell: int) -> None:
        try:
            self._wait(bell)
            if self.artim_timer.expired:
                self.event_queue.put("Evt18")
            elif self._is_transport_event():
                self._idle_timer.restart()
            with self._acting:
                self._act()
        except Exception as error:  # whatever a peer causes, only this association ends
            self._break_off(error)

    def _wait(self, bell: int) -> None:
        """Wait for the peer, for a wake-up, or for a timer."""
        connection = self.socket
        sock = connection.socket if connection is not None and connection.is_connected else None
        if not self.event_queue.empty() or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            return
        poller = select.poll()
        poller.register(bell, select.POLLIN)
        if sock is not None and self._takes_more():
            poller.register(sock, select.POLLIN)
        seconds = _LINGER if self.state_machine.current_state == "Sta13" else self.artim_timer.seconds
        if any(descriptor == bell for descriptor, _ in poller.poll(None if seconds is None else seconds * 1000)):
            os.eventfd_read(bell)

    def _takes_more(self) -> bool:
        """Tell whether to read from the peer: not while too many of its requests wait."""
        return self._is_finishing or self.state_machine.current_state == "Sta13" or not self._messages.is_full

    def _is_transport_event(self) -> bool:
        return self._takes_more() and super()._is_transport_event()

    def _read_pdu_data(self) -> None:
        """Read a PDU, and queue its event. Raises `PduTooLong`."""
        try:
            head = self.socket.recv(HEAD_BYTES)
            kind, length = _HEAD.unpack(head) if len(head) == HEAD_BYTES else (0, 0)
            if length > _LONGEST.get(kind, LONGEST_OTHER):
                raise PduTooLong(f"a PDU of type {kind:02X}H has {length} bytes, more than allowed")
            if kind == _P_DATA and length > len(self._buffer):
                self._buffer = bytearray(length)
            body = self.socket.recv(length, self._buffer if kind == _P_DATA else None)
        except OSError as error:
            log.info("the connection with %s is lost: %s", self.assoc.peer, error)
            self.event_queue.put("Evt17")
            return
        if not kind or len(body) < length:
            self.event_queue.put("Evt17")
            return
        try:
            if kind == _P_DATA:
                pdu, event = _PDataBody(body, self.socket.sent.ours), "Evt10"
            else:
                if kind in _ASSOCIATE:
                    whole, sent = decodable(kind, body)
                    if kind == REQUEST:
                        self.socket.sent = sent
                else:
                    whole = decodable_end(kind, body)
                pdu, event = self._decode_pdu(whole)
        except Exception as error:  # whatever fails here is caused by an invalid PDU
            log.warning(
                "%s sent an invalid PDU of type %02XH: the association is aborted: %r", self.assoc.peer, kind, error
            )
            self.event_queue.put("Evt19")
            return
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _act(self) -> None:
        while True:
            try:
                event = self.event_queue.get_nowait()
            except queue.Empty:
                return
            if not (self._is_over and event in _ENDS):  # the end of the connection may be reported twice
                self.state_machine.do_action(event)

    def _break_off(self, error: Exception) -> None:
        """Send an A-ABORT without the state machine, and end."""
        log.warning("the association with %s is aborted: %s", self.assoc.peer, error)
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 0x02, 0x00
        if self.socket is not None and self.socket.socket is not None:
            self.socket.send(abort.encode())
        self.assoc.break_off()
        self.kill_dul()
