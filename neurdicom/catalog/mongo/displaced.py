"""Displaced files, which are not shown since moves brought them together with later ones of the same UID.

Their documents have the form of instances; `_id` is the number of an arrival, as text. An instance keeps its `_id` when
it shows another file, so that it is there at any time.
"""

from collections.abc import Collection
from typing import Any

import orjson

from neurdicom.catalog.mongo.editing import said_by_file, with_stored_edits
from neurdicom.catalog.mongo.edits import edits_of_keys
from neurdicom.catalog.mongo.ids import free_row, show_ids
from neurdicom.catalog.mongo.references import one_of
from neurdicom.catalog.mongo.schema import Document, inherited, instance_fields, natural_keys, own_key
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.moves import DisplacedFile
from neurdicom.catalog.projection import to_json
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level

#: Members that tell which file of an instance is shown.
_COMPARED = ("uid", "arrival", "received", "fused")
#: Members of an instance that belong to it, and not to the file that it shows.
_OF_ENTITY = ("_id", "id", "study", "patient", "above", "several", "also", "fused")


async def displaced(unit: UnitOfWork, level: Level, reference: str) -> list[DisplacedFile]:
    """List displaced files, for `MovingCatalog.displaced`."""
    entity = await one_of(unit, level, reference, *(["series"] if level is Level.INSTANCE else []))
    if entity is None:
        return []
    if level is Level.INSTANCE:
        found = await unit.all("displaced", {"series": entity["series"], "uid": entity["uid"]})
    else:
        above = "_id" if level is Level.SERIES else level.value
        series = [one["_id"] for one in await unit.all("series", {above: entity["_id"]}, "_id")]
        found = await unit.among("displaced", series, by="series")
    return [
        DisplacedFile(one["key"], BlobRef(one["blob_key"], one["size"], one["sha256"]), one["received"])
        for one in sorted(found, key=age_of, reverse=True)
    ]


async def known_blobs(unit: UnitOfWork, keys: Collection[str]) -> set[str]:
    """Select the keys that an instance refers to, or a displaced file has, for `Catalog.known_blobs`."""
    found = await unit.among("instances", keys, "blob_key", by="blob_key")
    known = {one["blob_key"] for one in found}
    found = await unit.among("displaced", set(keys) - known, "blob_key", by="blob_key")
    return known | {one["blob_key"] for one in found}


async def displace(unit: UnitOfWork, instance: Document) -> None:
    """Store the file of an instance as displaced, with the attributes that the file has without edits."""
    file = displaced_file(instance)
    edits = await edits_of_keys(unit, *((Level.INSTANCE, [key]) for key in natural_keys(Level.INSTANCE, instance)))
    if edited := {edit.field for edit in edits}:
        said = orjson.loads(file["attributes"]) | await said_by_file(unit, instance, edited)
        file |= {"attributes": to_json(said).decode()}
    await unit["displaced"].replace_one({"_id": file["_id"]}, file, upsert=True, session=unit.session)


def displaced_file(instance: Document) -> Document:
    """Make the document of a displaced file from that of its instance."""
    kept = {name: value for name, value in instance.items() if name not in _OF_ENTITY and not name.startswith("by_")}
    patient, study, *_ = natural_place(instance)
    return kept | {"_id": str(instance["arrival"]), "natural": [[patient, study]]}


def natural_place(instance: Document) -> list[str]:
    """Return the id of the patient and the UID of the study that the file of an instance names."""
    if "natural" in instance:
        return list(instance["natural"][0])
    return [instance["patient"], uid_of(instance["above"]["study"])]


async def settle_displaced(unit: UnitOfWork, series: str, uids: Collection[str] | None = None) -> None:
    """Let each instance of a series show the file that arrived last; may be repeated after an interruption.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    series : str
        `_id` of the series, into or out of which files were moved.
    uids : collection of str, optional
        SOP Instance UIDs to look at; by default all.
    """
    where: dict[str, Any] = {"series": series} | ({} if uids is None else {"uid": {"$in": sorted(uids)}})
    shown: dict[str, list[Document]] = {}
    for one in await unit.all("instances", where, *_COMPARED):
        shown.setdefault(one["uid"], []).append(one)
    others: dict[str, list[Document]] = {}
    for one in await unit.all("displaced", where, *_COMPARED):
        others.setdefault(one["uid"], []).append(one)
    fused = {uid for uid, ones in shown.items() if len(ones) > 1 or "fused" in ones[0]}
    parent = await unit.one("series", series)
    if parent is None:
        return
    for uid in sorted(fused.union(others)):
        await _settle(unit, parent, shown.get(uid, []), others.get(uid, []))
        await show_ids(unit, Level.INSTANCE, uid)


async def _settle(unit: UnitOfWork, series: Document, shown: list[Document], others: list[Document]) -> None:
    """Let one instance show the latest of its files."""
    last = max([*shown, *others], key=age_of)
    row = next((one["_id"] for one in shown if one["arrival"] == last["arrival"]), shown[0]["_id"] if shown else None)
    keys: set[str] = set()
    for one in await unit.among("instances", [one["_id"] for one in shown]):
        keys.update(natural_keys(Level.INSTANCE, one))
        if one["arrival"] != last["arrival"]:
            await displace(unit, one)
        if one["_id"] != row:
            await unit.remove("instances", [one["_id"]])
    files = {one["arrival"]: one for one in await unit.all("displaced", {"series": series["_id"], "uid": last["uid"]})}
    if last["arrival"] in files:
        row = await _show_instead(unit, series, row, files[last["arrival"]])
    await name_shown(unit, str(row), keys)
    await unit.remove("displaced", [one["_id"] for one in files.values() if one["arrival"] == last["arrival"]])


async def _show_instead(unit: UnitOfWork, series: Document, row: str | None, file: Document) -> str:
    """Let an instance show a displaced file; make it if there is none. Return its `_id`."""
    above = inherited(Level.INSTANCE, series)
    document = file | above | instance_fields(orjson.loads(file["attributes"]))
    document["key"] = own_key(Level.INSTANCE, document)
    if row is None:
        taken = {one["_id"] for one in await unit.all("instances", {"uid": file["uid"]}, "_id")}
        row = free_row(document["key"], taken, file["arrival"])
        document["id"] = document["key"]
    else:
        there = await unit.one("instances", row)
        document["id"] = there["id"] if there and there["id"] == there["uid"] else document["key"]
    await unit["instances"].replace_one({"_id": row}, document | {"_id": row}, upsert=True, session=unit.session)
    return row


async def name_shown(unit: UnitOfWork, row: str, former: Collection[str] = ()) -> None:
    """Write the natural places of an instance's shown and displaced files, and apply the edits of all of them.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    row : str
        `_id` of the instance.
    former : collection of str
        Keys that it had, whose edits may have been applied.
    """
    instance = await unit.one("instances", row)
    if instance is None:
        return
    found = await unit.all("displaced", {"series": instance["series"], "uid": instance["uid"]})
    others = [one for one in sorted(found, key=age_of, reverse=True) if one["arrival"] != instance["arrival"]]
    places = [natural_place(one) for one in (instance, *others)]
    here = [instance["patient"], uid_of(instance["above"]["study"])]
    renewed = {name: value for name, value in instance.items() if name not in ("natural", "fused")}
    renewed |= ({} if places == [here] else {"natural": places}) | ({"fused": True} if others else {})
    keys = {*former, instance["key"], *(one["key"] for one in others)}
    edits = await edits_of_keys(unit, *((Level.INSTANCE, [key]) for key in sorted(keys)))
    if edits:
        renewed = await with_stored_edits(unit, renewed, {edit.field for edit in edits})
    # In one step, since an instance with the right members is not looked at again after an interruption.
    await unit["instances"].replace_one({"_id": row}, renewed, session=unit.session)


def age_of(file: Document) -> tuple[str, int]:
    """Return the sort key of an instance's files, by which the latest is the last."""
    return str(file["received"]), int(file["arrival"])
