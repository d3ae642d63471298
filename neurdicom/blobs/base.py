"""The port of the blob store, the spool file that every arrival is written to, and flushes of folders."""

import asyncio
import hashlib
import logging
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from neurdicom.dicom.header import BlobRef
from neurdicom.errors import NotFound

log = logging.getLogger(__name__)

Piece = bytes | bytearray | memoryview

#: Called in a thread with the number of bytes that were read since; waits as long as it likes, and may raise to stop.
Pace = Callable[[int], None]

_HEAD = 64 * 1024

#: Names of the places of blobs that are set aside.
PLACE = re.compile(r"(trash|versions)/[A-Za-z0-9_-]{1,64}", re.ASCII)

#: Mode of a stored file: nobody writes it, and nobody but its owner reads it.
STORED_MODE = 0o400


@dataclass(frozen=True, slots=True)
class BlobDigest:
    """Size in bytes and SHA-256, in hexadecimal, of the bytes of a blob as they are in the store now."""

    size: int
    sha256: str


class Spool:
    """A local file that an arrival is written to and hashed; it is not in the store until it is committed.

    Its methods block: call them in a thread, one at a time. They raise `OSError`, for example for a full disk. Leaving
    the context without a commit deletes the file.

    Attributes
    ----------
    path : Path
        Path of the file; another one once it is committed.
    size : int
        Number of bytes written.
    head : bytes
        The first 64 KiB of them, for readers that need no more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.head = b""
        self._hash = hashlib.sha256()
        self._committed = False
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, in hexadecimal."""
        return self._hash.hexdigest()

    @property
    def descriptor(self) -> int:
        """File descriptor, to read the bytes written; the spool closes it. Raises `ValueError` once it is closed."""
        if self._descriptor is None:
            raise ValueError("the spool is closed")
        return self._descriptor

    def write(self, data: Piece) -> None:
        """Append bytes."""
        start, view = self.size, memoryview(data)
        if start < _HEAD:
            self.head += view[: _HEAD - start]
        while view:
            written = os.write(self.descriptor, view)
            self.size += written
            view = view[written:]
        # Linux begins to write dirty pages back when told that they will not be needed, and keeps them while it does:
        # the disk works while this thread hashes and parses, and `sync` has less to wait for.
        os.posix_fadvise(self.descriptor, start, len(data), os.POSIX_FADV_DONTNEED)
        self._hash.update(data)

    def seal(self) -> None:
        """Make the file read-only, and durable."""
        os.fchmod(self.descriptor, STORED_MODE)
        self.sync()

    def sync(self) -> None:
        """Make the bytes durable."""
        os.fdatasync(self.descriptor)

    def committed(self, path: Path) -> None:
        """Record that the file was moved into a store, so that `discard` does not delete it."""
        self.path = path
        self._committed = True

    def discard(self) -> None:
        """Close the file, and delete it if it was not committed. Idempotent.

        A disk that has become read-only keeps it, until the next start of the server.
        """
        descriptor, self._descriptor = self._descriptor, None
        try:
            if descriptor is not None:
                os.close(descriptor)
            if not self._committed:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a file of an arrival that was not stored stays until the next start: %s", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


def empty_spool(folder: Path) -> None:
    """Delete the files that an earlier process left in a spool folder, and the folders of other processes in it."""
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def check_place(place: str) -> str:
    """Check the name of a place for blobs that are set aside. Raises `ValueError`."""
    if not PLACE.fullmatch(place):
        raise ValueError(f"{place!r} is no place for blobs; trash/NAME or versions/NAME is expected")
    return place


def flush_folder(folder: Path) -> None:
    """Flush the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def flush(descriptor: int) -> None:
    """Flush the entries of an open folder to the disk."""
    os.fsync(descriptor)


class BlobStore(ABC):
    """Port of the files of instances by key, written once and never changed.

    A key is never used twice, not even for the same bytes. Keys compare as text in the order of their commits, which
    tells the later of two files of one instance. Verbs raise `OSError` where the disk fails or is full.
    """

    @abstractmethod
    async def open(self) -> None:
        """Prepare the store and delete spool files that an earlier process left. Raises `Unavailable`."""

    async def attach(self) -> None:  # noqa: B027 - there may be nothing to do
        """Prepare for everything but commits, beside the process that has the store open. Raises `Unavailable`."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent."""

    @abstractmethod
    def new_spool(self) -> Spool:
        """Make an empty spool file. Blocks briefly."""

    @abstractmethod
    def commit(self, spool: Spool) -> BlobRef:
        """Move a spool into the store, durably: after the return the blob survives a power cut.

        Blocks, as the spool's own methods do; threads that commit at the same time may share a flush. After an
        exception the blob is not in the store, and the caller discards the spool.
        """

    @property
    @abstractmethod
    def spool_folder(self) -> Path:
        """Local folder in which other processes of this server may write arrivals, also in folders, for `adopt`."""

    @abstractmethod
    def adopt(self, file: Path, size: int, sha256: str) -> BlobRef:
        """Move a file that another process wrote to the spool folder into the store. Blocks, as `commit` does.

        Parameters
        ----------
        file : Path
            A file in `spool_folder`, flushed to the disk.
        size : int
            Its size in bytes.
        sha256 : str
            Its SHA-256 in hexadecimal.

        Returns
        -------
        BlobRef

        Raises
        ------
        OSError, Unavailable
            The blob is not in the store then, and the file still belongs to the caller.
        """

    @abstractmethod
    def restore(self, key: str, spool: Spool) -> None:
        """Move a spool into the place of a blob that is missing or has other bytes, durably. Blocks, as `commit` does.

        Whoever reads at the time has either the earlier bytes or the new ones, and so has a server after a crash.

        Parameters
        ----------
        key : str
            Key of the blob.
        spool : Spool
            The bytes that were committed with this key.

        Raises
        ------
        NotFound
            No blob can have this key.
        """

    @abstractmethod
    async def path(self, key: str) -> Path:
        """Find a local file with the blob's bytes, for reading only. Raises `NotFound`."""

    async def find(self, key: str) -> BlobRef:
        """Find a blob by key: its size now, and its SHA-256 at commit. Raises `NotFound`."""
        async for ref in self.walk():
            if ref.key == key:
                return ref
        raise NotFound(f"there is no blob {key!r}")

    async def size(self, key: str) -> int:
        """Look up the number of bytes that a blob has now.

        Raises
        ------
        NotFound
            There is no blob with this key.
        Unavailable
            The store is not there at all, so that nothing can be said of the blob.
        """
        return (await asyncio.to_thread((await self.path(key)).stat)).st_size

    async def digest(self, key: str, pace: Pace | None = None, *, from_disk: bool = False) -> BlobDigest:
        """Read a blob as it is now for its size and SHA-256.

        Parameters
        ----------
        key : str
            Key of the blob.
        pace : callable, optional
            Slows the reading down, or stops it.
        from_disk : bool
            Read what the disk has rather than what the system has cached of it, and leave nothing cached.

        Raises
        ------
        NotFound
            There is no blob with this key.
        """
        found, size = hashlib.sha256(), 0
        async for piece in self.read(key):
            size += len(piece)
            await asyncio.to_thread(found.update, piece)
            if pace is not None:
                await asyncio.to_thread(pace, len(piece))
        return BlobDigest(size, found.hexdigest())

    @abstractmethod
    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part of a blob in pieces of bounded size.

        Parameters
        ----------
        key : str
            The blob's key.
        start : int
            Offset of the first byte.
        length : int, optional
            Number of bytes; by default up to the end.

        Yields
        ------
        bytes
            A blob that is deleted meanwhile is still read to its end.

        Raises
        ------
        NotFound
            There is no blob with this key.
        """

    @abstractmethod
    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs, durably; unknown keys are ignored."""

    # -- blobs that are set aside ----------------------------------------------------------------------------

    @abstractmethod
    async def set_aside(self, place: str, keys: Sequence[str]) -> None:
        """Move blobs to a place of their own, durably: they keep their keys, and are in no list of the store.

        What was deleted, and earlier versions, are set aside, so that `reindex` does not bring them back even if
        everything else is lost.

        Parameters
        ----------
        place : str
            `trash/NAME` or `versions/NAME`, NAME of letters, digits, `-` and `_`.
        keys : sequence of str
            Keys of the blobs; those that are not in the store are ignored.
        """

    @abstractmethod
    async def bring_back(self, place: str, keys: Sequence[str]) -> None:
        """Put blobs that are set aside back into the store, durably; they stay at their place until it is released.

        So a crash loses nothing, whether the catalog knows them by then or not. Unknown ones are ignored.
        """

    @abstractmethod
    async def release(self, *places: str) -> None:
        """Remove blobs from places that are in the store as well, durably, and each place when nothing is left."""

    @abstractmethod
    async def aside(self, place: str) -> list[BlobRef]:
        """List the blobs at a place, by key; none if there is no such place."""

    @abstractmethod
    async def path_aside(self, place: str, key: str) -> Path:
        """Find a local file with the bytes of a blob that is set aside, for reading only. Raises `NotFound`."""

    @abstractmethod
    def restore_aside(self, place: str, key: str, spool: Spool) -> None:
        """Move a spool into the place of a blob that is set aside, durably. Blocks, as `restore`.

        Parameters
        ----------
        place : str
            Place of the blob.
        key : str
            Key of the blob.
        spool : Spool
            The bytes that were committed with this key.

        Raises
        ------
        NotFound
            No blob can have this key.
        """

    @abstractmethod
    async def discard_aside(self, place: str) -> None:
        """Delete a place with all blobs in it, durably; an unknown one is ignored."""

    @abstractmethod
    async def places(self) -> list[str]:
        """List the places that have blobs."""

    # -- all blobs -------------------------------------------------------------------------------------------

    @abstractmethod
    async def recent(self) -> list[BlobRef]:
        """List the latest blobs by key, at least all whose commit may be missing in the catalog after a crash."""

    @abstractmethod
    def walk(self) -> AsyncIterator[BlobRef]:
        """Yield all blobs by key, for `reindex`. The SHA-256 is that of the bytes at commit."""

    async def foreign_files(self) -> list[str]:
        """List what lies among the blobs and is none, by path; a store that others can't write to has nothing."""
        return []
