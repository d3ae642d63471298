"""Spool files of instances that arrive by C-STORE. Imports no protocol, since the server deletes leftovers with it."""

import logging
import os
import secrets
from pathlib import Path

from neurdicom.blobs.base import Spool
from neurdicom.errors import Malformed, NeurdicomError, TooLarge, disk_failure

log = logging.getLogger(__name__)

#: Bytes of a dataset that are collected before they are written; larger pieces are written at once, so that the disk
#: works while the peer sends.
HELD_BYTES = 64 * 1024


class Incoming:
    """Writer of the dataset of a C-STORE request to a spool file; to pynetdicom it is a temporary file.

    An error is kept until the request is complete, and the rest of the dataset is dropped: the peer gets a status,
    and keeps its association.

    Parameters
    ----------
    folder : Path
        Folder of spool files.
    head : bytes
        The beginning of the file.
    largest : int
        Most bytes that it may have; 0 for no limit.

    Attributes
    ----------
    spool : Spool or None
        The spool file; None after an error.
    """

    def __init__(self, folder: Path, head: bytes, largest: int) -> None:
        self.name = str(folder / (spool_prefix(os.getpid()) + secrets.token_hex(8)))
        self.file = self  # pynetdicom flushes this
        self.error: NeurdicomError | None = None
        self.spool: Spool | None = None
        self._largest = largest
        self._held = bytearray(head)
        try:
            self.spool = Spool(Path(self.name))
        except OSError as error:
            self._fail(disk_failure(error, "the server can't keep the instance"))

    def write(self, data: bytes | memoryview) -> None:
        """Write the next bytes."""
        if len(data) < HELD_BYTES:
            self._held += data
            if len(self._held) < HELD_BYTES:
                return
            data = b""
        self._spill()
        self._put(data)

    def _spill(self) -> None:
        held, self._held = self._held, bytearray()
        self._put(held)

    def _put(self, data: bytes | bytearray | memoryview) -> None:
        if self.spool is None or not data:
            return
        if self._largest and self.spool.size + len(data) > self._largest:
            self._fail(TooLarge(f"the instance has more than {self._largest} bytes, the most that are accepted"))
            return
        try:
            self.spool.write(data)
        except OSError as error:
            self._fail(disk_failure(error, "the server can't keep the instance"))

    def flush(self) -> None:
        """Do nothing: bytes are written when there are enough."""

    def complete(self) -> Spool:
        """Return the spool with the whole file; `close` still has to be called. Raises the error if there was one."""
        self._spill()
        if self.spool is None:
            raise self.error or Malformed("the dataset has been dropped")
        return self.spool

    def close(self) -> None:
        """Close the spool file; delete it unless committed. Idempotent."""
        self._held = bytearray()
        if self.spool is not None:
            self.spool.discard()

    def _fail(self, error: NeurdicomError) -> None:
        log.warning("an arriving instance could not be written, and is refused: %s", error)
        self.error = error
        self.close()
        self.spool = None


def drop_spool(folder: Path, pid: int) -> None:
    """Delete the spool files of a process that has ended."""
    for file in folder.glob(f"{spool_prefix(pid)}*"):
        file.unlink(missing_ok=True)


def spool_prefix(pid: int) -> str:
    """Return the prefix of the names of a DIMSE process's spool files."""
    return f"dimse-{pid}-"
