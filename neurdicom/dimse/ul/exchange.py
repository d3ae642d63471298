"""DIMSE messages on one association, with datasets as bytes and files in bounded memory.

pynetdicom's own `send_c_*` take and give decoded datasets, split a whole file when the peer has no limit for a PDU,
and name whoever sends as the originator of a C-MOVE. Here the same messages go through its public classes of messages
and primitives.
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

#: Bytes of a P-DATA at most, whatever more the peer would take.
LARGEST_PDU = 128 * 1024
#: A PDV has a head of 6 bytes (PS3.8 9.3.5.1).
_PDV_HEAD = 6
#: Bytes of a P-DATA that a peer has to take.
SMALLEST_PDU = 64
#: A P-DATA-TF PDU of one value, up to its context id (PS3.8 9.3.5): type, lengths of the PDU and of the item, id.
_PDU = struct.Struct(">BxLLB")
_P_DATA = 0x04
#: Message Control Headers of the fragments of a dataset (PS3.8 E.2).
_MORE, _LAST = b"\0", b"\2"


def _pass() -> None:
    """Do nothing meanwhile."""


class Disconnected(ConnectionError):
    """The association ended, or the peer was silent for too long; the message says which."""


@dataclass(frozen=True, slots=True)
class Originator:
    """Who asked for a C-MOVE: AE title and Message ID (PS3.7 9.1.1.1.6)."""

    ae_title: str
    message_id: int


class Exchange:
    """Sends requests on an established association and takes their responses.

    Parameters
    ----------
    assoc : Association
        In either direction.
    """

    def __init__(self, assoc: Association) -> None:
        self.assoc = assoc

    @property
    def alive(self) -> bool:
        """The association is open, as far as is known."""
        return self.assoc.is_open

    def context(self, abstract_syntax: str, transfer_syntax: str = "") -> Any:
        """The accepted context in which we may ask for a SOP class, None if there is none."""
        for context in self.assoc.accepted_contexts:
            fits = transfer_syntax in ("", context.transfer_syntax[0])
            if fits and context.abstract_syntax == abstract_syntax and context.as_scu:
                return context
        return None

    def accepted(self, sop_class: str) -> list[str]:
        """The transfer syntaxes in which the peer takes instances of a SOP class."""
        return [
            str(context.transfer_syntax[0])
            for context in self.assoc.accepted_contexts
            if context.abstract_syntax == sop_class and context.as_scu
        ]

    def is_cancelled(self, message_id: int) -> bool:
        """The peer has asked for an operation to be cancelled."""
        return message_id in self.assoc.dimse.cancel_req

    def respond(self, primitive: Any, context_id: int) -> None:
        """Send a response. Raises `Disconnected`."""
        if not self.alive:
            raise Disconnected("the peer ended the association")
        self.assoc.dimse.send_msg(primitive, context_id)

    def look(self) -> None:
        """Have `meanwhile` of a request that waits called, from any thread."""
        self.assoc.dimse.look()

    def cancel(self, message_id: int, context_id: int) -> None:
        """Ask for an operation under way to be cancelled."""
        primitive = C_CANCEL()
        primitive.MessageIDBeingRespondedTo = message_id
        self.assoc.dimse.send_msg(primitive, context_id)

    @contextmanager
    def request(
        self, primitive: Any, context_id: int, *, patience: float | None = None, meanwhile: Callable[[], None] = _pass
    ) -> Iterator[Iterator[tuple[int, Any]]]:
        """Send a request, and give what the peer sends then, each with its context's id.

        These are the responses, and for a C-GET the C-STORE requests among them.

        Parameters
        ----------
        primitive : DIMSE primitive
            The request.
        context_id : int
            Where to send it.
        patience : float, optional
            Seconds that the peer may be silent; by default the usual timeout.
        meanwhile : callable
            Called before each message, and after each `look`.

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
        """Send an instance by C-STORE and give the response; see `store_request` for `options`.

        Parameters
        ----------
        file : sequence of (path, offset)
            Files whose bytes from the offset on make up the dataset.
        sop_class, sop_instance : str
            Its UIDs.
        context : PresentationContext
            An accepted one that has its transfer syntax.

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
            raise Disconnected(f"the peer takes PDUs of {most} bytes, in which no message can be sent")
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
    """The command of a C-STORE request whose dataset follows."""
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
    """Open files one after another, so that what is missing shows before anything is sent."""
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
    # A value field has an even length (PS3.8 9.3.5.1), and so a PDU does.
    if rest:
        yield rest + bytes(len(rest) & 1)


def _with_last(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each piece, and whether it is the last."""
    before = next(pieces, b"")
    for piece in pieces:
        yield before, False
        before = piece
    yield before, True
