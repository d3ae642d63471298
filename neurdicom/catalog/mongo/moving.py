"""Merges, moves and splits: making, undoing and listing them.

An interrupted move is finished if the document of its edit was written, and else changes nothing. An interrupted undo
is finished if that document was deleted.
"""

from collections.abc import Sequence

import orjson

from neurdicom.catalog.mongo.demographics import claimed_demographics, said_of_study
from neurdicom.catalog.mongo.ownership import forget_claims, forget_edits_of_gone
from neurdicom.catalog.mongo.parts import SeriesPart, parts_below, parts_of, parts_via, whole
from neurdicom.catalog.mongo.references import keys_of, one_of
from neurdicom.catalog.mongo.relocation import Relocation
from neurdicom.catalog.mongo.schema import Document, natural_places
from neurdicom.catalog.mongo.stored_moves import StoredMoves
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.moves import Move, MovedSeries, MoveRequest, demographics_of, study_values, subject_of
from neurdicom.catalog.requested_moves import series_moves, study_moves
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, NotFound


async def move(unit: UnitOfWork, number: int, request: MoveRequest) -> list[MovedSeries]:
    """Move entities, for `MovingCatalog.move`."""
    return await _Mover(unit, request).move(number)


class _Mover:
    def __init__(self, unit: UnitOfWork, request: MoveRequest) -> None:
        self._unit = unit
        self._request = request
        self._moves = StoredMoves(unit)

    async def move(self, number: int) -> list[MovedSeries]:
        unit, request = self._unit, self._request
        found = [await self._one(request.level, entity) for entity in request.entities]
        parts = await parts_below(unit, request.level, [one["_id"] for one in found])
        if request.level is Level.SERIES:
            moves, patient = await self._of_series(found, parts)
        else:
            moves, patient = await self._of_studies(found[0], parts)
        demographics = None
        if request.demographics is not None:
            demographics = demographics_of(request.demographics)
            parts += await self._moved_to(patient)
        elif await self._moves.demographics(patient) is None:
            demographics = await claimed_demographics(unit, patient)
        parts = await whole(unit, parts)
        await unit.announce(Intent(moved=request.edit, origins=[part.id for part in parts]))
        await self._moves.put(number, moves, patient, demographics)
        if demographics is not None:
            await self._moves.set_demographics(patient, demographics)
        return await Relocation(unit, self._moves).run(parts)

    async def _one(self, level: Level, reference: str, *fields: str) -> Document:
        found = await one_of(self._unit, level, reference, "study", *fields)
        if found is None:
            raise NotFound(f"there is no {level} {reference[:80]!r}")
        return found

    async def _of_studies(self, entity: Document, parts: Sequence[SeriesPart]) -> tuple[list[Move], str]:
        """Make the moves of a study, or of a patient and its studies; return them, and the patient that they go to."""
        request, former = self._request, parts[0].patient
        there = await one_of(self._unit, Level.PATIENT, request.patient)
        patient = request.patient if there is None else str(there["_id"])
        if former == patient:
            raise Conflict(f"the {request.level} {request.entities[0][:80]!r} is there already")
        if there is None and request.demographics is None:
            raise NotFound(f"there is no patient {request.patient[:80]!r}")
        return study_moves(request, former, patient, ((part.owner, part.study) for part in parts)), patient

    async def _of_series(self, found: Sequence[Document], parts: Sequence[SeriesPart]) -> tuple[list[Move], str]:
        """Make the moves of series; return them, and the patient that they go to."""
        request = self._request
        if len({one["study"] for one in found}) > 1:
            raise Conflict("the series are of several studies; split one study at a time")
        here = await self._unit.one("studies", found[0]["study"])
        if here is None:
            raise NotFound(f"there is no study of the series {request.entities[0][:80]!r}")
        if request.is_split:
            all_series = {one["_id"] for one in await self._unit.all("series", {"study": here["_id"]}, "_id")}
            if all_series <= {one["_id"] for one in found}:
                raise Conflict("a split of all series would leave nothing in the study")
            patient, study, owner = here["patient"], request.study, here["patient"]
            values = study_values(orjson.loads(here["attributes"]))
        else:
            target = await self._one(Level.STUDY, request.study)
            if target["_id"] == here["_id"]:
                raise Conflict(f"the series {request.entities[0][:80]!r} is there already")
            patient, study, owner = target["patient"], target["uid"], natural_places(Level.STUDY, target)[0][0]
            values = study_values(await said_of_study(self._unit, target["_id"]))
        naturals = (part.natural for part in parts)
        return series_moves(request, naturals, (owner, study), values, here["key"]), patient

    async def _moved_to(self, patient: str) -> list[SeriesPart]:
        """List the parts that moves have brought to a patient."""
        studies = [one["_id"] for one in await self._unit.all("studies", {"patient": patient}, "_id")]
        origins = await self._unit.among("origins", studies, by="study")
        return await parts_of(self._unit, [one for one in origins if "moved" in one])


async def undo(unit: UnitOfWork, edit: str) -> list[MovedSeries] | None:
    """Undo moves, for `MovingCatalog.undo_move`."""
    moves = StoredMoves(unit)
    removed = await moves.where({"_id": edit})
    if not removed:
        return None
    parts = await whole(unit, await parts_via(unit, edit))
    studies = {uid for move in removed for uid in move.studies}
    uids = {(Level.STUDY, uid) for uid in studies}
    await unit.announce(Intent(moved=edit, origins=[part.id for part in parts], uids=uids))
    await moves.remove(edit)
    moved = await Relocation(unit, moves).run(parts)
    await moves.forget_demographics()
    await forget_claims(unit, studies, ())
    return moved


async def settle_moves(unit: UnitOfWork, intent: Intent) -> None:
    """Finish or undo the moves and takeovers of an interrupted write; may be repeated."""
    moves = StoredMoves(unit)
    if intent.moved:
        await moves.settle_demographics(intent.moved)
    if intent.moves:
        await moves.forget_demographics()
    parts = await parts_of(unit, await unit.among("origins", intent.origins))
    await Relocation(unit, moves, intent.touched).run(await whole(unit, parts), rekey=bool(intent.moves))
    await forget_edits_of_gone(unit, [former for _, former, _ in intent.moves])
    if intent.moved:
        await forget_claims(unit, {uid for level, uid in intent.uids if level is Level.STUDY}, ())


async def moves_of(unit: UnitOfWork, level: Level, reference: str) -> list[Move]:
    """List the moves of an entity, for `MovingCatalog.moves`."""
    entity = await one_of(unit, level, reference)
    stored = StoredMoves(unit)
    if entity is None or level is Level.INSTANCE or not await stored.are_any():
        return []
    if level is Level.PATIENT:
        into = await stored.where({"patients": {"$in": [entity["_id"]]}})
        return [one for one in into if one.level is Level.PATIENT and one.patient == entity["_id"]]
    if level is Level.SERIES:
        paths = [(*place, entity["uid"]) for place in natural_places(level, entity)]
        return await stored.of([subject_of(level, *path) for path in paths])
    subjects = [subject_of(level, *place, entity["uid"]) for place in natural_places(level, entity)]
    keys = await keys_of(unit, level, entity["key"])
    found = await stored.where({"$or": [{"subjects": {"$in": subjects}}, {"studies": {"$in": keys}}]})
    return [one for one in found if one.subject in subjects or _is_of_series_at(one, keys)]


def _is_of_series_at(move: Move, keys: Sequence[str]) -> bool:
    """Tell whether a move took a series out of the study with some keys, or is a split that made it."""
    return move.level is Level.SERIES and (move.before in keys or (move.is_split and move.after in keys))


async def merged_into(unit: UnitOfWork, patient: str) -> str | None:
    """Follow the merges of an absent patient, for `MovingCatalog.merged_into`."""
    stored, seen = StoredMoves(unit), set[str]()
    while await unit.one("patients", patient) is None:
        seen.add(patient)
        moves = await stored.of([subject_of(Level.PATIENT, patient)])
        if not moves or moves[-1].patient in seen:
            return None
        patient = moves[-1].patient
    return patient if seen else None
