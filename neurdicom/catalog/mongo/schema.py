"""The collections, their indexes and the form of their documents.

Each level is a collection; `_id` is the entity's id, `source` the number of its earliest instance's arrival,
`attributes` the effective values as JSON. `by_<field>` holds a filterable attribute's sort key, `keys_<field>` all
search keys of one that has several; unknown values are left out. Studies and series have those of the levels above
too, so that lists need no join; instances have the ids above and are filtered through their series.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from motor.motor_asyncio import AsyncIOMotorDatabase

from neurdicom.catalog.projection import indexed, key_fields, many_keys, sort_values
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.errors import Unavailable

VERSION = 1
#: Bytes of a compressed header in one document; MongoDB's documents end at 16 MB.
HEADER_PART = 8 * 2**20
#: The id of a header's part is the number of the arrival times this, plus the number of the part.
MAX_PARTS = 4096

Document = dict[str, Any]


def collection(level: Level) -> str:
    """Name the collection of a level."""
    return {
        Level.PATIENT: "patients",
        Level.STUDY: "studies",
        Level.SERIES: "series",
        Level.INSTANCE: "instances",
    }[level]


def carried_levels(level: Level) -> tuple[Level, ...]:
    """List the levels whose search fields a document of a level has."""
    return (level,) if level is Level.INSTANCE else (*level.above, level)


def search_fields(level: Level, attributes: Mapping[str, Value]) -> Document:
    """Make the search fields of a level's own attributes."""
    keys = zip(indexed(level), sort_values(level, attributes), strict=True)
    fields: Document = {f"by_{attribute.field}": key for attribute, key in keys if key is not None}
    for field, key in many_keys(level, attributes):
        fields.setdefault(f"keys_{field}", []).append(key)
    return fields


def inherited(level: Level, parent: Document | None) -> Document:
    """Make the members that a document takes over from its parent: ids and search fields of all levels above."""
    above = level.parent
    if parent is None or above is None:
        return {}
    ids = {upper.value: parent[upper.value] for upper in above.above} | {above.value: parent["_id"]}
    if level is Level.INSTANCE:
        return ids
    names = [field for upper in carried_levels(above) for field in _names(upper)]
    found = {name: parent[name] for name in names if name in parent}
    if level is Level.STUDY:
        found["patient_attributes"] = parent["attributes"]
    return ids | found


def _names(level: Level) -> Iterable[str]:
    for attribute in indexed(level):
        yield f"by_{attribute.field}"
        yield from (f"keys_{name}" for name in key_fields(attribute))


def header_ids(instance: Document) -> list[int]:
    """List the ids of the documents that hold an instance's header."""
    first = instance["arrival"] * MAX_PARTS
    return list(range(first, first + instance["parts"]))


def index_keys(level: Level) -> list[list[tuple[str, int]]]:
    """List the keys of the indexes of a level's collection, beside that of `_id`; MongoDB takes 64 in all."""
    names = [*(above.value for above in level.above), *(n for one in carried_levels(level) for n in _names(one))]
    names += COUNTS[level]
    names += ["keys_modalities"] if level is Level.STUDY else []
    names += ["arrival", "blob_key", "size", "received"] if level is Level.INSTANCE else []
    # The earliest arrival of a series is looked up whenever an instance is deleted.
    pairs = [[("series", 1), ("arrival", 1)]] if level is Level.INSTANCE else []
    return [*([(name, 1)] for name in names), *pairs]


async def prepare(database: "AsyncIOMotorDatabase[Document]") -> bool:
    """Create collections and indexes; return True if documents still lack search fields of this version.

    Those are written then, and `record_finished` records it. Raises `Unavailable` if a later version made the schema.
    """
    known = await database["meta"].find_one({"_id": "schema"})
    if known is not None and known["version"] > VERSION:
        raise Unavailable(
            f"the catalog has schema {known['version']}, this NeurDICOM knows up to {VERSION}: use the newer NeurDICOM"
        )
    for level in Level:
        present = {tuple(map(tuple, one["key"])) for one in (await _indexes(database, level)).values()}
        for keys in index_keys(level):
            if tuple(keys) not in present:
                await database[collection(level)].create_index(keys)
    if ("kind", 1) not in {one["key"][0] for one in (await database["documents"].index_information()).values()}:
        await database["documents"].create_index([("kind", 1), ("key", 1)], unique=True)
    if "terms" not in {one["key"][0][0] for one in (await database["documents"].index_information()).values()}:
        await database["documents"].create_index([("terms", 1), ("number", 1)])
        await database["documents"].create_index([("kind", 1), ("number", 1)])
    if known is None:
        await record_finished(database)
    return known is not None and known["fields"] != _all_names()


async def record_finished(database: "AsyncIOMotorDatabase[Document]") -> None:
    """Record that all documents have the search fields of this version."""
    made = {"version": VERSION, "fields": _all_names()}
    await database["meta"].update_one({"_id": "schema"}, {"$set": made}, upsert=True)


def _all_names() -> list[str]:
    return [name for level in Level for name in _names(level)]


async def _indexes(database: "AsyncIOMotorDatabase[Document]", level: Level) -> dict[str, Document]:
    return dict(await database[collection(level)].index_information())
