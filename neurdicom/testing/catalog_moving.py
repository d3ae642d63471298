"""Merges, moves and splits in the model of the archive port."""

from dataclasses import replace

from neurdicom.catalog.moves import (
    DisplacedFile,
    Move,
    MovedSeries,
    MoveRequest,
    demographics_of,
    study_values,
)
from neurdicom.catalog.shown import merged
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, NotFound
from neurdicom.testing.catalog_model import CatalogModel
from neurdicom.testing.catalog_placement import Path, key_of_path


class MovingModel(CatalogModel):
    """Model of a catalog whose patients, studies and series are moved."""

    def move(self, request: MoveRequest) -> list[MovedSeries]:
        """Move entities, as `MovingCatalog.move`."""
        paths = list(dict.fromkeys(self._there(request.level, entity) for entity in request.entities))
        if request.level is Level.SERIES:
            patient, moves = self._series_moves(request, paths)
        else:
            patient, moves = self._study_moves(request, paths[0])
        if request.demographics is not None:
            self.demographics[patient] = demographics_of(request.demographics)
        elif patient not in self.demographics:
            self.demographics[patient] = self.claimed(patient)
        before = self._keys_of_series()
        self.moves += moves
        self.settle()
        self.known = self.all_parts()  # entities that a move left empty keep their edits
        return self._moved(before)

    def _there(self, level: Level, reference: str) -> Path:
        path = self.one(level, reference)
        if path is None:
            raise NotFound(reference)
        return path

    def _study_moves(self, request: MoveRequest, path: Path) -> tuple[str, list[Move]]:
        former = path[0]
        named = self.one(Level.PATIENT, request.patient)
        if named is None and request.demographics is None:
            raise NotFound(request.patient)
        patient = named[0] if named else request.patient
        if former == patient:
            raise Conflict(patient)
        merge = Move(
            request.edit,
            Level.PATIENT,
            (former,),
            patient,
            before=former,
            after=patient,
            user=request.user,
            time=request.time,
            from_now_on=request.from_now_on,
        )
        studies = [path] if request.level is Level.STUDY else self.children(path, Level.STUDY)
        parts = [part for study in studies for part in self.parts(study)]
        moves = [replace(merge, level=Level.STUDY, path=part, from_now_on=False) for part in parts]
        return patient, [merge, *moves] if request.level is Level.PATIENT else moves

    def _series_moves(self, request: MoveRequest, paths: list[Path]) -> tuple[str, list[Move]]:
        here = paths[0][:2]
        if any(path[:2] != here for path in paths):
            raise Conflict(request.edit)
        if request.is_split:
            if set(self.children(here, Level.SERIES)) == set(paths):
                raise Conflict(request.edit)
            owner, study, patient = here[0], request.study, here[0]
            values = study_values(self.shown(here).values)
        else:
            target = self._there(Level.STUDY, request.study)
            if target == here:
                raise Conflict(request.study)
            owner, study = self.parts(target)[0]
            patient = target[0]
            claims = [new.attributes for new in self.arrivals(target)]
            values = study_values(merged(Level.STUDY, claims).values)
        made = Move(
            request.edit,
            Level.SERIES,
            (),
            owner,
            study,
            values,
            self.key_at(here),
            key_of(study, owner),
            request.user,
            request.time,
            is_split=request.is_split,
        )
        return patient, [replace(made, path=part) for path in paths for part in self.parts(path)]

    def undo_move(self, edit: str) -> list[MovedSeries] | None:
        """Undo moves, as `MovingCatalog.undo_move`."""
        undone = [move for move in self.moves if move.edit == edit]
        if not undone:
            return None
        before = self._keys_of_series()
        self.moves = [move for move in self.moves if move.edit != edit]
        self.settle()
        self.known = self.all_parts()
        self.forget_claims({uid for move in undone for uid in move.studies})
        return self._moved(before)

    def _keys_of_series(self) -> dict[Path, tuple[str, str, str]]:
        """Map natural series to the keys of the series, study and patient in which they lie."""
        found: dict[Path, tuple[str, str, str]] = {}
        for place, naturals in self.naturals.items():
            keys = self.key_at(place[:3]), self.key_at(place[:2]), place[0]
            found |= {natural[:3]: keys for natural in naturals}
        return found

    def _moved(self, before: dict[Path, tuple[str, str, str]]) -> list[MovedSeries]:
        now = self._keys_of_series().items()
        return [MovedSeries(key_of_path(path), *keys, before[path]) for path, keys in now if keys != before[path]]

    def places_of_series(self) -> dict[str, Path]:
        """Map the natural keys of series to where they lie: patient, study and series."""
        return {key_of_path(each[:3]): place[:3] for place, found in self.naturals.items() for each in found}

    def moves_of(self, level: Level, reference: str) -> list[Move]:
        """List the moves of an entity, as `MovingCatalog.moves`."""
        path = self.one(level, reference)
        if path is None or level is Level.INSTANCE:
            return []
        if level is Level.PATIENT:
            return [move for move in self.moves if move.level is level and move.patient == path[0]]
        parts, keys = self.parts(path), self.keys_at(path)
        return [
            move
            for move in self.moves
            if (move.level is level and move.path in parts)
            or (
                level is Level.STUDY
                and move.level is Level.SERIES
                and (move.before in keys or (move.is_split and move.after in keys))
            )
        ]

    def merged_into(self, patient: str) -> str | None:
        """Follow the merges of an absent patient, as `MovingCatalog.merged_into`."""
        there, seen = {path[0] for path in self.instances}, [patient]
        while seen[-1] not in there:
            to = [move.patient for move in self.moves if move.level is Level.PATIENT and move.path == (seen[-1],)]
            if not to or to[-1] in seen:
                return None
            seen.append(to[-1])
        return seen[-1] if len(seen) > 1 else None

    def displaced(self, instance: str) -> list[DisplacedFile]:
        """List the displaced files of an instance, as `MovingCatalog.displaced`."""
        path = self.one(Level.INSTANCE, instance)
        files = [(natural, self.files[natural]) for natural in self.naturals[path][1:]] if path else []
        return [DisplacedFile(key_of_path(natural), new.blob, new.received) for natural, new in files]

    def blobs(self) -> set[str]:
        """List the keys of the blobs of all files."""
        return {new.blob.key for new in self.files.values()}
