"""DIMSE messages as they arrive (PS3.7 6.3): datasets of C-STORE go to a spool file, all else is bounded."""

import logging
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu_primitives import P_DATA

from neurdicom.blobs.base import Spool
from neurdicom.dicom.filemeta import file_meta
from neurdicom.dimse.door import spool_prefix
from neurdicom.errors import Malformed, NeurdicomError, TooLarge, Unavailable

if TYPE_CHECKING:
    from neurdicom.dimse.association import Association

log = logging.getLogger(__name__)

#: Most bytes of a command set; usual ones have 200.
MAX_COMMAND = 16 * 1024

#: Most bytes of a dataset that is kept in memory, such as an identifier with thousands of UIDs.
MAX_IDENTIFIER = 2 * 1024 * 1024

#: Most fragments of a command set or identifier, which may be empty ones.
MAX_FRAGMENTS = 4096

#: Requests that may wait while one is served. Without a window for asynchronous operations (PS3.7 D.3.3.3) a peer
#: sends one at a time; C-CANCEL does not count.
MAX_WAITING = 4

#: Bytes of a dataset that are held before they are written; a usual CT or MR image then takes one write.
HELD_BYTES = 1024 * 1024

_COMMAND = 0x01
_LAST = 0x02


class Incoming:
    """The dataset of a C-STORE request on its way to a spool file; pynetdicom takes it for its temporary file.

    What goes wrong is kept until the request is complete, and the rest of the dataset dropped: the peer gets a
    status, and keeps its association.

    Parameters
    ----------
    folder : Path
        Where spool files lie.
    head : bytes
        What the file begins with.
    largest : int
        Most bytes that it may have; 0 for no limit.

    Attributes
    ----------
    spool : Spool or None
        None once something went wrong.
    """

    def __init__(self, folder: Path, head: bytes, largest: int) -> None:
        self.name = str(folder / (spool_prefix(os.getpid()) + secrets.token_hex(8)))
        self.file = self  # what pynetdicom flushes
        self.error: NeurdicomError | None = None
        self.spool: Spool | None = None
        self._largest = largest
        self._held = bytearray(head)
        try:
            self.spool = Spool(Path(self.name))
        except OSError as error:
            self._fail(Unavailable(f"the server can't keep the instance: {error.strerror}"))

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        if self.spool is None:
            return
        self._held += data
        if len(self._held) >= HELD_BYTES:
            self._spill()

    def _spill(self) -> None:
        if self.spool is None:
            return
        if self._largest and self.spool.size + len(self._held) > self._largest:
            self._fail(TooLarge(f"the instance has more than {self._largest} bytes, the most that are taken"))
            return
        try:
            self.spool.write(self._held)
            self._held = bytearray()
        except OSError as error:
            self._fail(Unavailable(f"the server can't keep the instance: {error.strerror}"))

    def flush(self) -> None:
        """Nothing: bytes are written when there are enough."""

    def complete(self) -> Spool:
        """Give the spool with all of it; `close` still has to be called. Raises what went wrong."""
        self._spill()
        if self.spool is None:
            raise self.error or Malformed("the dataset has been dropped")
        return self.spool

    def close(self) -> None:
        """Let go of it, deleted unless it was committed. Idempotent."""
        self._held = bytearray()
        if self.spool is not None:
            self.spool.discard()

    def _fail(self, error: NeurdicomError) -> None:
        log.warning("an instance is not kept: %s", error)
        self.error = error
        self.close()
        self.spool = None


class Messages(DIMSEServiceProvider):
    """The DIMSE provider of one association.

    Parameters
    ----------
    assoc : Association
    folder : Path
        Where spool files lie.
    largest : int
        Most bytes that an instance may have; 0 for no limit.
    """

    def __init__(self, assoc: "Association", folder: Path, largest: int) -> None:
        super().__init__(assoc)
        self.message: Any = None
        self._folder = folder
        self._largest = largest
        self._fragments = 0
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the peer has sent more requests than it may; then nothing is read until one is served."""
        return bool(self.msg_queue.qsize() >= MAX_WAITING)

    @property
    def is_idle(self) -> bool:
        """Whether no message is arriving or waiting."""
        return self.message is None and bool(self.msg_queue.empty())

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take what a P-DATA PDU brings.

        Raises
        ------
        Malformed
            What no peer may send, or more than it may; the association ends.
        """
        for context_id, data in primitive.presentation_data_value_list:
            self._check(context_id, data)
            one = P_DATA()
            one.presentation_data_value_list.append((context_id, data))
            super().receive_primitive(one)
            if data[0] & _COMMAND and data[0] & _LAST:
                self._after_command()
            if self.message is None:
                self._fragments = self._bytes = 0

    def _check(self, context_id: int, data: memoryview) -> None:
        message = self.message
        in_command = message is None or message.context_id is None
        if bool(data[0] & _COMMAND) != in_command:
            raise Malformed("a part of a command set, or of a dataset, that is out of place")
        if message is not None and not in_command and context_id != message.context_id:
            raise Malformed(f"a dataset in presentation context {context_id}; {message.context_id} is expected")
        if message is not None and isinstance(message._data_set_file, Incoming):
            return
        self._fragments += 1
        self._bytes += len(data)
        if self._fragments > MAX_FRAGMENTS or self._bytes > (MAX_COMMAND if in_command else MAX_IDENTIFIER):
            raise Malformed(f"a {'command set' if in_command else 'dataset'} of more than {self._bytes - 1} bytes")

    def _after_command(self) -> None:
        message = self.message
        self._fragments = self._bytes = 0
        if isinstance(message, C_STORE_RQ):
            message._data_set_file = incoming = self._incoming(message)
            message._data_set_path = Path(incoming.name)

    def _incoming(self, message: C_STORE_RQ) -> Incoming:
        command = message.command_set
        context = self.assoc._accepted_cx.get(message.context_id)
        if context is None:
            raise Malformed(f"a request in presentation context {message.context_id}, which was not accepted")
        head = file_meta(
            sop_class=str(command.get("AffectedSOPClassUID") or ""),
            sop_instance=str(command.get("AffectedSOPInstanceUID") or ""),
            transfer_syntax=str(context.transfer_syntax[0]),
            source=self.assoc.peer,
        )
        return Incoming(self._folder, head, self._largest)

    def close(self) -> None:
        """Drop what has arrived and was not served."""
        waiting: list[Any] = [primitive._dataset_file for _, primitive in self.msg_queue.queue if primitive is not None]
        self.msg_queue.queue.clear()
        if self.message is not None:
            waiting.append(self.message._data_set_file)
            self.message = None
        for incoming in waiting:
            if isinstance(incoming, Incoming):
                incoming.close()
