"""Results that stay: found again instead of computed again, listed, and deleted with what they came of."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from neurdicom.archive.render import PIXELS
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.terms import Having
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound, Unavailable
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.results.keeper import Keeper, Kept
from neurdicom.processing.results.liveness import Liveness, located
from neurdicom.processing.results.record import BESIDE, ENCODED, Body, Record, merged, representation
from neurdicom.processing.results.shelf import Shelf
from neurdicom.processing.results.store import ResultStore
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import Reply

log = logging.getLogger(__name__)

_PAGE = 500
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hit:
    """A result that is there, in a form that answers what was asked for.

    Attributes
    ----------
    record : Record
    name : str
        Of the body to give, or to encode.
    format : str
        What was asked for.
    frame : int or None
        The one shown, where the result may be a stack.
    payloads : Mapping[str, bytes or memoryview]
        The bodies, while they wait to be written.
    """

    record: Record
    name: str
    format: str
    frame: int | None
    payloads: Mapping[str, bytes | memoryview] = field(default_factory=dict)

    @property
    def is_encoded(self) -> bool:
        """It is given as it lies; else it has to be encoded from a body that keeps all values."""
        return self.name == self.record.find(self.format, self.frame)

    @property
    def etag(self) -> str:
        """A strong validator of what is given, without quotes."""
        return self.record.etag(self.format, self.frame)


class ResultService:
    """The kept results.

    Parameters
    ----------
    catalog : Catalog
    folder : Path
        Of the bodies, and of nothing else.
    pool : WorkerPool
        Its built-in pixel worker encodes images again.
    size : int
        MiB that the bodies may take; the least recently used go first.
    """

    def __init__(self, catalog: Catalog, folder: Path, pool: WorkerPool, *, size: int) -> None:
        self._catalog = catalog
        self._pool = pool
        self._store = ResultStore(catalog, folder)
        self.counts: Counter[str] = Counter()
        self._shelf = Shelf(self._store, folder, most=size * _MIB, counts=self.counts)
        self._changes = asyncio.Lock()
        self._keeper = Keeper(self._write)
        self._epochs: Counter[tuple[str, str]] = Counter()

    async def open(self) -> None:
        """Delete what came of sources and tools that are gone, and bodies that nothing refers to, after a crash."""
        await self._store.open()
        if not await self._shelf.open():
            await self._sweep()

    async def close(self) -> None:
        """Keep what waits. Idempotent."""
        await self._keeper.close()
        async with self._changes:
            await self._shelf.close()
            await self._store.close()

    @property
    def size(self) -> int:
        """Bytes of all bodies."""
        return self._shelf.size

    # -- finding again ---------------------------------------------------------------------------------------

    def epoch(self, tool_type: ToolType, tool: str) -> int:
        """Grows when a tool is deleted; what was begun in an earlier one is not kept."""
        return self._epochs[tool_type, tool]

    async def find(self, result: str, format: str, frame: int | None) -> Hit | None:
        """A result in a form that answers what was asked for, if there is one."""
        for kept in self._keeper.pending(result):
            name = kept.record.find(format, frame)
            if name is not None and name in kept.payloads:
                return Hit(kept.record, name, format, frame, kept.payloads)
            if format in ENCODED and kept.record.kind == "image" and kept.record.lossless():
                await asyncio.wait([kept.done])  # it is encoded from the file
        record = await self._store.find(result)
        if record is None:
            return None
        name = record.find(format, frame)
        if name is None and record.kind == "image" and format in ENCODED:
            name = record.lossless()
        return None if name is None else Hit(record, name, format, frame)

    async def is_there(self, hit: Hit) -> bool:
        """Whether the body is there, which counts as using it."""
        body = hit.record.bodies[hit.name]
        there = hit.name in hit.payloads or body.key is None or await self._store.path(body) is not None
        self.counts["hits"] += there
        return there

    async def read(self, hit: Hit) -> Reply | None:
        """The result as a worker gave it; None if its body is gone."""
        if not hit.is_encoded:
            return await self._encode(hit)
        body = hit.record.bodies[hit.name]
        data = hit.payloads.get(hit.name)
        if data is None:
            inline = body.key is None
            data = orjson.dumps(hit.record.value) if inline else await self._store.read(body)
        if data is None:
            log.warning("the body %s of the result %s is gone or damaged", body.key, hit.record.id)
            return None
        self.counts["hits"] += 1
        self.counts["hit_bytes"] += len(data)
        return Reply(await self._described(hit), data)

    async def peek(self, result: str) -> Record | None:
        """A record by id, if it is kept by now."""
        return await self._store.find(result)

    async def settle(self, result: str) -> None:
        """Wait until what waits of a result is kept. Raises `Unavailable`."""
        await asyncio.gather(*(asyncio.shield(kept.done) for kept in self._keeper.pending(result)))

    async def _described(self, hit: Hit) -> dict[str, object]:
        """What a worker said of a body, with the JSON beside it."""
        record, meta = hit.record, dict(hit.record.bodies[hit.name].meta)
        beside = record.bodies.get(BESIDE)
        if beside is None or hit.name == BESIDE:
            return meta
        data: bytes | memoryview | None = hit.payloads.get(BESIDE)
        if data is None and beside.key is None:
            return meta | {"json": record.value}
        data = data if data is not None else await self._store.read(beside)
        return meta if data is None else meta | {"json": await asyncio.to_thread(orjson.loads, data)}

    async def _encode(self, hit: Hit) -> Reply | None:
        """Encode an image anew, from a body that keeps all values."""
        source = hit.record.bodies[hit.name]
        path = await self._store.path(source)
        if path is None:
            return None
        arguments = {"path": str(path), "format": hit.format, "frame": hit.frame, **source.meta}
        reply = await self._pool.call(PIXELS, "encode", arguments)
        self.counts["hits"] += 1
        self.counts["encoded"] += 1
        self.counts["hit_bytes"] += len(reply.body)
        name = representation(hit.format, hit.frame)
        record = replace(hit.record, bodies={name: Body(meta=reply.meta, size=len(reply.body))})
        epoch = self.epoch(record.tool_type, record.tool)
        self._keeper.offer(Kept(record=record, payloads={name: reply.body}, epoch=epoch, adds=True))
        beside = await self._described(hit)
        return Reply(reply.meta | {key: beside[key] for key in ("json",) if key in beside}, reply.body)

    # -- keeping ---------------------------------------------------------------------------------------------

    def offer(self, kept: Kept) -> bool:
        """Have a result kept behind the answer; False if too much waits already."""
        taken = self._keeper.offer(kept)
        self.counts["kept" if taken else "dropped"] += 1
        return taken

    async def keep(self, kept: Kept) -> bool:
        """Keep a result durably; False if a source or the tool is gone. Raises `Unavailable`."""
        kept.always = True
        if not self._keeper.offer(kept):
            raise Unavailable("the server is stopping")
        self.counts["kept"] += 1
        return await asyncio.shield(kept.done)

    async def _write(self, group: Sequence[Kept]) -> list[bool]:
        """Keep a group: bodies first, then the records, in one transaction."""
        async with self._changes:
            look = Liveness(self._catalog)
            living = await look.living([kept.record for kept in group])
            chosen = [
                kept
                for kept, alive in zip(group, living, strict=True)
                if alive and kept.epoch == self.epoch(kept.record.tool_type, kept.record.tool)
            ]
            new: dict[str, Record] = {}
            unused: list[str] = []
            written: list[str] = []
            done: set[Kept] = set()
            try:
                placed = await self._shelf.place_all(chosen, written)
                for kept, record in zip(chosen, placed, strict=True):
                    before = new.get(record.id) or await self._store.find(record.id)
                    place = await look.place(record)
                    # It was deleted a moment ago, or what it adds to was.
                    if place is None or (kept.adds and (before is None or before.tag != record.tag)):
                        unused += record.keys
                        continue
                    record = replace(record, patient=place.patient, study=place.study, series=place.series)
                    done.add(kept)
                    new[record.id], gone = merged(before, record, replaces=kept.replaces)
                    unused += gone
                await self._store.put(list(new.values()), renewed=[k.record.id for k in chosen if k.replaces])
            except BaseException:
                await self._shelf.remove(written)
                raise
            await self._shelf.remove(unused)
            if not self._catalog.is_exclusive:  # another server may have deleted a source meanwhile
                await self._bring_in_step(list(new.values()))
            await self._shelf.make_room()
            return [kept in done for kept in group]

    async def note_made(self, result: str, instances: Sequence[str]) -> None:
        """DICOM instances were made of a result; those that are stored by now are noted as such, durably.

        Told before they are stored as well: after a crash in between, the next start finds them by it.
        """
        await self._keeper.flush()
        async with self._changes:
            record = await self._store.find(result)
            if record is None:
                return
            made = await located(self._catalog, instances)
            known = [one for one in record.stored if one not in made]
            await self._store.put([replace(record, stored=[*known, *made], made=list(instances))])

    async def stored_whole(self, result: str) -> tuple[str, ...]:
        """The DICOM instances that were made of a result, if all of them are there."""
        record = await self._store.find(result)
        present = {one["instance"] for one in record.stored} if record is not None else set()
        made = record.made if record is not None else []
        return tuple(made) if present.issuperset(made) else ()

    # -- as a resource ---------------------------------------------------------------------------------------

    async def get(self, result: str) -> Record:
        """A record by id. Raises `NotFound`."""
        if self._keeper.pending(result):
            await self._keeper.flush()
        record = await self._store.find(result)
        if record is None:
            raise NotFound(f"there is no result {result!r}")
        return record

    async def page(
        self, conditions: Sequence[Having], *, limit: int, offset: int = 0, newest_first: bool = True
    ) -> tuple[list[Record], int]:
        """A page of the results that meet all conditions, and how many there are."""
        await self._keeper.flush()
        return await self._store.search(conditions, limit=limit, offset=offset, descending=newest_first)

    async def delete(self, result: str) -> None:
        """Delete a result; what was stored of it stays. Raises `NotFound`."""
        await self._keeper.flush()
        async with self._changes:
            record = await self._store.find(result)
            if record is None:
                raise NotFound(f"there is no result {result!r}")
            await self._delete([record])

    # -- going with what they came of ------------------------------------------------------------------------

    async def stored_of(self, name: str, id: str) -> list[str]:
        """SOP Instance UIDs of what was stored of the results of a source or a tool: `instance`, `plugin` ..."""
        await self._keeper.flush()
        found: list[str] = []
        offset = 0
        while True:
            records, total = await self._store.search([Having(name, "=", (id,))], limit=_PAGE, offset=offset)
            found += [one["instance"] for record in records for one in record.stored]
            offset += len(records)
            if not records or offset >= total:
                return found

    async def forget(self, level: Level, entity: str) -> None:
        """Something was deleted from the archive, or replaced: so is what came of it."""
        try:
            await self._look_at(level.value, entity)
            await self._look_at("stored", entity)
        except (OSError, Unavailable) as error:
            self._shelf.is_clean = False
            log.warning("results of the %s %s stay until the next start: %s", level, entity, error)

    async def forget_tool(self, tool_type: ToolType, tool: str) -> None:
        """A plugin or a model was deleted: so is what it computed."""
        self._epochs[tool_type, tool] += 1
        try:
            await self._look_at(tool_type, tool)
            if tool_type == "model":
                await self._look_at("uses", tool)
        except (OSError, Unavailable) as error:
            self._shelf.is_clean = False
            log.warning("results of the %s %s stay until the next start: %s", tool_type, tool, error)

    async def _look_at(self, name: str, value: str) -> None:
        """Bring the records of a term in step with what is there."""
        kept = 0
        while True:
            async with self._changes:
                records, _ = await self._store.search([Having(name, "=", (value,))], limit=_PAGE, offset=kept)
                left = await self._bring_in_step(records)
            if not records:
                return
            kept += sum((name, value) in record.terms() for record in left)

    async def _bring_in_step(self, records: Sequence[Record]) -> list[Record]:
        """Delete those whose sources or tools are gone, and take out of the others what is not stored any more.

        Answers those that are left, as they are now.
        """
        look = Liveness(self._catalog)
        living = await look.living(records)
        dead = [record for record, alive in zip(records, living, strict=True) if not alive]
        rest = [record for record, alive in zip(records, living, strict=True) if alive]
        left = [
            record if stored == record.stored else replace(record, stored=stored)
            for record, stored in zip(rest, await look.stored(rest), strict=True)
        ]
        await self._delete(dead)
        changed = [after for before, after in zip(rest, left, strict=True) if after is not before]
        if changed:
            await self._store.put(changed)
        return left

    async def _delete(self, records: Sequence[Record]) -> None:
        if records:
            await self._store.delete([record.id for record in records])
            await self._shelf.remove([key for record in records for key in record.keys])

    async def _sweep(self) -> None:
        """Look at all that there is, after a crash."""
        keys: set[str] = set()
        dead = 0
        async for records in self._store.all():
            left = await self._bring_in_step(records)
            dead += len(records) - len(left)
            keys |= {key for record in left for key in record.keys}
        orphans = await self._shelf.sweep(keys)
        if dead or orphans:
            log.info("deleted %d results whose sources are gone, and %d files of no result", dead, orphans)
