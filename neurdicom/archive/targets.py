"""Targets of DICOMweb, named by their place in the hierarchy: a study, a series of it, an instance of that."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from neurdicom.archive.lookup import series_of
from neurdicom.archive.search import SearchService
from neurdicom.catalog.base import Catalog, Entity, Location
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.errors import NotAvailable, NotFound

#: Most instances that are checked for pixels, from the middle of a series.
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Target:
    """Study, or a series or an instance in it, by UIDs; an empty UID above the target matches any."""

    study: str
    series: str | None = None
    instance: str | None = None

    @property
    def level(self) -> Level:
        """Level of the target."""
        return Level.INSTANCE if self.instance else Level.SERIES if self.series else Level.STUDY

    @property
    def entity(self) -> str:
        """Id of the target."""
        return self.instance or self.series or self.study

    def holds(self, study: str, series: str) -> bool:
        """Tell whether the target contains this series of this study."""
        return self.study in ("", study) and self.series in (None, "", series)

    def __str__(self) -> str:
        named = [("instance", self.instance), ("series", self.series), ("study", self.study)]
        return " of ".join(f"{level} {uid!r}" for level, uid in named if uid)

    @property
    def missing(self) -> NotFound:
        """Error that there is no such study, series or instance."""
        return NotFound(f"there is no {self}")


class TargetService:
    """Service that finds targets; an entity at another place in the hierarchy does not count."""

    def __init__(self, catalog: Catalog, search: SearchService) -> None:
        self._catalog = catalog
        self._search = search

    async def locate(self, target: Target) -> Location:
        """Find the file of an instance. Raises `NotFound`."""
        location = await self._catalog.locate(target.instance or "")
        if location is None or not target.holds(location.study, location.series):
            raise target.missing
        return location

    async def check(self, target: Target) -> None:
        """Check that a series or an instance lies where the target says. Raises `NotFound`."""
        if target.instance:
            await self.locate(target)
        elif target.series:
            await self._series(target)

    async def instances(self, target: Target) -> AsyncIterator[str]:
        """Yield the ids of a target's instances: series by number, in each the slices in order.

        One series is held at a time. Raises `NotFound`, before the first, if nothing is there.
        """
        if target.instance:
            await self.locate(target)
            yield target.instance
            return
        for series in await self._series(target):
            for instance in await self._slices(series):
                yield instance["id"]

    async def representative(self, target: Target) -> Location:
        """Choose an instance to represent a target: one with pixels, from the middle of its first series that has any.

        Raises
        ------
        NotFound
            Nothing is there.
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
                location = await self._catalog.locate(slices[place]["id"])
                if location is not None and location.layout.get("pixel_keyword") is not None:
                    return location
        raise NotAvailable(f"nothing in {target} has pixels")

    async def _series(self, target: Target) -> list[str]:
        if target.series:
            found = await self._catalog.get(Level.SERIES, target.series)
            if found is None or found["study"] != target.study:
                raise target.missing
            return [target.series]
        of_study = await series_of(self._catalog, Level.STUDY, target.study)
        if not of_study:
            raise target.missing
        return [series["id"] for series in of_study]

    async def _slices(self, series: str) -> list[Entity]:
        return (await self._search.children(Level.SERIES, series, Query(Level.INSTANCE, limit=None))).items
