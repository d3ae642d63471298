"""Actors that merge patients, split studies, and move studies and series of their own, and take all of this back."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from neurdicom.testing.crash.listing import uid_of
from neurdicom.testing.crash.own import OwningActor
from neurdicom.testing.crash.places import UNKNOWN, Arrangement, Layout, Location, Origin, RecordedMove
from neurdicom.testing.crash.places_check import edits_of, files_of, sha256
from neurdicom.testing.crash.writers import stored_of

#: Patients among whom one actor moves its studies, and their studies, and series of these.
_PATIENTS = ("a", "b", "c")
_STUDIES = _SERIES = (1, 2)

#: Instances at a time.
_INSTANCES = 10

#: Instance that the server lists.
Entity = Mapping[str, Any]


@dataclass
class OwnPlaces:
    """Studies of a few patients that one actor alone sends and moves.

    Attributes
    ----------
    name : str
        Its name, with which its Patient IDs begin.
    root : str
        Root of its UIDs.
    now : Arrangement
        What is there.
    """

    name: str
    root: str
    now: Arrangement = field(default_factory=Arrangement)


class MovingActor(OwningActor[OwnPlaces]):
    """Base of actors that move what they own; a subclass says how."""

    @abstractmethod
    def move(self, own: OwnPlaces) -> None:
        """Move something, if there is something to move."""

    def begin(self) -> OwnPlaces:
        """Begin anew, with new patients."""
        self._number += 1
        return OwnPlaces(f"{self.name}-{self._number}", f"{self.site.root}.{self.place}.{self._number}")

    def is_full(self, own: OwnPlaces) -> bool:
        """Tell whether it has instances enough."""
        return len(own.now.files) > _INSTANCES

    def use(self, own: OwnPlaces) -> None:
        """Send an instance, which may be of what was moved; move, undo a move, or look at what is there."""
        chance = self.random.random()
        if len(own.now.files) < 3 or chance < 0.3:
            self.store(own)
        elif chance < 0.65:
            self.move(own)
        elif chance < 0.9:
            self.undo(own)
        else:
            self.look(own)

    # -- changes ---------------------------------------------------------------------------------------------

    def origin(self, own: OwnPlaces) -> tuple[Origin, str]:
        """Choose what an instance says: its patient, study and series, and its own UID."""
        letter = self.random.choice(_PATIENTS[:2])
        study = f"{own.root}.{_PATIENTS.index(letter)}.{self.random.choice(_STUDIES)}"
        series = f"{study}.{self.random.choice(_SERIES)}"
        return (f"{own.name}-{letter}", study, series), f"{series}.{len(own.now.files) + 1}"

    def store(self, own: OwnPlaces) -> None:
        """Send an instance."""
        origin, instance = self.origin(own)
        if (origin, instance) in own.now.files:
            return
        sample = self.file(*origin, instance)

        def request() -> bool:
            answer = self.http.request("POST", "/api/instances", sample.content, "application/dicom")
            good = self.statuses(HTTPStatus.OK, HTTPStatus.CREATED, partly=HTTPStatus.MULTI_STATUS)
            return self.check(answer, good).status in good and bool(stored_of(answer))

        self._change(own, own.now.with_file(origin, instance, sample.digest), request)

    def merge(self, own: OwnPlaces) -> None:
        """Give all studies of a patient to another, perhaps also those that come later."""
        patients = sorted({own.now.place(origin)[0] for origin in own.now.origins})
        if len(patients) < 2:
            return
        former, into = self.random.sample(patients, 2)
        is_followed = former < into and self.random.random() < 0.5  # else they might go round in a circle
        studies = dict.fromkeys((own.now.path(origin) for origin in own.now.at(former)), into)
        move = RecordedMove(studies=studies, followers={former: into} if is_followed else {})
        ids = {patient: self._find(own, patient)["patient"] for patient in (former, into)}
        body = {"into": ids[into], "from_now_on": is_followed}
        self._move(own, move, f"patients/{ids[former]}/merge", body)

    def move_study(self, own: OwnPlaces) -> None:
        """Give a study to another patient, who may not be there."""
        here = self.random.choice([own.now.place(origin) for origin in own.now.origins])
        target = self.random.choice([one for letter in _PATIENTS if (one := f"{own.name}-{letter}") != here[0]])
        studies = dict.fromkeys((own.now.path(origin) for origin in own.now.at(*here)), target)
        body = {"patient": {"patient_id": target, "patient_name": target}}
        self._move(own, RecordedMove(studies=studies), f"studies/{self._find(own, *here)['study']}/move", body)

    def move_series(self, own: OwnPlaces) -> None:
        """Give a series to another study."""
        origin = self.random.choice(own.now.origins)
        here = own.now.place(origin)
        targets = sorted({own.now.place(one) for one in own.now.origins} - {here})
        if not targets:
            return
        target = self.random.choice(targets)
        path = self._path_of(own, target)
        move = RecordedMove(series=dict.fromkeys(own.now.at(*here, origin[2]), path))
        series, study = self._find(own, *here, origin[2])["series"], self._find(own, *target)["study"]
        self._move(own, move, f"series/{series}/move", {"study": study})

    def split(self, own: OwnPlaces) -> None:
        """Give some series of a study to a new one."""
        origin = self.random.choice(own.now.origins)
        here = own.now.place(origin)
        uids = sorted({one[2] for one in own.now.at(*here)})
        if len(uids) < 2:
            return
        chosen = self.random.sample(uids, self.random.randint(1, len(uids) - 1))
        gone = [one for uid in chosen for one in own.now.at(*here, uid)]
        move = RecordedMove(series=dict.fromkeys(gone, (here[0], UNKNOWN)))
        study = self._find(own, *here)["study"]
        body = {"series": [self._find(own, *here, uid)["series"] for uid in chosen]}
        self._move(own, move, f"studies/{study}/split", body)

    def undo(self, own: OwnPlaces) -> None:
        """Undo a move, not only the last, at one of the entities where it is listed."""
        if not own.now.moves:
            return
        move = self.random.choice(own.now.moves)
        paths = [path for path in edits_of(self.http, self._listed(own)) if path.endswith(f"/{move.edit}")]
        if not paths:
            return  # what it is of was moved on
        path = self.random.choice(paths)

        def request() -> bool:
            return self.check(self.http.request("DELETE", path), [HTTPStatus.NO_CONTENT]).status < 300

        self._change(own, own.now.without_move(move), request)

    def look(self, own: OwnPlaces) -> None:
        """Compare where all instances lie with what is known, bit for bit."""
        try:
            found: Layout = {
                self._location(each): tuple(map(sha256, files_of(self.http, each["id"]))) for each in self._listed(own)
            }
        except AssertionError as error:
            self.site.report(f"{self.name}: {error}")
            return
        if found != own.now.layout():
            self.site.report(f"{self.name}: what is there lies as {found}; expected is {own.now.layout()}")

    # -- requests --------------------------------------------------------------------------------------------

    def _move(self, own: OwnPlaces, move: RecordedMove, path: str, body: object) -> None:
        """Send a move, and look up its edit."""
        answered: list[Entity] = []

        def request() -> bool:
            answer = self.check(self.http.request("POST", f"/api/{path}", body), [HTTPStatus.OK])
            answered.append(answer.json())
            return answer.status == HTTPStatus.OK

        if not self._change(own, own.now.with_move(move), request):
            return
        if path.endswith("/split"):
            own.now = own.now.with_uid(uid_of(answered[0]["id"]))
        known = {one.edit for one in own.now.moves}
        listed = {path.rpartition("/")[2] for path in edits_of(self.http, self._listed(own))} - known
        if len(listed) != 1:
            self.site.report(f"{self.name}: POST {path} made the edits {listed}")
        own.now = replace(
            own.now, moves=(*own.now.moves[:-1], replace(own.now.moves[-1], edit=min(listed, default="?")))
        )
        self.site.places.note(own.name, own.now)

    def _change(self, own: OwnPlaces, after: Arrangement, request: Callable[[], bool]) -> bool:
        """Record a change before and after its request; return whether it was done."""
        self.site.places.note(own.name, own.now, after)
        is_done = request()
        if is_done:
            own.now = after
        self.site.places.note(own.name, own.now)
        return is_done

    # -- what is listed --------------------------------------------------------------------------------------

    def _listed(self, own: OwnPlaces) -> list[Entity]:
        """List the instances of all patients."""
        found: list[Entity] = []
        for letter in _PATIENTS:
            answer = self.http.get(f"/api/instances?patient_id={own.name}-{letter}&limit=100")
            found += [
                {**each, "patient_id": f"{own.name}-{letter}"} for each in self.check(answer, [HTTPStatus.OK]).json()
            ]
        return found

    @staticmethod
    def _location(instance: Entity) -> Location:
        return (
            *(instance["patient_id"], uid_of(instance["study"]), uid_of(instance["series"])),
            instance["sop_instance_uid"],
        )

    def _find(self, own: OwnPlaces, *place: str) -> Entity:
        """Find an instance of a patient, a study or a series."""
        found = [each for each in self._listed(own) if self._location(each)[: len(place)] == place]
        if not found:
            self.site.report(f"{self.name}: there is nothing in {place}; expected is {own.now.layout()}")
        return found[0] if found else {"patient": "none", "study": "none", "series": "none"}

    @staticmethod
    def _path_of(own: OwnPlaces, place: tuple[str, str]) -> tuple[str, str]:
        """Tell whose key a study has: that of the first of its files that lies where it says, or else of the first."""
        there = own.now.at(*place)
        unmoved = [one for one in there if own.now.place(one) == one[:2]]
        return own.now.path((unmoved or there)[0])


class PatientMerger(MovingActor):
    """Merges patients, and gives studies to others."""

    def move(self, own: OwnPlaces) -> None:
        """Merge, or move a study."""
        self.random.choice([self.merge, self.merge, self.move_study])(own)


class StudySplitter(MovingActor):
    """Splits studies, and merges their patients."""

    def move(self, own: OwnPlaces) -> None:
        """Split a study, or merge or move."""
        self.random.choice([self.split, self.split, self.split, self.merge, self.move_series])(own)


class SeriesMover(MovingActor):
    """Gives series to other studies."""

    def move(self, own: OwnPlaces) -> None:
        """Move a series or its study."""
        self.random.choice([self.move_series, self.move_series, self.move_study])(own)


class TwinMover(MovingActor):
    """Moves studies whose UIDs two of its patients have, which become one, and are parted again."""

    def origin(self, own: OwnPlaces) -> tuple[Origin, str]:
        """Choose a patient, and UIDs that the other has, too."""
        patient = f"{own.name}-{self.random.choice(_PATIENTS[:2])}"
        study = f"{own.root}.0.{self.random.choice(_STUDIES)}"
        series = f"{study}.{self.random.choice(_SERIES)}"
        return (patient, study, series), f"{series}.{self.random.choice(_SERIES)}"

    def move(self, own: OwnPlaces) -> None:
        """Merge, move or split."""
        self.random.choice([self.merge, self.move_study, self.move_series, self.split])(own)
