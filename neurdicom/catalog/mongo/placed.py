"""Storing of arrivals where moves have placed something: one after the other, each with a look where it lies."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from neurdicom.catalog.mongo.demographics import new_demographics
from neurdicom.catalog.mongo.displaced import displaced_file, settle_displaced
from neurdicom.catalog.mongo.entities import refresh
from neurdicom.catalog.mongo.ids import free_row, show_ids
from neurdicom.catalog.mongo.origins import MovedOrigin, Origin
from neurdicom.catalog.mongo.ownership import (
    Claims,
    as_entries,
    load_claims,
    rename_edits,
    touch_claims,
    with_claim,
    write_claims,
)
from neurdicom.catalog.mongo.parts import parts_below, whole
from neurdicom.catalog.mongo.plan import LeftOut, StoreStep
from neurdicom.catalog.mongo.relocation import Relocation
from neurdicom.catalog.mongo.schema import Document, collection, header_ids, inherited, natural_keys
from neurdicom.catalog.mongo.store import Arrivals, instance_document
from neurdicom.catalog.mongo.stored_moves import StoredMoves
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.moves import NaturalSeries, Placement, placement_edits
from neurdicom.catalog.outcomes import Refusal, Status, StoreOutcome
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.identity import Belonging, Place, belonging, key_of
from neurdicom.dicom.query.attributes import Level

_BELOW_PATIENT = (Level.STUDY, Level.SERIES, Level.INSTANCE)


@dataclass(frozen=True, slots=True)
class ArrivalSite:
    """Where an arrival lies, and what is there.

    Attributes
    ----------
    placement : Placement
        Where it lies by the moves.
    keys : Mapping[Level, str]
        Keys that its study, series and instance have by it.
    named : Mapping[Level, list of Document]
        The entities that have their UIDs.
    there : Mapping[Level, Document or None]
        Those of them where it lies.
    own : Document or None
        The file that is there of its natural instance.
    is_shown : bool
        True if that is the one that the instance shows.
    """

    placement: Placement
    keys: Mapping[Level, str]
    named: Mapping[Level, list[Document]]
    there: Mapping[Level, Document | None]
    own: Document | None
    is_shown: bool

    @property
    def shown(self) -> Document | None:
        """The instance that is there."""
        return self.there[Level.INSTANCE]

    def row(self, level: Level, number: int) -> str:
        """Return the `_id` of its study, series or instance; a free one if it is new."""
        known = self.there[level]
        if known is not None:
            return str(known["_id"])
        return free_row(self.keys[level], {one["_id"] for one in self.named[level]}, number)

    def key(self, level: Level) -> str:
        """Return the key of its study or series."""
        known = self.there[level]
        return self.keys[level] if known is None else str(known["key"])

    @classmethod
    async def find(
        cls, unit: UnitOfWork, new: NewInstance, natural: NaturalSeries, placement: Placement
    ) -> "ArrivalSite":
        """Look up what is where an arrival lies.

        Parameters
        ----------
        unit : UnitOfWork
            The running write.
        new : NewInstance
            The arrival.
        natural : NaturalSeries
            Where its file says that it lies.
        placement : Placement
            Where it lies.
        """
        key = f"{new.instance}~{natural.below}"
        keys = {Level.STUDY: placement.study_key, Level.SERIES: natural.key, Level.INSTANCE: key}
        uids = {Level.STUDY: placement.study, Level.SERIES: new.series, Level.INSTANCE: new.instance}
        named = {level: await unit.all(collection(level), {"uid": uid}) for level, uid in uids.items()}
        study = next((one for one in named[Level.STUDY] if one["patient"] == placement.patient), None)
        series = next((one for one in named[Level.SERIES] if study and one["study"] == study["_id"]), None)
        shown = next((one for one in named[Level.INSTANCE] if series and one["series"] == series["_id"]), None)
        there = {Level.STUDY: study, Level.SERIES: series, Level.INSTANCE: shown}
        if shown is None or shown["key"] == key:
            return cls(placement, keys, named, there, shown, shown is not None)
        others = await unit.all("displaced", {"series": shown["series"], "uid": new.instance})
        own = next((one for one in others if one["key"] == key), None)
        return cls(placement, keys, named, there, own, False)


class PlacedArrivals(Arrivals):
    """Writer of arrivals that heeds moves."""

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
    """Tell whether moves have nothing to do with arrivals, nor with what has their UIDs."""
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
        A key of its instance, or of the one that stays instead, afterwards.
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
        new, unit = self._new, self._unit
        claims = (await load_claims(unit, [new.study])).get(new.study, {})
        owner = belonging(self._origin.claim, claims)
        natural = NaturalSeries(owner.moved_from or owner.patient, new.study, new.series)
        site = await self._site(natural, owner)
        if left_out := self._left_out(site) or self._meets_others(site):
            if site.own is None and site.shown is not None:
                self.key = site.shown["key"]
            unused = await self._arrivals.leave_out([left_out])
            key = new.blob.key
            left, aside = (key, unused[key]) if key in unused else (None, "")
            return StoreOutcome(left_out.status, left, None, left_out.refusal, aside)
        if owner.moved_from is not None:
            await self._take_over(claims, owner.moved_from, owner.patient)
            claims = with_claim(claims, self._origin.claim)
            natural = replace(natural, patient=owner.patient)
            site = await self._site(natural, Belonging(owner.patient))
        return await self._write(natural, site, claims)

    async def _site(self, natural: NaturalSeries, owner: Belonging) -> ArrivalSite:
        """Look where the arrival lies; the moves of a study that goes over are those of the patient that it had."""
        self.key = f"{self._new.instance}~{natural.below}"
        site = await ArrivalSite.find(self._unit, self._new, natural, await self._moves.placement(natural))
        if owner.moved_from is None:
            return site
        after = replace(natural, patient=owner.patient)
        keys = {**site.keys, Level.SERIES: after.key, Level.INSTANCE: f"{self._new.instance}~{after.below}"}
        if not site.placement.via:
            keys[Level.STUDY] = key_of(natural.study, owner.patient)
        return replace(site, keys=keys)

    # -- deciding --------------------------------------------------------------------------------------------

    def _left_out(self, site: ArrivalSite) -> LeftOut | None:
        """Decide whether a file that is there stays instead."""
        other = site.own or (site.shown if self._policy.same_instance in ("keep", "refuse") else None)
        if other is None:
            return None
        if other["sha256"] == self._new.blob.sha256:
            return self._unstored("duplicate")
        if self._policy.same_instance in ("keep", "earlier"):
            return self._unstored("kept")
        if self._policy.same_instance == "refuse" and site.shown is not None:
            return self._refused(Level.INSTANCE, [site.shown], same_place=True)
        return None

    def _meets_others(self, site: ArrivalSite) -> LeftOut | None:
        """Refuse what is new while its UID is elsewhere, if the policy says so, or keys agree."""
        for level in _BELOW_PATIENT:
            own = site.there[level]
            others = [one for one in site.named[level] if one is not own]
            same_key = [one for one in others if site.keys[level] in natural_keys(level, one)]
            if same_key or (self._policy.conflicts == "refuse" and own is None and others):
                return self._refused(level, same_key or others)
        return None

    def _unstored(self, status: Status, refusal: Refusal | None = None) -> LeftOut:
        return LeftOut(status, self._new, None, refusal)

    def _refused(self, level: Level, there: Sequence[Document], *, same_place: bool = False) -> LeftOut:
        order = "arrival" if level is Level.INSTANCE else "source"
        ones = sorted(there, key=lambda one: int(one[order]))
        holders, patients = tuple(one["id"] for one in ones), tuple(one["patient"] for one in ones)
        return self._unstored("conflict", Refusal(level, ones[0]["uid"], holders, patients, same_place))

    # -- writing ---------------------------------------------------------------------------------------------

    async def _take_over(self, claims: Claims, former: str, patient: str) -> None:
        """Let the study go over to another patient, wherever moves have placed what is in it."""
        unit, study = self._unit, self._new.study
        rows = [one["_id"] for one in await unit.all("studies", {"uid": study}, "_id")]
        parts = await parts_below(unit, Level.STUDY, rows)
        moved_away = [one.path[2] for one in await self._moves.where({"uids": {"$in": [study]}}) if len(one.path) > 2]
        series = [one["_id"] for one in await unit.among("series", set(moved_away), "_id", by="uid")]
        parts = await whole(unit, [*parts, *await parts_below(unit, Level.SERIES, series)])
        parts = [
            part
            for part in parts
            if (former, study) in ((part.natural.patient, part.natural.study), (part.owner, part.study))
        ]
        intent = Intent(claims={study: as_entries(claims)}, moves=[(study, former, patient)])
        intent.origins = [part.id for part in parts]
        intent.touched = {(Level.PATIENT, former), (Level.PATIENT, patient)}
        await unit.announce(intent)
        await write_claims(unit, {study: with_claim(claims, self._origin.claim)})
        await rename_edits(unit, study, former, patient)
        await self._moves.rename(study, former, patient)
        if await self._moves.demographics(former) is not None:
            known = await new_demographics(unit, self._moves, patient, self._new.attributes)
            if known is not None:
                await self._moves.set_demographics(patient, known)
        await Relocation(unit, self._moves).run(parts, rekey=True)

    async def _write(self, natural: NaturalSeries, site: ArrivalSite, claims: Claims) -> StoreOutcome:
        step = await self._step(natural, site, claims)
        added = {(level, site.keys[level].partition("~")[0]) for level in _BELOW_PATIENT if _is_one_more(site, level)}
        await self._announce(step, site, claims, added)
        await self._moves.touch(move.edit for move in site.placement.via)
        if site.shown is None or site.is_shown:
            outcome = await self._alone(step, site, added)
        else:
            outcome = await self._beside(step, site, site.shown)
        for level, uid in sorted(added):
            await show_ids(self._unit, level, uid)
        return outcome

    async def _step(self, natural: NaturalSeries, site: ArrivalSite, claims: Claims) -> StoreStep:
        placement = site.placement
        edits = placement_edits(natural, placement, await self._moves.demographics(placement.patient))
        origin = replace(self._origin, moved=MovedOrigin.of(natural, placement, edits))
        rows = {Level.PATIENT: placement.patient} | {level: site.row(level, self._number) for level in _BELOW_PATIENT}
        place = Place(placement.patient, site.key(Level.STUDY), site.key(Level.SERIES), site.keys[Level.INSTANCE])
        new_claims = None if self._origin.claim in claims else with_claim(claims, self._origin.claim)
        is_here = (natural.patient, natural.study) == (placement.patient, placement.study)
        path = None if is_here else (natural.patient, natural.study)
        return StoreStep(self._number, self._new, origin, place, rows, new_claims, None, site.own is not None, path)

    async def _announce(
        self, step: StoreStep, site: ArrivalSite, claims: Claims, added: set[tuple[Level, str]]
    ) -> None:
        touched = {(level, step.rows[level]) for level in Level.INSTANCE.above}
        intent = Intent(touched, arrivals=[self._number], uids=set(added), keeps_versions=self._policy.keep_versions)
        if site.shown is not None:
            intent.uids.add((Level.INSTANCE, self._new.instance))
        if site.own is not None:
            intent.keys.append(site.own["blob_key"])
            intent.arrivals.append(site.own["arrival"])
        if step.claims is not None:
            intent.claims = {self._new.study: as_entries(claims)}
        await self._unit.announce(intent)

    async def _alone(self, step: StoreStep, site: ArrivalSite, added: set[tuple[Level, str]]) -> StoreOutcome:
        """Write an instance that is new, or shows the earlier file of the arrival."""
        if site.own is None:
            await self._arrivals.write_new(step, added)
            return StoreOutcome("stored")
        replaced = await self._arrivals.replace(step)
        if "fused" in site.own:
            await settle_displaced(self._unit, step.rows[Level.SERIES], [self._new.instance])
            await refresh(self._unit, Level.SERIES, step.rows[Level.SERIES])
        return replaced.outcome()

    async def _beside(self, step: StoreStep, site: ArrivalSite, shown: Document) -> StoreOutcome:
        """Write a file of an instance that shows the file of another; then show the one that arrived last."""
        unit, series, own = self._unit, site.there[Level.SERIES] or {}, site.own
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
        if own is not None:
            return (await self._arrivals.let_go(step, own)).outcome()
        after = await unit.one("instances", shown["_id"])
        if after is not None and after["arrival"] == self._number:
            return StoreOutcome("replaced", previous=shown["sha256"])
        return StoreOutcome("kept")


def _is_one_more(site: ArrivalSite, level: Level) -> bool:
    """Tell whether an arrival makes one more entity of a UID that something has."""
    return site.there[level] is None and bool(site.named[level])
