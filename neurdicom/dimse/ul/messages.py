"""Receiver of DIMSE messages (PS3.7 6.3): datasets of C-STORE are written to a spool file, all others are bounded."""

import logging
import struct
from pathlib import Path
from typing import Any

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from neurdicom.dicom.codec.file_meta import file_meta
from neurdicom.dimse.ul.command import decodable_command
from neurdicom.dimse.ul.incoming import Incoming
from neurdicom.dimse.ul.lifecycle import StatefulAssociation
from neurdicom.errors import Malformed

log = logging.getLogger(__name__)

#: Most bytes of a command set; a usual one has 200.
MAX_COMMAND = 16 * 1024

#: Most bytes of a dataset that is kept in memory, such as an identifier with thousands of UIDs.
MAX_IDENTIFIER = 2 * 1024 * 1024

#: Most fragments of a command set or identifier that hold nothing.
MAX_EMPTY = 4096

#: Most requests that may wait while one is served. Without a window for asynchronous operations (PS3.7 D.3.3.3) a peer
#: sends one at a time; C-CANCEL does not count.
MAX_WAITING = 4

_COMMAND = 0x01
_LAST = 0x02
_ALL_OF_COMMAND = bytes([_COMMAND | _LAST])
_US = struct.Struct("<HHIH")


class Messages(DIMSEServiceProvider):
    """The DIMSE provider of one association.

    Parameters
    ----------
    assoc : StatefulAssociation
        The association.
    folder : Path
        Folder of spool files.
    largest : int
        Most bytes that an instance may have; 0 for no limit.
    """

    def __init__(self, assoc: StatefulAssociation, folder: Path, largest: int) -> None:
        super().__init__(assoc)
        self.message: Any = None
        self._folder = folder
        self._largest = largest
        self._command = bytearray()  # its fragments that have arrived
        self._surplus = False  # a dataset is dropped, should one come
        self._empty = 0
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """True if the peer has sent more requests than it may; then nothing is read until one is served."""
        return bool(self.msg_queue.qsize() >= MAX_WAITING)

    def take(self, timeout: float | None = None) -> tuple[int, Any] | None:
        """Take the next message with its presentation context's id.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for one.

        Returns
        -------
        tuple or None
            None if `look` was called, or the association has ended.

        Raises
        ------
        queue.Empty
            No message arrived in time.
        """
        context_id, message = self.msg_queue.get(timeout=timeout)
        if self.msg_queue.qsize() == MAX_WAITING - 1:
            self.dul.wake()  # it did not read while there were too many
        return None if message is None else (context_id, message)

    def look(self) -> None:
        """Wake a waiting `take`, which then returns None."""
        self.msg_queue.put((None, None))

    @property
    def is_idle(self) -> bool:
        """True if no message is arriving or waiting."""
        return self.message is None and not self._command and bool(self.msg_queue.empty())

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Receive the values of a P-DATA PDU.

        Raises
        ------
        Malformed
            The values are out of order or beyond a limit; the association ends.
        """
        for context_id, data in primitive.presentation_data_value_list:
            if self._surplus and not data[0] & _COMMAND:
                self._surplus = not data[0] & _LAST
                continue
            self._check(context_id, data)
            if data[0] & _COMMAND:
                self._command += data[1:]
                if not data[0] & _LAST:
                    continue
                data = self._decodable()
            one = P_DATA()
            one.presentation_data_value_list.append((context_id, data))
            super().receive_primitive(one)
            if data[0] & _COMMAND:
                self._after_command()
            if self.message is None:
                self._empty = self._bytes = 0

    def _decodable(self) -> bytes:
        """Take the command set that has arrived, as one fragment that pynetdicom decodes."""
        data, self._command = bytes(self._command), bytearray()
        command, self._surplus = decodable_command(data)
        return _ALL_OF_COMMAND + command

    def _check(self, context_id: int, data: memoryview) -> None:
        message = self.message
        in_command = message is None or message.context_id is None
        if bool(data[0] & _COMMAND) != in_command:
            raise Malformed("a fragment of a command set, or of a dataset, is out of order")
        if message is not None and not in_command and context_id != message.context_id:
            raise Malformed(f"a dataset is in presentation context {context_id}; {message.context_id} is expected")
        if message is not None and isinstance(message._data_set_file, Incoming):
            return
        self._bytes += len(data) - 1
        self._empty += len(data) == 1
        if self._empty > MAX_EMPTY or self._bytes > (MAX_COMMAND if in_command else MAX_IDENTIFIER):
            kind = "command set" if in_command else "dataset"
            raise Malformed(f"a {kind} has more than {self._bytes - 1} bytes, or {MAX_EMPTY} empty fragments")

    def _after_command(self) -> None:
        message = self.message
        self._empty = self._bytes = 0
        if isinstance(message, C_STORE_RQ):
            message._data_set_file = incoming = self._incoming(message)
            message._data_set_path = Path(incoming.name)

    def _incoming(self, message: C_STORE_RQ) -> Incoming:
        command = message.command_set
        context = self.assoc._accepted_cx.get(message.context_id)
        if context is None:
            raise Malformed(f"a request is in presentation context {message.context_id}, which was not accepted")
        head = file_meta(
            sop_class=str(command.get("AffectedSOPClassUID") or ""),
            sop_instance=str(command.get("AffectedSOPInstanceUID") or ""),
            transfer_syntax=str(context.transfer_syntax[0]),
            source=self.assoc.peer,
        )
        return Incoming(self._folder, head, self._largest)

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send a message; a C-STORE success, the most frequent, is encoded without pydicom's writer (0.3 ms)."""
        if isinstance(primitive, C_STORE) and primitive.Status == 0x0000:
            one = P_DATA()
            one.presentation_data_value_list.append((context_id, _ALL_OF_COMMAND + _store_success(primitive)))
            self.dul.send_pdu(one)
        else:
            super().send_msg(primitive, context_id)

    def close(self) -> None:
        """Drop messages that have arrived and were not served."""
        waiting = [primitive._dataset_file for _, primitive in self.msg_queue.queue if primitive is not None]
        self.msg_queue.queue.clear()
        if self.message is not None:
            waiting.append(self.message._data_set_file)
            self.message = None
        for incoming in waiting:
            if isinstance(incoming, Incoming):
                incoming.close()


def incoming_of(request: Any) -> Incoming | None:
    """Return the dataset of a C-STORE request; None if it has none."""
    incoming = request._dataset_file
    return incoming if isinstance(incoming, Incoming) else None


def _store_success(response: C_STORE) -> bytes:
    """Encode the command set of a C-STORE response with status 0000H (PS3.7 9.3.1.2)."""
    elements = b"".join(
        (
            _uid_element(0x0002, response.AffectedSOPClassUID),
            _US.pack(0, 0x0100, 2, 0x8001),
            _US.pack(0, 0x0120, 2, response.MessageIDBeingRespondedTo),
            _US.pack(0, 0x0800, 2, 0x0101),
            _US.pack(0, 0x0900, 2, 0x0000),
            _uid_element(0x1000, response.AffectedSOPInstanceUID),
        )
    )
    return struct.pack("<HHII", 0, 0x0000, 4, len(elements)) + elements


def _uid_element(number: int, uid: str | None) -> bytes:
    if not uid:
        return b""
    value = uid.encode("ascii", "replace")
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value
