"""The blob store in a local folder.

    spool/<random>                                   arrivals that are incomplete or not committed, also in folders
    objects/<shard>/<number>-<sha256>-<random>       blobs, read-only
    trash/, versions/                                blobs that are set aside (`blobs.aside`)

Commits go to one shard folder until it is full, so that those of the same time share a flush of the folder. The number
within the shard makes keys sort in the order of their commits; the random part keeps a key from being used twice.
"""

import asyncio
import contextlib
import os
import re
import secrets
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import ParamSpec, TypeVar

from neurdicom.blobs.aside import AsideFolders
from neurdicom.blobs.base import STORED_MODE, BlobDigest, BlobStore, Pace, Spool, empty_spool, flush, flush_folder
from neurdicom.blobs.digest import digest_file
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import NotFound, Unavailable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: Most files in a shard folder.
SHARD_FILES = 4096

#: Bytes read at a time when a blob is streamed.
PIECE = 1024 * 1024

_THREADS = 8
_WRITABLE = 0o222
_KEY = re.compile(r"[0-9]{8}/([0-9]{6})-([0-9a-f]{64})-[0-9a-f]{16}")


class _Shard:
    """The shard folder that commits go to."""

    def __init__(self, folder: Path, number: int, claimed: int) -> None:
        self.folder = folder
        self.number = number
        self.claimed = claimed  # numbers given to files in it
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)  # with the last thread that commits to it
        self._counting = threading.Lock()
        self._changes = 0
        self._flushing = threading.Lock()
        self._flushed = 0

    def add(self, file: Path, name: str) -> Path:
        """Rename a file into the folder, durably. Raises `OSError`; the file is not there then, and may be gone."""
        target = self.folder / name
        file.rename(target)
        try:
            self._flush()
        except OSError:
            target.unlink(missing_ok=True)
            raise
        return target

    def _flush(self) -> None:
        """Flush the folder, unless a flush of another thread began after the caller's change."""
        with self._counting:
            self._changes += 1
            change = self._changes
        with self._flushing:
            if self._flushed < change:
                upto = self._changes
                flush(self._descriptor)
                self._flushed = upto


class LocalBlobStore(BlobStore):
    """Blob store in a folder of a local file system; one process at a time.

    Parameters
    ----------
    root : Path
        The folder; created if missing. `spool` and `objects` in it must be on one file system.
    shard_files : int
        Most files in a shard folder.
    """

    def __init__(self, root: Path, *, shard_files: int = SHARD_FILES) -> None:
        self._spool = root / "spool"
        self._objects = root / "objects"
        self._shard_files = shard_files
        self._lock = threading.Lock()  # over _shard
        self._shard: _Shard | None = None
        self._threads = ThreadPoolExecutor(_THREADS, "blobs")
        self._aside = AsideFolders(root, self._objects, _list_all)

    async def open(self) -> None:
        """Create the folders, empty the spool, and find the shard for the next commit."""
        try:
            await self._run(self._open)
        except OSError as error:
            raise Unavailable(f"the folder {self._objects.parent} can't be used: {error}") from error

    def _open(self) -> None:
        for folder in (self._spool, self._objects):
            folder.mkdir(parents=True, exist_ok=True)
        flush_folder(self._objects.parent)
        empty_spool(self._spool)
        shards = self._shards()
        if not shards:
            self._shard = self._make_shard(0)
            return
        refs = _list(self._objects, shards[-1])
        numbers = [int(_KEY.fullmatch(ref.key)[1]) for ref in refs]  # type: ignore[index]
        self._shard = _Shard(self._objects / shards[-1], int(shards[-1]), max(numbers, default=-1) + 1)

    async def attach(self) -> None:
        """Check that the folder is there; the spool is another process's, and stays as it is."""
        if not self._objects.is_dir():
            raise Unavailable(f"there is no folder {self._objects}; no server ever stored files here, or it is away")

    async def close(self) -> None:
        """Wait for running operations."""
        await asyncio.to_thread(self._threads.shutdown)
        self._shard = None

    def new_spool(self) -> Spool:
        """Make an empty spool file."""
        return Spool(self._spool / secrets.token_hex(8))

    def commit(self, spool: Spool) -> BlobRef:
        """Rename the spool into the current shard folder, and flush the folder."""
        spool.seal()
        ref, path = self._add(spool.path, spool.size, spool.sha256)
        spool.committed(path)
        return ref

    @property
    def spool_folder(self) -> Path:
        """The folder of spool files."""
        return self._spool

    def adopt(self, file: Path, size: int, sha256: str) -> BlobRef:
        """Make the file read-only, rename it into the current shard folder, and flush the folder."""
        file.chmod(STORED_MODE)
        return self._add(file, size, sha256)[0]

    def restore(self, key: str, spool: Spool) -> None:
        """Rename the spool to the file of the blob, and flush the folder."""
        path = self._path(key)
        spool.seal()
        if not path.parent.is_dir():  # the last of its files was lost
            path.parent.mkdir()
            flush_folder(self._objects)
        spool.path.rename(path)
        spool.committed(path)
        flush_folder(path.parent)

    def _add(self, file: Path, size: int, sha256: str) -> tuple[BlobRef, Path]:
        shard, number = self._claim()
        name = f"{number:06d}-{sha256}-{secrets.token_hex(8)}"
        path = shard.add(file, name)
        return BlobRef(f"{shard.folder.name}/{name}", size, sha256), path

    def _claim(self) -> tuple[_Shard, int]:
        """Reserve the next file number: return the shard and the number in it."""
        with self._lock:
            shard = self._shard
            if shard is None:
                raise Unavailable("the blob store is not open")
            if shard.claimed >= self._shard_files:
                shard = self._shard = self._make_shard(shard.number + 1)
            shard.claimed += 1
            return shard, shard.claimed - 1

    def _make_shard(self, number: int) -> _Shard:
        folder = self._objects / f"{number:08d}"
        folder.mkdir(exist_ok=True)
        flush_folder(self._objects)
        return _Shard(folder, number, 0)

    async def path(self, key: str) -> Path:
        """Return the path of the blob's file."""
        path = self._path(key)
        # One look at the disk takes microseconds, a thread more than ten times that, and every image comes by here.
        try:
            _make_read_only(path, os.stat(path))  # noqa: PTH116
        except OSError as error:
            raise NotFound(f"there is no blob {key!r}") from error
        return path

    async def find(self, key: str) -> BlobRef:
        """Read the size of the blob's file, and the SHA-256 in its name."""
        found = _KEY.fullmatch(key)
        return BlobRef(key, await self.size(key), found[2] if found else "")

    async def size(self, key: str) -> int:
        """Return the size of the blob's file."""
        path = self._path(key)
        try:
            return os.stat(path).st_size  # noqa: PTH116 - as in `path`
        except (FileNotFoundError, NotADirectoryError) as error:
            if not self._objects.is_dir():
                raise Unavailable(
                    f"the folder of stored files {self._objects} is not there: is its disk away?"
                ) from error
            raise NotFound(f"there is no blob {key!r}") from error
        except OSError as error:
            raise Unavailable(f"the stored file {path} can't be looked at: {error.strerror}") from error

    async def digest(self, key: str, pace: Pace | None = None, *, from_disk: bool = False) -> BlobDigest:
        """Read the file in one thread."""
        return await self._run(partial(digest_file, self._path(key), pace, from_disk=from_disk))

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise NotFound(f"{key!r} is not a key of this store")
        return self._objects / key

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream a part of the file; the file stays open meanwhile."""
        left = length
        opening = asyncio.ensure_future(self._run(_open_and_read, self._path(key), start, _piece(left)))
        try:
            descriptor, piece = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)  # the thread may be opening it just now
            raise
        try:
            while piece:
                yield piece
                start += len(piece)
                left = None if left is None else left - len(piece)
                piece = await self._run(os.pread, descriptor, _piece(left), start)
        finally:
            os.close(descriptor)

    async def delete(self, keys: Sequence[str]) -> None:
        """Unlink the files, flush their folders, and remove those left empty."""
        await self._run(self._delete, [key for key in keys if _KEY.fullmatch(key)])

    def _delete(self, keys: Iterable[str]) -> None:
        for shard, members in groupby(sorted(keys), key=lambda key: key.split("/", 1)[0]):
            folder = self._objects / shard
            for key in members:
                (self._objects / key).unlink(missing_ok=True)
            if folder.is_dir():
                flush_folder(folder)
                self._drop_if_empty(folder)

    def _drop_if_empty(self, folder: Path) -> None:
        with self._lock:
            # A commit that claimed a place in the shard before may not have come to its rename.
            if self._shard is not None and int(folder.name) < self._shard.number - 1:
                with contextlib.suppress(OSError):  # not empty
                    folder.rmdir()

    async def set_aside(self, place: str, keys: Sequence[str]) -> None:
        """Rename the files into the folder of the place."""
        await self._run(self._aside.set_aside, place, [key for key in keys if _KEY.fullmatch(key)])

    async def bring_back(self, place: str, keys: Sequence[str]) -> None:
        """Give the files their names in their shards again, beside those in the folder of the place."""
        await self._run(self._aside.bring_back, place, [key for key in keys if _KEY.fullmatch(key)])

    async def release(self, *places: str) -> None:
        """Unlink the files in the folders of the places that have another name in the store."""
        await self._run(self._aside.release, places)

    async def aside(self, place: str) -> list[BlobRef]:
        """List the files in the folder of the place."""
        return await self._run(self._aside.blobs, place)

    async def path_aside(self, place: str, key: str) -> Path:
        """Return the path of the file."""
        if not _KEY.fullmatch(key):
            raise NotFound(f"{key!r} is not a key of this store")
        return await self._run(self._aside.path, place, key)

    def restore_aside(self, place: str, key: str, spool: Spool) -> None:
        """Rename the spool to the file in the folder of the place, and flush that."""
        self._path(key)  # checks the key
        spool.seal()
        spool.committed(self._aside.restore(place, key, spool.path))

    async def discard_aside(self, place: str) -> None:
        """Delete the folder of the place."""
        await self._run(self._aside.discard, place)

    async def places(self) -> list[str]:
        """List the folders."""
        return await self._run(self._aside.places)

    async def recent(self) -> list[BlobRef]:
        """List the blobs of the last two shards, since a crash may coincide with a change of shards."""
        shards = (await self._run(self._shards))[-2:]
        return [ref for shard in shards for ref in await self._run(_list, self._objects, shard)]

    async def walk(self) -> AsyncIterator[BlobRef]:
        """Yield all blobs, a shard at a time."""
        for shard in await self._run(self._shards):
            for ref in await self._run(_list, self._objects, shard):
                yield ref

    async def foreign_files(self) -> list[str]:
        """List the files below the shard folders' folder that have no name of a blob."""
        return await self._run(self._foreign_files)

    def _foreign_files(self) -> list[str]:
        paths = (
            Path(parent, name).relative_to(self._objects)
            for parent, _, names in os.walk(self._objects)
            for name in names
        )
        return sorted(str(path) for path in paths if not _KEY.fullmatch(str(path)))

    def _shards(self) -> list[str]:
        return _shards(self._objects)

    async def _run(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        assert not kwargs
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


def _shards(objects: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(objects) if re.fullmatch("[0-9]{8}", entry.name))


def _list(objects: Path, shard: str) -> list[BlobRef]:
    """List the blobs of a shard by key; files with other names are ignored."""
    refs = []
    try:
        entries = sorted(os.scandir(objects / shard), key=lambda entry: entry.name)
    except FileNotFoundError:  # emptied and removed since it was listed
        return []
    for entry in entries:
        if found := _KEY.fullmatch(f"{shard}/{entry.name}"):
            try:
                status = entry.stat()
                refs.append(BlobRef(found[0], status.st_size, found[2]))
                _make_read_only(entry.path, status)
            except FileNotFoundError:
                continue
    return refs


def _list_all(objects: Path) -> list[BlobRef]:
    """List the blobs of all shards in a folder, by key."""
    return [ref for shard in _shards(objects) for ref in _list(objects, shard)]


def _make_read_only(path: str | Path, status: os.stat_result) -> None:
    """Remove the write permissions of a stored file."""
    if status.st_mode & _WRITABLE:
        with contextlib.suppress(OSError):  # another user's, or on a read-only disk: it can be read all the same
            os.chmod(path, STORED_MODE)  # noqa: PTH101


def _piece(left: int | None) -> int:
    return PIECE if left is None else max(0, min(PIECE, left))


def _open_and_read(path: Path, start: int, size: int) -> tuple[int, bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no blob {path.name!r}") from error
    try:
        return descriptor, os.pread(descriptor, size, start)
    except BaseException:
        os.close(descriptor)
        raise


def _close_opened(opening: "asyncio.Future[tuple[int, bytes]]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result()[0])
