"""Sites: the place of an arrival by moves, the entities and files that are there, and whether it may be stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurdicom.catalog.mongo.displaced import age_of, natural_place
from neurdicom.catalog.mongo.ids import free_row
from neurdicom.catalog.mongo.plan import LeftOut, Path, moved, path_of
from neurdicom.catalog.mongo.schema import Document, collection, natural_keys, natural_places
from neurdicom.catalog.mongo.stored_moves import StoredMoves
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.moves import NaturalSeries, Placement
from neurdicom.catalog.outcomes import CONFLICT_LEVELS, Refusal, StorePolicy
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.identity import Belonging
from neurdicom.dicom.query.attributes import Level

_LEVELS = tuple(CONFLICT_LEVELS.values())


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Studies that would go over to another patient: one, and what was split off it.

    Attributes
    ----------
    moves : StoredMoves
        The moves as they would be.
    studies : set of str
        Study Instance UIDs.
    former, patient : str
        Ids of the patient that they have, and of the other one.
    """

    moves: StoredMoves
    studies: set[str]
    former: str
    patient: str

    def after(self, path: Path) -> Path:
        """Return a natural path as it would be."""
        return moved(path, self.studies, self.former, self.patient)

    async def place(self, path: Path) -> Path:
        """Find the place of a natural path after the takeover."""
        patient, study, *uids = self.after(path)
        placement = await self.moves.placement(NaturalSeries(patient, study, uids[0] if uids else ""))
        return (placement.patient, placement.study, *uids)


@dataclass(frozen=True, slots=True)
class NamesakeFile:
    """A file that has the SOP Instance UID of an arrival.

    Attributes
    ----------
    natural : tuple of str
        Id of the patient and UID of the study that it names.
    path : tuple of str
        Path where it lies.
    document : Document
        Its document.
    shown : Document
        The instance whose file it is.
    """

    natural: tuple[str, ...]
    path: Path
    document: Document
    shown: Document


@dataclass(frozen=True, slots=True)
class ArrivalSite:
    """Place of an arrival, and the entities and files that have its UIDs.

    If another patient takes over its study by it, all places are those after the takeover.

    Attributes
    ----------
    new : NewInstance
        The arrival.
    natural : NaturalSeries
        Natural path of its series.
    placement : Placement
        Where it lies.
    entities : Mapping[Level, list of (tuple of str, Document)]
        The studies and series that have its UIDs, by the path where they, or their parts, lie.
    files : list of NamesakeFile
        The files that have its SOP Instance UID, the latest first.
    goes_over : bool
        True if its study goes over to another patient by it.
    """

    new: NewInstance
    natural: NaturalSeries
    placement: Placement
    entities: Mapping[Level, list[tuple[Path, Document]]]
    files: list[NamesakeFile]
    goes_over: bool = False

    @classmethod
    async def find(cls, unit: UnitOfWork, new: NewInstance, owner: Belonging, moves: StoredMoves) -> "ArrivalSite":
        """Look up the place of an arrival, and the entities and files that have its UIDs.

        Parameters
        ----------
        unit : UnitOfWork
            The running write.
        new : NewInstance
            The arrival.
        owner : Belonging
            The patient that it belongs to.
        moves : StoredMoves
            The moves in force.
        """
        former = owner.moved_from
        takeover = None
        if former is not None:
            studies = await moves.going_along(new.study, former, owner.patient)
            moves = await moves.after_takeover(studies, former, owner.patient)
            takeover = TakeOver(moves, studies, former, owner.patient)
        natural = NaturalSeries(owner.patient, new.study, new.series)
        placement = await moves.placement(natural)
        entities: dict[Level, list[tuple[Path, Document]]] = {}
        for level, uid in ((Level.STUDY, placement.study), (Level.SERIES, new.series)):
            found = await unit.all(collection(level), {"uid": uid})
            found.sort(key=lambda one: int(one["source"]))
            entities[level] = [
                (path_of(one) if takeover is None else await takeover.place((*part, uid)), one)
                for one in found
                for part in natural_places(level, one)[: 1 if takeover is None else None]
            ]
        files = await _files(unit, new, takeover)
        return cls(new, natural, placement, entities, files, takeover is not None)

    @property
    def path(self) -> Path:
        """Path of the place where it lies."""
        return (self.placement.patient, self.placement.study, self.new.series, self.new.instance)

    @property
    def key(self) -> str:
        """Natural key of its instance."""
        return f"{self.new.instance}~{self.natural.below}"

    @property
    def there(self) -> list[NamesakeFile]:
        """Files of the instance in its place, the shown one first."""
        return [one for one in self.files if one.path == self.path]

    @property
    def own(self) -> NamesakeFile | None:
        """Earlier file of the same natural instance."""
        natural = (self.natural.patient, self.natural.study)
        return next((one for one in self.there if one.natural == natural), None)

    @property
    def shown(self) -> Document | None:
        """Instance in its place."""
        return self.there[0].shown if self.there else None

    def entity(self, level: Level) -> Document | None:
        """Return the study or series in its place."""
        path = self.path[: len(level.above) + 1]
        return next((one for at, one in self.entities[level] if at == path), None)

    def row(self, level: Level, number: int) -> str:
        """Return the `_id` of its study, series or instance; a free one if it is new."""
        known = self.shown if level is Level.INSTANCE else self.entity(level)
        if known is not None:
            return str(known["_id"])
        if level is Level.INSTANCE:
            return free_row(self.key, {one.shown["_id"] for one in self.files}, number)
        return free_row(self._key(level), {one["_id"] for _, one in self.entities[level]}, number)

    def shown_key(self, level: Level) -> str:
        """Return the key of its study or series."""
        known = self.entity(level)
        return self._key(level) if known is None else str(known["key"])

    def _key(self, level: Level) -> str:
        return self.placement.study_key if level is Level.STUDY else self.natural.key

    def added(self) -> set[tuple[Level, str]]:
        """List the UIDs of existing entities that name one more by the arrival."""
        uids: set[tuple[Level, str]] = set()
        for level in (Level.STUDY, Level.SERIES):
            if self.entity(level) is None and self.entities[level]:
                uids.add((level, self.entities[level][0][1]["uid"]))
        return uids | ({(Level.INSTANCE, self.new.instance)} if self.files and not self.there else set())

    # -- deciding --------------------------------------------------------------------------------------------

    def left_out(self, policy: StorePolicy) -> LeftOut | None:
        """Decide whether the arrival is not stored, by a policy."""
        own, there = self.own, self.there
        if self.comes_again(policy):
            return None
        if own is not None and own.document["sha256"] == self.new.blob.sha256:
            return LeftOut("duplicate", self.new)
        if there and (policy.same_instance == "keep" or (policy.same_instance == "earlier" and own is not None)):
            return LeftOut("kept", self.new)
        if there and policy.same_instance == "refuse":
            return self._refused(Level.INSTANCE, [there[0].shown], same_place=True)
        return None if there else self._meets_others(policy)

    def comes_again(self, policy: StorePolicy) -> bool:
        """Tell whether it has the bytes of a displaced file, which are shown by it instead of another's."""
        own, shown = self.own, self.shown
        if self.goes_over or own is None or shown is None or own.document["_id"] == shown["_id"]:
            return False
        displaced = own.document
        return displaced["sha256"] == self.new.blob.sha256 and policy.shows_again(
            self.new, displaced["blob_key"], shown["sha256"], shown["received"]
        )

    def _meets_others(self, policy: StorePolicy) -> LeftOut | None:
        """Refuse a new entity whose UID another has elsewhere, if the policy says so, or their keys are the same."""
        of_instances = [(one.path, one.shown) for one in self.files]
        for count, level in enumerate(_LEVELS, 2):
            found = of_instances if level is Level.INSTANCE else self.entities[level]
            if found and self.path[:count] not in [path for path, _ in found]:
                key = self.key if level is Level.INSTANCE else self._key(level)
                others = list({one["_id"]: one for _, one in found}.values())
                same_key = [one for one in others if key in natural_keys(level, one)]
                if policy.conflicts == "refuse" or same_key:
                    return self._refused(level, others)
        return None

    def _refused(self, level: Level, there: Sequence[Document], *, same_place: bool = False) -> LeftOut:
        holders, patients = tuple(one["id"] for one in there), tuple(one["patient"] for one in there)
        refusal = Refusal(level, there[0]["uid"], holders, patients, same_place)
        return LeftOut("conflict", self.new, None, refusal)


async def _files(unit: UnitOfWork, new: NewInstance, takeover: TakeOver | None) -> list[NamesakeFile]:
    """List the files that have the SOP Instance UID of an arrival, the latest first."""
    instances = await unit.all("instances", {"uid": new.instance})
    by_row = {one["series"]: one for one in instances}
    displaced = await unit.all("displaced", {"uid": new.instance}) if any("fused" in one for one in instances) else []
    found = []
    for one in (*instances, *displaced):
        shown = by_row.get(one["series"])
        if shown is None:
            continue
        natural, path = tuple(natural_place(one)), path_of(shown)
        if takeover is not None:
            natural, path = takeover.after(natural), await takeover.place((*natural, *path[2:]))
        found.append(NamesakeFile(natural, path, one, shown))
    return sorted(found, key=lambda file: age_of(file.document), reverse=True)
