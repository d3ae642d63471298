"""Records of results in the catalog, the check of their sources and tools, and the queue that writes them behind."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import DocumentQuery, Documents, IndexedDocument
from neurdicom.catalog.terms import TermCondition
from neurdicom.dicom.identity import is_key, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import NeurdicomError, Unavailable, disk_failure
from neurdicom.processing.result import KeptResult

log = logging.getLogger(__name__)

#: Kind of the catalog's documents.
DOCUMENTS = "result"

#: Most bytes, roughly, of records that are held in memory.
_HELD = 16 * 1024 * 1024
_PAGE = 500

#: Instances that are looked up at a time.
_AT_ONCE = 1000


class ResultRecords:
    """Records of all results.

    Records that were read are kept in an LRU cache, where no other server changes them. A record is never changed: a
    new one replaces it.

    Parameters
    ----------
    documents : Documents
        The catalog's document port.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._held: OrderedDict[str, tuple[KeptResult, int]] = OrderedDict()
        self._held_bytes = 0
        self._writes = 0

    async def find(self, result: str) -> KeptResult | None:
        """Return a record by id, or None."""
        held = self._held.get(result)
        if held is not None:
            self._held.move_to_end(result)
            return held[0]
        writes = self._writes
        document = await self._documents.get(DOCUMENTS, result)
        if document is None:
            return None
        record = KeptResult.from_document(document)
        if writes == self._writes:
            self._hold(record)
        return record

    async def put(self, records: Sequence[KeptResult], *, renewed: Sequence[str] = ()) -> None:
        """Store records durably, in place of earlier ones; those in `renewed` count as the latest."""
        self._writes += 1
        try:
            if renewed:
                await self._documents.delete(DOCUMENTS, *renewed)
            documents = {record.id: IndexedDocument(record.to_document(), record.terms()) for record in records}
            await self._documents.put(DOCUMENTS, documents)
        except BaseException:
            for record in records:
                self._let_go(record.id)
            raise
        self._writes += 1
        for record in records:
            self._hold(record)

    async def delete(self, results: Sequence[str]) -> None:
        """Delete records, without their files."""
        self._writes += 1
        for result in results:
            self._let_go(result)
        await self._documents.delete(DOCUMENTS, *results)
        self._writes += 1

    async def search(
        self, conditions: Sequence[TermCondition], *, limit: int, offset: int = 0, descending: bool = False
    ) -> tuple[list[KeptResult], int]:
        """Find a page of the records that meet all conditions.

        Parameters
        ----------
        conditions : sequence of TermCondition
            All must hold.
        limit, offset : int
            Size and start of the page.
        descending : bool
            The latest first.

        Returns
        -------
        records : list of KeptResult
            In the order of their creation.
        total : int
            Number of all that meet the conditions.
        """
        query = DocumentQuery({}, conditions, "creation", limit=limit, offset=offset, descending=descending)
        page = await self._documents.query(DOCUMENTS, query)
        return [KeptResult.from_document(document) for document in page.items], page.total

    async def all(self) -> AsyncIterator[list[KeptResult]]:
        """Yield all records, page by page; records may be changed between two pages."""
        pages = DocumentQuery(after="", limit=_PAGE, counted=False)
        while found := (await self._documents.query(DOCUMENTS, pages)).items:
            pages = replace(pages, after=found[-1]["id"])
            yield [KeptResult.from_document(document) for document in found]

    def _hold(self, record: KeptResult) -> None:
        if not self._documents.is_exclusive:
            return
        self._let_go(record.id)
        size = 2000 + 150 * len(record.sources) + 2 * record.value_size + 100 * len(record.values)
        self._held[record.id] = record, size
        self._held_bytes += size
        while self._held_bytes > _HELD:
            _, (_, gone) = self._held.popitem(last=False)
            self._held_bytes -= gone

    def _let_go(self, result: str) -> None:
        held = self._held.pop(result, None)
        if held is not None:
            self._held_bytes -= held[1]


class Provenance:
    """State of the sources and tools of results; lookups in the catalog are remembered, so make a new one for each use.

    Parameters
    ----------
    catalog : Catalog
        Looked up.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tools: dict[tuple[str, str], bool] = {}
        self._patients: dict[str, str | None] = {}

    async def still_valid(self, results: Sequence[KeptResult]) -> list[bool]:
        """Tell for each result whether all its sources exist with the same bytes, and its tool, in whatever version."""
        digests = await self._digests({instance for result in results for instance in result.instances})
        return [
            all(digests.get(instance) == sha256 for instance, sha256 in result.sources) and await self._has_tool(result)
            for result in results
        ]

    async def stored(self, results: Sequence[KeptResult]) -> list[list[dict[str, str]]]:
        """Find for each result the DICOM instances made of it that exist, as `KeptResult.stored` has them."""
        present = await self._digests({key for result in results for key in (*_stored(result), *result.made)})
        found = []
        for result in results:
            unnoted = [key for key in result.made if key in present and key not in _stored(result)]
            known = [one for one in result.stored if one["instance"] in present]
            found.append(known + await located(self._catalog, unnoted))
        return found

    async def is_displaced(self, result: KeptResult) -> bool:
        """Tell whether the file of a source is displaced."""
        for instance, sha256 in result.sources:
            if is_key(instance) and any(file.blob.sha256 == sha256 for file in await self._catalog.displaced(instance)):
                return True
        return False

    async def moved(self, results: Sequence[KeptResult]) -> list[KeptResult]:
        """Select the results whose series have moved, with the present place."""
        names = tuple({result.series for result in results if result.series})
        series = await self._catalog.find(Query(Level.SERIES, (AnyOf("series", names),), limit=None, counted=False))
        there = {(one["patient"], uid_of(one["study"]), one["key"]) for one in series.items}
        elsewhere = [one for one in results if (one.patient, uid_of(one.study or ""), one.series) not in there]
        placed = [await self.placed(result) for result in elsewhere]
        return [after for before, after in zip(elsewhere, placed, strict=True) if after is not None and after != before]

    async def placed(self, result: KeptResult) -> KeptResult | None:
        """Set the patient, study and series of a result's first source; None if that is gone."""
        location = await self._catalog.locate(result.sources[0][0])
        if location is None:
            return None
        if location.study not in self._patients:
            study = await self._catalog.get(Level.STUDY, location.study)
            self._patients[location.study] = study["patient"] if study else None
        patient = self._patients[location.study]
        if patient is None:
            return None
        return replace(result, patient=patient, study=location.study, series=location.series)

    async def _digests(self, instances: set[str]) -> dict[str, str]:
        # What a migration left as a UID was gone then; who has it now is another.
        wanted, found = sorted(filter(is_key, instances)), dict[str, str]()
        for start in range(0, len(wanted), _AT_ONCE):
            found |= await self._catalog.digests(wanted[start : start + _AT_ONCE])
        return found

    async def _has_tool(self, result: KeptResult) -> bool:
        tools = [(result.tool_type, result.tool), *(("model", model) for model in result.uses)]
        for kind, tool in tools:
            if (kind, tool) not in self._tools:
                self._tools[kind, tool] = await self._catalog.documents.get(kind, tool) is not None
        return all(self._tools[each] for each in tools)


def _stored(result: KeptResult) -> set[str]:
    return {one["instance"] for one in result.stored}


async def located(catalog: Catalog, instances: Sequence[str]) -> list[dict[str, str]]:
    """Locate instances by their keys as `KeptResult.stored` has them; those that do not exist are left out."""
    locations = [await catalog.locate(instance) for instance in instances]
    return [
        {"instance": location.instance, "series": location.series, "study": location.study}
        for location in locations
        if location is not None
    ]


#: Most results in one group, which is one transaction of the catalog.
GROUP = 64

#: Most bytes and results that may wait; beyond either, a result that need not be durable is dropped.
MOST_BYTES = 64 * 1024 * 1024
MOST_WAITING = 1000


@dataclass(slots=True, kw_only=True, eq=False)
class PendingResult:
    """Result that waits to be stored.

    Attributes
    ----------
    result : KeptResult
        Its representations have their bytes with them.
    epoch : int
        Epoch of the tool when the computation began; see `ResultStore.epoch`.
    replaces : bool
        Whether it takes the place of earlier representations, which are deleted.
    adds : bool
        Whether it is a further representation of a kept result; it is dropped if that is gone, or was computed anew.
    always : bool
        Whether it must not be dropped, since a caller needs it to be durable.
    is_begun : bool
        Whether it is being written.
    done : Future of bool
        Whether it is kept; not, if a source or the tool was deleted meanwhile.
    """

    result: KeptResult
    epoch: int
    replaces: bool = False
    adds: bool = False
    always: bool = False
    is_begun: bool = False
    done: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def size(self) -> int:
        """Bytes that the result holds in memory."""
        return sum(len(one.data) for one in self.result.representations.values() if one.data is not None)


class WriteBehindQueue:
    """Queue of results to be written, in order of arrival.

    Parameters
    ----------
    write : callable
        Writes a group; returns for each result whether it is kept.
    """

    def __init__(self, write: Callable[[Sequence[PendingResult]], Awaitable[list[bool]]]) -> None:
        self._write = write
        self._waiting: list[PendingResult] = []
        self._by_id: dict[str, list[PendingResult]] = {}
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    def offer(self, pending: PendingResult) -> bool:
        """Queue a result without waiting, if there is room or it must not be dropped; return whether it is queued."""
        size = pending.size
        full = len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES
        if self._closed or (full and self._waiting and not pending.always):
            return False
        if pending.replaces:
            self._drop_earlier(pending.result.id)
        self._waiting.append(pending)
        self._by_id.setdefault(pending.result.id, []).append(pending)
        self._bytes += size
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return True

    def _drop_earlier(self, result: str) -> None:
        """Drop pending results of an id that are replaced and need not be durable."""
        for pending in [each for each in self.of(result) if not (each.always or each.is_begun)]:
            self._waiting.remove(pending)
            self._forget(pending)
            pending.done.set_result(False)

    def _forget(self, pending: PendingResult) -> None:
        self._bytes -= pending.size
        same = self._by_id[pending.result.id]
        same.remove(pending)
        if not same:
            del self._by_id[pending.result.id]

    def of(self, result: str) -> list[PendingResult]:
        """List the pending results of an id, the latest first."""
        return self._by_id.get(result, [])[::-1]

    async def flush(self) -> None:
        """Wait until all results queued now are stored or dropped."""
        if self._waiting:
            await asyncio.wait([pending.done for pending in self._waiting])

    async def close(self) -> None:
        """Write the queued results, and accept no more. Idempotent."""
        self._closed = True
        await self.flush()

    async def _run(self) -> None:
        try:
            while self._waiting:
                group = self._waiting[:GROUP]
                for pending in group:
                    pending.is_begun = True
                await self._keep(group)
                del self._waiting[: len(group)]
                for pending in group:
                    self._forget(pending)
        finally:
            self._runner = None

    async def _keep(self, group: Sequence[PendingResult]) -> None:
        try:
            outcomes = await self._write(group)
        except (NeurdicomError, OSError) as error:
            log.warning("%d results could not be stored, and are dropped: %s", len(group), error)
            failure = _failure(error)
            for pending in group:
                _fail(pending, failure)
            return
        except BaseException as error:  # whatever it is, the waiting callers must get an error
            log.exception("%d results could not be stored, and are dropped: internal error", len(group))
            for pending in group:
                _fail(pending, Unavailable("the server can't store the result; its log says why"))
            if not isinstance(error, Exception):
                raise
            return
        for pending, outcome in zip(group, outcomes, strict=True):
            if not pending.done.done():
                pending.done.set_result(outcome)


def _failure(error: NeurdicomError | OSError) -> Unavailable:
    """Make the error for callers whose results could not be stored."""
    what = "the server can't store the result"
    if isinstance(error, OSError):
        return disk_failure(error, what)
    return Unavailable(f"{what}: {error}")


def _fail(pending: PendingResult, error: Unavailable) -> None:
    if not pending.done.done():
        pending.done.set_exception(error)
        pending.done.exception()  # retrieved, since nobody may be waiting
