"""Random access to the bytes of a DICOM file, whether its dataset is deflated or not."""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from neurdicom.dicom.codec import transfer_syntaxes
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable, NotFound

_PIECE = 1 << 20


class ByteSource(Protocol):
    """Bytes that are read by the offsets of a `Layout`."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    @property
    def plain_descriptor(self) -> int | None:
        """Descriptor of a file whose offsets are those of the layout; None without one."""

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Read bytes; fewer than requested at the end."""


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """Bytes in memory, as those of an icon's Pixel Data."""

    data: bytes
    plain_descriptor: None = None

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes; fewer than requested at the end."""
        return self.data[offset : offset + length]


class Source:
    """A file opened for reading by the offsets of its `Layout`.

    Only the requested bytes are held: a deflated dataset (PS3.5 A.5) is inflated in pieces up to them.
    """

    def __init__(self, path: Path | str, layout: Layout) -> None:
        try:
            self._file = FileIO(path)
        except FileNotFoundError as error:
            raise NotFound("the file of this instance is gone") from error
        self._start = layout.dataset_offset if layout.transfer_syntax in transfer_syntaxes.DEFLATED else None

    def read(self, offset: int, length: int) -> bytearray:
        """Read bytes; fewer than requested where the file ends."""
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
    def plain_descriptor(self) -> int | None:
        """File descriptor where the file's offsets are those of the layout; None where the dataset is deflated."""
        return self.descriptor if self._start is None else None

    @property
    def descriptor(self) -> int:
        """File descriptor of the open file."""
        return self._file.fileno()

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return os.fstat(self.descriptor).st_size

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """Key for caches, which changes when the path names another file."""
        status = os.fstat(self.descriptor)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _read_inflated(self, offset: int, length: int) -> bytearray:
        found = bytearray()
        for piece in self.stream(offset, length):
            found += piece
        return found

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """Yield bytes of a deflated dataset in pieces of bounded size; fewer than requested where it ends."""
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
