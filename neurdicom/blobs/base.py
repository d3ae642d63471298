"""The port of the blob store, and the spool file that every arrival goes through."""

import contextlib
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
    They raise `OSError`, such as for a full disk.
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

    def reserve(self, size: int) -> None:
        """Set disk space aside for a file of known size, in one extent where the file system can; a hint."""
        with contextlib.suppress(OSError):  # not every file system can; the write tells if there is no space
            os.posix_fallocate(self._file.fileno(), 0, size)

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
            self._file.truncate(self.size)  # gives back what was reserved and not written
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
    """The files of instances by key, written once and never changed.

    A key is never used twice, not even for the same bytes. Keys compare as text in the order of their commits, so
    that of two files of one instance the later arrival is known. Verbs raise `OSError` for what the disk refuses.
    """

    @abstractmethod
    async def open(self) -> None:
        """Prepare the store and drop spool files that an earlier process left. Raises `Unavailable`."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent."""

    @abstractmethod
    def new_spool(self) -> Spool:
        """Make an empty spool file. Blocks briefly."""

    @abstractmethod
    async def commit(self, spools: Sequence[Spool]) -> list[BlobRef]:
        """Move spools into the store, durably, as one group; on return they survive a power cut.

        When it fails, none of the group is in the store.
        """

    @abstractmethod
    async def path(self, key: str) -> Path:
        """A local file with the blob's bytes, to be read only. Raises `NotFound`."""

    @abstractmethod
    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part of a blob in pieces of bounded size. Raises `NotFound`.

        A blob that is deleted meanwhile is still read to its end.
        """

    @abstractmethod
    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs, durably; unknown keys are ignored."""

    @abstractmethod
    async def recent(self) -> list[BlobRef]:
        """The latest blobs by key: at least all those whose commit may not be in the catalog after a crash."""

    @abstractmethod
    def walk(self) -> AsyncIterator[BlobRef]:
        """All blobs by key, for `reindex`. The SHA-256 is that of the bytes at commit."""
