"""Merges of patients, moves of studies and series, splits of studies, and their undo."""

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from neurdicom.archive.labels.service import LabelService
from neurdicom.archive.lookup import get_entity
from neurdicom.archive.move_requests import demographics_in
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.moves import Move, MovedSeries, MoveRequest
from neurdicom.catalog.records import Edit, Entity
from neurdicom.dicom.identity import PatientClaim, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.uids import new_uid, patient_key
from neurdicom.errors import Conflict, Invalid

log = logging.getLogger(__name__)


class MoveObserver(Protocol):
    """Observer of moves, which has records that name entities, such as results."""

    async def on_moved(self, moved: Sequence[MovedSeries]) -> None:
        """Update the records of natural series that lie somewhere else now; may be repeated."""


class MoveService:
    """Service that merges patients, moves studies and series, splits studies, and undoes all of this.

    The stored files are never changed: moves are stored in the catalog, and applied to every copy that is sent.

    Parameters
    ----------
    catalog : Catalog
        Has the entities and the moves.
    observer : MoveObserver
        Is called with the natural series that have moved.
    labels : LabelService
        Has the labels of patients.
    """

    def __init__(self, catalog: Catalog, observer: MoveObserver, labels: LabelService) -> None:
        self._catalog = catalog
        self._observer = observer
        self._labels = labels

    async def merge(self, patient: str, into: str, *, from_now_on: bool = False, user: str) -> Entity:
        """Give all studies of a patient to another one, and return the latter.

        The latter also gets the labels of the former, so that `protected` still counts, and keeps them after an undo.

        Parameters
        ----------
        patient, into : str
            Ids of the patients.
        from_now_on : bool
            True to let studies of the patient that come later follow.
        user : str
            The user who does it, recorded with the edit.

        Raises
        ------
        NotFound
            Nothing has one of the ids.
        Conflict
            They are the same patient.
        """
        former = await get_entity(self._catalog, Level.PATIENT, patient)
        target = await get_entity(self._catalog, Level.PATIENT, into, field="into")
        if former["id"] == target["id"]:
            raise Conflict("a patient can't be merged into itself", field="into")
        for label in await self._labels.of(Level.PATIENT, former["key"]):
            await self._labels.give(Level.PATIENT, target["key"], label, user=user)
        await self._move(Level.PATIENT, [former["key"]], user, patient=target["key"], from_now_on=from_now_on)
        return await get_entity(self._catalog, Level.PATIENT, target["key"])

    async def move_study(self, study: str, patient: str | Mapping[str, Any], *, user: str) -> Entity:
        """Give a study to another patient, and return it.

        Parameters
        ----------
        study : str
            Id of the study.
        patient : str or Mapping
            Id of a patient that is there; or attributes of a patient by field, who is made if nothing has this Patient
            ID and issuer (`archive.move_requests`).
        user : str
            The user who does it, recorded with the edit.

        Raises
        ------
        NotFound
            Nothing has one of the ids.
        Ambiguous
            The UID names several studies.
        Conflict
            The study is that patient's already.
        """
        moved = await get_entity(self._catalog, Level.STUDY, study)
        demographics = None
        if isinstance(patient, str):
            target = (await get_entity(self._catalog, Level.PATIENT, patient, field="patient"))["key"]
        else:
            demographics = demographics_in(patient)
            claim = PatientClaim.read("", demographics)
            target = patient_key(claim.patient_id, claim.issuer, uid_of(moved["key"]))
        if moved["patient"] == target:
            raise Conflict("the study is that patient's already", field="patient")
        await self._move(Level.STUDY, [moved["key"]], user, patient=target, demographics=demographics)
        return await get_entity(self._catalog, Level.STUDY, moved["key"])

    async def move_series(self, series: str, study: str, *, user: str) -> Entity:
        """Give a series to another study, and return it.

        Parameters
        ----------
        series, study : str
            Ids of the series and of the study.
        user : str
            The user who does it, recorded with the edit.

        Raises
        ------
        NotFound
            Nothing has one of the ids.
        Ambiguous
            A UID names several entities.
        Conflict
            The series is in that study already.
        """
        moved = await get_entity(self._catalog, Level.SERIES, series)
        target = await get_entity(self._catalog, Level.STUDY, study, field="study")
        if moved["study"] == target["id"]:
            raise Conflict("the series is in that study already", field="study")
        await self._move(Level.SERIES, [moved["key"]], user, study=target["key"])
        return await get_entity(self._catalog, Level.SERIES, moved["key"])

    async def split(self, study: str, series: Sequence[str], *, user: str) -> Entity:
        """Give series of a study to a new study of the same patient, and return that.

        Parameters
        ----------
        study : str
            Id of the study.
        series : sequence of str
            Ids of some of its series.
        user : str
            The user who does it, recorded with the edit.

        Raises
        ------
        NotFound
            Nothing has one of the ids.
        Ambiguous
            A UID names several entities.
        Invalid
            One of the series is of another study.
        Conflict
            Nothing would be left in the study.
        """
        whole = await get_entity(self._catalog, Level.STUDY, study)
        chosen = dict.fromkeys([await self._series_in(whole, one) for one in dict.fromkeys(series)])
        uid = new_uid()
        await self._move(Level.SERIES, chosen, user, study=uid, is_split=True)
        return await get_entity(self._catalog, Level.STUDY, uid)

    async def _series_in(self, study: Entity, series: str) -> str:
        """Return the key of a series of a study; an ambiguous UID means the one in this study."""
        found = await self._catalog.get(Level.SERIES, series) if series else None
        found = found or await get_entity(self._catalog, Level.SERIES, series, field="series")
        if found["study"] != study["id"]:
            raise Invalid(f"the series {series[:80]!r} is not of this study", field="series")
        return str(found["key"])

    async def _move(self, level: Level, entities: Iterable[str], user: str, **to: Any) -> None:
        """Move entities by their keys; `to` has the members of `MoveRequest` that name their new parent."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        request = MoveRequest(secrets.token_hex(16), level, tuple(entities), user=user, time=time, **to)
        moved = await self._catalog.move(request)
        await self._observer.on_moved(moved)
        log.info(
            "the %s %s went to %s, by %s: edit %s, %d series",
            *(request.level, ", ".join(request.entities), request.patient or request.study, request.user),
            *(request.edit, len(moved)),
        )

    # -- as edits --------------------------------------------------------------------------------------------

    async def history(self, level: Level, entity: str) -> list[Edit]:
        """List the moves of an entity as edits of its `patient` or `study`, the earliest first.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its key.
        """
        moves = {move.edit: move for move in reversed(await self._catalog.moves(level, entity))}
        studies = [key for move in moves.values() if move.level is Level.SERIES for key in (move.before, move.after)]
        ids = await self._catalog.ids(Level.STUDY, studies) if studies else {}
        found = [_as_edit(level, entity, move, ids) for move in moves.values()]
        return sorted(found, key=lambda edit: edit.time)

    async def undo(self, level: Level, entity: str, edit_id: str) -> bool:
        """Undo a merge, move or split of an entity; return False if it has no such edit.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its key.
        edit_id : str
            Id of the edit.
        """
        if edit_id not in {move.edit for move in await self._catalog.moves(level, entity)}:
            return False
        moved = await self._catalog.undo_move(edit_id)
        if moved is None:
            return False
        await self._observer.on_moved(moved)
        return True


def _as_edit(level: Level, entity: str, move: Move, ids: Mapping[str, str]) -> Edit:
    is_of_series = move.level is Level.SERIES
    field = Level.STUDY.value if is_of_series else Level.PATIENT.value
    before, after = (ids.get(one, one) if is_of_series else one for one in (move.before, move.after))
    return Edit(level, entity, field, after, move.user, move.time, before, move.edit)
