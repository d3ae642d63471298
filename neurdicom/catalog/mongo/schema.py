"""The collections, their indexes and the form of their documents.

Each level is a collection. `_id` never changes: it is the key that the entity had first, or its UID if an earlier
version made it. `key` is its present key, `uid` its UID, `id` what users see; `above` and `several` tell the keys of
the entities above, and which of their UIDs name several. `source` is the number of its earliest instance's arrival,
`attributes` has the shown values as JSON. `by_<field>` holds a filterable attribute's sort key, `keys_<field>` all
search keys of one that has several, `others` further values (`f`, `k`: field and key) of the rest; unknown values are
left out. Series have those of their study too, so that lists need no join; instances are filtered through their series.

`origins` has what files say about the entities above them, once for all files that say the same. `claims` has whose the
files of each Study Instance UID are, `shared` the UIDs that name several entities.

`moves` has a document for each edit that moved something, `moved_patients` what files claim that were moved to a
patient. What lies where a move placed it has more members: an origin `moved` (`origins.Moved`); an entity `natural`,
the places (ids above, the patient's first) that its keys are made of, that of `key` first, where they are others than
the one where it lies; what is below an entity of several keys `also` has the others; an instance is `moved` if its
origin has edits, and `fused` if it has several keys. The files that an instance is shown instead of are in `displaced`.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from motor.motor_asyncio import AsyncIOMotorDatabase

from neurdicom.catalog.mongo.folding import fold_keys
from neurdicom.catalog.projection import indexed, key_fields, many_keys, other_keys, sort_values
from neurdicom.catalog.shown import ShownAttributes
from neurdicom.dicom.identity import key_of, uid_of
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.dicom.query.folding import VERSION as FOLDING
from neurdicom.errors import Unavailable

#: 2: keys hold the hierarchy. 3: edits have a history; the documents of before are read as they are.
VERSION = 3
_MIGRATED = 2
#: Bytes of a compressed header in one document; MongoDB's documents end at 16 MB.
HEADER_PART = 8 * 2**20
#: The id of a header's part is the number of the arrival times this, plus the number of the part.
MAX_PARTS = 4096
#: Collections of DICOM entities, beside those of the levels; `claims`, `edits` and moves outlive a `clear`.
ENTITIES = ("headers", "origins", "shared", "displaced")
#: Members of studies and series that tell what they hold (`mongo.holdings`).
HOLDING = ("bytes", "received")
#: The order of the newest studies, in which an index has them.
NEWEST = (("by_study_date", -1), ("by_study_time", -1), ("id", 1))
#: Patients with more studies are found by the names of earlier studies through these.
CROWDED = 200

Document = dict[str, Any]


def collection(level: Level) -> str:
    """Name the collection of a level."""
    return {
        Level.PATIENT: "patients",
        Level.STUDY: "studies",
        Level.SERIES: "series",
        Level.INSTANCE: "instances",
    }[level]


def id_member(level: Level) -> str:
    """Name the member that has the id that users see."""
    return "_id" if level is Level.PATIENT else "id"


def carried_levels(level: Level) -> tuple[Level, ...]:
    """List the levels whose attributes documents of a level are found by."""
    return (level,) if level is Level.INSTANCE else (*level.above, level)


def search_fields(level: Level, shown: ShownAttributes) -> Document:
    """Make the search fields of an entity's own attributes, further values included."""
    keys = zip(indexed(level), sort_values(level, shown.values), strict=True)
    fields: Document = {f"by_{attribute.field}": key for attribute, key in keys if key is not None}
    several: dict[str, dict[str, None]] = {}
    for field, key in many_keys(level, shown.values, shown.others):
        several.setdefault(f"keys_{field}", {})[key] = None
    fields |= {name: list(found) for name, found in several.items()}
    others = [{"f": field, "k": key} for field, key in other_keys(level, shown.others) if f"keys_{field}" not in fields]
    return fields | ({"others": others} if others else {})


def instance_fields(attributes: Mapping[str, Value]) -> Document:
    """Make the search fields of an instance."""
    return search_fields(Level.INSTANCE, ShownAttributes(dict(attributes)))


def natural_places(level: Level, document: Document) -> list[tuple[str, ...]]:
    """List the places that the keys of an entity are made of: the ids above it, the patient's first.

    Parameters
    ----------
    level : Level
        Level of the entity, below the patient.
    document : Document
        Its document.
    """
    between = [uid_of(key) for key in document.get("above", {}).values()]
    if "natural" not in document:
        return [(document["patient"], *between)]
    return [(*place, *between[1:]) for place in document["natural"]]


def own_key(level: Level, document: Document) -> str:
    """Compute the key of an entity, below the patient, from where it lies, or was before moves."""
    return key_of(document["uid"], *natural_places(level, document)[0])


def natural_keys(level: Level, document: Document) -> list[str]:
    """List the keys of an entity, its own first; moves may have made it of several.

    Parameters
    ----------
    level : Level
        Level of the entity.
    document : Document
        Its document.
    """
    if level is Level.PATIENT or "natural" not in document:
        return [document["key"]]
    return [key_of(document["uid"], *place) for place in natural_places(level, document)]


def inherited(level: Level, parent: Document | None) -> Document:
    """Make the members that a document takes over from its parent: references and search fields of the levels above."""
    above = level.parent
    if parent is None or above is None:
        return {}
    found: Document = {upper.value: parent[upper.value] for upper in above.above} | {above.value: parent["_id"]}
    if above is Level.PATIENT:
        return found
    found["above"] = parent.get("above", {}) | {above.value: parent["key"]}
    found["several"] = [*parent.get("several", ()), *([above.value] if parent["id"] == parent["key"] else ())]
    also = parent.get("also", {}) | ({above.value: more} if (more := natural_keys(above, parent)[1:]) else {})
    if also:
        found["also"] = also
    if level is Level.INSTANCE:
        return found
    return found | {name: parent[name] for name in inherited_names(level) if name in parent}


@cache
def inherited_names(level: Level) -> tuple[str, ...]:
    """Name the search fields that documents of a level may have taken over from their parents."""
    if level is not Level.SERIES:
        return ()
    return (*_names(Level.STUDY), "others")


@cache
def _names(level: Level) -> tuple[str, ...]:
    return tuple(_each_name(level))


def _each_name(level: Level) -> Iterable[str]:
    for attribute in indexed(level):
        yield f"by_{attribute.field}"
        yield from (f"keys_{name}" for name in key_fields(attribute))


def key_names(level: Level) -> tuple[str, ...]:
    """Name the members that hold several search keys of a level's attributes."""
    return tuple(name for name in _names(level) if name.startswith("keys_"))


def header_ids(instance: Document) -> list[int]:
    """List the ids of the documents that hold an instance's header."""
    first = instance["arrival"] * MAX_PARTS
    return list(range(first, first + instance["parts"]))


def index_keys(level: Level) -> list[list[tuple[str, int]]]:
    """List the keys of the indexes of a level's collection, beside that of `_id`; MongoDB takes 64 in all."""
    names = [*(above.value for above in level.above), *_names(level)]
    names += _names(Level.STUDY) if level is Level.SERIES else ()
    names += [] if level is Level.PATIENT else ["uid"]
    names += COUNTS[level]
    names += ["keys_modalities"] if level is Level.STUDY else []
    names += ["arrival", "blob_key", "size", "received"] if level is Level.INSTANCE else []
    pairs = []
    if level is Level.STUDY:
        names = [name for name in names if name != "by_study_date"]
        pairs.append([*NEWEST])
    if level is Level.INSTANCE:
        # The earliest arrival of each origin of a series is looked up whenever an instance is deleted.
        pairs.append([("series", 1), ("arrival", 1), ("origin", 1)])
    else:
        pairs.append([("others.f", 1), ("others.k", 1)])
    if level is Level.STUDY:
        pairs.append([("patient", 1), ("by_study_date", 1), ("by_study_time", 1), ("source", 1)])
        pairs.append([("received", 1), ("key", 1)])
    return [*([(name, 1)] for name in names), *pairs]


def unique_names(level: Level) -> tuple[str, ...]:
    """Name the members that no two documents of a level share; those of a migration get theirs at its end."""
    return () if level is Level.PATIENT else ("id",)


_OTHER_INDEXES: dict[str, tuple[list[tuple[str, int]], ...]] = {
    "origins": ([("study", 1), ("first", 1)], [("series", 1)]),
    "displaced": ([("series", 1), ("uid", 1)], [("uid", 1)], [("blob_key", 1)], [("arrival", 1)]),
    "moves": ([("subjects", 1)], [("patients", 1)], [("studies", 1)], [("uids", 1)]),
    "claims": ([("keys", 1)],),
    "edits": ([("study", 1)],),
    "documents": ([("terms", 1), ("number", 1)], [("kind", 1), ("number", 1)]),
}


async def prepare(database: "AsyncIOMotorDatabase[Document]") -> bool:
    """Create collections and indexes; return True if documents still lack search fields of this version.

    Those are written then, and `record_finished` records it. A schema of before is marked with this version's number
    first, and one before 2 as one that `migrate` has to bring along. Raises `Unavailable` if a later version made the
    schema.
    """
    known = await database["meta"].find_one({"_id": "schema"})
    if known is not None and known["version"] > VERSION:
        raise Unavailable(
            f"the catalog has schema {known['version']}, this NeurDICOM knows up to {VERSION}: use the newer NeurDICOM"
        )
    if known is not None and known["version"] < VERSION:
        begun = {"version": VERSION} | ({"migrating": True} if known["version"] < _MIGRATED else {})
        await database["meta"].update_one({"_id": "schema"}, {"$set": begun})
        known |= begun
    migrating = known is not None and known.get("migrating", False)
    for level in Level:
        await _ensure_indexes(database, collection(level), index_keys(level))
    for name, keys in _OTHER_INDEXES.items():
        await _ensure_indexes(database, name, keys)
    await _ensure_indexes(database, "origins", [[("moved.via", 1)]], sparse=True)
    if ("kind", 1) not in {one["key"][0] for one in (await database["documents"].index_information()).values()}:
        await database["documents"].create_index([("kind", 1), ("key", 1)], unique=True)
    if not migrating:
        await ensure_unique(database)
    if known is None:
        await record_finished(database)
    if known is None or migrating:
        return False
    if known["fields"] == _all_names() and known.get("folding", 0) < FOLDING:
        await fold_keys(database)
        await record_finished(database)
    return bool(known["fields"] != _all_names())


async def ensure_unique(database: "AsyncIOMotorDatabase[Document]") -> None:
    """Create the unique indexes, which documents of before could not have."""
    for level in Level:
        keys = [[(name, 1)] for name in unique_names(level)]
        await _ensure_indexes(database, collection(level), keys, unique=True)


async def _ensure_indexes(
    database: "AsyncIOMotorDatabase[Document]", name: str, wanted: Iterable[list[tuple[str, int]]], **options: Any
) -> None:
    information = await database[name].index_information()
    present = {tuple(map(tuple, one["key"])) for one in information.values()}
    for keys in wanted:
        if tuple(keys) not in present:
            await database[name].create_index(keys, **options)


async def is_migrating(database: "AsyncIOMotorDatabase[Document]") -> bool:
    """Tell whether documents of an earlier schema are left."""
    known = await database["meta"].find_one({"_id": "schema"})
    return bool(known and known.get("migrating"))


async def record_finished(database: "AsyncIOMotorDatabase[Document]") -> None:
    """Record that all documents have the form and the search fields of this version."""
    made = {"version": VERSION, "fields": _all_names(), "migrating": False, "folding": FOLDING}
    await database["meta"].update_one({"_id": "schema"}, {"$set": made}, upsert=True)


def _all_names() -> list[str]:
    return [*(name for level in Level for name in _names(level)), *HOLDING]
