"""Transport connections of associations: read in large pieces, with time limits, and thread-safe with TLS."""

import select
import socket
import ssl
import threading
import time
from contextlib import suppress

from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from neurdicom.dimse.ul.items import SentForms
from neurdicom.dimse.ul.lifecycle import StatefulAssociation

#: Bytes of a PDU's type and length (PS3.8 9.3.1).
HEAD_BYTES = 6


def end_connection(sock: socket.socket) -> None:
    """End a connection on which another thread may be using TLS."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Transport(AssociationSocket):
    """A connection that is read in large pieces, with a time limit for each PDU.

    Parameters
    ----------
    assoc : StatefulAssociation
        The association.
    seconds : float
        Time limit for a PDU to arrive once it began, and for the peer to take a piece of one.
    client_socket : socket, optional
        For an acceptor: the connection, after the TLS handshake.
    address : AddressInformation, optional
        For a requestor: the local address to connect from.

    Attributes
    ----------
    sent : SentForms
        What is put back into the PDUs that are sent.
    """

    def __init__(
        self,
        assoc: StatefulAssociation,
        seconds: float,
        client_socket: socket.socket | None = None,
        address: AddressInformation | None = None,
    ) -> None:
        super().__init__(assoc, client_socket, address)
        self._seconds = seconds
        self._tls: threading.Lock | None = None
        self.sent = SentForms()
        if client_socket is not None:
            self._prepare()

    def _prepare(self) -> None:
        sock = self.socket
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self._seconds)
            if isinstance(sock, ssl.SSLSocket):  # OpenSSL allows no read and write at the same time
                self._tls = threading.Lock()

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect to the peer."""
        super().connect(primitive)
        self._prepare()

    @property
    def is_connected(self) -> bool:
        """True if there is a connection to read from."""
        return self.socket is not None and bool(self._is_connected) and self.socket.fileno() >= 0

    @property
    def ready(self) -> bool:
        """True if there is something to read, or the connection has ended."""
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
            Number of bytes to read.
        into : bytearray, optional
            Buffer to read into, large enough.

        Returns
        -------
        memoryview
            The bytes; fewer than requested if the connection ended.

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
            if got < nr_bytes or nr_bytes == HEAD_BYTES:
                self._acknowledge()
        return view[:got]

    def _acknowledge(self) -> None:
        """Acknowledge received bytes at once (TCP_QUICKACK).

        DCMTK writes the head and the body of a PDU separately, and its system holds the second back until the first is
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
            # The bytes may be TLS's own and no data: the lock must not be held while waiting for more.
            with self._tls:
                sock.settimeout(0)
                try:
                    return sock.recv_into(view)
                except ssl.SSLWantReadError:
                    pass
                finally:
                    sock.settimeout(self._seconds)
            if not poller.poll(self._seconds * 1000):
                raise TimeoutError(f"the peer sent nothing for {self._seconds:g} s")

    def send(self, bytestream: bytes | bytearray) -> None:
        """Send a PDU; an error becomes Evt17, as in the original."""
        try:
            assert self.socket is not None
            bytestream = self.sent.restored(bytestream)
            if self._tls is None:
                self.socket.sendall(bytestream)
            else:
                with self._tls:
                    self.socket.sendall(bytestream)
        except (OSError, AssertionError):
            self.event_queue.put("Evt17")
