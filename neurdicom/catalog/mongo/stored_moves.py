"""The collections of moves: one document for each edit, so that its moves are made and taken back in one step."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson

from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.moves import Move, NaturalSeries, Placement, placing, subject_of
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.takeover import going_along, renamed
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


class StoredMoves:
    """Store of the moves in force, and of the demographics that they write into files, for a unit of work.

    Parameters
    ----------
    unit : UnitOfWork
        The running write, or a snapshot to read.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit
        self._known: dict[str, list[Move]] = {}
        self._renamed: list[Document] = []
        self._demographics: dict[str, dict[str, Value] | None] = {}

    async def are_any(self) -> bool:
        """Tell whether there are moves."""
        found = await self._unit["moves"].find_one({}, {"_id": 1}, session=self._unit.session)
        return found is not None

    async def where(self, condition: Document) -> list[Move]:
        """List the moves of the edits that meet MongoDB's filter, in the order in which they were made."""
        return [_move(one) for one in await self._written(condition)]

    async def of(self, subjects: Collection[str]) -> list[Move]:
        """List the moves of subjects (`moves.subject_of`), in the order in which they were made."""
        found = await self._written({"subjects": {"$in": list(subjects)}}) if subjects else []
        return [_move(one) for one in found if subject_of(Level(one["level"]), *one["path"]) in subjects]

    async def _written(self, condition: Document) -> list[Document]:
        found = await self._unit.all("moves", condition)
        renamed = {one["_id"] for one in self._renamed}
        found = [*(one for one in found if one["_id"] not in renamed), *self._renamed]
        found.sort(key=lambda one: int(one["number"]))
        return [one for edit in found for one in edit["moves"]]

    async def placement(self, natural: NaturalSeries) -> Placement:
        """Find where a natural series lies."""
        await self.look_up([natural])
        search = placing(natural)
        subject = next(search)
        while True:
            await self._load(subject)
            try:
                subject = search.send(self._known[subject])
            except StopIteration as found:
                placement: Placement = found.value
                return placement

    async def look_up(self, naturals: Iterable[NaturalSeries]) -> None:
        """Look up the moves of several natural series at once, for `placement`."""
        subjects: dict[str, None] = {}
        for one in naturals:
            path = (one.patient, one.study, one.series)
            levels = (Level.PATIENT, Level.STUDY, Level.SERIES)
            subjects |= {subject_of(level, *path[:count]): None for count, level in enumerate(levels, 1)}
        await self._load(*subjects)

    async def _load(self, *subjects: str) -> None:
        missing = [one for one in subjects if one not in self._known]
        if missing:
            self._known |= {one: [] for one in missing}
            for move in await self.of(missing):
                self._known[move.subject].append(move)

    async def named(self, studies: Collection[str]) -> set[str]:
        """Select the Study Instance UIDs that moves name."""
        found = await self.where({"uids": {"$in": sorted(studies)}}) if studies else []
        return {uid for move in found for uid in move.studies} & set(studies)

    async def going_along(self, study: str, former: str, patient: str) -> set[str]:
        """Find the studies that go over to another patient with one (`takeover.going_along`).

        Parameters
        ----------
        study : str
            Study Instance UID.
        former, patient : str
            Ids of the patient until now, and from then on.
        """
        found, count = {study}, 0
        while len(found) > count:
            count = len(found)
            keys = [key_of(uid, each) for uid in sorted(found) for each in (former, patient)]
            found = going_along(await self.where({"studies": {"$in": keys}}), study, former, patient)
        return found

    async def after_takeover(self, studies: Collection[str], former: str, patient: str) -> "StoredMoves":
        """Return the moves as they would be if studies went over to another patient, to look up placements.

        Parameters
        ----------
        studies : collection of str
            Study Instance UIDs.
        former, patient : str
            Ids of the patient until now, and from then on.
        """
        after = StoredMoves(self._unit)
        for one in await self._unit.all("moves", _naming(studies, former)):
            moves = [renamed(_move(each), studies, former, patient) for each in one["moves"]]
            after._renamed.append(one | _members(moves))
        return after

    # -- demographics ----------------------------------------------------------------------------------------

    async def demographics(self, patient: str) -> dict[str, Value] | None:
        """Look up the demographics that files moved to a patient show."""
        if patient not in self._demographics:
            found = await self._unit.one("moved_patients", patient)
            self._demographics[patient] = orjson.loads(found["attributes"]) if found else None
        return self._demographics[patient]

    async def set_demographics(self, patient: str, attributes: Mapping[str, Value]) -> None:
        """Store the demographics that files moved to a patient show."""
        document = _of_patient(patient, attributes)
        await self._unit["moved_patients"].replace_one(
            {"_id": patient}, document, upsert=True, session=self._unit.session
        )
        self._demographics[patient] = orjson.loads(document["attributes"])

    async def settle_demographics(self, edit: str) -> None:
        """Store the demographics that an edit gives; if it was undone, or not made, delete those that no move needs."""
        found = await self._unit.one("moves", edit)
        if found is None:
            await self.forget_demographics()
        elif found["demographics"] is not None:
            given = found["demographics"]
            await self.set_demographics(given["_id"], orjson.loads(given["attributes"]))

    async def forget_demographics(self) -> None:
        """Delete the demographics of patients that nothing is moved to any more."""
        known = {one["_id"] for one in await self._unit.all("moved_patients", {}, "_id")}
        moved_to = await self._unit.all("moves", {"patients": {"$in": sorted(known)}}, "patients") if known else []
        left = {patient for one in moved_to for patient in one["patients"]}
        await self._unit.remove("moved_patients", known.difference(left))
        self._demographics.clear()

    # -- writing ---------------------------------------------------------------------------------------------

    async def put(
        self, number: int, moves: Sequence[Move], patient: str, demographics: Mapping[str, Value] | None
    ) -> None:
        """Store the moves of an edit, in one step.

        Parameters
        ----------
        number : int
            Number of the edit among those that moved something.
        moves : sequence of Move
            Its moves.
        patient : str
            Id of the patient that it moves to.
        demographics : Mapping[str, Value] or None
            What files claim from then on that were moved to that patient, if the edit changes it.
        """
        given = None if demographics is None else _of_patient(patient, demographics)
        document = {"_id": moves[0].edit, "number": number, "demographics": given, **_members(moves)}
        await self._unit["moves"].insert_one(document, session=self._unit.session)
        self._known.clear()

    async def remove(self, edit: str) -> bool:
        """Delete the moves of an edit, in one step; return False if there are none."""
        found = await self._unit["moves"].delete_one({"_id": edit}, session=self._unit.session)
        self._known.clear()
        return bool(found.deleted_count)

    async def touch(self, edits: Iterable[str]) -> None:
        """Make concurrent transactions that undo some edits conflict with this one, which placed files by them."""
        if self._unit.session is not None:
            where = {"_id": {"$in": sorted(set(edits))}}
            await self._unit["moves"].update_many(where, {"$inc": {"changes": 1}}, session=self._unit.session)

    async def rename(self, studies: Collection[str], former: str, patient: str) -> None:
        """Rename what moves are of, and the studies that series go to, where studies go over to another patient.

        Parameters
        ----------
        studies : collection of str
            Study Instance UIDs.
        former, patient : str
            Ids of the patient until now, and from now on.
        """
        for one in await self._unit.all("moves", _naming(studies, former)):
            before = [_move(each) for each in one["moves"]]
            after = [renamed(move, studies, former, patient) for move in before]
            if after != before:
                await self._unit["moves"].update_one(
                    {"_id": one["_id"]}, {"$set": _members(after)}, session=self._unit.session
                )
        self._known.clear()


def _naming(studies: Collection[str], patient: str) -> Document:
    """Write MongoDB's filter for the edits whose moves name studies of a patient."""
    uids = sorted(studies)
    return {"$or": [{"uids": {"$in": uids}}, {"studies": {"$in": [key_of(uid, patient) for uid in uids]}}]}


def _of_patient(patient: str, attributes: Mapping[str, Value]) -> Document:
    return {"_id": patient, "attributes": to_json(dict(attributes)).decode()}


def _members(moves: Sequence[Move]) -> Document:
    """Write the members of an edit's document that hold its moves, and those by which it is looked up."""
    indexed: dict[str, set[str]] = {name: set() for name in ("subjects", "patients", "studies", "uids")}
    for move in moves:
        indexed["subjects"].add(move.subject)
        indexed["patients"].add(move.patient)
        indexed["studies"].update((move.before, move.after))
        indexed["uids"].update(move.studies)
    return {"moves": [_document(move) for move in moves]} | {name: sorted(found) for name, found in indexed.items()}


def _document(move: Move) -> dict[str, Any]:
    # As text, since MongoDB can't store every value of a file.
    values = None if move.attributes is None else to_json(dict(move.attributes)).decode()
    return move.to_document() | {"attributes": values}


def _move(document: Document) -> Move:
    attributes = document["attributes"]
    return Move.from_document(document | {"attributes": None if attributes is None else orjson.loads(attributes)})
