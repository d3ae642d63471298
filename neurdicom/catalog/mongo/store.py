"""Storing of arrivals: each instance is written in one step, then the entities above are updated."""

import asyncio
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pymongo import InsertOne

from neurdicom.catalog.claims import with_edits
from neurdicom.catalog.mongo.ancestors import Ancestors
from neurdicom.catalog.mongo.displaced import known_blobs
from neurdicom.catalog.mongo.entities import refresh, refresh_all
from neurdicom.catalog.mongo.ids import show_ids
from neurdicom.catalog.mongo.origins import Origin
from neurdicom.catalog.mongo.ownership import (
    Claims,
    as_entries,
    load_claims,
    rename_edits,
    touch_claims,
    write_claims,
)
from neurdicom.catalog.mongo.plan import LeftOut, Planner, StoreStep
from neurdicom.catalog.mongo.schema import HEADER_PART, MAX_PARTS, Document, header_ids, instance_fields
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.outcomes import StoreOutcome, StorePolicy
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.records import Edit, NewInstance
from neurdicom.dicom.identity import Place
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.errors import TooLarge

_KNOWN = ("uid", "key", "id", "patient", "study", "series", "above", "natural", "sha256", "blob_key", "arrival")
_FIELDS = tuple(attribute.field for attribute in AT_LEVEL[Level.INSTANCE])


@dataclass(frozen=True, slots=True)
class Replaced:
    """Blob that an arrival took the place of: its key, if no instance refers to it any more, its place and SHA-256."""

    unused: str | None
    aside: str
    sha256: str

    def outcome(self, place: Place | None = None) -> StoreOutcome:
        """Make the outcome of the arrival, which lies in a place."""
        return StoreOutcome("replaced", self.unused, place, aside=self.aside, previous=self.sha256)


class Arrivals:
    """Writer of arrivals to the collections.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    arrivals : Mapping[int, NewInstance]
        The arrivals by their numbers, in ascending order.
    policy : StorePolicy
        What is done with those that meet others.
    """

    def __init__(self, unit: UnitOfWork, arrivals: Mapping[int, NewInstance], policy: StorePolicy) -> None:
        self.unit = unit
        self.policy = policy
        self._arrivals = arrivals
        self._above: Ancestors | None = None
        self._several: set[tuple[Level, str]] = set()

    async def store(self) -> list[StoreOutcome]:
        """Store the arrivals in order; return the outcome of each."""
        origins = {number: Origin.of(new) for number, new in self._arrivals.items()}
        found = await self._found(origins.values())
        planner = Planner.of_documents(self.policy, found)
        unknown = {origin.study for origin in origins.values() if origin.id not in planner.origins}
        planner.claims = {study: {} for study in unknown} | await load_claims(self.unit, unknown)
        if unknown and (outcomes := await self._store_by_moves(origins, found, planner.claims)) is not None:
            return outcomes
        before = dict(planner.claims)
        decided = [planner.decide(number, new, origins[number]) for number, new in self._arrivals.items()]
        steps = [one for one in decided if isinstance(one, StoreStep)]
        self._several = planner.added
        self._above = Ancestors(self.unit, found[Level.STUDY], found[Level.SERIES])
        if steps:
            intent = _intent(steps, found[Level.INSTANCE], planner)
            changed = {step.origin.study for step in steps if step.claims is not None}
            intent.claims = {study: as_entries(before[study]) for study in changed}
            await self.unit.announce(intent)
        replaced = await self._write(steps)
        for level, uid in sorted(planner.added):
            await show_ids(self.unit, level, uid)
        unused = await self.leave_out([one for one in decided if isinstance(one, LeftOut)])
        return [_outcome(one, replaced, unused) for one in decided]

    async def _store_by_moves(
        self, origins: Mapping[int, Origin], found: Mapping[Level, list[Document]], claims: Mapping[str, Claims]
    ) -> list[StoreOutcome] | None:
        """Store the arrivals where moves place them; return None if no move concerns any of them.

        Parameters
        ----------
        origins : Mapping[int, Origin]
            Origins by the numbers of the arrivals.
        found : Mapping[Level, list of Document]
            The entities that have one of their UIDs.
        claims : Mapping[str, Claims]
            Claims on the Study Instance UIDs of the origins that are not known yet.
        """

    async def _found(self, origins: Collection[Origin]) -> dict[Level, list[Document]]:
        """Look up the entities that have one of the UIDs; of studies that a series tells enough of, none."""
        unit, arrivals = self.unit, self._arrivals.values()
        instances = await unit.among("instances", {new.instance for new in arrivals}, *_KNOWN, by="uid")
        series = await unit.among("series", {origin.series for origin in origins}, by="uid")
        known = {one["origin"] for one in series}
        studies: list[Document] = []
        if any(origin.id not in known for origin in origins):
            studies = await unit.among("studies", {origin.study for origin in origins}, by="uid")
        return {Level.INSTANCE: instances, Level.SERIES: series, Level.STUDY: studies}

    async def _write(self, steps: Sequence[StoreStep]) -> dict[int, Replaced]:
        """Write the arrivals; return what was replaced, by the numbers of those that replace it."""
        pending: list[StoreStep] = []
        replaced: dict[int, Replaced] = {}
        for step in steps:
            if step.former is not None or step.replaced:
                await self._flush(pending)
                pending = []
            if step.former is not None:
                await self._take_over(step, step.former)
            if step.replaced:
                replaced[step.number] = await self.replace(step)
            else:
                pending.append(step)
        await self._flush(pending)
        return replaced

    async def _take_over(self, step: StoreStep, former: str) -> None:
        """Let the patient that an arrival names take over its study."""
        unit, study = self.unit, step.origin.study
        await write_claims(unit, {study: step.claims or {}})
        await rename_edits(unit, study, former, step.place.patient)
        moving = await unit.all("studies", {"uid": study, "patient": former}, "_id")
        await refresh_all(unit, {(Level.STUDY, one["_id"]) for one in moving})
        self._above = None

    async def write_new(self, step: StoreStep, several: set[tuple[Level, str]]) -> None:
        """Write an arrival in whose place there is no instance yet.

        Parameters
        ----------
        step : StoreStep
            The arrival.
        several : set of (Level, str)
            UIDs that name several entities once it is stored.
        """
        self._several = several
        await self._flush([step])

    async def replace(self, step: StoreStep) -> Replaced:
        """Replace the stored instance."""
        unit, row = self.unit, step.rows[Level.INSTANCE]
        old = await unit.one("instances", row)
        if old is None:
            raise LookupError(f"the instance {step.place.instance} was deleted while it was being replaced")
        await self._flush([step], replaced=old)
        await unit.remove("headers", header_ids(old))
        await refresh(unit, Level.SERIES, old["series"])
        self._above = None
        return await self.let_go(step, old)

    async def let_go(self, step: StoreStep, old: Document) -> Replaced:
        """Make the blob of a replaced file garbage, unless the arrival has the same one."""
        blob, sha256 = str(old["blob_key"]), str(old["sha256"])
        if blob == step.new.blob.key:
            return Replaced(None, "", sha256)
        aside = self.policy.place_of("replaced", blob)
        await self.unit.add_garbage({blob: aside})
        return Replaced(blob, aside, sha256)

    async def _flush(self, steps: Sequence[StoreStep], replaced: Document | None = None) -> None:
        """Write instances, and add them to the counts of the entities above."""
        if not steps:
            return
        unit = self.unit
        above = self._above or Ancestors(unit)
        self._above = None
        await above.load(steps, self._several)
        claims = {step.origin.study: step.claims for step in steps if step.claims is not None}
        instances = [
            instance_document(step, above.count(step), above.edits_of_instance(step), self._several) for step in steps
        ]
        await write_claims(unit, claims)
        await touch_claims(unit, above.new_studies() - set(claims))
        await unit.bulk("origins", above.new_origins())
        await self.write_headers(steps, instances)
        await self._write_instances(instances, replaced)
        dirty = await above.write()
        await unit.remove("garbage", [step.new.blob.key for step in steps])
        await refresh_all(unit, dirty)

    async def write_headers(self, steps: Sequence[StoreStep], instances: Sequence[Document]) -> None:
        """Write headers, and record in the documents of their instances in how many parts."""
        packed = await asyncio.to_thread(lambda: [_packed(step) for step in steps])
        for one, parts in zip(instances, packed, strict=True):
            one["parts"] = len(parts)
        await self.unit.bulk("headers", [InsertOne(part) for parts in packed for part in parts])

    async def _write_instances(self, instances: Sequence[Document], replaced: Document | None) -> None:
        """Write instances; one that replaces another keeps what names it."""
        unit = self.unit
        if replaced is None:
            await unit.bulk("instances", [InsertOne(one) for one in instances])
        else:
            renewed = instances[0] | {name: replaced[name] for name in ("_id", "id")}
            await unit["instances"].replace_one({"_id": replaced["_id"]}, renewed, session=unit.session)

    async def leave_out(self, left_out: Sequence[LeftOut]) -> dict[str, str]:
        """Map the blobs of arrivals that are not written, and not used, to the places that they are set aside to."""
        if not left_out:
            return {}
        keys = {one.new.blob.key for one in left_out}
        used = await known_blobs(self.unit, keys)
        unused = {
            one.new.blob.key: self.policy.place_of(one.status, one.new.blob.key)
            for one in left_out
            if not (one.used or one.new.blob.key in used)
        }
        await self.unit.add_garbage(unused)
        return unused


def _outcome(decided: StoreStep | LeftOut, replaced: Mapping[int, Replaced], unused: Mapping[str, str]) -> StoreOutcome:
    if isinstance(decided, LeftOut):
        key = decided.new.blob.key
        left, aside = (key, unused[key]) if key in unused else (None, "")
        return StoreOutcome(decided.status, left, decided.place, decided.refusal, aside)
    if decided.replaced:
        return replaced[decided.number].outcome(decided.place)
    return StoreOutcome("stored", None, decided.place)


def _intent(steps: Sequence[StoreStep], instances: Sequence[Document], planner: Planner) -> Intent:
    keeps = planner.policy.keep_versions
    intent = Intent(arrivals=[step.number for step in steps], uids=set(planner.added), keeps_versions=keeps)
    for step in steps:
        intent.touched |= {(level, row) for level, row in step.rows.items() if level is not Level.INSTANCE}
        if step.former is not None:
            intent.touched.add((Level.PATIENT, step.former))
            intent.moves.append((step.origin.study, step.former, step.place.patient))
    replaced = {step.rows[Level.INSTANCE] for step in steps if step.replaced}
    for old in instances:
        if old["_id"] in replaced:
            intent.keys.append(old["blob_key"])
            intent.arrivals.append(old["arrival"])
    return intent


def instance_document(step: StoreStep, above: Document, edits: list[Edit], several: set[tuple[Level, str]]) -> Document:
    """Make the document of an instance.

    Parameters
    ----------
    step : StoreStep
        The arrival.
    above : Document
        The members that it takes over from its series.
    edits : list of Edit
        Its edits.
    several : set of (Level, str)
        UIDs that name several entities.
    """
    new, key = step.new, step.place.instance
    own = {field: new.attributes.get(field) for field in _FIELDS} | {"sop_instance_uid": new.instance}
    attributes: Mapping[str, Value] = with_edits(own, edits)
    return {
        "_id": step.rows[Level.INSTANCE],
        "key": key,
        "uid": new.instance,
        "id": key if (Level.INSTANCE, new.instance) in several else new.instance,
        **above,
        **instance_fields(attributes),
        "origin": step.origin.id,
        "arrival": step.number,
        "attributes": to_json(attributes).decode(),
        "blob_key": new.blob.key,
        "size": new.blob.size,
        "sha256": new.blob.sha256,
        "received": new.received,
        "layout": to_json(dict(new.layout)).decode(),
        **({"natural": [list(step.natural)]} if step.natural else {}),
        **({"moved": True} if step.origin.moved and step.origin.moved.edits else {}),
    }


def _packed(step: StoreStep) -> list[Document]:
    data = zlib.compress(step.new.header, 1)
    pieces = [data[start : start + HEADER_PART] for start in range(0, len(data), HEADER_PART)]
    if len(pieces) > MAX_PARTS:
        raise TooLarge(
            f"the header of {step.new.instance} has {len(data)} bytes after compression; "
            f"at most {HEADER_PART * MAX_PARTS} can be stored"
        )
    return [{"_id": step.number * MAX_PARTS + n, "data": piece} for n, piece in enumerate(pieces)]
