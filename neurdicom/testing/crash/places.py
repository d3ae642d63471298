"""Where the instances of an actor lie that merges, moves and splits: what their files say, and the moves in force."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

#: What a file says: Patient ID, Study and Series Instance UID.
Origin = tuple[str, str, str]

#: A study: Patient ID as its files say, or of whom it was split off, and Study Instance UID.
StudyPath = tuple[str, str]

#: Where an instance lies: Patient ID, Study, Series and SOP Instance UID.
Location = tuple[str, str, str, str]

#: Digests of the files by where they lie: the one that is shown, and then those that it displaces.
Layout = Mapping[Location, tuple[str, ...]]

#: Study Instance UID of a split that was not answered.
UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class RecordedMove:
    """A merge, move or split.

    Attributes
    ----------
    series : Mapping of Origin to StudyPath
        Series that were given to a study.
    studies : Mapping of StudyPath to str
        Studies that were given to a patient, by Patient ID.
    followers : Mapping of str to str
        Patients whose later studies go to another one.
    edit : str
        Id of its edit; empty until it is answered.
    """

    series: Mapping[Origin, StudyPath] = field(default_factory=dict)
    studies: Mapping[StudyPath, str] = field(default_factory=dict)
    followers: Mapping[str, str] = field(default_factory=dict)
    edit: str = ""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Files of one actor, and the moves of them that are in force.

    Attributes
    ----------
    files : Mapping of (Origin, str) to str
        Their digests by what they say, with the SOP Instance UID, in the order of arrival.
    moves : tuple of RecordedMove
        The moves, the earliest first.
    """

    files: Mapping[tuple[Origin, str], str] = field(default_factory=dict)
    moves: tuple[RecordedMove, ...] = ()

    @property
    def origins(self) -> list[Origin]:
        """Series as the files say, in the order of arrival."""
        return list(dict.fromkeys(origin for origin, _ in self.files))

    def path(self, origin: Origin) -> StudyPath:
        """Find the study that a series was given to last; its own by default."""
        given = [move.series[origin] for move in self.moves if origin in move.series]
        return given[-1] if given else origin[:2]

    def place(self, origin: Origin) -> StudyPath:
        """Find the Patient ID and Study Instance UID where a series lies."""
        owner, study = self.path(origin)
        given = [move.studies[owner, study] for move in self.moves if (owner, study) in move.studies]
        if given:
            return given[-1], study
        while following := [move.followers[owner] for move in self.moves if owner in move.followers]:
            owner = following[-1]
        return owner, study

    def at(self, *place: str) -> list[Origin]:
        """List the series that lie at a patient, or in one of its studies.

        Parameters
        ----------
        *place : str
            Patient ID, and Study and Series Instance UID as far as it goes.
        """
        return [one for one in self.origins if (*self.place(one), one[2])[: len(place)] == place]

    def layout(self) -> Layout:
        """List where everything lies; of several files in one place the one that arrived last is shown."""
        found: dict[Location, tuple[str, ...]] = {}
        for (origin, instance), digest in self.files.items():
            location = (*self.place(origin), origin[2], instance)
            found[location] = (digest, *found.get(location, ()))
        return found

    def with_file(self, origin: Origin, instance: str, digest: str) -> "Arrangement":
        """Add a file.

        Parameters
        ----------
        origin : Origin
            What it says.
        instance : str
            SOP Instance UID.
        digest : str
            Its digest.
        """
        return replace(self, files={**self.files, (origin, instance): digest})

    def with_move(self, move: RecordedMove) -> "Arrangement":
        """Add a move."""
        return replace(self, moves=(*self.moves, move))

    def without_move(self, move: RecordedMove) -> "Arrangement":
        """Take a move back, wherever it is among them."""
        return replace(self, moves=tuple(one for one in self.moves if one.edit != move.edit))

    def matching(self, found: Layout) -> "Arrangement | None":
        """Compare it with what was found, and give the study of an unanswered split its UID; None where it differs."""
        studies = {study for _, study, _, _ in self.layout()}
        unknown = {study for _, study, _, _ in found} - studies
        candidates = [self.with_uid(uid) for uid in unknown] if UNKNOWN in studies else [self]
        return next((one for one in candidates if one.layout() == found), None)

    def with_uid(self, uid: str) -> "Arrangement":
        """Give the study of an unanswered split its UID."""

        def named(path: StudyPath) -> StudyPath:
            return (path[0], uid) if path[1] == UNKNOWN else path

        moves = (
            replace(move, series={origin: named(path) for origin, path in move.series.items()}) for move in self.moves
        )
        return replace(self, moves=tuple(moves))


class KnownPlaces:
    """Record of what actors know of where their instances lie, by any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrangements: dict[str, tuple[Arrangement, ...]] = {}
        self._old: frozenset[str] = frozenset()

    def note(self, name: str, *arrangements: Arrangement) -> None:
        """Record how what an actor owns may be arranged.

        Parameters
        ----------
        name : str
            Name of what it owns.
        *arrangements : Arrangement
            Those before and after a request, and then the one that is certain.
        """
        with self._lock:
            self._arrangements[name] = arrangements

    def arrangements(self) -> dict[str, tuple[Arrangement, ...]]:
        """List all that may be, by name."""
        with self._lock:
            return dict(self._arrangements)

    @property
    def old(self) -> frozenset[str]:
        """Names of the arrangements that an earlier check found, and that no actor has changed since."""
        return self._old

    def restart(self, found: Mapping[str, Arrangement]) -> None:
        """Begin anew with the arrangements that a check has found."""
        with self._lock:
            self._arrangements = {name: (one,) for name, one in found.items()}
            self._old = frozenset(found)
