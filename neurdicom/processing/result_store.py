"""The store of kept results: found again instead of computed again, listed, and deleted with their sources."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from neurdicom.archive.render import PIXELS
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.terms import TermCondition
from neurdicom.coordination import RetryQueue
from neurdicom.errors import NotFound, Unavailable
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.result import BESIDE, KeptResult, Representation, merged, representation_name
from neurdicom.processing.result_files import ResultFiles
from neurdicom.processing.result_records import PendingResult, Provenance, ResultRecords, WriteBehindQueue, located
from neurdicom.processing.result_sources import SourceObserver
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import Reply

log = logging.getLogger(__name__)

_PAGE = 500
_MIB = 1024 * 1024

#: Files that are deleted in one step of making room.
_EVICTED_AT_ONCE = 100


class ResultStore:
    """Store of results: records in the catalog, representations in files, and a write-behind queue.

    Changes of records and files are made one after the other, under one lock.

    Parameters
    ----------
    catalog : Catalog
        Has the records.
    folder : Path
        Holds the files, and nothing else.
    pool : WorkerPool
        Its built-in pixel worker encodes images again.
    size : int
        Most MiB of the files; the least recently used are deleted first.

    Attributes
    ----------
    counts : Counter of str
        Counters for the metrics.
    sources : SourceObserver
        Is told of what happens to the sources of results.
    """

    def __init__(self, catalog: Catalog, folder: Path, pool: WorkerPool, *, size: int) -> None:
        self._catalog = catalog
        self._pool = pool
        self._records = ResultRecords(catalog.documents)
        retries = RetryQueue()
        self._files = ResultFiles(folder, retries, limit=size * _MIB)
        self._queue = WriteBehindQueue(self._write)
        self._changes = asyncio.Lock()
        self.sources = SourceObserver(catalog, self._records, self._files, self._changes, retries)
        self._was_clean = True
        self._epochs: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[str] = Counter()

    async def open(self) -> None:
        """Open the store."""
        self._was_clean = await self._files.open()

    async def recover(self) -> None:
        """Delete results of lost sources and tools, and files without a record, after a crash.

        Call it once, when the trash has taken the results of what it holds.
        """
        if not self._was_clean:
            await self.sources.sweep()

    async def close(self) -> None:
        """Write the queued results. Idempotent."""
        await self._queue.close()
        async with self._changes:
            await self._files.close()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self._files.size

    # -- finding again ---------------------------------------------------------------------------------------

    async def find(self, result: str, format: str, frame: int | None) -> KeptResult | None:
        """Find the stored or pending result of an id that can be returned in a format; None if there is no such result.

        Parameters
        ----------
        result : str
            Id of the result.
        format : str
            Encoding of an image.
        frame : int or None
            Frame of a stack to show, from 1.
        """
        for pending in self._queue.of(result):
            if pending.result.find(format, frame) is not None:
                return pending.result
            if pending.result.encodes(format):
                await asyncio.wait([pending.done])  # it is encoded from the file
        record = await self._records.find(result)
        return record if record is not None and record.gives(format, frame) else None

    async def touch(self, result: KeptResult, format: str, frame: int | None) -> bool:
        """Note the use of a result without reading it; return False if its file is gone.

        Parameters
        ----------
        result : KeptResult
            The result.
        format : str
            Encoding of an image.
        frame : int or None
            Frame of a stack to show, from 1.
        """
        name = result.find(format, frame) or result.lossless()
        one = result.representations[name] if name else None
        there = one is not None and (one.data is not None or one.key is None or await self._files.path(one) is not None)
        self.counts["hits"] += there
        return there

    async def read(self, result: KeptResult, format: str, frame: int | None) -> Reply | None:
        """Read a result as a worker gave it, or encode it anew; None if its file is gone.

        Parameters
        ----------
        result : KeptResult
            The result.
        format : str
            Encoding of an image.
        frame : int or None
            Frame of a stack to show, from 1.
        """
        name = result.find(format, frame)
        if name is None:
            return await self._encode(result, format, frame)
        one = result.representations[name]
        data = one.data
        if data is None:
            data = orjson.dumps(result.value) if one.key is None else await self._files.read(one)
        if data is None:
            log.warning("file %s of result %s is missing or damaged; it is computed again", one.key, result.id)
            return None
        self.counts["hits"] += 1
        self.counts["hit_bytes"] += len(data)
        return Reply(dict(one.meta) if name == BESIDE else await self._with_json(result, one), data)

    async def _with_json(self, result: KeptResult, one: Representation) -> dict[str, object]:
        """Describe a representation as the worker did, with the JSON beside it."""
        beside = result.representations.get(BESIDE)
        if beside is None:
            return dict(one.meta)
        if beside.data is None and beside.key is None:
            return one.meta | {"json": result.value}
        data = beside.data if beside.data is not None else await self._files.read(beside)
        return dict(one.meta) if data is None else one.meta | {"json": await asyncio.to_thread(orjson.loads, data)}

    async def _encode(self, result: KeptResult, format: str, frame: int | None) -> Reply | None:
        """Encode an image anew, from a lossless representation."""
        lossless = result.lossless()
        source = result.representations[lossless] if lossless else None
        path = await self._files.path(source) if source is not None else None
        if source is None or path is None:
            return None
        arguments = {"path": str(path), "format": format, "frame": frame, **source.meta}
        reply = await self._pool.call(PIXELS, "encode", arguments)
        self.counts["hits"] += 1
        self.counts["encoded"] += 1
        self.counts["hit_bytes"] += len(reply.body)
        encoded = Representation(meta=reply.meta, size=len(reply.body), data=reply.body)
        further = replace(result, representations={representation_name(format, frame): encoded})
        epoch = self.epoch(result.tool_type, result.tool)
        self._queue.offer(PendingResult(result=further, epoch=epoch, adds=True))
        return Reply(await self._with_json(result, encoded), reply.body)

    async def tag_of(self, result: str, names: Sequence[str]) -> str | None:
        """Return the tag of a record to which representations can be added; None if one of them exists already."""
        before = await self._records.find(result)
        if before is None or any(name in before.representations or name in before.evicted for name in names):
            return None
        return before.tag

    async def settle(self, result: str) -> None:
        """Wait until a pending result is durable. Raises `Unavailable`."""
        await asyncio.gather(*(asyncio.shield(pending.done) for pending in self._queue.of(result)))

    # -- keeping ---------------------------------------------------------------------------------------------

    def epoch(self, tool_type: ToolType, tool: str) -> int:
        """Count the deletions of a tool; a result begun before the latest deletion is not stored."""
        return self._epochs[tool_type, tool]

    def offer(self, pending: PendingResult) -> bool:
        """Queue a result to be stored; return False if the queue is full."""
        taken = self._queue.offer(pending)
        self.counts["kept" if taken else "dropped"] += 1
        return taken

    async def keep(self, pending: PendingResult) -> bool:
        """Keep a result durably; return False if a source or the tool is gone. Raises `Unavailable`."""
        pending.always = True
        if not self._queue.offer(pending):
            raise Unavailable("the server is stopping")
        self.counts["kept"] += 1
        return await asyncio.shield(pending.done)

    async def _write(self, group: Sequence[PendingResult]) -> list[bool]:
        """Keep a group of results: files first, then the records, in one transaction."""
        async with self._changes:
            provenance = Provenance(self._catalog)
            valid = await provenance.still_valid([pending.result for pending in group])
            chosen = [
                pending
                for pending, is_valid in zip(group, valid, strict=True)
                if is_valid and pending.epoch == self.epoch(pending.result.tool_type, pending.result.tool)
            ]
            new: dict[str, KeptResult] = {}
            unused: list[str] = []
            written: list[str] = []
            done: set[PendingResult] = set()
            try:
                results = await self._files.write_all([pending.result for pending in chosen], written)
                for pending, result in zip(chosen, results, strict=True):
                    before = new.get(result.id) or await self._records.find(result.id)
                    placed = await provenance.placed(result)
                    # The source, or the record that it adds to, was deleted meanwhile.
                    if placed is None or (pending.adds and (before is None or before.tag != result.tag)):
                        unused += result.keys
                        continue
                    done.add(pending)
                    new[result.id], gone = merged(before, placed, replaces=pending.replaces)
                    unused += gone
                await self._records.put(list(new.values()), renewed=[p.result.id for p in chosen if p.replaces])
            except BaseException:
                await self._files.remove(written)
                raise
            await self._files.remove(unused)
            if not self._catalog.documents.is_exclusive:  # another server may have deleted a source meanwhile
                await self.sources.bring_in_step(list(new.values()))
            await self._make_room()
            return [pending in done for pending in group]

    async def _make_room(self) -> None:
        """Delete the least recently used files, if all exceed the limit; their records stay."""
        excess = await self._files.excess()
        for start in range(0, len(excess), _EVICTED_AT_ONCE):
            keys = excess[start : start + _EVICTED_AT_ONCE]
            # A record may have several of them.
            records, _ = await self._records.search([TermCondition("body", "=", tuple(keys))], limit=len(keys))
            await self._records.put([record.without(set(keys)) for record in records])
            await self._files.remove(keys)
        if excess:
            self.counts["evicted"] += len(excess)
            log.info("%d files of results were deleted to make room; %d MiB are left", len(excess), self.size >> 20)

    async def note_made(self, result: str, instances: Sequence[str]) -> None:
        """Record durably the keys of DICOM instances that are made of a result, and those that are stored by now.

        It is called before they are stored as well, so that the next start finds them after a crash in between.
        """
        await self._queue.flush()
        async with self._changes:
            record = await self._records.find(result)
            if record is None:
                return
            made = await located(self._catalog, instances)
            known = [one for one in record.stored if one not in made]
            await self._records.put([replace(record, stored=[*known, *made], made=list(instances))])

    async def stored_whole(self, result: str) -> tuple[str, ...]:
        """List the keys of the DICOM instances that were made of a result, if all of them exist."""
        record = await self._records.find(result)
        present = {one["instance"] for one in record.stored} if record is not None else set()
        made = record.made if record is not None else []
        return tuple(made) if present.issuperset(made) else ()

    # -- as a resource ---------------------------------------------------------------------------------------

    async def get(self, result: str) -> KeptResult:
        """Return a result by id. Raises `NotFound`."""
        if self._queue.of(result):
            await self._queue.flush()
        record = await self._records.find(result)
        if record is None:
            raise NotFound(f"there is no result {result!r}")
        return record

    async def page(
        self, conditions: Sequence[TermCondition], *, limit: int, offset: int = 0, newest_first: bool = True
    ) -> tuple[list[KeptResult], int]:
        """Find a page of the results that meet all conditions.

        Parameters
        ----------
        conditions : sequence of TermCondition
            All must hold.
        limit, offset : int
            Size and start of the page.
        newest_first : bool
            Order, by the time of creation.

        Returns
        -------
        results : list of KeptResult
            The page.
        total : int
            Number of all that meet the conditions.
        """
        await self._queue.flush()
        return await self._records.search(conditions, limit=limit, offset=offset, descending=newest_first)

    async def delete(self, result: str) -> None:
        """Delete a result; DICOM instances that were made of it stay. Raises `NotFound`."""
        await self._queue.flush()
        async with self._changes:
            record = await self._records.find(result)
            if record is None:
                raise NotFound(f"there is no result {result!r}")
            await self.sources.delete([record])

    # -- deletion with sources and tools ---------------------------------------------------------------------

    async def stored_of(self, name: str, id: str) -> list[str]:
        """List the keys of the DICOM instances made of the results of a source, by one of its keys, or of a tool."""
        await self._queue.flush()
        return await self.sources.stored_of(name, id)

    async def on_tool_removed(self, tool_type: ToolType, tool: str) -> None:
        """Delete the results of a plugin or a model that was deleted."""
        self._epochs[tool_type, tool] += 1
        used = [("uses", tool)] if tool_type == "model" else []
        await self.sources.forget(f"{tool_type} {tool}", [(tool_type, tool), *used])
