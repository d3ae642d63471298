"""Files of results: their contents, the room that they take, and the least recently used, which are deleted first."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from neurdicom.blobs.base import flush_folder
from neurdicom.blobs.local import LocalBlobStore
from neurdicom.coordination import RetryQueue
from neurdicom.errors import NotFound
from neurdicom.processing.result import BESIDE, KeptResult, Payload, Representation
from neurdicom.processing.value_query import values_of

#: Most bytes of JSON that lie in the record.
_INLINE = 64 * 1024
#: Most bytes of JSON whose values are indexed; longer JSON is not read.
_READ = 1024 * 1024

#: Part of the limit that remains in use when room was made, so that it need not be made again at once.
_LEFT = 0.9

_NOTE = "clean"


def mark_unclean(folder: Path) -> None:
    """Make the next start check all results and files in a folder. Blocks."""
    (folder / _NOTE).unlink(missing_ok=True)


class ResultFiles:
    """Files of the representations of all results.

    Parameters
    ----------
    folder : Path
        Holds nothing else.
    retries : RetryQueue
        Deletes files that the disk did not let go; closed with this.
    limit : int
        Most bytes of all files.

    Attributes
    ----------
    size : int
        Bytes of all files.
    is_clean : bool
        Whether nothing remains to be done at the next start.
    """

    def __init__(self, folder: Path, retries: RetryQueue, *, limit: int) -> None:
        self._files = LocalBlobStore(folder)
        self._retries = retries
        self._limit = limit
        self._note = folder / _NOTE
        self.size = 0
        self.is_clean = True

    async def open(self) -> bool:
        """Count the files; return False if the last server did not stop cleanly, so that files may lack a record."""
        await self._files.open()
        clean = await asyncio.to_thread(self._take_note)
        self.size = sum(size for _, _, size in await self._by_use())
        return clean

    async def close(self) -> None:
        """Stop retrying, and note that the server stopped cleanly. Idempotent."""
        await self._retries.close()
        if self.is_clean:
            await asyncio.to_thread(self._note.touch)
        await self._files.close()

    def _take_note(self) -> bool:
        clean = self._note.exists()
        self._note.unlink(missing_ok=True)
        flush_folder(self._note.parent)
        return clean

    # -- writing ---------------------------------------------------------------------------------------------

    async def write_all(self, results: Sequence[KeptResult], written: list[str]) -> list[KeptResult]:
        """Write the representations of several results at the same time; see `write`."""
        writes = (asyncio.to_thread(self.write, result, written) for result in results)
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        self.size += sum((await self._sizes(written)).values())
        for each in outcomes:
            if isinstance(each, BaseException):
                raise each
        return [each for each in outcomes if isinstance(each, KeptResult)]

    def write(self, result: KeptResult, written: list[str]) -> KeptResult:
        """Write the representations of a pending result durably.

        Blocks; threads that do so at the same time share flushes.

        Parameters
        ----------
        result : KeptResult
            The pending result.
        written : list of str
            Receives the keys of the files, also when it fails.

        Returns
        -------
        KeptResult
            The result with the keys, and without the bytes. A representation that exceeds the limit alone counts as
            evicted.

        Raises
        ------
        OSError
            The disk refuses.
        """
        representations: dict[str, Representation] = {}
        described: dict[str, Any] = {}
        evicted: list[str] = []
        for name, one in result.representations.items():
            data = b"" if one.data is None else one.data
            is_json = name == BESIDE or one.meta.get("kind") == "json"
            if is_json:
                described = _described(data)
            key = None
            if not (is_json and described["value"] is not None):
                if len(data) > self._limit:
                    evicted.append(name)
                    continue
                key = self._write(data)
                written.append(key)
            representations[name] = replace(one, key=key, size=len(data), data=None)
        return replace(result, representations=representations, evicted=evicted, **described)

    def _write(self, data: Payload) -> str:
        with self._files.new_spool() as spool:
            spool.write(data)
            return self._files.commit(spool).key

    # -- reading ---------------------------------------------------------------------------------------------

    async def path(self, one: Representation) -> Path | None:
        """Return the path of a representation's file, and note its use; None if the file is missing or incomplete."""
        if one.key is None:
            return None
        with suppress(NotFound):
            path = await self._files.path(one.key)
            if await asyncio.to_thread(_touch, path) == one.size:
                return path
        return None

    async def read(self, one: Representation) -> bytes | None:
        """Read the file of a representation; None if it is missing or incomplete."""
        if one.key is None:
            return None
        with suppress(NotFound):
            path = await self._files.path(one.key)
            return await asyncio.to_thread(_read, path, one.size)
        return None

    # -- deleting --------------------------------------------------------------------------------------------

    async def remove(self, keys: Sequence[str]) -> None:
        """Delete files durably, and count their room as free; unknown keys are ignored.

        Those that the disk does not let go are deleted later.
        """
        if not keys:
            return

        async def remove() -> None:
            sizes = await self._sizes(keys)
            await self._files.delete(keys)
            self.size -= sum(sizes.values())

        if not await self._retries.attempt(f"{len(keys)} files of results could not be deleted", remove):
            self.is_clean = False

    async def sweep(self, known: set[str]) -> int:
        """Delete the files that no record refers to, and return their number."""
        orphans = [key for _, key, _ in await self._by_use() if key not in known]
        await self.remove(orphans)
        return len(orphans)

    async def excess(self) -> list[str]:
        """List the files to delete where they exceed the limit: the least recently used."""
        if self.size <= self._limit:
            return []
        files = await self._by_use()
        self.size = sum(size for _, _, size in files)
        excess = self.size - int(self._limit * _LEFT)
        chosen = []
        for _, key, size in files:
            if excess <= 0:
                break
            chosen.append(key)
            excess -= size
        return chosen

    async def _sizes(self, keys: Sequence[str]) -> dict[str, int]:
        paths = []
        for key in keys:
            with suppress(NotFound):
                paths.append((key, await self._files.path(key)))
        return {key: size for _, key, size in await asyncio.to_thread(_by_use, paths)}

    async def _by_use(self) -> list[tuple[float, str, int]]:
        """List time of last use, key and size of all files, the least recently used first."""
        keys = [(ref.key, await self._files.path(ref.key)) async for ref in self._files.walk()]
        return await asyncio.to_thread(_by_use, keys)


def _described(data: Payload) -> dict[str, Any]:
    """Describe JSON for the record: the value itself where it is short, and its indexed values."""
    described: dict[str, Any] = {"value": None, "value_size": len(data), "values": [], "left_out": 0}
    if len(data) > _READ:
        return described | {"left_out": 1}
    try:
        value = orjson.loads(data)
    except ValueError:  # a worker can send anything
        return described
    values, described["left_out"] = values_of(value)
    if len(data) <= _INLINE and orjson.dumps(value) == bytes(data):
        return described | {"value": value}
    return described | {"values": values}


def _touch(path: Path) -> int:
    """Set a file's time of modification to note its use; return its size, -1 if it is gone."""
    try:
        os.utime(path)
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _read(path: Path, size: int) -> bytes | None:
    try:
        data = path.read_bytes() if path.stat().st_size == size else None
        os.utime(path)
    except FileNotFoundError:
        return None
    return data if data is not None and len(data) == size else None


def _by_use(files: list[tuple[str, Path]]) -> list[tuple[float, str, int]]:
    found = []
    for key, path in files:
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_mtime, key, status.st_size))
    return sorted(found)
