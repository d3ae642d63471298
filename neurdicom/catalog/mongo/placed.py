"""Storing of arrivals in a catalog with moves: one after the other, each where the moves place it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from neurdicom.catalog.mongo.displaced import displaced_file, settle_displaced
from neurdicom.catalog.mongo.entities import refresh
from neurdicom.catalog.mongo.ids import show_ids
from neurdicom.catalog.mongo.origins import MovedOrigin, Origin
from neurdicom.catalog.mongo.ownership import (
    Claims,
    as_entries,
    follow_claims,
    forget_edits_of_gone,
    load_claims,
    rename,
    touch_claims,
    with_claim,
    write_claims,
)
from neurdicom.catalog.mongo.parts import SeriesPart, parts_below, parts_of, whole
from neurdicom.catalog.mongo.plan import StoreStep
from neurdicom.catalog.mongo.relocation import Relocation
from neurdicom.catalog.mongo.schema import Document, header_ids, inherited, natural_keys
from neurdicom.catalog.mongo.sites import ArrivalSite
from neurdicom.catalog.mongo.store import Arrivals, instance_document
from neurdicom.catalog.mongo.stored_moves import StoredMoves
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.moves import NaturalSeries, placement_edits
from neurdicom.catalog.outcomes import StoreOutcome
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.identity import Belonging, Place, belonging
from neurdicom.dicom.query.attributes import Level

_BELOW_PATIENT = (Level.STUDY, Level.SERIES, Level.INSTANCE)


class PlacedArrivals(Arrivals):
    """Writer of arrivals where moves place them."""

    async def _store_by_moves(
        self, origins: Mapping[int, Origin], found: Mapping[Level, list[Document]], claims: Mapping[str, Claims]
    ) -> list[StoreOutcome] | None:
        moves = StoredMoves(self.unit)
        if not await moves.are_any() or await _are_unmoved(moves, origins, found, claims):
            return None
        writers = [_PlacedArrival(self, moves, number, new, origins[number]) for number, new in self._arrivals.items()]
        outcomes = [await writer.store() for writer in writers]
        places = await _places(self.unit, [writer.key for writer in writers])
        return [
            outcome if outcome.status == "conflict" else replace(outcome, place=places.get(writer.key))
            for writer, outcome in zip(writers, outcomes, strict=True)
        ]


async def _are_unmoved(
    moves: StoredMoves,
    origins: Mapping[int, Origin],
    found: Mapping[Level, list[Document]],
    claims: Mapping[str, Claims],
) -> bool:
    """Tell whether moves concern neither arrivals nor the entities that have their UIDs."""
    if any("natural" in one or "fused" in one for ones in found.values() for one in ones):
        return False
    known = dict(claims)
    naturals = []
    for origin in origins.values():
        if origin.study not in known:
            continue
        owner = belonging(origin.claim, known[origin.study])
        if owner.moved_from is not None:
            return False
        known[origin.study] = with_claim(known[origin.study], origin.claim)
        naturals.append(NaturalSeries(owner.patient, origin.study, origin.series))
    await moves.look_up(naturals)
    return not any([(await moves.placement(natural)).via for natural in naturals])


async def _places(unit: UnitOfWork, keys: Collection[str]) -> dict[str, Place]:
    """Find where instances lie, by any of their keys."""
    wanted = set(keys)
    found: dict[str, Place] = {}
    uids = {key.partition("~")[0] for key in wanted}
    fields = ("uid", "key", "id", "patient", "above", "several", "natural")
    for one in await unit.among("instances", uids, *fields, by="uid"):
        shared = [Level(level) for level in one["several"]] + [Level.INSTANCE] * (one["id"] == one["key"])
        above = one["above"]
        place = Place(one["patient"], above["study"], above["series"], one["key"], frozenset(shared))
        found |= dict.fromkeys(wanted.intersection(natural_keys(Level.INSTANCE, one)), place)
    return found


class _PlacedArrival:
    """Writer of one arrival.

    Attributes
    ----------
    key : str
        Key of its instance, or of the one that keeps it out; set by `store`.
    """

    def __init__(
        self, arrivals: PlacedArrivals, moves: StoredMoves, number: int, new: NewInstance, origin: Origin
    ) -> None:
        self._arrivals = arrivals
        self._unit = arrivals.unit
        self._policy = arrivals.policy
        self._moves = moves
        self._number = number
        self._new = new
        self._origin = origin
        self.key = ""

    async def store(self) -> StoreOutcome:
        """Store the arrival; return its outcome, but for its place."""
        new, unit, moves = self._new, self._unit, self._moves
        claims = (await load_claims(unit, [new.study])).get(new.study, {})
        owner = belonging(self._origin.claim, claims)
        site = await ArrivalSite.find(unit, new, owner, moves)
        if left_out := site.left_out(self._policy):
            self.key = site.shown["key"] if site.shown else site.key
            unused = await self._arrivals.leave_out([left_out])
            key = new.blob.key
            left, aside = (key, unused[key]) if key in unused else (None, "")
            return StoreOutcome(left_out.status, left, None, left_out.refusal, aside)
        parts: list[SeriesPart] = []
        if owner.moved_from is not None:
            parts = await self._take_over(claims, owner.moved_from, owner.patient)
            claims = with_claim(claims, self._origin.claim)
            site = await ArrivalSite.find(unit, new, Belonging(owner.patient), moves)
        self.key = site.key
        outcome = await self._write(site, claims)
        await self._know(site, parts)
        return outcome

    # -- writing ---------------------------------------------------------------------------------------------

    async def _take_over(self, claims: Claims, former: str, patient: str) -> list[SeriesPart]:
        """Let another patient take over the study, wherever moves have placed its series; return its parts."""
        unit, study = self._unit, self._new.study
        studies = await self._moves.going_along(study, former, patient)
        rows = [one["_id"] for one in await unit.among("studies", studies, "_id", by="uid")]
        parts = await parts_below(unit, Level.STUDY, rows)
        named = await self._moves.where({"uids": {"$in": sorted(studies)}})
        moved_away = {one.path[2] for one in named if len(one.path) > 2}
        series = [one["_id"] for one in await unit.among("series", moved_away, "_id", by="uid")]
        parts = await whole(unit, [*parts, *await parts_below(unit, Level.SERIES, series)])
        going = {(former, uid) for uid in studies}
        parts = [
            part
            for part in parts
            if not going.isdisjoint(((part.natural.patient, part.natural.study), (part.owner, part.study)))
        ]
        before = await load_claims(unit, studies - {study}) | {study: claims}
        intent = Intent(moves=[(study, former, patient)])
        intent.claims = {uid: as_entries(before.get(uid, {})) for uid in studies}
        intent.origins = [part.id for part in parts]
        intent.touched = {(Level.PATIENT, former), (Level.PATIENT, patient)}
        await unit.announce(intent)
        await write_claims(unit, {study: with_claim(claims, self._origin.claim)})
        await follow_claims(unit, study, studies, former, patient)
        await rename(unit, self._moves, study, former, patient)
        await self._moves.forget_demographics()
        await Relocation(unit, self._moves).run(parts, rekey=True, know=False)
        await forget_edits_of_gone(unit, [former])
        return parts

    async def _write(self, site: ArrivalSite, claims: Claims) -> StoreOutcome:
        step = await self._step(site, claims)
        added = site.added()
        await self._announce(step, site, claims, added)
        await self._moves.touch(move.edit for move in site.placement.via)
        own = site.own.document if site.own else None
        if site.shown is None:
            await self._arrivals.write_new(step, added)
            outcome = StoreOutcome("stored")
        elif own is not None and own["_id"] == site.shown["_id"]:
            outcome = await self._instead(step, own)
        else:
            outcome = await self._beside(step, own, site.shown, comes_again=site.comes_again(self._policy))
        for level, uid in sorted(added):
            await show_ids(self._unit, level, uid)
        return outcome

    async def _step(self, site: ArrivalSite, claims: Claims) -> StoreStep:
        placement, natural = site.placement, site.natural
        edits = placement_edits(natural, placement, await self._moves.demographics(placement.patient))
        origin = replace(self._origin, moved=MovedOrigin.of(natural, placement, edits))
        rows = {Level.PATIENT: placement.patient} | {level: site.row(level, self._number) for level in _BELOW_PATIENT}
        place = Place(placement.patient, site.shown_key(Level.STUDY), site.shown_key(Level.SERIES), site.key)
        new_claims = None if self._origin.claim in claims else with_claim(claims, self._origin.claim)
        is_here = (natural.patient, natural.study) == (placement.patient, placement.study)
        path = None if is_here else (natural.patient, natural.study)
        return StoreStep(self._number, self._new, origin, place, rows, new_claims, None, site.own is not None, path)

    async def _announce(
        self, step: StoreStep, site: ArrivalSite, claims: Claims, added: set[tuple[Level, str]]
    ) -> None:
        touched = {(level, step.rows[level]) for level in Level.INSTANCE.above}
        keeps = self._policy.keep_versions and not site.comes_again(self._policy)
        intent = Intent(touched, arrivals=[self._number], uids=set(added), keeps_versions=keeps)
        if site.shown is not None:
            intent.uids.add((Level.INSTANCE, self._new.instance))
        if site.own is not None:
            intent.keys.append(site.own.document["blob_key"])
            intent.arrivals.append(site.own.document["arrival"])
        if step.claims is not None:
            intent.claims = {self._new.study: as_entries(claims)}
        await self._unit.announce(intent)

    async def _instead(self, step: StoreStep, own: Document) -> StoreOutcome:
        """Replace the earlier file of the arrival, which its instance shows."""
        series = step.rows[Level.SERIES]
        replaced = await self._arrivals.replace(step)
        if "fused" in own:
            await settle_displaced(self._unit, series, [self._new.instance])
            await refresh(self._unit, Level.SERIES, series)
        return replaced.outcome()

    async def _beside(
        self, step: StoreStep, own: Document | None, shown: Document, *, comes_again: bool
    ) -> StoreOutcome:
        """Write the arrival as a displaced file of an instance; then let that show the file that arrived last."""
        unit = self._unit
        series = await unit.one("series", shown["series"]) or {}
        await write_claims(unit, {} if step.claims is None else {self._new.study: step.claims})
        if step.claims is None:
            await touch_claims(unit, [self._new.study])
        if await unit.one("origins", step.origin.id) is None:
            document = step.origin.to_document(step.rows, self._number)
            await unit["origins"].insert_one(document, session=unit.session)
        instance = instance_document(step, inherited(Level.INSTANCE, series), [], set())
        await self._arrivals.write_headers([step], [instance])
        file = displaced_file(instance)
        file |= {"_id": file["_id"] if own is None else own["_id"]}
        await unit["displaced"].replace_one({"_id": file["_id"]}, file, upsert=True, session=unit.session)
        await settle_displaced(unit, series["_id"], [self._new.instance])
        await unit.remove("garbage", [self._new.blob.key])
        if own is not None:
            await unit.remove("headers", header_ids(own))
        await refresh(unit, Level.SERIES, series["_id"])
        if own is not None and comes_again:
            await unit.add_garbage({own["blob_key"]: ""})
            return StoreOutcome("replaced", own["blob_key"], previous=shown["sha256"])
        if own is not None:
            return (await self._arrivals.let_go(step, own)).outcome()
        after = await unit.one("instances", shown["_id"])
        if after is not None and after["arrival"] == self._number:
            return StoreOutcome("replaced", previous=shown["sha256"])
        return StoreOutcome("kept")

    async def _know(self, site: ArrivalSite, parts: Sequence[SeriesPart]) -> None:
        """Write demographics into the files moved to a patient, if they were unknown until this arrival."""
        unit, patient = self._unit, site.placement.patient
        is_elsewhere = patient != site.natural.patient
        if parts or (is_elsewhere and await self._moves.demographics(patient) is None):
            origins = await unit.among("origins", [self._origin.id, *(part.id for part in parts)])
            found = await whole(unit, await parts_of(unit, origins))
            await Relocation(unit, self._moves).run(found)
