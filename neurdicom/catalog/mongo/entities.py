"""Documents of the entities above the instances, and their update to the instances below them."""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from neurdicom.catalog.mongo.edits import edits_of, edits_of_keys, forget_edits
from neurdicom.catalog.mongo.holdings import summed
from neurdicom.catalog.mongo.ids import pass_on, rekeyed, show_ids
from neurdicom.catalog.mongo.origins import firsts_of, natural_of, origins_of, said_by, update_origins
from neurdicom.catalog.mongo.ownership import forget_claims, owner_of
from neurdicom.catalog.mongo.schema import (
    CROWDED,
    HOLDING,
    Document,
    collection,
    inherited,
    key_names,
    natural_keys,
    own_key,
    search_fields,
)
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.projection import indexed, to_json
from neurdicom.catalog.records import Edit
from neurdicom.catalog.shown import LATEST_STUDIES, ShownAttributes, latest_first, merged, of_latest
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value, search_keys

#: Members of a study that its patient is made from.
_OF_STUDY = (
    "attributes",
    "source",
    "images_count",
    "others",
    *key_names(Level.PATIENT),
    *(f"by_{attribute.field}" for attribute in indexed(Level.PATIENT)),
)


def naming(row: str, key: str, shown_id: str) -> Document:
    """Make the members that name a new entity.

    Parameters
    ----------
    row : str
        Its `_id`, by which others refer to it.
    key : str
        Its key.
    shown_id : str
        Id that users see.
    """
    return {"_id": row, "key": key, "uid": uid_of(key), "id": shown_id}


def build(level: Level, named: Document, parent: Document, shown: ShownAttributes, source: int) -> Document:
    """Make the document of a study or series, with counts of 0.

    Parameters
    ----------
    level : Level
        `STUDY` or `SERIES`.
    named : Document
        Its members as `naming` makes them.
    parent : Document
        Document of the entity above; of a patient `_id` is enough.
    shown : ShownAttributes
        Its attributes, edits applied.
    source : int
        Number of its earliest instance's arrival.
    """
    above, own = inherited(level, parent), search_fields(level, shown)
    document = named | above | own
    if others := [*above.get("others", ()), *own.get("others", ())]:
        document["others"] = others
    document |= {"source": source, "attributes": to_json(shown.values).decode(), **dict.fromkeys(COUNTS[level], 0)}
    document |= summed(())
    if level is Level.SERIES:
        document["modality"] = shown.values.get("modality")
    return document


def modalities_fields(series: Iterable[Document]) -> Document:
    """Write the members of a study for the modalities of its series: as returned, and as searched."""
    of_all = list(series)
    shown = sorted({str(one["modality"]) for one in of_all if one.get("modality")})
    others = {str(other["k"]) for one in of_all for other in one.get("others", ()) if other["f"] == "modality"}
    return {"modalities": shown, "keys_modalities": sorted({*search_keys("modalities", [*shown]), *others})}


def patient_fields(studies: Sequence[Document], edits: Sequence[Edit], *, crowded: bool = False) -> Document:
    """Make the attributes and search fields of a patient.

    Parameters
    ----------
    studies : sequence of Document
        Its studies, or the latest of them, in any order.
    edits : sequence of Edit
        Its edits.
    crowded : bool
        True to leave out the values of all studies, by which it is found then through these.
    """
    said = {one["source"]: orjson.loads(one["attributes"]) for one in studies}
    latest = sorted(sorted(said, reverse=True), key=lambda source: latest_first(said[source]), reverse=True)
    values = of_latest([said[source] for source in latest[:LATEST_STUDIES]], edits)
    fields = search_fields(Level.PATIENT, ShownAttributes(values))
    fields["attributes"] = to_json(values).decode()
    if crowded:
        return fields
    for name in key_names(Level.PATIENT):
        if keys := dict.fromkeys(key for one in studies for key in one.get(name, ())):
            fields[name] = list(keys)
    others: dict[tuple[str, Any], None] = {}
    for attribute in indexed(Level.PATIENT):
        field, shown = attribute.field, fields.get(f"by_{attribute.field}")
        if f"keys_{field}" not in key_names(Level.PATIENT):
            found = [one[f"by_{field}"] for one in studies if f"by_{field}" in one]
            found += [other["k"] for one in studies for other in one.get("others", ()) if other["f"] == field]
            others |= {(field, key): None for key in found if key != shown}
    return fields | ({"others": [{"f": field, "k": key} for field, key in others]} if others else {})


async def refresh(unit: UnitOfWork, level: Level, entity: str, *, force: bool = False) -> None:
    """Recompute an entity and those above it from the instances below and the edits; delete it if none is left.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entity.
    entity : str
        `_id` of the entity.
    force : bool
        True to pass its keys and search fields on to the entities below even if they did not change.
    """
    await refresh_all(unit, {(level, entity)}, force=force)


async def refresh_all(
    unit: UnitOfWork, touched: Iterable[tuple[Level, str]], *, force: bool = False, keep_edits: bool = False
) -> None:
    """Update several entities, as `refresh` does, all of a level before the next.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    touched : iterable of (Level, str)
        Levels and `_id`s; instances among them are ignored.
    force : bool
        True to pass keys and search fields on to the entities below even if they did not change.
    keep_edits : bool
        True to keep the edits of entities that are deleted, as all below them went to others.
    """
    named = set(touched)
    entities: set[str] = set()
    for level, renew in _RENEW.items():
        above: set[str] = set()
        for entity in sorted(entities | {one for step, one in named if step is level}):
            above |= await renew(_Renewal(unit, entity, force, keep_edits))
        entities = above


@dataclass(frozen=True, slots=True)
class _Renewal:
    """Recomputation of one entity, with the options of `refresh_all`."""

    unit: UnitOfWork
    entity: str
    force: bool
    keeps_edits: bool


async def _renew_series(renewal: _Renewal) -> set[str]:
    unit, entity = renewal.unit, renewal.entity
    earlier = await unit.one("series", entity)
    instances = await unit.all("instances", {"series": entity}, "arrival", "origin", "size", "received")
    origins = await update_origins(unit, entity, firsts := firsts_of(instances))
    if not instances:
        return await _removed(renewal, Level.SERIES, earlier)
    shown_origins = [one for one in origins if not one.get("hidden")]
    if not shown_origins:
        raise LookupError(f"the series {entity} has instances, but none of the origins {', '.join(firsts)}")
    study = await unit.one("studies", earlier["study"]) if earlier else None
    named = earlier
    if named is None or study is None:  # an interrupted write did not come to them
        instance = await unit["instances"].find_one({"series": entity}, session=unit.session)
        key = instance["above"]["series"]
        named = naming(entity, key, key)
        study = await unit.one("studies", instance["study"]) or await _made_study(unit, instance, origins)
    natural = natural_of(origins, Level.SERIES, (study["patient"], study["uid"]))
    named, keys = _named(Level.SERIES, named, inherited(Level.SERIES, study), natural)
    shown = merged(Level.SERIES, said_by(origins), await edits_of_keys(unit, (Level.SERIES, keys)))
    document = build(Level.SERIES, named, study, shown, shown_origins[0]["first"])
    displaced = await unit.all("displaced", {"series": entity}, "size", "received")
    document |= {"images_count": len(instances), **summed([*instances, *displaced], "size")}
    # Without a latest origin, an arrival in a series that moves made is placed by the moves.
    latest = "" if any("moved" in one for one in origins) else shown_origins[-1]["_id"]
    document |= {"origin": latest, "origin_first": shown_origins[-1]["first"]}
    await _replace(renewal, Level.SERIES, earlier, document)
    return {study["_id"]}


def _named(
    level: Level, named: Document, above: Document, natural: list[list[str]] | None
) -> tuple[Document, list[str]]:
    """Recompute the members that name a study or series from its natural places; return them and its keys.

    Parameters
    ----------
    level : Level
        Its level.
    named : Document
        The members that name it until now.
    above : Document
        The members that it takes over from the entity above.
    natural : list or None
        The places, as `origins.natural_of` lists them.
    """
    members: Document = {name: named[name] for name in ("_id", "key", "uid", "id")}
    members |= {"natural": natural} if natural else {}
    members |= rekeyed(members, own_key(level, members | above))
    return members, natural_keys(level, members | above)


async def _made_study(unit: UnitOfWork, instance: Document, origins: Sequence[Document]) -> Document:
    """Make the study of a series that an interrupted write did not come to; it is updated after its series."""
    key = instance["above"]["study"]
    shown = merged(Level.STUDY, said_by(origins))
    named = naming(instance["study"], key, key)
    document = build(Level.STUDY, named, {"_id": instance["patient"]}, shown, origins[0]["first"])
    document |= modalities_fields(())
    await unit["studies"].insert_one(document, session=unit.session)
    return document


async def _renew_study(renewal: _Renewal) -> set[str]:
    unit, entity = renewal.unit, renewal.entity
    earlier = await unit.one("studies", entity)
    children = await unit.all("series", {"study": entity}, "source", "images_count", "modality", "others", *HOLDING)
    if not children or earlier is None:
        return await _removed(renewal, Level.STUDY, earlier)
    origins = await origins_of(unit, Level.STUDY, entity)
    is_moved = any("moved" in one for one in origins)
    patient = earlier["patient"] if is_moved else await owner_of(unit, earlier["uid"], origins[0]["claim"])
    natural = natural_of(origins, Level.STUDY, (patient, earlier["uid"]))
    named, keys = _named(Level.STUDY, earlier, {"patient": patient}, natural)
    edits = await edits_of_keys(unit, (Level.PATIENT, [patient]), (Level.STUDY, keys))
    shown = merged(Level.STUDY, said_by(origins), edits)
    source = next(one["first"] for one in origins if not one.get("hidden"))
    document = build(Level.STUDY, named, {"_id": patient}, shown, source)
    document |= {
        "series_count": len(children),
        "images_count": sum(one["images_count"] for one in children),
        **modalities_fields(children),
        **summed(children),
    }
    unit.count_bytes(document["bytes"] - earlier.get("bytes", 0))
    if patient != earlier["patient"]:
        await unit.touch({(Level.PATIENT, patient)})
    await _replace(renewal, Level.STUDY, earlier, document)
    return {patient, earlier["patient"]}


async def _replace(renewal: _Renewal, level: Level, earlier: Document | None, document: Document) -> None:
    unit, force = renewal.unit, renewal.force
    await unit[collection(level)].replace_one({"_id": document["_id"]}, document, upsert=True, session=unit.session)
    child = level.child or level
    if earlier is not None and not renewal.keeps_edits:
        gone = set(natural_keys(level, earlier)) - set(natural_keys(level, document))
        await forget_edits(unit, level, gone)
    if force or earlier is None or inherited(child, earlier) != inherited(child, document):
        await pass_on(unit, level, document, force=force)


async def _removed(renewal: _Renewal, level: Level, earlier: Document | None) -> set[str]:
    """Delete an entity that nothing is below; return the `_id` of the one above."""
    unit = renewal.unit
    if earlier is None:
        return set()
    if level is Level.STUDY:
        unit.count_bytes(-earlier.get("bytes", 0))
        await forget_claims(unit, [earlier["uid"]], [earlier["_id"]])
    if not renewal.keeps_edits:
        await forget_edits(unit, level, natural_keys(level, earlier))
    await unit.remove(collection(level), [earlier["_id"]])
    if earlier.get("id") == earlier["key"] and level is not Level.PATIENT:
        await show_ids(unit, level, earlier["uid"])
    return {earlier[str(level.parent)]} if level.parent else set()


async def _renew_patient(renewal: _Renewal) -> set[str]:
    unit, entity = renewal.unit, renewal.entity
    count = await unit["studies"].count_documents({"patient": entity}, session=unit.session)
    if not count:
        return await _removed(renewal, Level.PATIENT, await unit.one("patients", entity))
    images = sum(one["images_count"] for one in await unit.all("studies", {"patient": entity}, "images_count"))
    fields = await _fields_of_patient(unit, entity, count)
    document = {"_id": entity, "key": entity, **fields, "studies_count": count, "images_count": images}
    await unit["patients"].replace_one({"_id": entity}, document, upsert=True, session=unit.session)
    return set()


async def show_patient(unit: UnitOfWork, patient: str, earlier: Document, count: int) -> None:
    """Update what a patient shows and is found by, but not its counts.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    patient : str
        Id of the patient.
    earlier : Document
        Its document.
    count : int
        Number of its studies.
    """
    fields = await _fields_of_patient(unit, patient, count)
    kept = ("_id", "key", *COUNTS[Level.PATIENT])
    gone = {name: "" for name in earlier if name not in fields and name not in kept}
    changes = {"$set": fields} | ({"$unset": gone} if gone else {})
    await unit["patients"].update_one({"_id": patient}, changes, session=unit.session)


async def _fields_of_patient(unit: UnitOfWork, patient: str, count: int) -> Document:
    crowded = count > CROWDED
    if crowded:
        studies = await latest_studies(unit, patient, LATEST_STUDIES)
    else:
        studies = await unit.all("studies", {"patient": patient}, *_OF_STUDY)
    return patient_fields(studies, await edits_of(unit, (Level.PATIENT, patient)), crowded=crowded)


async def latest_studies(unit: UnitOfWork, patient: str, count: int) -> list[Document]:
    """List the latest studies of a patient, as `catalog.shown.of_latest` orders them.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    patient : str
        Id of the patient.
    count : int
        Most studies.
    """
    order = [("by_study_date", -1), ("by_study_time", -1), ("source", -1)]
    fields = dict.fromkeys(_OF_STUDY, 1)
    cursor = unit["studies"].find({"patient": patient}, fields, session=unit.session).sort(order).limit(count)
    return [one async for one in cursor]


_RENEW: Mapping[Level, Callable[[_Renewal], Coroutine[Any, Any, set[str]]]] = {
    Level.SERIES: _renew_series,
    Level.STUDY: _renew_study,
    Level.PATIENT: _renew_patient,
}


def shown_of(document: Document) -> dict[str, Value]:
    """Read the shown attributes of an entity's document."""
    found: dict[str, Value] = orjson.loads(document["attributes"])
    return found
