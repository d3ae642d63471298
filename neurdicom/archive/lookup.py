"""Lookups in the catalog that raise `NotFound`, the series of an entity in their order, and checks of frames."""

from collections.abc import Iterable

from neurdicom.catalog.base import Catalog, Entity, Location
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import NotFound

#: Most characters of an id that an error shows, since ids come from clients.
_LONGEST = 80


def missing(level: Level, entity: str, *, field: str | None = None) -> NotFound:
    """Make the error that nothing has an id.

    Parameters
    ----------
    level : Level
        Level of the entity.
    entity : str
        The id.
    field : str, optional
        Field of the request that named it.
    """
    return NotFound(f"there is no {level} {entity[:_LONGEST]!r}", field=field)


async def get_entity(catalog: Catalog, level: Level, entity: str, *, field: str | None = None) -> Entity:
    """Return an entity by id.

    Parameters
    ----------
    catalog : Catalog
        Has the entity.
    level : Level
        Its level.
    entity : str
        Id of the entity.
    field : str, optional
        Field of the request that named it, for the error.

    Raises
    ------
    NotFound
        Nothing has this id.
    """
    found = await catalog.get(level, entity)
    if found is None:
        raise missing(level, entity, field=field)
    return found


async def locate_instance(catalog: Catalog, instance: str) -> Location:
    """Find the file of an instance. Raises `NotFound`."""
    location = await catalog.locate(instance)
    if location is None:
        raise missing(Level.INSTANCE, instance)
    return location


def frame_count(location: Location) -> int:
    """Count the frames of an instance; there is one where Number of Frames (0028,0008) is absent."""
    return max(location.layout.get("number_of_frames") or 1, 1)


def check_frames(location: Location, frames: Iterable[int]) -> None:
    """Check that an instance has frames of these numbers, from 1. Raises `NotFound`."""
    count = frame_count(location)
    for frame in frames:
        if not 1 <= frame <= count:
            raise NotFound(f"there is no frame {frame}; the instance {location.instance!r} has 1 to {count}")


async def series_of(catalog: Catalog, level: Level, entity: str) -> list[Entity]:
    """List the series of a patient or a study.

    Parameters
    ----------
    catalog : Catalog
        Has the entities.
    level : Level
        Level of the entity; for a series it is the series itself.
    entity : str
        Id of the entity.

    Returns
    -------
    list of Entity
        By Series Number; empty where nothing has this id.
    """
    if level is Level.SERIES:
        found = await catalog.get(level, entity)
        return [] if found is None else [found]
    of_it = Query(Level.SERIES, (AnyOf(level.value, (entity,)),), (("series_number", False),), limit=None)
    return (await catalog.find(of_it)).items
