"""The port of the blob store, and the spool file that every arrival goes through."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A stored blob: its key in the store, its size in bytes and the SHA-256 of its bytes in hexadecimal."""

    key: str
    size: int
    sha256: str


class Spool:
    """A local file that an arrival is written to, hashed as it comes; it is nothing until it is committed.

    Its methods block and belong in a thread; one thread at a time. Leaving the context without a commit deletes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._hash = hashlib.sha256()
        self._file: BinaryIO = path.open("xb", buffering=0)

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        view = memoryview(data)
        self._hash.update(view)
        self.size += len(view)
        while view:
            view = view[self._file.write(view) :]

    def sync(self) -> None:
        """Make the bytes durable and close the file; further writes fail."""
        if not self._file.closed:
            os.fdatasync(self._file.fileno())
            self._file.close()

    def discard(self) -> None:
        """Close, and delete the file if it was not committed. Idempotent."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class BlobStore(ABC):
    """Files by key, written once and never changed. A key is never used twice, not even for the same bytes."""

    @abstractmethod
    async def open(self) -> None:
        """Prepare the store and drop spool files that an earlier process left."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent."""

    @abstractmethod
    def new_spool(self) -> Spool:
        """Make an empty spool file. Blocks briefly."""

    @abstractmethod
    async def commit(self, spools: Sequence[Spool]) -> list[BlobRef]:
        """Move spools into the store, durably, as one group; on return they survive a power cut."""

    @abstractmethod
    async def path(self, key: str) -> Path:
        """A local file with the blob's bytes, to be read only. Raises `NotFound`."""

    @abstractmethod
    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part of a blob in pieces of bounded size. Raises `NotFound`."""

    @abstractmethod
    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs; unknown keys are ignored."""

    @abstractmethod
    def walk(self) -> AsyncIterator[BlobRef]:
        """All blobs, in the order of their arrival, for `reindex`. The SHA-256 is that of the bytes at commit."""
