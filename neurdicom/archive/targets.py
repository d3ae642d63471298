"""Targets of DICOMweb, named by their place in the hierarchy: a study, a series of it, an instance of that.

All parts of a path together name the target: a UID that names several entities is enough where the other parts decide.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from neurdicom.archive.lookup import series_of
from neurdicom.archive.search import SearchService
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import ambiguous
from neurdicom.catalog.records import Entity, Location
from neurdicom.dicom.identity import is_key, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Ambiguous, NotAvailable, NotFound

#: Most instances that are checked for pixels, from the middle of a series.
_TRIES = 20


class Placed(Protocol):
    """An instance with the keys of it and of the entities above, which it is named by in documents."""

    @property
    def study(self) -> str:
        """Key of its study."""

    @property
    def series(self) -> str:
        """Key of its series."""

    @property
    def instance(self) -> str:
        """Its key."""


@dataclass(frozen=True, slots=True)
class Target:
    """Study, or a series or an instance in it, each by its UID or key; an empty one above the target matches any."""

    study: str
    series: str | None = None
    instance: str | None = None

    @property
    def level(self) -> Level:
        """Level of the target."""
        return Level.INSTANCE if self.instance else Level.SERIES if self.series else Level.STUDY

    @property
    def entity(self) -> str:
        """UID or key of the target."""
        return self.instance or self.series or self.study

    @property
    def conditions(self) -> tuple[AnyOf, ...]:
        """Conditions that all parts of the path make."""
        parts = ((Level.STUDY, self.study), (Level.SERIES, self.series), (Level.INSTANCE, self.instance))
        return tuple(AnyOf(level.value, (reference,)) for level, reference in parts if reference)

    def holds(self, study: str, series: str) -> bool:
        """Tell whether the target contains the series of this key in the study of this key."""
        return _is_of(self.study, study) and _is_of(self.series, series)

    @property
    def path(self) -> str:
        """Path of the target below the DICOMweb base."""
        named = [("studies", self.study), ("series", self.series), ("instances", self.instance)]
        return "".join(f"/{name}/{quote(reference)}" for name, reference in named if reference)

    def __str__(self) -> str:
        named = [("instance", self.instance), ("series", self.series), ("study", self.study)]
        return " of ".join(f"{level} {uid!r}" for level, uid in named if uid)

    @property
    def missing(self) -> NotFound:
        """Error that there is no such study, series or instance."""
        return NotFound(f"there is no {self}")


def _is_of(reference: str | None, key: str) -> bool:
    """Tell whether a part of a path, where it is given, is the UID or the key of an entity."""
    return not reference or reference == (key if is_key(reference) else uid_of(key))


class TargetService:
    """Service that finds targets; an entity at another place in the hierarchy does not count."""

    def __init__(self, catalog: Catalog, search: SearchService) -> None:
        self._catalog = catalog
        self._search = search

    async def locate(self, target: Target) -> Location:
        """Find the file of an instance. Raises `NotFound` or `Ambiguous`."""
        is_decided = not any(is_key(part or "") for part in (target.study, target.series))
        try:
            location = await self._catalog.locate(target.instance or "")
        except Ambiguous:
            location, is_decided = None, False
        if location is not None and target.holds(location.study, location.series):
            return location
        # The other parts of the path may decide, or be keys that an entity had before.
        location = None if is_decided else await self._catalog.locate((await self._entity(target))["key"])
        if location is None:
            raise target.missing
        return location

    async def key(self, target: Target) -> str:
        """Find the key of a study, a series or an instance. Raises `NotFound` or `Ambiguous`."""
        return (await self.locate(target)).instance if target.instance else str((await self._entity(target))["key"])

    async def instances(self, target: Target) -> AsyncIterator[str]:
        """Yield the keys of a target's instances: series by number, in each the slices in order.

        One series is held at a time. Raises, before the first, `NotFound` if nothing is there, or `Ambiguous`.
        """
        if target.instance:
            yield (await self.locate(target)).instance
            return
        for series in await self._series(target):
            for instance in await self._slices(series):
                yield instance["key"]

    async def paths(self, instances: Sequence[Placed]) -> list[Target]:
        """Make the path of each instance as users see it: with the key of an entity only where its UID names several.

        Parameters
        ----------
        instances : sequence of Placed
            The instances.
        """
        studies = await self._catalog.ids(Level.STUDY, {each.study for each in instances})
        series = await self._catalog.ids(Level.SERIES, {each.series for each in instances})
        objects = await self._catalog.ids(Level.INSTANCE, {each.instance for each in instances})
        return [Target(studies[each.study], series[each.series], objects[each.instance]) for each in instances]

    async def representative(self, target: Target) -> Location:
        """Choose an instance to represent a target: one with pixels, from the middle of its first series that has any.

        Raises
        ------
        NotFound
            Nothing is there.
        Ambiguous
            The path names several entities.
        NotAvailable
            Nothing there has pixels.
        """
        if target.instance:
            return await self.locate(target)
        for series in await self._series(target):
            slices = await self._slices(series)
            middle = len(slices) // 2
            nearest = sorted(range(len(slices)), key=lambda place: abs(place - middle))[:_TRIES]
            for place in nearest:
                location = await self._catalog.locate(slices[place]["key"])
                if location is not None and location.layout.get("pixel_keyword") is not None:
                    return location
        raise NotAvailable(f"nothing in {target} has pixels")

    async def _entity(self, target: Target) -> Entity:
        """Find the one entity that a path names."""
        found = (await self._catalog.find(Query(target.level, target.conditions, limit=None, counted=False))).items
        if not found:
            raise target.missing
        if len(found) > 1:
            raise ambiguous(target.level, target.entity, [each["id"] for each in found])
        return found[0]

    async def _series(self, target: Target) -> list[str]:
        """List the keys of a target's series, by Series Number."""
        key = await self.key(target)
        if target.series:
            return [key]
        of_study = await series_of(self._catalog, Level.STUDY, key)
        if not of_study:  # deleted meanwhile
            raise target.missing
        return [series["key"] for series in of_study]

    async def _slices(self, series: str) -> list[Entity]:
        return (await self._search.below(Level.SERIES, series, Query(Level.INSTANCE, limit=None))).items
