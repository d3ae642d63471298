"""Lookups in the catalog that raise `NotFound`, what lies below one entity, and checks of frames."""

from collections.abc import Iterable
from dataclasses import replace

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.moves import DisplacedFile
from neurdicom.catalog.records import Entity, Location, Page
from neurdicom.dicom.identity import Place, is_key, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Ambiguous, MergedAway, NotFound

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
        raise await absent(catalog, level, entity, field=field)
    return found


async def absent(catalog: Catalog, level: Level, entity: str, *, field: str | None = None) -> NotFound:
    """Make the error for an unknown id, which for a merged patient names the one that it was merged into.

    Parameters
    ----------
    catalog : Catalog
        Knows the merges.
    level : Level
        Level of the entity.
    entity : str
        The id.
    field : str, optional
        Field of the request that named it.
    """
    into = await catalog.merged_into(entity) if level is Level.PATIENT else None
    if into is None:
        return missing(level, entity, field=field)
    message = f"the patient {entity[:LONGEST_ID]!r} was merged into {into!r}"
    return MergedAway(message, patient=entity, into=into, field=field)


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


async def place_of(catalog: Catalog, instance: Entity) -> Place:
    """Look up the keys of an instance, as the catalog returns it, and of the entities above it. Raises `NotFound`."""
    study = await get_entity(catalog, Level.STUDY, instance["study"])
    series = await get_entity(catalog, Level.SERIES, instance["series"])
    ids = {Level.STUDY: study["id"], Level.SERIES: series["id"], Level.INSTANCE: instance["id"]}
    shared = frozenset(level for level, shown in ids.items() if is_key(shown))
    return Place(instance["patient"], study["key"], series["key"], instance["key"], shared)


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


async def locations_in(catalog: Catalog, series: str) -> list[Location]:
    """List the files of a series, with those that moves have displaced. Raises `Ambiguous`."""
    found = [each.location for each in await catalog.locate_all(Level.SERIES, series)]
    displaced = await catalog.displaced(series, Level.SERIES)
    return found + [as_location(file) for file in displaced]


async def location_of(catalog: Catalog, instance: str, blob: str) -> Location | None:
    """Look up a file of an instance, which may be displaced; None if the instance has it no more.

    Parameters
    ----------
    catalog : Catalog
        Has the instance.
    instance : str
        Its key, or one that it had before.
    blob : str
        Key of the file in the blob store.
    """
    location = await catalog.locate(instance)
    if location is not None and location.blob.key != blob:
        displaced = await catalog.displaced(instance)
        location = next((as_location(file) for file in displaced if file.blob.key == blob), None)
    return location


def as_location(file: DisplacedFile) -> Location:
    """Describe a displaced file as a location of its instance, whose study and series are unknown."""
    return Location(file.key, file.blob, {}, edited=False, study="", series="")


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
