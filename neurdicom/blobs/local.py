"""Blobs as files in a local folder.

    spool/<random>                                   arrivals that are not complete or not committed
    objects/<shard>/<number>-<sha256>-<random>       blobs

A commit group lies in one shard folder, so that one flush of the folder makes the group's names durable. The number
within the shard makes keys sort in the order of their commits; the random part keeps a key from being used twice.
"""

import asyncio
import os
import re
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import ParamSpec, TypeVar

from neurdicom.blobs.base import BlobRef, BlobStore, Spool
from neurdicom.errors import NotFound, Unavailable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: Files in a folder; a group that would go past it opens the next folder.
SHARD_FILES = 4096

#: Bytes read at a time when a blob is streamed.
PIECE = 1024 * 1024

_THREADS = 8
_KEY = re.compile(r"[0-9]{8}/[0-9]{6}-([0-9a-f]{64})-[0-9a-f]{16}")


class LocalBlobStore(BlobStore):
    """Blob store in a folder of a local file system; one process at a time.

    Parameters
    ----------
    root : Path
        The folder; made when missing. `spool` and `objects` in it must be on one file system.
    shard_files : int
        Files in a shard folder.
    """

    def __init__(self, root: Path, *, shard_files: int = SHARD_FILES) -> None:
        self._spool = root / "spool"
        self._objects = root / "objects"
        self._shard_files = shard_files
        self._lock = threading.Lock()  # over _shard and _next
        self._shard = 0
        self._next = 0
        self._threads = ThreadPoolExecutor(_THREADS, "blobs")

    async def open(self) -> None:
        """Make the folders, empty the spool, and find where the next group goes."""
        try:
            await self._run(self._open)
        except OSError as error:
            raise Unavailable(f"the folder {self._objects.parent} can't be used: {error}") from error

    def _open(self) -> None:
        for folder in (self._spool, self._objects):
            folder.mkdir(parents=True, exist_ok=True)
        _flush_folder(self._objects.parent)
        for left in self._spool.iterdir():
            left.unlink()
        shards = self._shards()
        if shards:
            self._shard = int(shards[-1])
            numbers = [int(ref.key[9:15]) for ref in self._list(shards[-1])]
            self._next = max(numbers, default=-1) + 1
        else:
            self._make_shard()

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.to_thread(self._threads.shutdown)

    def new_spool(self) -> Spool:
        """Make an empty spool file."""
        return Spool(self._spool / secrets.token_hex(8))

    async def commit(self, spools: Sequence[Spool]) -> list[BlobRef]:
        """Rename into a shard folder, and flush that."""
        return await self._run(self._commit, spools) if spools else []

    def _commit(self, spools: Sequence[Spool]) -> list[BlobRef]:
        for spool in spools:
            spool.sync()
        shard, first = self._claim(len(spools))
        refs = [
            BlobRef(f"{shard}/{number:06d}-{spool.sha256}-{secrets.token_hex(8)}", spool.size, spool.sha256)
            for number, spool in enumerate(spools, first)
        ]
        try:
            for spool, ref in zip(spools, refs, strict=True):
                spool.path.rename(self._objects / ref.key)
            _flush_folder(self._objects / shard)
        except OSError:
            for ref in refs:
                (self._objects / ref.key).unlink(missing_ok=True)
            raise
        return refs

    def _claim(self, count: int) -> tuple[str, int]:
        """The shard folder of a group, and the number of its first file there."""
        with self._lock:
            if self._next and self._next + count > self._shard_files:
                self._shard += 1
                self._next = 0
                self._make_shard()
            first = self._next
            self._next += count
            return f"{self._shard:08d}", first

    def _make_shard(self) -> None:
        (self._objects / f"{self._shard:08d}").mkdir(exist_ok=True)
        _flush_folder(self._objects)

    async def path(self, key: str) -> Path:
        """The blob's own file."""
        path = self._path(key)
        # One look at the disk takes microseconds, a thread more than ten times that, and every image comes by here.
        if not os.path.exists(path):  # noqa: ASYNC240, PTH110
            raise NotFound(f"there is no blob {key!r}")
        return path

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise NotFound(f"{key!r} is no key of this store")
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
        """Unlink, flush the folders, and remove those left empty."""
        await self._run(self._delete, [key for key in keys if _KEY.fullmatch(key)])

    def _delete(self, keys: Iterable[str]) -> None:
        for shard, members in groupby(sorted(keys), key=lambda key: key.split("/", 1)[0]):
            folder = self._objects / shard
            for key in members:
                (self._objects / key).unlink(missing_ok=True)
            if folder.is_dir():
                _flush_folder(folder)
                self._drop_if_empty(folder)

    def _drop_if_empty(self, folder: Path) -> None:
        with self._lock:
            if int(folder.name) == self._shard or next(folder.iterdir(), None) is not None:
                return
            folder.rmdir()

    async def recent(self) -> list[BlobRef]:
        """The blobs of the last two shards: a crash may lie at a change of shards."""
        return [ref for shard in (await self._run(self._shards))[-2:] for ref in await self._run(self._list, shard)]

    async def walk(self) -> AsyncIterator[BlobRef]:
        """All blobs, a shard at a time."""
        for shard in await self._run(self._shards):
            for ref in await self._run(self._list, shard):
                yield ref

    def _shards(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self._objects) if re.fullmatch("[0-9]{8}", entry.name))

    def _list(self, shard: str) -> list[BlobRef]:
        """The blobs of a shard by key; what is not named as ours is left alone."""
        refs = []
        try:
            entries = sorted(os.scandir(self._objects / shard), key=lambda entry: entry.name)
        except FileNotFoundError:  # emptied and removed since it was listed
            return []
        for entry in entries:
            if found := _KEY.fullmatch(f"{shard}/{entry.name}"):
                try:
                    refs.append(BlobRef(found[0], entry.stat().st_size, found[1]))
                except FileNotFoundError:
                    continue
        return refs

    async def _run(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        assert not kwargs
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


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


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
