"""pynetdicom's upper layer (PS3.8), waiting for events where the original polls, and bounded.

The original sleeps for a millisecond between any two steps, reads 4 KiB at a time, queues all that is to be sent,
uses `select` (which knows no descriptor above 1023), and believes whatever length a peer claims for a PDU.
"""

import logging
import os
import queue
import select
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from neurdicom.dimse.ul.items import without_unknown_items

if TYPE_CHECKING:
    from neurdicom.dimse.ul.association import Association

log = logging.getLogger(__name__)

#: Most bytes of a P-DATA-TF PDU that we ask for and take: no peer gains from more, and DCMTK sends up to 128 KiB.
MAXIMUM_PDU = 256 * 1024

#: Most bytes of an A-ASSOCIATE PDU; 128 contexts with 40 transfer syntaxes each take about 350,000.
LONGEST_ASSOCIATE = 1024 * 1024

#: Most bytes of any other PDU; they have four.
LONGEST_OTHER = 1024

_P_DATA = 0x04
_ASSOCIATE = (0x01, 0x02)
_HEAD = struct.Struct(">BxI")
_HEAD_BYTES = _HEAD.size
_LONGEST = {0x01: LONGEST_ASSOCIATE, 0x02: LONGEST_ASSOCIATE, _P_DATA: MAXIMUM_PDU}

#: Transport connection closed, ARTIM timer expired, PDU invalid (PS3.8 9.2.2).
_ENDS = ("Evt17", "Evt18", "Evt19")

#: Seconds between looks at the timers.
_TICK = 0.5


class PduTooLong(ValueError):
    """A peer announces a PDU that is longer than it may be."""


def cut(sock: socket.socket) -> None:
    """End a connection that another thread may be using TLS on."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Transport(AssociationSocket):
    """A connection that is read in large pieces, with a time limit for each PDU.

    Parameters
    ----------
    assoc : Association
    seconds : float
        In which a PDU has to arrive once it began, and a piece of one has to be taken by the peer.
    client_socket : socket, optional
        Of an acceptor: connected, TLS done.
    address : AddressInformation, optional
        Of a requestor: the local address to connect from.
    """

    def __init__(
        self,
        assoc: "Association",
        seconds: float,
        client_socket: socket.socket | None = None,
        address: AddressInformation | None = None,
    ) -> None:
        super().__init__(assoc, client_socket, address)
        self._seconds = seconds
        self._tls: threading.Lock | None = None
        if client_socket is not None:
            self._prepare()

    def _prepare(self) -> None:
        sock = self.socket
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self._seconds)
            if isinstance(sock, ssl.SSLSocket):  # OpenSSL does not bear a read and a write at the same time
                self._tls = threading.Lock()

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect to the peer."""
        super().connect(primitive)
        self._prepare()

    @property
    def ready(self) -> bool:
        """Whether there is something to read, or the connection has ended."""
        if self.socket is None or not self._is_connected:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        poller = select.poll()
        try:
            poller.register(self.socket, select.POLLIN)
        except ValueError:  # closed by another thread
            self.event_queue.put("Evt17")
            return False
        return bool(poller.poll(0))

    def recv(self, nr_bytes: int, into: bytearray | None = None) -> memoryview:
        """Read the head or the body of a PDU.

        Parameters
        ----------
        nr_bytes : int
            How much.
        into : bytearray, optional
            Where to put it; large enough.

        Returns
        -------
        memoryview
            What was read; less than asked for when the connection ended.

        Raises
        ------
        OSError
            The connection broke, or it took too long.
        """
        view = memoryview(bytearray(nr_bytes) if into is None else into)[:nr_bytes]
        deadline = time.monotonic() + self._seconds
        got = 0
        while got < nr_bytes:
            if time.monotonic() > deadline:
                raise TimeoutError(f"a PDU takes longer than {self._seconds:g} s")
            count = self._read_into(view[got:])
            if not count:
                break
            got += count
            if got < nr_bytes or nr_bytes == _HEAD_BYTES:
                self._acknowledge()
        return view[:got]

    def _acknowledge(self) -> None:
        """Have what came acknowledged at once.

        DCMTK writes the head and the body of a PDU apart, and its system keeps the second back until the first is
        acknowledged (Nagle), which ours would do after 40 ms.
        """
        with suppress(OSError):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _read_into(self, view: memoryview) -> int:
        sock: socket.socket = self.socket
        if self._tls is None:
            return sock.recv_into(view)
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        while True:
            # What has come may be no data but TLS's own: nobody may wait for more with the lock held.
            with self._tls:
                sock.settimeout(0)
                try:
                    return sock.recv_into(view)
                except ssl.SSLWantReadError:
                    pass
                finally:
                    sock.settimeout(self._seconds)
            if not poller.poll(self._seconds * 1000):
                raise TimeoutError(f"nothing came for {self._seconds:g} s")

    def send(self, bytestream: bytes | bytearray) -> None:
        """Send a PDU; what goes wrong is told as Evt17, as the original does."""
        try:
            assert self.socket is not None
            if self._tls is None:
                self.socket.sendall(bytestream)
            else:
                with self._tls:
                    self.socket.sendall(bytestream)
        except (OSError, AssertionError):
            self.event_queue.put("Evt17")


class _Data:
    """The body of a received P-DATA-TF PDU (PS3.8 9.3.5): its values are views of the bytes as they came."""

    def __init__(self, body: memoryview) -> None:
        self._values: list[tuple[int, memoryview]] = []
        pos = 0
        while pos < len(body):
            length = int.from_bytes(body[pos : pos + 4], "big")
            end = pos + 4 + length
            if length < 2 or end > len(body):
                raise ValueError(f"a presentation data value of {length} bytes at {pos} of {len(body)}")
            self._values.append((body[pos + 4], body[pos + 5 : end]))
            pos = end

    def to_primitive(self) -> P_DATA:
        """The P-DATA indication."""
        primitive = P_DATA()
        primitive.presentation_data_value_list.extend(self._values)
        return primitive


class UpperLayer(DULServiceProvider):
    """The upper layer of one association: a thread that reads, and senders that send for themselves.

    Events are acted on by whoever causes them, one at a time; so what was sent is out when `send_pdu` returns,
    and a slow peer slows the sender down instead of filling a queue.
    """

    def __init__(self, assoc: "Association") -> None:
        super().__init__(assoc)
        self._kill_thread = False
        self._acting = threading.RLock()
        self._ringing = threading.Lock()
        self._bell: int | None = None
        self._buffer = bytearray()  # of the P-DATA PDU that is acted on; it is used up before the next one is read
        self.daemon = True

    def kill_dul(self) -> None:
        """Have the reading thread end."""
        super().kill_dul()
        self.wake()

    def stop_dul(self) -> bool:
        """End the reading thread if the association is over (Sta1)."""
        if not self._is_over:
            return False
        self.kill_dul()
        if threading.current_thread() is not self:
            self.join()
        return True

    def hang_up(self) -> None:
        """End the connection without a word; the reading thread notices."""
        sock = self.socket.socket if self.socket is not None else None
        if sock is not None:
            cut(sock)

    def wake(self) -> None:
        """Have the reading thread look around."""
        with self._ringing, suppress(BlockingIOError):
            if self._bell is not None:
                os.eventfd_write(self._bell, 1)

    def send_pdu(self, primitive: Any) -> None:
        """Send what a primitive stands for, now."""
        super().send_pdu(primitive)
        with self._acting:
            try:
                while not self._kill_thread and self._process_recv_primitive():
                    self._act()
            except InvalidEventError:  # the peer has ended the association meanwhile
                self.to_provider_queue.queue.clear()
            except Exception as error:  # of what has arrived meanwhile, which is no fault of who sends
                self._break_off(error)
        if self.state_machine.current_state != "Sta6":
            self.wake()

    def send_data(self, pdus: bytes | bytearray) -> None:
        """Send P-DATA-TF PDUs that are written already; nothing happens when the association is over."""
        with self._acting:
            if self.state_machine.current_state == "Sta6" and self.socket is not None:
                self.socket.send(pdus)
                self._act()

    def run_reactor(self) -> None:
        """Read and act until the association is over."""
        self._bell = bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            opened = False
            while not self._kill_thread and not (opened and self._is_over):
                self._step(bell)
                opened = opened or not self._is_over
                if not (self.assoc.dimse.msg_queue.empty() and self.to_user_queue.empty()):
                    self.assoc.awake.set()  # not for each PDU: waking a thread costs more than taking one
        finally:
            self._kill_thread = True
            self.to_user_queue.put(None)  # who waits for what comes now, such as a request, waits in vain
            self.assoc.awake.set()
            with self._ringing:  # nobody may write to what gets this number next
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
        except Exception as error:  # whatever a peer provoked, it ends this association and nothing else
            self._break_off(error)

    def _wait(self, bell: int) -> None:
        """Wait for the peer, for a bell, or for the next look at the timers."""
        sock = self.socket.socket if self.socket is not None else None
        if not self.event_queue.empty() or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            return
        poller = select.poll()
        poller.register(bell, select.POLLIN)
        if sock is not None and sock.fileno() >= 0 and self._takes_more():
            poller.register(sock, select.POLLIN)
        if any(descriptor == bell for descriptor, _ in poller.poll(_TICK * 1000)):
            os.eventfd_read(bell)

    def _takes_more(self) -> bool:
        """Whether the peer may send: not while it has requests waiting that it should not have sent yet."""
        return self.state_machine.current_state == "Sta13" or not self.assoc.dimse.is_full

    def _is_transport_event(self) -> bool:
        return self._takes_more() and super()._is_transport_event()

    def _read_pdu_data(self) -> None:
        """Read a PDU, and note the event that it is. Raises `PduTooLong`."""
        try:
            head = self.socket.recv(_HEAD_BYTES)
            kind, length = _HEAD.unpack(head) if len(head) == _HEAD_BYTES else (0, 0)
            if length > _LONGEST.get(kind, LONGEST_OTHER):
                raise PduTooLong(f"a PDU of type {kind:02X}H and {length} bytes")
            if kind == _P_DATA and length > len(self._buffer):
                self._buffer = bytearray(length)
            body = self.socket.recv(length, self._buffer if kind == _P_DATA else None)
        except OSError as error:
            log.info("the connection with %s broke: %s", self.assoc.peer, error)
            self.event_queue.put("Evt17")
            return
        if not kind or len(body) < length:
            self.event_queue.put("Evt17")
            return
        try:
            if kind == _P_DATA:
                pdu, event = _Data(body), "Evt10"
            else:
                whole = without_unknown_items(kind, body) if kind in _ASSOCIATE else bytearray(head) + body
                pdu, event = self._decode_pdu(whole)
        except Exception as error:  # whatever a peer sends, it is an invalid PDU
            log.warning("%s sends an invalid PDU of type %02XH: %r", self.assoc.peer, kind, error)
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
            if not (self._is_over and event in _ENDS):  # it may be told twice that the connection has ended
                self.state_machine.do_action(event)

    def _break_off(self, error: Exception) -> None:
        """Send an A-ABORT past the state machine, and end."""
        log.warning("association with %s aborted: %s", self.assoc.peer, error)
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 0x02, 0x00
        if self.socket is not None and self.socket.socket is not None:
            self.socket.send(abort.encode())
        self.assoc.break_off()
        self._kill_thread = True
