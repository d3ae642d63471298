"""Relocation of natural series: their instances go to the series, study and patient where moves place them.

It depends on the moves, the claims and the origins alone, so that another relocation of the same origins finishes, or
undoes, an interrupted one. Instances are moved before their origins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import UpdateOne

from neurdicom.catalog.mongo.demographics import claimed_demographics
from neurdicom.catalog.mongo.displaced import settle_displaced
from neurdicom.catalog.mongo.entities import build, modalities_fields, naming, refresh_all
from neurdicom.catalog.mongo.ids import free_row, show_ids
from neurdicom.catalog.mongo.origins import MovedOrigin, said_by
from neurdicom.catalog.mongo.parts import SeriesPart, naturals_by_claims, parts_of
from neurdicom.catalog.mongo.schema import Document, collection, inherited
from neurdicom.catalog.mongo.stored_moves import StoredMoves
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.moves import MovedSeries, NaturalSeries, Placement, placement_edits
from neurdicom.catalog.shown import merged
from neurdicom.dicom.identity import key_of, uid_of
from neurdicom.dicom.query.attributes import Level

_BATCH = 1000
_SHARED = {"$regex": "~"}
#: End of the temporary ids of new entities; ids are unique.
_NEW = "#"


@dataclass(frozen=True, slots=True)
class NaturalGroup:
    """Parts of a natural series, and the place where they lie from now on.

    Attributes
    ----------
    natural : NaturalSeries
        The series, by the claims as they are now.
    parts : sequence of SeriesPart
        Its parts; they lie in one series, but for those of an interrupted write.
    placement : Placement
        Where they lie from now on.
    moved : MovedOrigin or None
        The placement as their origins store it.
    """

    natural: NaturalSeries
    parts: Sequence[SeriesPart]
    placement: Placement
    moved: MovedOrigin | None

    @property
    def row(self) -> str:
        """`_id` of the series where they lie until now."""
        return self.parts[0].series_row

    @property
    def rows(self) -> list[str]:
        """`_id`s of all series where some of them lie until now."""
        return sorted({part.series_row for part in self.parts})

    @property
    def stays(self) -> bool:
        """True if they lie there already."""
        there = (self.placement.patient, self.placement.study)
        return all((part.patient, part.study) == there for part in self.parts)

    @property
    def first(self) -> int:
        """Number of their earliest arrival."""
        return int(self.parts[0].origin["first"])

    @property
    def place(self) -> list[str]:
        """Id of the patient and UID of the study that their files name."""
        return [self.natural.patient, self.natural.study]


class Relocation:
    """Relocation of natural series within one write.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    moves : StoredMoves
        The moves in force.
    touched : iterable of (Level, str)
        Levels and `_id`s of entities to update too: those that an interrupted relocation made, or left.
    """

    def __init__(self, unit: UnitOfWork, moves: StoredMoves, touched: Iterable[tuple[Level, str]] = ()) -> None:
        self._unit = unit
        self._moves = moves
        self._studies: dict[tuple[str, str], Document] = {}
        self._series: dict[str, Document] = {}
        self._taken: dict[tuple[Level, str], set[str]] = {}
        self._touched = set(touched)
        #: Series where an interrupted relocation may have left instances without their origins.
        self._searched = {row for level, row in self._touched if level is Level.SERIES}
        self._uids: set[tuple[Level, str]] = set()

    async def run(self, parts: Sequence[SeriesPart], *, rekey: bool = False, know: bool = True) -> list[MovedSeries]:
        """Place parts by the moves in force; return the natural series that lie somewhere else than before.

        Parameters
        ----------
        parts : sequence of SeriesPart
            All parts of some natural series.
        rekey : bool
            True if the claims on their studies may have changed, and their keys with them.
        know : bool
            False if the demographics of a patient that files are moved to may stay unknown.
        """
        if not parts:
            return []
        groups = await self._groups(parts)
        before = await self._keys({group.row for group in groups})
        await self._find_studies(groups)
        rows = [await self._row(group) for group in groups]
        await self._announce(groups, rows)
        for group, row in zip(groups, rows, strict=True):
            await self._give(group, row)
            if rekey:
                await self._rekey(group, row)
        for row in sorted({*rows, *(row for group in groups for row in group.rows)}):
            await settle_displaced(self._unit, row)
        await self._free_ids()
        await refresh_all(self._unit, self._touched, force=rekey, keep_edits=True)
        for level, uid in sorted(self._uids):
            await show_ids(self._unit, level, uid)
        after = await self._keys(set(rows))
        if know:
            await self._know(groups)
        return [
            MovedSeries(group.natural.key, *after[row], before[group.row])
            for group, row in zip(groups, rows, strict=True)
            if row in after and group.row in before and (after[row] != before[group.row] or _is_renamed(group))
        ]

    async def _groups(self, parts: Sequence[SeriesPart]) -> list[NaturalGroup]:
        naturals = await naturals_by_claims(self._unit, parts)
        of: dict[NaturalSeries, list[SeriesPart]] = {}
        for part in parts:
            of.setdefault(naturals[part.id], []).append(part)
        groups = []
        for natural, own in of.items():
            placement = await self._moves.placement(natural)
            edits = placement_edits(natural, placement, await self._moves.demographics(placement.patient))
            groups.append(NaturalGroup(natural, own, placement, MovedOrigin.of(natural, placement, edits)))
        return groups

    async def _know(self, groups: Sequence[NaturalGroup]) -> None:
        """Write the demographics of patients into the files moved to them, if they were unknown until now."""
        elsewhere = {group.placement.patient for group in groups if group.placement.patient != group.natural.patient}
        missing = {patient for patient in elsewhere if await self._moves.demographics(patient) is None}
        for patient in sorted(missing):
            await self._moves.set_demographics(patient, await claimed_demographics(self._unit, patient))
        if missing:
            ids = [part.id for group in groups if group.placement.patient in missing for part in group.parts]
            parts = await parts_of(self._unit, await self._unit.among("origins", ids))
            await Relocation(self._unit, self._moves).run(parts, know=False)

    async def _keys(self, rows: Iterable[str]) -> dict[str, tuple[str, str, str]]:
        """Look up the keys of series, their studies and their patients, by `_id`."""
        found = await self._unit.among("series", rows, "key", "above", "patient")
        return {one["_id"]: (one["key"], one["above"]["study"], one["patient"]) for one in found}

    # -- rows ------------------------------------------------------------------------------------------------

    async def _find_studies(self, groups: Sequence[NaturalGroup]) -> None:
        """Look up the studies and series that have the UIDs of the groups."""
        uids = {group.placement.study for group in groups}
        for one in await self._unit.among("studies", uids, by="uid"):
            self._studies[one["patient"], one["uid"]] = one
            self._taken.setdefault((Level.STUDY, one["uid"]), set()).add(one["_id"])
        for one in await self._unit.among("series", {group.natural.series for group in groups}, by="uid"):
            self._series[one["_id"]] = one
            self._taken.setdefault((Level.SERIES, one["uid"]), set()).add(one["_id"])

    async def _row(self, group: NaturalGroup) -> str:
        """Choose the series where a group lies from now on."""
        if group.stays and group.row in self._series:
            return group.row
        study = self._study(group)
        uid = group.natural.series
        known = self._series.values()
        there = next((one["_id"] for one in known if (one["study"], one["uid"]) == (study["_id"], uid)), None)
        if there is not None:
            return str(there)
        row = self._free_row(Level.SERIES, group.natural.key, group.first)
        shown = merged(Level.SERIES, said_by([part.origin for part in group.parts]))
        document = build(Level.SERIES, naming(row, group.natural.key, f"{row}{_NEW}"), study, shown, group.first)
        self._series[row] = document | {"origin": "", "origin_first": 0, "new": True}
        return row

    def _study(self, group: NaturalGroup) -> Document:
        placement = group.placement
        known = self._studies.get((placement.patient, placement.study))
        if known is not None:
            return known
        row = self._free_row(Level.STUDY, placement.study_key, group.first)
        shown = merged(Level.STUDY, said_by([part.origin for part in group.parts]))
        named = naming(row, placement.study_key, f"{row}{_NEW}")
        document = build(Level.STUDY, named, {"_id": placement.patient}, shown, group.first)
        made = document | modalities_fields(()) | {"new": True}
        self._studies[placement.patient, placement.study] = made
        return made

    def _free_row(self, level: Level, key: str, number: int) -> str:
        taken = self._taken.setdefault((level, uid_of(key)), set())
        row = free_row(key, taken, number)
        taken.add(row)
        return row

    async def _announce(self, groups: Sequence[NaturalGroup], rows: Sequence[str]) -> None:
        """Write the journal entry, then make the new studies and series."""
        for group, row in zip(groups, rows, strict=True):
            series = self._series[row]
            self._touched |= {(Level.SERIES, row), (Level.STUDY, series["study"])}
            self._touched.add((Level.PATIENT, group.placement.patient))
            self._uids |= {(Level.SERIES, group.natural.series), (Level.STUDY, group.placement.study)}
            for part in group.parts:
                self._touched |= {(Level.SERIES, part.series_row), (Level.STUDY, part.study_row)}
                self._touched.add((Level.PATIENT, part.patient))
                self._uids.add((Level.STUDY, part.study))
        self._uids |= await self._uids_of_several({*rows, *(row for group in groups for row in group.rows)})
        origins = [part.id for group in groups for part in group.parts]
        await self._unit.announce(Intent(touched=set(self._touched), uids=set(self._uids), origins=origins))
        for level, made in ((Level.STUDY, self._studies.values()), (Level.SERIES, self._series.values())):
            for one in made:
                if one.pop("new", False):
                    await self._unit[collection(level)].insert_one(one, session=self._unit.session)

    async def _uids_of_several(self, series: Iterable[str]) -> set[tuple[Level, str]]:
        """List the SOP Instance UIDs in series that name several instances, or have displaced files."""
        found = await self._unit.among("displaced", series, "uid", by="series")
        for row in sorted(series):
            found += await self._unit.all("instances", {"series": row, "id": _SHARED}, "uid")
        return {(Level.INSTANCE, one["uid"]) for one in found}

    async def _free_ids(self) -> None:
        """Replace ids that are keys by temporary ones where the keys may change; ids are unique."""
        for level in (Level.STUDY, Level.SERIES):
            rows = [row for each, row in self._touched if each is level]
            operations: list[Any] = [
                UpdateOne({"_id": one["_id"]}, {"$set": {"id": f"{one['_id']}{_NEW}"}})
                for one in await self._unit.among(collection(level), rows, "id", "key")
                if one["id"] == one["key"]
            ]
            await self._unit.bulk(collection(level), operations)

    # -- writing ---------------------------------------------------------------------------------------------

    async def _give(self, group: NaturalGroup, row: str) -> None:
        """Move the instances of a group, shown and displaced, to a series; then its origins."""
        unit, series, ids = self._unit, self._series[row], [part.id for part in group.parts]
        rows = sorted(self._searched.union(group.rows))
        where: Document = {"series": {"$in": rows}, "origin": {"$in": ids}}
        changed: Document = inherited(Level.INSTANCE, series)
        gone = {} if "also" in changed else {"also": ""}
        if group.moved and group.moved.edits:
            changed["moved"] = True
        else:
            gone["moved"] = ""
        of_displaced = {"$set": {"series": row, "natural": [group.place]}}
        await unit["displaced"].update_many(where, of_displaced, session=unit.session)
        # A fused instance keeps the natural places of all its files until `settle_displaced`.
        await unit["instances"].update_many(
            where | {"fused": {"$exists": True}}, _changes(changed, gone), session=unit.session
        )
        if group.place == [group.placement.patient, group.placement.study]:
            gone["natural"] = ""
        else:
            changed["natural"] = [group.place]
        # The fused ones above already have the new `series`, so that `where` no longer finds them if it has changed.
        alone = where | {"fused": {"$exists": False}}
        await unit["instances"].update_many(alone, _changes(changed, gone), session=unit.session)
        moved = {"$set": {"moved": group.moved.to_document()}} if group.moved else {"$unset": {"moved": ""}}
        of_rows: Document = {"series": row, "study": series["study"]}
        moved.setdefault("$set", {}).update(of_rows)
        await unit["origins"].update_many({"_id": {"$in": ids}}, moved, session=unit.session)

    async def _rekey(self, group: NaturalGroup, row: str) -> None:
        """Give the instances of a group the keys that follow from the present claims."""
        place = group.place
        for name in ("instances", "displaced"):
            where = {"series": row, "origin": {"$in": [part.id for part in group.parts]}}
            operations: list[Any] = []
            for one in await self._unit.all(name, where, "uid", "key", "natural"):
                key = key_of(one["uid"], *place, group.natural.series)
                changed: Document = {"key": key} if one["key"] != key else {}
                if "natural" in one and one["natural"][0] != place:
                    changed["natural"] = [place, *one["natural"][1:]]
                if changed:
                    operations.append(UpdateOne({"_id": one["_id"]}, {"$set": changed}))
            for start in range(0, len(operations), _BATCH):
                await self._unit.bulk(name, operations[start : start + _BATCH])


def _changes(changed: Document, gone: Mapping[str, str]) -> Document:
    return {"$set": changed} | ({"$unset": dict(gone)} if gone else {})


def _is_renamed(group: NaturalGroup) -> bool:
    return group.natural != group.parts[0].natural
