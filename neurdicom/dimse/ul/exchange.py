"""Exchange of DIMSE messages on one association, with datasets as bytes and files in bounded memory.

pynetdicom's own `send_c_*` take and return decoded datasets, split a whole file when the peer has no limit for a PDU,
and name the sender as the originator of a C-MOVE. Here the same messages are sent through its public classes of
messages and primitives.
"""

import queue
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_CANCEL, C_STORE

from neurdicom.dimse.ul.association import Association

#: Most bytes of a P-DATA that we send, even if the peer takes more.
LARGEST_PDU = 128 * 1024
#: Bytes of the head of a PDV (PS3.8 9.3.5.1).
_PDV_HEAD = 6
#: Least bytes of a P-DATA that a peer has to take.
SMALLEST_PDU = 64
#: A P-DATA-TF PDU of one value, up to its context id (PS3.8 9.3.5): type, lengths of the PDU and of the item, id.
_PDU = struct.Struct(">BxLLB")
_P_DATA = 0x04
#: Message Control Headers of the fragments of a dataset (PS3.8 E.2).
_MORE, _LAST = b"\0", b"\2"


def _pass() -> None:
    """Do nothing, the default of `meanwhile`."""


class Disconnected(ConnectionError):
    """The association ended, or the peer was silent for too long; the message says which."""


@dataclass(frozen=True, slots=True)
class Originator:
    """The originator of a C-MOVE: AE title and Message ID (PS3.7 9.1.1.1.6)."""

    ae_title: str
    message_id: int


class Exchange:
    """Sender of requests on an established association, and receiver of their responses.

    Parameters
    ----------
    assoc : Association
        The association, in either direction.
    """

    def __init__(self, assoc: Association) -> None:
        self.assoc = assoc

    @property
    def alive(self) -> bool:
        """True if the association is open, as far as is known."""
        return self.assoc.is_open

    def context(self, abstract_syntax: str, transfer_syntax: str = "") -> Any:
        """Find an accepted context in which we may be the SCU of a SOP class, None if there is none."""
        for context in self.assoc.accepted_contexts:
            fits = transfer_syntax in ("", context.transfer_syntax[0])
            if fits and context.abstract_syntax == abstract_syntax and context.as_scu:
                return context
        return None

    def accepted(self, sop_class: str) -> list[str]:
        """List the transfer syntaxes in which the peer accepts instances of a SOP class."""
        return [
            str(context.transfer_syntax[0])
            for context in self.assoc.accepted_contexts
            if context.abstract_syntax == sop_class and context.as_scu
        ]

    def is_cancelled(self, message_id: int) -> bool:
        """Tell whether the peer has cancelled an operation."""
        return message_id in self.assoc.dimse.cancel_req

    def respond(self, primitive: Any, context_id: int) -> None:
        """Send a response. Raises `Disconnected`."""
        if not self.alive:
            raise Disconnected("the peer ended the association")
        self.assoc.dimse.send_msg(primitive, context_id)

    def look(self) -> None:
        """Wake a waiting request, which then calls its `meanwhile` function. Thread-safe."""
        self.assoc.dimse.look()

    def cancel(self, message_id: int, context_id: int) -> None:
        """Request the cancellation of a running operation (C-CANCEL)."""
        primitive = C_CANCEL()
        primitive.MessageIDBeingRespondedTo = message_id
        self.assoc.dimse.send_msg(primitive, context_id)

    @contextmanager
    def request(
        self, primitive: Any, context_id: int, *, patience: float | None = None, meanwhile: Callable[[], None] = _pass
    ) -> Iterator[Iterator[tuple[int, Any]]]:
        """Send a request and receive the messages that follow.

        Parameters
        ----------
        primitive : DIMSE primitive
            The request.
        context_id : int
            Id of its presentation context.
        patience : float, optional
            Seconds that the peer may be silent; by default the usual timeout.
        meanwhile : callable
            Called before each message, and after each `look`.

        Yields
        ------
        iterator of (int, DIMSE primitive)
            Context id and message: the responses, and for a C-GET the C-STORE requests among them.

        Raises
        ------
        Disconnected
            The association ended or the peer was silent for too long; the association is aborted.
        """
        with self.assoc.invoking():
            self.respond(primitive, context_id)
            yield iter(lambda: self._next(patience, meanwhile), None)

    def store(
        self, file: Sequence[tuple[str, int]], sop_class: str, sop_instance: str, context: Any, **options: Any
    ) -> Any:
        """Send an instance by C-STORE and wait for the response.

        Parameters
        ----------
        file : sequence of (path, offset)
            Files whose bytes from the offset on make up the dataset.
        sop_class, sop_instance : str
            SOP Class UID and SOP Instance UID.
        context : PresentationContext
            An accepted context that has its transfer syntax.
        **options
            As for `store_request`.

        Returns
        -------
        C_STORE
            The response.

        Raises
        ------
        Disconnected
            The association ended or the peer did not respond in time; the association is aborted.
        OSError
            The file can't be read; if a part of it was sent before, the association is aborted.
        """
        message = store_request(sop_class, sop_instance, **options)
        most = min(self.assoc.dimse.maximum_pdu_size or LARGEST_PDU, LARGEST_PDU) & ~1
        if most < SMALLEST_PDU:
            self.assoc.close()
            raise Disconnected(f"the peer takes PDUs of at most {most} bytes; at least {SMALLEST_PDU} are expected")
        with self.assoc.invoking(), _opened(file) as pieces:
            held = bytearray()
            for primitive in message.encode_msg(context.context_id, most):
                for context_id, value in primitive.presentation_data_value_list:
                    held += _PDU.pack(_P_DATA, len(value) + 5, len(value) + 1, context_id) + value
            try:
                for piece, last in _with_last(pieces(most - _PDV_HEAD)):
                    held += _PDU.pack(_P_DATA, len(piece) + 6, len(piece) + 2, context.context_id)
                    held += _LAST if last else _MORE
                    held += piece
                    if last or len(held) >= LARGEST_PDU:
                        self._send(held)
                        held = bytearray()
            except OSError:
                self.assoc.close()
                raise
            _, response = self._next()
        if not isinstance(response, C_STORE) or not response.is_valid_response:
            self.assoc.close()
            raise Disconnected("the peer answered a C-STORE request with something else")
        return response

    def _send(self, pdus: bytearray) -> None:
        if not self.alive:
            raise Disconnected("the peer ended the association while it was sent a file")
        self.assoc.dul.send_data(pdus)

    def _next(self, patience: float | None = None, meanwhile: Callable[[], None] = _pass) -> tuple[int, Any]:
        seconds: float = patience or self.assoc.dimse_timeout
        deadline = time.monotonic() + seconds
        while self.alive or not self.assoc.dimse.msg_queue.empty():
            meanwhile()
            try:
                arrived = self.assoc.dimse.take(max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.assoc.close()
                raise Disconnected(f"no answer within {seconds:g} s") from None
            if arrived is not None:
                return arrived
        raise Disconnected("the peer ended the association")


def store_request(
    sop_class: str, sop_instance: str, *, message_id: int = 1, priority: int = 2, originator: Originator | None = None
) -> Any:
    """Make the command of a C-STORE request (PS3.7 9.3.1.1), which a dataset follows.

    Parameters
    ----------
    sop_class, sop_instance : str
        SOP Class UID and SOP Instance UID.
    message_id : int
        Message ID, 1 to 65535.
    priority : int
        0 medium, 1 high, 2 low.
    originator : Originator, optional
        The originator of the C-MOVE that the instance is sent for.

    Returns
    -------
    C_STORE_RQ
    """
    primitive = C_STORE()
    primitive.MessageID = message_id
    primitive.Priority = priority
    primitive.AffectedSOPClassUID = sop_class
    primitive.AffectedSOPInstanceUID = sop_instance
    if originator is not None:
        primitive.MoveOriginatorApplicationEntityTitle = originator.ae_title
        primitive.MoveOriginatorMessageID = originator.message_id
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    message.command_set.CommandDataSetType = 0x0001
    return message


@contextmanager
def _opened(file: Sequence[tuple[str, int]]) -> Iterator[Callable[[int], Iterator[bytes]]]:
    """Open files one after another, so that a missing one is noticed before anything is sent."""
    with ExitStack() as stack:
        opened = [stack.enter_context(Path(path).open("rb", buffering=0)) for path, _ in file]
        for each, (_, offset) in zip(opened, file, strict=True):
            each.seek(offset)
        yield lambda size: _pieces(opened, size)


def _pieces(files: Iterable[Any], size: int) -> Iterator[bytes]:
    rest = b""
    for file in files:
        while piece := file.read(size - len(rest)):
            rest += piece
            if len(rest) == size:
                yield rest
                rest = b""
    # A value field has an even length (PS3.8 9.3.5.1), and so has a PDU.
    if rest:
        yield rest + bytes(len(rest) & 1)


def _with_last(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each piece, and whether it is the last."""
    before = next(pieces, b"")
    for piece in pieces:
        yield before, False
        before = piece
    yield before, True
