"""Places of files in the model of the archive port: by their own attributes, and by moves.

A path has the id of the patient that an entity belongs to, then the UIDs down to its own.
"""

from collections.abc import Collection
from dataclasses import replace

from neurdicom.catalog import takeover
from neurdicom.catalog.moves import Move, NaturalSeries, Placement, canonical, claims_with, placement_edits, placing
from neurdicom.catalog.records import Edit, NewInstance
from neurdicom.catalog.takeover import claims_along, going_along
from neurdicom.dicom.identity import PatientClaim, key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value

Path = tuple[str, ...]


def level_of(path: Path) -> Level:
    """Return the level of the entity at a path."""
    return tuple(Level)[len(path) - 1]


def up_to(level: Level, path: Path) -> Path:
    """Return the part of a path that leads to the entity of a level above, or of its own level."""
    return path[: len(level.above) + 1]


def key_of_path(path: Path) -> str:
    """Compute the key that is made of a path."""
    patient, *uids = path
    return key_of(uids[-1], patient, *uids[:-1]) if uids else patient


class PlacementModel:
    """Model of the files of a catalog, of the claims of each study, and of the moves.

    Attributes
    ----------
    files : dict of tuple to NewInstance
        All files by their natural path, in the order of their arrival.
    claims : dict of str to dict
        Of each Study Instance UID the claims in the order of their first arrival, with the patient that each belongs
        to. They are kept as long as an instance of the study, or a move of it, is left.
    moves : list of Move
        The moves in the order in which they were made.
    demographics : dict of str to dict
        What files claim that were moved to a patient, by its id.
    instances : dict of tuple to NewInstance
        The instances by the path where they lie, in the order of their arrival, with what they claim there.
    naturals : dict of tuple to list of tuple
        Of each of these the natural paths of the file that it shows, and of the others, the latest first.
    """

    def __init__(self) -> None:
        self.files: dict[Path, NewInstance] = {}
        self.claims: dict[str, dict[PatientClaim, str]] = {}
        self.moves: list[Move] = []
        self.demographics: dict[str, dict[str, Value]] = {}
        self.instances: dict[Path, NewInstance] = {}
        self.naturals: dict[Path, list[Path]] = {}

    def settle(self) -> None:
        """Compute anew where all files lie."""
        numbers = {path: number for number, path in enumerate(self.files)}
        self.naturals = {}
        for path in self.files:
            self.naturals.setdefault(self.place_by_moves(path), []).append(path)
        for found in self.naturals.values():
            found.sort(key=lambda path: (self.files[path].received, numbers[path]), reverse=True)
        order = sorted(self.naturals, key=lambda place: numbers[self.naturals[place][0]])
        self.instances = {place: self.placed(self.naturals[place][0]) for place in order}

    def placement(self, path: Path) -> Placement:
        """Find where the natural series of a path lies.

        Parameters
        ----------
        path : tuple of str
            Natural path of the series, or of an instance of it.

        Returns
        -------
        Placement
        """
        search = placing(NaturalSeries(*path[:3]))
        subject = next(search)
        while True:
            try:
                subject = search.send([move for move in self.moves if move.subject == subject])
            except StopIteration as found:
                placement: Placement = found.value
                return placement

    def place_by_moves(self, path: Path) -> Path:
        """Return the path at which an instance lies, by its natural path."""
        placement = self.placement(path)
        return (placement.patient, placement.study, *path[2:])

    def edits_by_moves(self, path: Path) -> tuple[Edit, ...]:
        """List the edits that write its place into a file, by its natural path."""
        placement = self.placement(path)
        return placement_edits(NaturalSeries(*path[:3]), placement, self.demographics.get(placement.patient))

    def placed(self, path: Path) -> NewInstance:
        """Return a file with the attributes that its place gives it, by its natural path."""
        edits = self.edits_by_moves(path)
        new = self.files[path]
        return replace(new, attributes=claims_with(new.attributes, edits)) if edits else new

    def parts(self, path: Path) -> list[Path]:
        """List the natural paths of which an entity is made, that of its key first.

        Parameters
        ----------
        path : tuple of str
            Path at which it lies. The patient of a study's natural path is the one in its key.

        Returns
        -------
        list of tuple of str
        """
        level = level_of(path)
        if level is Level.PATIENT:
            return [path]
        if level is Level.INSTANCE:
            return self.naturals[path]
        below = {each for place, found in self.naturals.items() if place[: len(path)] == path for each in found}
        inside = [each for each in self.files if each in below]
        if level is Level.SERIES:
            parts = {each[:3]: each[:2] == path[:2] for each in inside}
        else:
            owners = [self.placement(each).owner for each in inside]
            parts = {(owner, path[1]): owner == path[0] for owner in owners}
        first = canonical((key_of_path(part), is_unmoved) for part, is_unmoved in parts.items())
        return sorted(parts, key=lambda part: key_of_path(part) != first)

    def key_at(self, path: Path) -> str:
        """Compute the key of the entity that lies at a path."""
        return key_of_path(self.parts(path)[0])

    def take_over(self, study: str, former: str | None, patient: str) -> set[str]:
        """Give all natural paths of a study, and of those split off it, to another patient, and the moves of them.

        `settle` places them, and the claims of what was split off are left to `follow_claims`.

        Parameters
        ----------
        study : str
            UID of the study.
        former : str or None
            Id of the patient that it had; None where nothing goes over.
        patient : str
            Id of the patient that it has from now on.

        Returns
        -------
        set of str
            UIDs of the studies that go over.
        """
        if former is None:
            return set()
        studies = going_along(self.moves, study, former, patient)
        owners = self.claims.get(study, {})
        self.claims = {**self.claims, study: {each: patient if of == former else of for each, of in owners.items()}}
        self.files = {renamed(path, studies, former, patient): new for path, new in self.files.items()}
        self.moves = [takeover.renamed(move, studies, former, patient) for move in self.moves]
        return studies

    def follow_claims(self, study: str, studies: Collection[str], former: str | None, patient: str) -> None:
        """Give studies that went over to another patient with one the claims of that.

        Parameters
        ----------
        study : str
            UID of that study.
        studies : collection of str
            UIDs of all of them.
        former : str or None
            Id of the patient that they had; None where nothing went over.
        patient : str
            Id of the patient that they have now.
        """
        if former is None:
            return
        for uid in set(studies) - {study}:
            self.claims[uid] = claims_along(self.claims.get(uid, {}), self.claims[study], former, patient)


def renamed(path: Path, studies: Collection[str], former: str | None, patient: str) -> Path:
    """Return the natural path of an entity after studies went over to another patient.

    Parameters
    ----------
    path : tuple of str
        Path of any entity before.
    studies : collection of str
        UIDs of the studies.
    former : str or None
        Id of the patient that the studies had; None where nothing went over.
    patient : str
        Id of the patient that they have now.

    Returns
    -------
    tuple of str
    """
    goes = former is not None and path[0] == former and len(path) > 1 and path[1] in studies
    return (patient, *path[1:]) if goes else path
