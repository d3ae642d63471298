"""A peer that says exactly what a test wants, right or wrong (PS3.8 9.3)."""

import io
import socket
import struct
import warnings
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

VERIFICATION = "1.2.840.10008.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = str(ExplicitVRLittleEndian)

NO_DATASET = 0x0101


class Rejected(Exception):
    """An A-ASSOCIATE-RJ: `args` are result, source and reason."""


class Ended(Exception):
    """The acceptor aborted (then `args` are source and reason) or closed the connection."""


class RawPeer:
    """A connection to an acceptor.

    Attributes
    ----------
    accepted : dict[int, str]
        Context id to transfer syntax.
    results : dict[int, int]
        Context id to result.
    maximum : int
        Most bytes of a P-DATA PDU that the acceptor takes.
    """

    def __init__(self, port: int, *, timeout: float = 20, window: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted: dict[int, str] = {}
        self.results: dict[int, int] = {}
        self.maximum = 16384

    def associate(
        self,
        *contexts: tuple[str, Sequence[str]],
        calling: str = "TEST",
        called: str = "NEURDICOM",
        application: bytes = b"1.2.840.10008.3.1.1.1",
        maximum: int = 65536,
        further: bytes = b"",
    ) -> Self:
        """Ask for an association with contexts of id 1, 3, ...; raises `Rejected` or `Ended`.

        `further` goes after the items and after the sub-items of the user information.
        """
        items = _item(0x10, application)
        for number, (abstract, syntaxes) in enumerate(contexts):
            proposals = _item(0x30, abstract.encode()) + b"".join(_item(0x40, uid.encode()) for uid in syntaxes)
            items += _item(0x20, struct.pack(">B3x", 2 * number + 1) + proposals)
        user = _item(0x51, struct.pack(">I", maximum)) + _item(0x52, b"1.2.3.4") + _item(0x55, b"TEST")
        items += _item(0x50, user + further) + further
        head = struct.pack(">H2x16s16s32x", 1, called.encode().ljust(16), calling.encode().ljust(16))
        return self.request_with(head + items)

    def request_with(self, body: bytes) -> Self:
        """Ask for an association with the body of an A-ASSOCIATE-RQ; raises `Rejected` or `Ended`."""
        try:
            self.send_pdu(0x01, body)
            kind, body = self.receive_pdu()
            if kind == 0x03:
                raise Rejected(*body[1:4])
        except BaseException:
            self.socket.close()
            raise
        assert kind == 0x02, f"PDU type {kind}"
        self._read_results(body)
        return self

    def _read_results(self, body: bytes) -> None:
        for kind, value in _items(body[68:]):
            if kind == 0x21:
                number, result = value[0], value[2]
                self.results[number] = result
                if result == 0:
                    self.accepted[number] = dict(_items(value[4:]))[0x40].decode().rstrip("\0")
            elif kind == 0x50:
                self.maximum = struct.unpack(">I", dict(_items(value))[0x51])[0]

    def send_pdu(self, kind: int, body: bytes) -> None:
        """Send a PDU."""
        self.socket.sendall(struct.pack(">BxI", kind, len(body)) + body)

    def receive_pdu(self) -> tuple[int, bytes]:
        """Type and body of the next PDU; raises `Ended`."""
        kind, length = struct.unpack(">BxI", self._read(6))
        body = self._read(length)
        if kind == 0x07:
            raise Ended(body[2], body[3])
        return kind, body

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise Ended()
            data += piece
        return data

    def send_values(self, context: int, data: bytes, *, command: bool, last: bool = True) -> None:
        """Send bytes of a command set or dataset in as many PDUs as the acceptor's maximum asks for."""
        size = self.maximum - 6
        pieces = [data[pos : pos + size] for pos in range(0, len(data), size)] or [b""]
        for number, piece in enumerate(pieces):
            flags = (1 if command else 0) | (2 if last and number == len(pieces) - 1 else 0)
            self.send_pdu(0x04, struct.pack(">IBB", len(piece) + 2, context, flags) + piece)

    def send_command(self, context: int, **elements: Any) -> None:
        """Send a command set."""
        self.send_values(context, command_set(**elements), command=True)

    def receive(self) -> Dataset:
        """The next command set; a dataset that follows is dropped."""
        parts = b""
        while True:
            kind, body = self.receive_pdu()
            assert kind == 0x04, f"PDU type {kind}"
            pos = 0
            while pos < len(body):
                length, _, flags = struct.unpack_from(">IBB", body, pos)
                if flags & 1:
                    parts += body[pos + 6 : pos + 4 + length]
                    if flags & 2:
                        return read_dataset(io.BytesIO(parts), True, True)
                pos += 4 + length

    def echo(self, context: int = 1) -> int:
        """C-ECHO; its status."""
        self.send_command(context, AffectedSOPClassUID=VERIFICATION, CommandField=0x30, MessageID=1)
        return int(self.receive().Status)

    def begin_store(self, context: int, sop_class: str, instance: str, **elements: Any) -> None:
        """Send the command set of a C-STORE request."""
        given: dict[str, Any] = {
            "AffectedSOPClassUID": sop_class,
            "CommandField": 0x01,
            "MessageID": 7,
            "Priority": 0,
            "CommandDataSetType": 1,
            "AffectedSOPInstanceUID": instance,
        }
        self.send_command(context, **{key: value for key, value in (given | elements).items() if value is not None})

    def store(self, context: int, sop_class: str, instance: str, dataset: bytes, **elements: Any) -> Dataset:
        """C-STORE; the response's command set."""
        self.begin_store(context, sop_class, instance, **elements)
        self.send_values(context, dataset, command=False)
        return self.receive()

    def release(self) -> None:
        """A-RELEASE, and wait for the answer."""
        self.send_pdu(0x05, bytes(4))
        kind, _ = self.receive_pdu()
        assert kind == 0x06
        self.socket.close()

    def wait_for_end(self) -> None:
        """Wait until the acceptor has closed the connection; raises `TimeoutError` if it does not."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


def command_set(**elements: Any) -> bytes:
    """A command set in Implicit VR Little Endian, group length first (PS3.7 6.3.1); its values may be odd."""
    ds = Dataset()
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, True
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        for keyword, value in ({"CommandDataSetType": NO_DATASET} | elements).items():
            setattr(ds, keyword, value)
        write_dataset(stream, ds)
    body = stream.getvalue()
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    pos = 0
    while pos < len(data):
        kind, length = struct.unpack_from(">BxH", data, pos)
        yield kind, data[pos + 4 : pos + 4 + length]
        pos += 4 + length
