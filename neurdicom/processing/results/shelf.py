"""The files of bodies: what goes into one, how much room they take, and which go when there is none."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from neurdicom.blobs.local import flush_folder
from neurdicom.catalog.terms import Having
from neurdicom.processing.results.keeper import Kept, Payload
from neurdicom.processing.results.record import BESIDE, Body, Record
from neurdicom.processing.results.store import ResultStore
from neurdicom.processing.results.values import values_of

log = logging.getLogger(__name__)

#: Bytes of JSON that lie in the record.
_INLINE = 64 * 1024
#: Bytes of JSON whose values a result is found by; what is longer is not read.
_READ = 1024 * 1024

#: Part of the limit that is left when room was made, so that it need not be made again at once.
_LEFT = 0.9
_AT_ONCE = 100


_NOTE = "clean"


def mark_unclean(folder: Path) -> None:
    """Have the next start look at all that is in a folder of results. Blocks."""
    (folder / _NOTE).unlink(missing_ok=True)


class Shelf:
    """The bodies of all results.

    Parameters
    ----------
    store : ResultStore
    folder : Path
        Its folder.
    most : int
        Bytes that they may take.
    counts : Counter
        Counts those that are `evicted`.

    Attributes
    ----------
    size : int
        Bytes that they take.
    is_clean : bool
        Nothing is left to be done at the next start.
    """

    def __init__(self, store: ResultStore, folder: Path, *, most: int, counts: Counter[str]) -> None:
        self._counts = counts
        self._store = store
        self._most = most
        self._note = folder / _NOTE
        self.size = 0
        self.is_clean = True

    async def open(self) -> bool:
        """Count what is there; False if the last server did not come to its end, and there may be work to do."""
        clean = await asyncio.to_thread(self._take_note)
        self.size = sum(size for _, _, size in await self._store.bodies())
        return clean

    async def close(self) -> None:
        """Note that all is well. Idempotent."""
        if self.is_clean:
            await asyncio.to_thread(self._note.touch)

    def _take_note(self) -> bool:
        clean = self._note.exists()
        self._note.unlink(missing_ok=True)
        flush_folder(self._note.parent)
        return clean

    async def place_all(self, group: Sequence[Kept], written: list[str]) -> list[Record]:
        """Write the bodies of several results at the same time; see `place`."""
        places = (asyncio.to_thread(self.place, kept, written) for kept in group)
        placed = await asyncio.gather(*places, return_exceptions=True)
        self.size += sum((await self._store.sizes(written)).values())
        for each in placed:
            if isinstance(each, BaseException):
                raise each
        return [each for each in placed if isinstance(each, Record)]

    def place(self, kept: Kept, written: list[str]) -> Record:
        """Write the bodies of a result; the record with their places. Blocks; threads that do so at the same time share
        flushes. Raises `OSError`.

        The keys of the files go to `written`, also when it fails.
        """
        bodies: dict[str, Body] = {}
        told: dict[str, Any] = {}
        evicted: list[str] = []
        for name, body in kept.record.bodies.items():
            payload = kept.payloads[name]
            is_json = name == BESIDE or body.meta.get("kind") == "json"
            if is_json:
                told = _told(payload)
            key = None
            if not (is_json and told["value"] is not None):
                if len(payload) > self._most:
                    evicted.append(name)
                    continue
                key = self._store.write(payload)
                written.append(key)
            bodies[name] = replace(body, key=key, size=len(payload))
        return replace(kept.record, bodies=bodies, evicted=evicted, **told)

    async def remove(self, keys: Sequence[str]) -> None:
        """Delete files, and count their room as free."""
        sizes = await self._store.sizes(keys)
        await self._store.delete_bodies(keys)
        self.size -= sum(sizes.values())

    async def sweep(self, known: set[str]) -> int:
        """Delete the files that no record refers to; how many there were."""
        orphans = [key for _, key, _ in await self._store.bodies() if key not in known]
        await self.remove(orphans)
        return len(orphans)

    async def make_room(self) -> None:
        """Delete the bodies that were not used for the longest time, if there is not enough room.

        Their records stay, and say so.
        """
        if self.size <= self._most:
            return
        bodies = await self._store.bodies()
        self.size = sum(size for _, _, size in bodies)
        excess = self.size - int(self._most * _LEFT)
        chosen = []
        for _, key, size in bodies:
            if excess <= 0:
                break
            chosen.append(key)
            excess -= size
        for start in range(0, len(chosen), _AT_ONCE):
            await self._evict(chosen[start : start + _AT_ONCE])
        self._counts["evicted"] += len(chosen)
        log.info("deleted %d bodies of results to make room; %d MiB are left", len(chosen), self.size >> 20)

    async def _evict(self, keys: Sequence[str]) -> None:
        # A record may have several of the bodies.
        records, _ = await self._store.search([Having("body", "=", tuple(keys))], limit=len(keys))
        gone = set(keys)
        await self._store.put([_without(record, gone) for record in records])
        await self.remove(keys)


def _told(payload: Payload) -> dict[str, Any]:
    """What a record tells of its JSON: the value itself where it is short, and the values that it is found by."""
    told: dict[str, Any] = {"value": None, "value_size": len(payload), "values": [], "left_out": 0}
    if len(payload) > _READ:
        return told | {"left_out": 1}
    try:
        value = orjson.loads(payload)
    except ValueError:  # a worker can send anything
        return told
    values, told["left_out"] = values_of(value)
    if len(payload) <= _INLINE and orjson.dumps(value) == bytes(payload):
        return told | {"value": value}
    return told | {"values": values}


def _without(record: Record, keys: set[str]) -> Record:
    """The record without bodies that are being deleted."""
    left = {name: body for name, body in record.bodies.items() if body.key is None or body.key not in keys}
    gone = [name for name in record.bodies if name not in left and name != BESIDE]
    return replace(record, bodies=left, evicted=list(dict.fromkeys([*record.evicted, *gone])))
