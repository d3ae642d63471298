"""Bytes of a DICOM file by offset, whether its dataset is deflated or not."""

import os
import zlib
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from neurdicom.dicom.codec import transfer_syntaxes
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable, NotFound

DEFLATED_EXPLICIT = "1.2.840.10008.1.2.1.99"
_PIECE = 1 << 20


class Source:
    """A file opened for reading; offsets are those of its `Layout`.

    Only what is asked for is held: a deflated dataset (PS3.5 A.5) is inflated up to the wanted bytes, in pieces.
    """

    def __init__(self, path: Path | str, layout: Layout) -> None:
        try:
            self._file = FileIO(path)
        except FileNotFoundError as error:
            raise NotFound("the file of this instance is gone") from error
        self._start = layout.dataset_offset if layout.transfer_syntax in transfer_syntaxes.DEFLATED else None

    def read(self, offset: int, length: int) -> bytearray:
        """Read bytes; fewer than asked for where the file ends."""
        if self._start is not None and offset + length > self._start:
            return self._read_inflated(offset, length)
        # The buffer is made no larger than the file, whatever a header claims.
        data = bytearray(max(min(length, self.size - offset), 0))
        view = memoryview(data)
        done = 0
        while done < len(data):
            count = os.preadv(self.descriptor, [view[done:]], offset + done)
            if not count:
                break
            done += count
        view.release()
        del data[done:]
        return data

    @property
    def descriptor(self) -> int:
        """Of the open file."""
        return self._file.fileno()

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return os.fstat(self.descriptor).st_size

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """What changes when the path names another file, for caches."""
        status = os.fstat(self.descriptor)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _read_inflated(self, offset: int, length: int) -> bytearray:
        found = bytearray()
        for piece in self.stream(offset, length):
            found += piece
        return found

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """Read bytes of a deflated dataset in pieces of bounded size; fewer than asked for where it ends."""
        if self._start is None:
            raise ValueError("the dataset is not deflated")
        position = self._start
        for piece in self._inflate(self._start):
            skip = max(offset - position, 0)
            position += len(piece)
            wanted = piece[skip : skip + length]
            length -= len(wanted)
            if wanted:
                yield wanted
            if not length:
                return

    def _inflate(self, start: int) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._file.seek(start)
        pending = b""
        try:
            while not inflater.eof:
                pending = pending or self._file.read(_PIECE)
                piece = inflater.decompress(pending, _PIECE)
                if not piece and not pending:
                    return
                yield piece
                pending = inflater.unconsumed_tail
        except zlib.error as error:
            raise NotAvailable(f"the deflated dataset is broken: {error}") from error

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
