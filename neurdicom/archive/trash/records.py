"""Records of the trash, in the documents of the catalog."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from neurdicom.archive.trash.entry import OVER, TRANSITIONS, VERSION, TrashEntry, TrashState
from neurdicom.catalog.documents import DocumentPage, DocumentQuery, Documents, IndexedDocument
from neurdicom.catalog.records import Edit
from neurdicom.catalog.terms import TermCondition
from neurdicom.errors import Conflict, NotFound

KIND: Final = "trash"

_PAGE = 500


class TrashRecords:
    """Records of the entries, found by id, kind, entity, state and end."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def put(self, *entries: TrashEntry) -> None:
        """Write entries."""
        await self._documents.put(KIND, {entry.id: _indexed(entry) for entry in entries})

    async def get(self, id: str) -> TrashEntry:
        """Return an entry by id. Raises `NotFound`, also where only a backup keeps its files."""
        document = await self._documents.get(KIND, id)
        entry = TrashEntry.from_document(document) if document is not None else None
        if entry is None or entry.state in OVER:
            raise NotFound(f"there is no {id[:80]!r} in the trash")
        return entry

    async def advance(self, entry: TrashEntry, state: TrashState, **changes: Any) -> TrashEntry:
        """Change the state of an entry, and other members with it.

        Parameters
        ----------
        entry : TrashEntry
            The entry as it is now.
        state : TrashState
            Its next state.
        **changes
            New values of other members.

        Returns
        -------
        TrashEntry

        Raises
        ------
        Conflict
            It was changed meanwhile, or is in a state that this one does not follow.
        """
        if state not in TRANSITIONS[entry.state]:
            raise Conflict(f"the entry {entry.id} of the trash is {entry.state} just now; try again in a moment")
        after = replace(entry, state=state, **changes)
        before = await self._documents.get(KIND, entry.id)  # an earlier version may have written it in another form
        is_same = before is not None and TrashEntry.from_document(before) == entry
        if not is_same or not await self._documents.swap(KIND, entry.id, before, _indexed(after)):
            raise Conflict(f"the entry {entry.id} of the trash was changed meanwhile; look at it again")
        return after

    async def deleting(self) -> list[TrashEntry]:
        """List the entries of deletions that are under way."""
        return await self._meeting("state", TrashState.DELETING.value)

    async def add_edits(self, id: str, edits: Sequence[Edit]) -> TrashEntry | None:
        """Add edits to the entry of a deletion that is under way, unless it has them.

        Parameters
        ----------
        id : str
            Id of the entry.
        edits : sequence of Edit
            The edits, each entity's in their order.

        Returns
        -------
        TrashEntry or None
            The entry as it is now; None if the deletion is over.
        """
        while (document := await self._documents.get(KIND, id)) is not None:
            entry = TrashEntry.from_document(document)
            if entry.state is not TrashState.DELETING:
                return None
            known = {edit.id for edit in entry.edits}
            after = replace(entry, edits=(*entry.edits, *(edit for edit in edits if edit.id not in known)))
            if after.edits == entry.edits or await self._documents.swap(KIND, id, document, _indexed(after)):
                return after
        return None

    async def remove(self, entry: TrashEntry) -> None:
        """Delete an entry, unless it is in another state now: the same version may lie in the trash again."""
        document = await self._documents.get(KIND, entry.id)
        if document is not None and document["state"] == entry.state:
            await self._documents.delete(KIND, entry.id)

    async def page(
        self, *, limit: int | None, offset: int = 0, kind: str | None = None
    ) -> tuple[list[TrashEntry], int]:
        """List a page of what lies in the trash, the latest first.

        Parameters
        ----------
        limit : int or None
            Most entries; None for all.
        offset : int
            Entries to skip.
        kind : str, optional
            Kind of the entries.

        Returns
        -------
        entries : list of TrashEntry
            The page.
        total : int
            Number of all.
        """
        conditions = [TermCondition("kind", "=", (kind,))] if kind else [TermCondition("kept", "=", ("yes",))]
        query = DocumentQuery(conditions=conditions, order="creation", limit=limit, offset=offset, descending=True)
        page = await self._documents.query(KIND, query)
        return _entries(page), page.total

    async def versions(self, instance: Sequence[str]) -> list[TrashEntry]:
        """List the earlier versions of an instance, by all its keys, the latest first."""
        entries = await self._meeting("entity", *instance)
        return [each for each in entries if each.kind == VERSION and each.state not in OVER]

    async def unfinished(self) -> list[TrashEntry]:
        """List the entries that something was under way with when a server ended."""
        states = [state.value for state in TrashState if state is not TrashState.KEPT]
        return await self._meeting("state", *states)

    async def due(self, now: float, *, limit: int) -> list[TrashEntry]:
        """List entries whose time is over.

        Parameters
        ----------
        now : float
            Seconds since the epoch.
        limit : int
            Most entries.
        """
        query = DocumentQuery(
            conditions=[TermCondition("until", "<=", (now,))], order="creation", limit=limit, counted=False
        )
        return [each for each in _entries(await self._documents.query(KIND, query)) if each.state is TrashState.KEPT]

    async def oldest(self, *, limit: int) -> list[TrashEntry]:
        """List the entries that lie there longest."""
        query = DocumentQuery(
            conditions=[TermCondition("kept", "=", ("yes",))], order="creation", limit=limit, counted=False
        )
        return _entries(await self._documents.query(KIND, query))

    async def usage(self) -> tuple[int, int]:
        """Count the entries that are listed, and the bytes of their files as `size` does."""
        _, count = await self.page(limit=0)
        return count, await self.size()

    async def size(self) -> int:
        """Add up the bytes of the files of the entries that are listed."""
        over = await self._over()
        size = await self._documents.sum(KIND, "bytes")
        over |= await self._over()  # one that is deleted at this moment is rather left out than counted
        return max(size - sum(over.values()), 0)

    async def _over(self) -> dict[str, int]:
        return {entry.id: entry.bytes for entry in await self.unfinished() if entry.state in OVER}

    async def ids(self) -> set[str]:
        """List the ids of all entries."""
        return {document["id"] for document in (await self._documents.query(KIND)).items}

    async def places(self) -> set[str]:
        """List the places of all entries in the blob store."""
        return {entry.place for entry in _entries(await self._documents.query(KIND))}

    async def _meeting(self, name: str, *values: str) -> list[TrashEntry]:
        query = DocumentQuery(conditions=[TermCondition(name, "=", values)], order="creation", descending=True)
        return _entries(await self._documents.query(KIND, query))


def _entries(page: DocumentPage) -> list[TrashEntry]:
    return [TrashEntry.from_document(document) for document in page.items]


def _indexed(entry: TrashEntry) -> IndexedDocument:
    terms: list[tuple[str, str | float]] = [("entity", entry.entity), ("state", entry.state.value)]
    if entry.state is not TrashState.DELETING and entry.state not in OVER:  # the catalog may still have it, or again
        terms += [("kind", entry.kind), ("kept", "yes")]
        terms += [("until", entry.until)] if entry.until is not None else []
    return IndexedDocument(entry.to_document(), terms)
