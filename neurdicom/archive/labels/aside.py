"""Labels of deleted entities, which are set aside while these lie in the trash, and restored with them.

Before a deletion the labels of the instances and of all entities above them are noted at the place of the deletion.
Afterwards the labels of entities that are gone are deleted, and the notes of all others; recovery repeats this after a
crash.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from neurdicom.archive.labels.store import LabelMark, LabelStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import DocumentQuery
from neurdicom.catalog.records import Located
from neurdicom.dicom.query.attributes import Level

#: Kind of the documents: labels by place, level, entity and label.
KIND: Final = "label_aside"

#: Begin of the places of deletions for good.
_PURGE: Final = "purge/"

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class NotedLabel:
    """Note of a label at a place of the trash."""

    place: str
    mark: LabelMark

    @property
    def key(self) -> str:
        """Key of its document."""
        return f"{self.place}/{self.mark.key}"

    def to_document(self) -> dict[str, Any]:
        """Convert to a document of the catalog."""
        return {"place": self.place, "mark": self.mark.to_document()}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "NotedLabel":
        """Read the document that `to_document` wrote."""
        return cls(document["place"], LabelMark.from_document(document["mark"]))


class LabelsAside:
    """Store of the labels of deleted entities, by the place in the trash."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._documents = catalog.documents
        self._store = LabelStore(catalog)

    async def are_needed(self) -> bool:
        """Tell whether any entity has a label."""
        return await self._store.has_any()

    async def note(self, place: str, patient: str, located: Sequence[Located]) -> None:
        """Note all labels of instances and of the entities above them; may be repeated, after the deletion too.

        Parameters
        ----------
        place : str
            The place.
        patient : str
            Id of their patient.
        located : sequence of Located
            The instances that are deleted.
        """
        if not await self.are_needed():
            return
        keys: dict[Level, list[str]] = {
            Level.PATIENT: [patient],
            Level.STUDY: list(dict.fromkeys(one.location.study for one in located)),
            Level.SERIES: list(dict.fromkeys(one.location.series for one in located)),
            Level.INSTANCE: [one.location.instance for one in located],
        }
        for level, of in keys.items():
            if await self._store.has_any(level):
                # By the present key: an earlier one may name nothing once a part of the patient is gone.
                marks = await self._store.by_present_key(level, await self._store.marks(level, of))
                await self._put([NotedLabel(place, mark) for mark in marks])

    async def _put(self, notes: Sequence[NotedLabel]) -> None:
        for start in range(0, len(notes), _PAGE):
            part = notes[start : start + _PAGE]
            await self._documents.put(KIND, {note.key: note.to_document() for note in part})

    async def set_aside(self, place: str) -> None:
        """Delete the noted labels of entities that are gone, and the notes of all others; may be repeated."""
        async for notes in self._pages(place):
            present = await self._present(notes)
            await self._store.delete(note.mark for note in notes if present[note.mark] is None)
            there = [note.key for note in notes if present[note.mark] is not None]
            await self._documents.delete(KIND, *there)

    async def bring_back(self, place: str) -> None:
        """Add the noted labels to the entities that are there again; may be repeated."""
        async for notes in self._pages(place):
            present = await self._present(notes)
            marks = [replace(mark, entity=key) for mark, key in present.items() if key is not None]
            await self._store.put(marks)
            await self._documents.delete(KIND, *(note.key for note in notes))

    async def discard(self, place: str) -> None:
        """Delete the notes of a place; may be repeated."""
        async for notes in self._pages(place):
            await self._documents.delete(KIND, *(note.key for note in notes))

    async def recover(self) -> None:
        """Finish deletions for good that a crash interrupted, and delete names of labels that it left unused."""
        await self._store.forget_unused_names()
        query = DocumentQuery(after=_PURGE, limit=1, counted=False)
        while found := (await self._documents.query(KIND, query)).items:
            place = NotedLabel.from_document(found[0]).place
            if not place.startswith(_PURGE):
                return
            await self.set_aside(place)
            await self.discard(place)

    @staticmethod
    def new_purge() -> str:
        """Make the name of a place for the labels of a deletion for good, which `recover` finds."""
        return f"{_PURGE}{secrets.token_hex(16)}"

    async def _present(self, notes: Sequence[NotedLabel]) -> dict[LabelMark, str | None]:
        """Find the present keys of labelled entities; None for those that are gone."""
        present: dict[LabelMark, str | None] = {}
        for level in dict.fromkeys(note.mark.level for note in notes):
            marks = [note.mark for note in notes if note.mark.level is level]
            own = await self._store.present(level, {mark.entity for mark in marks})
            present |= {mark: own.get(mark.entity) for mark in marks}
        return present

    async def _pages(self, place: str) -> AsyncIterator[list[NotedLabel]]:
        query = DocumentQuery(after=f"{place}/", limit=_PAGE, counted=False)
        while found := (await self._documents.query(KIND, query)).items:
            notes = [NotedLabel.from_document(document) for document in found]
            own = [note for note in notes if note.place == place]
            if own:
                yield own
            if len(own) < len(notes):
                return
            query = replace(query, after=notes[-1].key)
