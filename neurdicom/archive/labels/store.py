"""Documents of labels: one for each label of an entity, by the entity's key.

An entity has the labels of all its present and earlier keys; new ones are written by its present key.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import DocumentQuery, IndexedDocument
from neurdicom.catalog.labels import KIND, document_key, label_value, of_value, terms_of
from neurdicom.catalog.terms import TermCondition
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Ambiguous

#: Kind of the documents of the labels that are in use.
NAME_KIND: Final = "label_name"

#: Most values of a condition.
_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class LabelMark:
    """A label of an entity.

    Attributes
    ----------
    level : Level
        Level of the entity.
    entity : str
        One of its keys.
    label : str
        The label.
    user : str or None
        Name of the user who gave it.
    time : str
        When, ISO 8601 in UTC.
    """

    level: Level
    entity: str
    label: str
    user: str | None
    time: str

    @property
    def key(self) -> str:
        """Key of its document."""
        return document_key(self.level, self.entity, self.label)

    def to_document(self) -> dict[str, Any]:
        """Convert to a document of the catalog."""
        return {name: getattr(self, name) for name in self.__slots__} | {"level": self.level.value}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the document that `to_document` wrote."""
        return cls(**{**document, "level": Level(document["level"])})


#: The marks of entities by their present keys.
Marks = dict[str, list[LabelMark]]


class LabelStore:
    """Store of the labels of entities."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._documents = catalog.documents

    async def put(self, marks: Sequence[LabelMark]) -> None:
        """Store labels; may be repeated."""
        if not marks:
            return
        names = dict.fromkeys(mark.label for mark in marks)
        await self._put_names(names)  # first: a crash leaves an unused name, which the next start deletes
        await self._documents.put(KIND, {mark.key: _indexed(mark) for mark in marks})
        # And after the marks, since a concurrent `_forget_name` may have deleted a name before it could find these.
        await self._put_names(names)

    async def _put_names(self, names: Iterable[str]) -> None:
        await self._documents.put(
            NAME_KIND, {name: IndexedDocument({"label": name}, [("label", name)]) for name in names}
        )

    async def delete(self, marks: Iterable[LabelMark]) -> int:
        """Delete labels, and the names that are unused from then on; return the number of the deleted labels."""
        marks = list(marks)
        if not marks:
            return 0
        count = await self._documents.delete(KIND, *(mark.key for mark in marks))
        for name in dict.fromkeys(mark.label for mark in marks):
            await self._forget_name(name)
        return count

    async def _forget_name(self, name: str) -> None:
        if await self._is_used(name):
            return
        await self._documents.delete(NAME_KIND, name)
        if await self._is_used(name):  # given again meanwhile
            await self._put_names([name])

    async def forget_unused_names(self) -> None:
        """Delete unused names, which a crash may have left."""
        names, _ = await self.names(limit=None)
        for name in names:
            await self._forget_name(name)

    async def _is_used(self, name: str) -> bool:
        for level in Level:
            wanted = [TermCondition("label", "=", (label_value(level, name),))]
            one = DocumentQuery(conditions=wanted, order="creation", limit=1, counted=False)
            if (await self._documents.query(KIND, one)).items:
                return True
        return False

    async def names(self, *, limit: int | None, offset: int = 0, descending: bool = False) -> tuple[list[str], int]:
        """List a page of the labels that are in use, by code points.

        Parameters
        ----------
        limit, offset : int
            Labels on the page, all by None, and before it.
        descending : bool
            True to reverse the order.

        Returns
        -------
        names : list of str
            The page.
        total : int
            Number of all.
        """
        page = await self._documents.query(
            NAME_KIND,
            DocumentQuery(
                conditions=[TermCondition("label", ">=", ("",))], limit=limit, offset=offset, descending=descending
            ),
        )
        return [document["label"] for document in page.items], page.total

    async def has_any(self, level: Level | None = None) -> bool:
        """Tell whether any entity of a level, or by default of any level, has a label."""
        first = DocumentQuery(after=f"{level}/" if level else "", limit=1, counted=False)
        found = (await self._documents.query(KIND, first)).items
        return bool(found) and level in (None, LabelMark.from_document(found[0]).level)

    async def marks(self, level: Level, keys: Collection[str], *labels: str) -> Marks:
        """Look up the labels of entities.

        Parameters
        ----------
        level : Level
            Level of the entities.
        keys : collection of str
            Their present keys.
        *labels : str
            Only these labels; all by default.

        Returns
        -------
        dict
            Marks by the present key of their entity, under whichever key they are stored; entities without any are
            left out.
        """
        if level is Level.PATIENT:
            return await self._patients_marks(keys, labels)
        wanted, found, others = set(keys), Marks(), []
        async for mark in self._of(level, dict.fromkeys(map(uid_of, keys)), labels):
            if mark.entity in wanted:
                found.setdefault(mark.entity, []).append(mark)
            else:  # of another entity of the UID, or stored under an earlier key
                others.append(mark)
        present = await self.present(level, {mark.entity for mark in others})
        for mark in others:
            if (own := present.get(mark.entity)) in wanted:
                found.setdefault(str(own), []).append(mark)
        return found

    async def present(self, level: Level, keys: Collection[str]) -> dict[str, str]:
        """Map present and earlier keys to the present ones; those of entities that are gone are left out.

        An earlier id of several patients is mapped to itself: its labels are those of all of them.
        """
        try:
            known = await self._catalog.all_keys(level, keys)
        except Ambiguous:
            if len(keys) == 1:
                return {key: key for key in keys}
            return {key: own for each in keys for key, own in (await self.present(level, [each])).items()}
        return {key: all_of_it[0] for key, all_of_it in known.items() if all_of_it}

    async def by_present_key(self, level: Level, found: Marks) -> list[LabelMark]:
        """Store labels under the present keys of their entities, and list them.

        Parameters
        ----------
        level : Level
            Level of the entities.
        found : dict
            What `marks` found.
        """
        made = [(own, mark) for own, marks in found.items() for mark in marks if mark.entity != own]
        if made:
            present = await self.present(level, {mark.entity for _, mark in made})
            await self.put([replace(mark, entity=own) for own, mark in made])
            # Marks of an earlier id of several patients stay, as they are those of all of them.
            await self.delete(mark for own, mark in made if present.get(mark.entity) == own)
        return [*{replace(mark, entity=own): None for own, marks in found.items() for mark in marks}]

    async def _patients_marks(self, keys: Collection[str], labels: Sequence[str]) -> Marks:
        if not await self.has_any(Level.PATIENT):
            return {}
        owners: dict[str, list[str]] = {}
        for own, all_of_it in (await self._catalog.all_keys(Level.PATIENT, keys)).items():
            for key in all_of_it or (own,):  # it may be gone
                owners.setdefault(key, []).append(own)
        found = Marks()
        async for mark in self._of(Level.PATIENT, owners, labels):
            for own in owners[mark.entity]:
                found.setdefault(own, []).append(mark)
        return found

    async def _of(self, level: Level, names: Iterable[str], labels: Sequence[str]) -> AsyncIterator[LabelMark]:
        """Yield the marks of entities with some UIDs, or of patients with some ids."""
        wanted = [of_value(level, name) for name in names]
        for start in range(0, len(wanted), _AT_ONCE):
            conditions = [TermCondition("of", "=", tuple(wanted[start : start + _AT_ONCE]))]
            if labels:
                conditions.append(TermCondition("label", "=", tuple(label_value(level, label) for label in labels)))
            query = DocumentQuery(conditions=conditions, order="creation", counted=False)
            for document in (await self._documents.query(KIND, query)).items:
                yield LabelMark.from_document(document)


def names_in(marks: Iterable[LabelMark]) -> list[str]:
    """List the labels of marks, sorted, each once."""
    return sorted({mark.label for mark in marks})


def _indexed(mark: LabelMark) -> IndexedDocument:
    return IndexedDocument(mark.to_document(), terms_of(mark.level, mark.entity, mark.label))
