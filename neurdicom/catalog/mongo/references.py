"""References: the entities that a key, a key of before, or a UID names."""

from collections.abc import Collection, Iterable, Sequence

from neurdicom.catalog.mongo.ownership import Claims, load_claims
from neurdicom.catalog.mongo.schema import Document, collection, id_member, natural_keys, natural_places
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.outcomes import ambiguous
from neurdicom.dicom.identity import earlier_keys, is_key, uid_of
from neurdicom.dicom.query.attributes import Level

_NAMING = ("key", "uid", "id", "patient", "above", "natural")


async def referred(
    unit: UnitOfWork, level: Level, references: Collection[str], *fields: str
) -> dict[str, list[Document]]:
    """Look up the entities that references name, in the order of their arrival; unknown references have none.

    Parameters
    ----------
    unit : UnitOfWork
        The running write, or a snapshot to read.
    level : Level
        Level of the entities.
    references : collection of str
        The references.
    *fields : str
        Members to load, beside those that name an entity.
    """
    wanted = dict.fromkeys(references)
    keys = [one for one in wanted if level is Level.PATIENT or is_key(one)]
    order = "arrival" if level is Level.INSTANCE else "source"
    fields = (*_NAMING, order, *fields)
    found: dict[str, list[Document]] = {one: [] for one in wanted}
    named = keys if level is Level.PATIENT else dict.fromkeys(map(uid_of, wanted))
    for one in await unit.among(collection(level), named, *fields, by="_id" if level is Level.PATIENT else "uid"):
        for name in (one["_id"],) if level is Level.PATIENT else (*natural_keys(level, one), one["uid"]):
            if name in found:
                found[name].append(one)
    if former := [one for one in keys if not found[one]]:
        search = _former_patients if level is Level.PATIENT else _former_entities
        found |= await search(unit, level, former, fields)
    return {one: sorted(entities, key=lambda each: int(each.get(order, 0))) for one, entities in found.items()}


async def one_of(unit: UnitOfWork, level: Level, reference: str, *fields: str) -> Document | None:
    """Look up the entity that a reference names; return None if there is none. Raises `Ambiguous`.

    Parameters
    ----------
    unit : UnitOfWork
        The running write, or a snapshot to read.
    level : Level
        Level of the entity.
    reference : str
        The reference.
    *fields : str
        Members to load, beside those that name an entity.
    """
    found = (await referred(unit, level, [reference], *fields))[reference]
    return only(level, reference, found)


def only(level: Level, reference: str, found: Sequence[Document]) -> Document | None:
    """Return the only entity that a reference names. Raises `Ambiguous` if there are several.

    Parameters
    ----------
    level : Level
        Level of the entities.
    reference : str
        The reference.
    found : sequence of Document
        All that it names.
    """
    if len(found) > 1:
        raise ambiguous(level, reference, [one[id_member(level)] for one in found])
    return found[0] if found else None


async def _former_entities(
    unit: UnitOfWork, level: Level, former: Sequence[str], fields: Sequence[str]
) -> dict[str, list[Document]]:
    entities = await unit.among(collection(level), {uid_of(one) for one in former}, *fields, by="uid")
    claims = await load_claims(unit, {study for one in entities for study in _studies_of(level, one)})
    found: dict[str, list[Document]] = {one: [] for one in former}
    for one in entities:
        for key in set(_earlier(level, one, claims)) & set(former):
            found[key].append(one)
    return found


async def _former_patients(
    unit: UnitOfWork, level: Level, former: Sequence[str], fields: Sequence[str]
) -> dict[str, list[Document]]:
    owners: dict[str, set[str]] = {one: set() for one in former}
    claimed = await unit.all("claims", {"keys": {"$elemMatch": {"$in": list(former)}}})
    studies = {one["_id"]: one["claims"] for one in claimed}
    for study in await unit.among("studies", studies, "uid", "patient", by="uid"):
        for claim in studies[study["uid"]]:
            if claim["key"] in owners and claim["patient"] == study["patient"]:
                owners[claim["key"]].add(claim["patient"])
    patients = await unit.among(collection(level), {one for ones in owners.values() for one in ones}, *fields)
    return {key: [one for one in patients if one["_id"] in of] for key, of in owners.items()}


def _studies_of(level: Level, entity: Document) -> list[str]:
    """List the Study Instance UIDs in the files of an entity."""
    return [place[1] if len(place) > 1 else entity["uid"] for place in natural_places(level, entity)]


def _earlier(level: Level, entity: Document, claims: dict[str, Claims]) -> Iterable[str]:
    """List the earlier keys of an entity, by the claims on each patient of its natural places."""
    for patient, *between in natural_places(level, entity):
        of_study = claims.get(between[0] if between else entity["uid"], {})
        owned = [claim for claim, owner in of_study.items() if owner == patient]
        yield from earlier_keys(entity["uid"], owned, *between)


async def part_named(unit: UnitOfWork, level: Level, entity: Document, reference: str) -> Document:
    """Return an entity with the natural place that a present or earlier key names, where moves made it of several.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entity.
    entity : Document
        Its document.
    reference : str
        The key; for any other reference the entity is returned as it is.
    """
    keys = natural_keys(level, entity)
    if len(keys) == 1:
        return entity
    claims = await load_claims(unit, set(_studies_of(level, entity)))
    for key, place in zip(keys, entity["natural"], strict=True):
        part = entity | {"key": key, "natural": [place]}
        if reference in (key, *_earlier(level, part, claims)):
            return part
    return entity


async def keys_of(unit: UnitOfWork, level: Level, reference: str) -> tuple[str, ...]:
    """List the keys that lead to the entity that a reference names, for `Catalog.keys`."""
    entity = await one_of(unit, level, reference)
    if entity is None:
        return ()
    if level is not Level.PATIENT:
        claims = await load_claims(unit, set(_studies_of(level, entity)))
        return tuple(dict.fromkeys([*natural_keys(level, entity), *_earlier(level, entity, claims)]))
    patient = entity["_id"]
    studies = [one["uid"] for one in await unit.all("studies", {"patient": patient}, "uid")]
    claims = await load_claims(unit, studies)
    claimed = [claim.key for study in studies for claim, owner in claims.get(study, {}).items() if owner == patient]
    there = {one["_id"] for one in await unit.among("patients", set(claimed), "_id")}
    return tuple(dict.fromkeys([patient, *(key for key in claimed if key not in there)]))
