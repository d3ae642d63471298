"""Lookups in the catalog that raise `NotFound`, what lies below one entity, and checks of frames."""

from collections.abc import Iterable
from dataclasses import replace

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Entity, Location, Page
from neurdicom.dicom.identity import Place, is_key, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Ambiguous, NotFound

#: Most characters of an id that an error shows, since ids come from clients.
LONGEST_ID = 80


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
    return NotFound(f"there is no {level} {entity[:LONGEST_ID]!r}", field=field)


async def get_entity(catalog: Catalog, level: Level, entity: str, *, field: str | None = None) -> Entity:
    """Return an entity by a key or a UID.

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
    Ambiguous
        The UID names several entities.
    """
    try:
        found = await catalog.get(level, entity)
    except Ambiguous as error:
        error.field = field
        raise
    if found is None:
        raise missing(level, entity, field=field)
    return found


async def names_of(catalog: Catalog, level: Level, entity: str) -> list[tuple[Level, str]]:
    """List the names by which documents may know an entity, so that they are found when it is deleted.

    These are its keys, those of before included; for a patient those of its studies, too, which may have been another
    patient's when a document was written.

    Parameters
    ----------
    catalog : Catalog
        Has the entity.
    level : Level
        Its level.
    entity : str
        A key or a UID.

    Returns
    -------
    list of (Level, str)
        Its own key first; empty where nothing has it.
    """
    keys = await catalog.keys(level, entity)
    names = [(level, key) for key in keys]
    if level is Level.PATIENT and keys:
        studies = Query(Level.STUDY, (AnyOf(level.value, keys[:1]),), limit=None, counted=False)
        for study in (await catalog.find(studies)).items:
            names += [(Level.STUDY, key) for key in await catalog.keys(Level.STUDY, study["key"])]
    return names


def place_of(level: Level, entity: Entity) -> Place:
    """Compute the place of an entity from the ids that it shows; the keys of levels below it name nothing.

    Parameters
    ----------
    level : Level
        Its level.
    entity : Entity
        The entity, as the catalog returns it.
    """
    ids = {each: str(entity.get(each.value, "")) for each in Level} | {level: str(entity["id"])}
    study, series, instance = (uid_of(ids[each]) for each in Level if each is not Level.PATIENT)
    return Place.of(ids[Level.PATIENT], study, series, instance, [each for each in Level if is_key(ids[each])])


async def find_below(catalog: Catalog, level: Level, entity: str, query: Query) -> Page:
    """Find the entities below one, or at its own level it alone, that meet a query.

    Parameters
    ----------
    catalog : Catalog
        Has the entities.
    level : Level
        Level of the one.
    entity : str
        Its id.
    query : Query
        The query, at its level or below.

    Raises
    ------
    Ambiguous
        The UID names several entities.
    """

    async def find(reference: str) -> Page:
        return await catalog.find(replace(query, conditions=(*query.conditions, AnyOf(level.value, (reference,)))))

    page = await find(entity)
    shows = "id" if query.level is level else level.value
    if level is Level.PATIENT or is_key(entity) or (page.items and page.items[0][shows] == entity):
        return page
    # Nothing shows the UID as an id: nothing is found, or several have it, and the condition has found all.
    keys = await catalog.keys(level, entity)
    return await find(keys[0]) if keys and page.items else page


async def locate_instance(catalog: Catalog, instance: str) -> Location:
    """Find the file of an instance. Raises `NotFound` or `Ambiguous`."""
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
            raise NotFound(f"there is no frame {frame}; the instance {uid_of(location.instance)!r} has 1 to {count}")


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

    Raises
    ------
    Ambiguous
        The UID names several entities.
    """
    if level is Level.SERIES:
        found = await catalog.get(level, entity)
        return [] if found is None else [found]
    by_number = Query(Level.SERIES, sort=(("series_number", False),), limit=None)
    return (await find_below(catalog, level, entity, by_number)).items
