"""Service of labels: names that users give to patients, studies, series and instances, to find them again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from neurdicom.archive.labels.store import LabelMark, LabelStore, names_in
from neurdicom.archive.lookup import get_entity, missing
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Entity
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.dicom.query.labels import LABELS, PROTECTED, check_label
from neurdicom.errors import Invalid, NotFound

#: Entities that are looked up at once.
_AT_ONCE: Final = 1000

#: Most labels of one entity.
MOST_LABELS: Final = 64


@dataclass(frozen=True, slots=True)
class LabelUse:
    """A label, and the number of entities of each level that have it."""

    label: str
    counts: dict[Level, int]


class LabelService:
    """Service that gives labels to entities, takes them away, and lists them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._store = LabelStore(catalog)

    async def give(self, level: Level, entity: str, label: str, *, user: str | None) -> None:
        """Give a label to an entity; nothing changes if it has that already.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its id.
        label : str
            The label.
        user : str or None
            Name of the user who gives it.

        Raises
        ------
        NotFound
            Nothing has this id.
        Ambiguous
            The UID names several entities.
        Invalid
            The text is no label, or the entity has as many as it may have.
        """
        key = (await get_entity(self._catalog, level, entity))["key"]
        check_label(label)
        known = names_in((await self._store.marks(level, [key])).get(key, ()))
        if label in known:
            return
        if len(known) >= MOST_LABELS:
            text = f"the {level} has {len(known)} labels, and can have {MOST_LABELS} at most; remove one first"
            raise Invalid(text, field="label")
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        mark = LabelMark(level, key, label, user, now)
        await self._store.put([mark])
        if not await self._catalog.keys(level, key):  # deleted meanwhile
            await self._store.delete([mark])
            raise missing(level, entity)

    async def take(self, level: Level, entity: str, label: str) -> None:
        """Take a label from an entity.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its id.
        label : str
            The label.

        Raises
        ------
        NotFound
            Nothing has this id, or it does not have the label.
        Ambiguous
            The UID names several entities.
        """
        key = (await get_entity(self._catalog, level, entity))["key"]
        marks = (await self._store.marks(level, [key])).get(key, ())
        if not await self._store.delete([mark for mark in marks if mark.label == label]):
            raise NotFound(f"the {level} does not have the label {label[:80]!r}")

    async def of(self, level: Level, entity: str) -> list[str]:
        """List the labels of an entity, sorted. Raises `NotFound` or `Ambiguous`."""
        key = (await get_entity(self._catalog, level, entity))["key"]
        return names_in((await self._store.marks(level, [key])).get(key, ()))

    async def page(self, *, limit: int, offset: int = 0, descending: bool = False) -> tuple[list[LabelUse], int]:
        """List a page of the labels in use, by name, with the number of entities that have each.

        Parameters
        ----------
        limit, offset : int
            Labels on the page and before it.
        descending : bool
            True to reverse the order.

        Returns
        -------
        uses : list of LabelUse
            The page.
        total : int
            Number of all.
        """
        names, total = await self._store.names(limit=limit, offset=offset, descending=descending)
        return [LabelUse(name, {level: await self._count(level, name) for level in Level}) for name in names], total

    async def _count(self, level: Level, label: str) -> int:
        return (await self._catalog.find(Query(level, (AnyOf(LABELS, (label,)),), limit=0))).total

    async def protected(self, studies: Sequence[Entity]) -> set[str]:
        """Select the studies that have the label `protected`, or whose patient has it.

        Parameters
        ----------
        studies : sequence of Entity
            Studies as the catalog returns them.

        Returns
        -------
        set of str
            Their keys.
        """
        marked = await self._store.marks(Level.STUDY, [study["key"] for study in studies], PROTECTED)
        patients = await self._store.marks(Level.PATIENT, _patients(studies), PROTECTED)
        return {study["key"] for study in studies if study["key"] in marked or study["patient"] in patients}

    async def protected_studies(self) -> list[str]:
        """List the keys of all studies that have the label `protected`, or whose patient has it."""
        labelled = (AnyOf(LABELS, (PROTECTED,)),)
        found = dict.fromkeys(await self._keys(Level.STUDY, labelled))
        patients = await self._keys(Level.PATIENT, labelled)
        for start in range(0, len(patients), _AT_ONCE):
            among = AnyOf(Level.PATIENT.value, tuple(patients[start : start + _AT_ONCE]))
            found |= dict.fromkeys(await self._keys(Level.STUDY, (among,)))
        return list(found)

    async def _keys(self, level: Level, conditions: tuple[AnyOf, ...]) -> list[str]:
        page = await self._catalog.find(Query(level, conditions, limit=None, counted=False))
        return [entity["key"] for entity in page.items]


def _patients(studies: Iterable[Entity]) -> list[str]:
    return list(dict.fromkeys(study["patient"] for study in studies))
