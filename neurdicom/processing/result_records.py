"""Records of results in the catalog, and the check that their sources and tools still exist."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import DocumentQuery, Documents, IndexedDocument
from neurdicom.catalog.terms import TermCondition
from neurdicom.dicom.query.attributes import Level
from neurdicom.processing.result import KeptResult

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
        present = await self._digests({uid for result in results for uid in (*_stored(result), *result.made)})
        found = []
        for result in results:
            unnoted = [uid for uid in result.made if uid in present and uid not in _stored(result)]
            known = [one for one in result.stored if one["instance"] in present]
            found.append(known + await located(self._catalog, unnoted))
        return found

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
        wanted, found = sorted(instances), dict[str, str]()
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
    """Locate instances as `KeptResult.stored` has them; those that do not exist are left out."""
    locations = [await catalog.locate(instance) for instance in instances]
    return [
        {"instance": location.instance, "series": location.series, "study": location.study}
        for location in locations
        if location is not None
    ]
