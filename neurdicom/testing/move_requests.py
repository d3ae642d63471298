"""Requests of moves, and the answers of a catalog that contract suites compare before and after them."""

from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import Any

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.moves import DisplacedFile, MovedSeries, MoveRequest, demographics_of
from neurdicom.catalog.outcomes import StoreOutcome, StorePolicy
from neurdicom.catalog.records import Edit, NewInstance
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import Condition, Query, Value
from neurdicom.errors import Ambiguous, Conflict, NotFound
from neurdicom.testing.arrivals import arrival, place_of
from neurdicom.testing.catalog_places import one

#: UID of studies that are made.
MADE = "2.25.1"
USER, TIME = "u", "2024-05-01T00:00:00Z"
#: Demographics of the patient `p2` of `two_patients`.
JANE = {"patient_id": "P2", "patient_name": "ROE^JANE", "patient_birth_date": "19700101"}


def merge(patient: str, into: str, edit: str = "m", *, from_now_on: bool = False) -> MoveRequest:
    """Ask for a merge of a patient into another.

    Parameters
    ----------
    patient, into : str
        Their ids.
    edit : str
        Id of the edit.
    from_now_on : bool
        True if what comes later follows.

    Returns
    -------
    MoveRequest
    """
    return MoveRequest(edit, Level.PATIENT, (patient,), into, from_now_on=from_now_on, user=USER, time=TIME)


def study_to(patient: str, study: str, edit: str = "m", **demographics: Value) -> MoveRequest:
    """Ask for a move of a study to another patient.

    Parameters
    ----------
    patient : str
        Id of the patient.
    study : str
        Reference of the study.
    edit : str
        Id of the edit.
    **demographics
        Attributes of the patient, for one that is not there.

    Returns
    -------
    MoveRequest
    """
    given = demographics_of(demographics) if demographics else None
    return MoveRequest(edit, Level.STUDY, (study,), patient, demographics=given, user=USER, time=TIME)


def series_to(study: str, series: str, edit: str = "m") -> MoveRequest:
    """Ask for a move of a series to another study.

    Parameters
    ----------
    study, series : str
        References of them.
    edit : str
        Id of the edit.

    Returns
    -------
    MoveRequest
    """
    return MoveRequest(edit, Level.SERIES, (series,), study=study, user=USER, time=TIME)


def split(series: Iterable[str], made: str = MADE, edit: str = "m") -> MoveRequest:
    """Ask for a split of a study.

    Parameters
    ----------
    series : iterable of str
        References of the series that leave it.
    made : str
        UID of the study that they go to.
    edit : str
        Id of the edit.

    Returns
    -------
    MoveRequest
    """
    return MoveRequest(edit, Level.SERIES, tuple(series), study=made, is_split=True, user=USER, time=TIME)


async def listing(catalog: Catalog) -> list[Any]:
    """List the answers of all verbs of a catalog about all of its entities.

    Parameters
    ----------
    catalog : Catalog
        The catalog.

    Returns
    -------
    list
    """
    found: list[Any] = [await catalog.conflicts()]
    for level in Level:
        page = await catalog.find(Query(level, limit=None))
        found.append(page.total)
        for entity in page.items:
            key = entity["key"]
            keys = await catalog.keys(level, key)
            found += [entity, keys[0], set(keys), await catalog.ids(level, keys)]
            found += [await catalog.samples(level, [key]), await catalog.moves(level, key)]
            found += [await catalog.locate_all(level, key), await catalog.described(level, key)]
            if level is Level.INSTANCE:
                found.append(await catalog.displaced(key))
    return found


async def found_by(catalog: Catalog, level: Level, *conditions: Condition) -> list[str]:
    """List the ids of the entities that meet conditions.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    level : Level
        Level of the entities.
    *conditions : Condition
        All hold.

    Returns
    -------
    list of str
    """
    return [entity["id"] for entity in (await catalog.find(Query(level, conditions, limit=None))).items]


async def refused(work: Awaitable[object]) -> type[Exception] | None:
    """Return the class of the error with which a verb refuses a move; None if it does not refuse it.

    Parameters
    ----------
    work : Awaitable
        The call.

    Returns
    -------
    type or None
    """
    try:
        await work
    except (Ambiguous, Conflict, NotFound) as error:
        return type(error)
    return None


def moved_from(new: NewInstance, patient: str, *, to: str) -> MovedSeries:
    """Make the record of a move of a series to a patient who has nothing of the same UIDs.

    Parameters
    ----------
    new : NewInstance
        A file of it.
    patient, to : str
        Ids of the patients before and now.

    Returns
    -------
    MovedSeries
    """
    place = place_of(new)
    return MovedSeries(place.series, place.series, place.study, to, (place.series, place.study, patient))


def patient_edits(patient: str, user: str = USER, time: str = TIME, **demographics: Value) -> list[Edit]:
    """Make the edits that write another patient into files.

    Parameters
    ----------
    patient : str
        Id of the patient.
    user, time : str
        Who moved them, and when.
    **demographics
        Attributes of the patient; the others are emptied.

    Returns
    -------
    list of Edit
    """
    fields = sorted(each.field for each in AT_LEVEL[Level.PATIENT])
    return [Edit(Level.PATIENT, patient, name, demographics.get(name), user, time) for name in fields]


def two_patients() -> list[NewInstance]:
    """Make three files: two studies of `p1`, of which the second is later, and one of `p2`."""
    return [
        arrival(1, patient_sex="M", study_id="one"),
        arrival(2, study="1.2.2", series="2.2", study_date="20250101", study_id="two"),
        arrival(3, patient="p2", study="1.2.3", series="2.3", study_id="three", **JANE),
    ]


async def placed(catalog: Catalog, new: NewInstance, policy: StorePolicy | None = None) -> tuple[str, str]:
    """Store an arrival that is new, check its place, and return its patient and the UID of its study.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    new : NewInstance
        The arrival.
    policy : StorePolicy, optional
        What is done where it meets others.

    Returns
    -------
    tuple of str
    """
    [outcome] = await catalog.store([new], policy or StorePolicy())
    assert outcome == StoreOutcome("stored"), outcome
    place = outcome.place
    assert place is not None
    instance = await one(catalog, Level.INSTANCE, place.instance)
    for level in Level:
        assert (await one(catalog, level, place.key(level)))["key"] == place.key(level), level
        assert instance["id" if level is Level.INSTANCE else level.value] == place.id(level), level
    location = await catalog.locate(place_of(new).instance)
    assert location is not None
    assert (location.blob, location.study, location.series) == (new.blob, place.study, place.series)
    return place.patient, (await one(catalog, Level.STUDY, place.study))["study_instance_uid"]


def colliding(**of_first: str) -> list[NewInstance]:
    """Make files of two patients with one Study UID, one Series UID, and one SOP Instance UID that both have.

    Parameters
    ----------
    **of_first
        Further attributes of the first.

    Returns
    -------
    list of NewInstance
    """
    return [
        arrival(1, study_id="one", **of_first),
        arrival(2),
        arrival(3, patient="p2", instance="1.9.1", **JANE),
        arrival(4, patient="p2", study_id="four", **JANE),
    ]


def displaced(new: NewInstance) -> DisplacedFile:
    """Make the record of a displaced file.

    Parameters
    ----------
    new : NewInstance
        Its arrival.

    Returns
    -------
    DisplacedFile
    """
    return DisplacedFile(place_of(new).instance, new.blob, new.received)


def again_after(number: int, file: NewInstance) -> NewInstance:
    """Make an arrival of the bytes of another, later than a file of a number.

    Parameters
    ----------
    number : int
        The number, as `arrival` takes it.
    file : NewInstance
        The arrival whose bytes it has.

    Returns
    -------
    NewInstance
    """
    later = arrival(number)
    return replace(file, blob=replace(file.blob, key=later.blob.key), received=later.received)


async def shown_blob(catalog: Catalog, instance: str) -> str:
    """Look up the key of the blob that an instance shows.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    instance : str
        A reference.

    Returns
    -------
    str
    """
    location = await catalog.locate(instance)
    assert location is not None
    return location.blob.key
