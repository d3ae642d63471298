"""The entities above several arrivals, existing and new, and the numbers to add to their counts."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from pymongo import InsertOne, UpdateOne

from neurdicom.catalog.mongo.edits import EFFECTIVE, as_edits, edits_key
from neurdicom.catalog.mongo.entities import build, modalities_fields, naming, patient_fields, show_patient, shown_of
from neurdicom.catalog.mongo.origins import same_as_shown
from neurdicom.catalog.mongo.plan import StoreStep
from neurdicom.catalog.mongo.schema import CROWDED, Document, collection, inherited
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.records import Edit
from neurdicom.catalog.shown import LATEST_STUDIES, carried, merged
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value

_ABOVE = (Level.PATIENT, Level.STUDY, Level.SERIES)
_FIELDS = {level: tuple(attribute.field for attribute in carried(level)) for level in _ABOVE}


@dataclass
class Increments:
    """Increments of an entity's counts, by member, and the time of its latest arrival."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    received: str = ""


class Ancestors:
    """Entities above the instances of one flush.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    studies, series : sequence of Document, optional
        All that have the UIDs of the arrivals, if they are known already.
    """

    def __init__(
        self, unit: UnitOfWork, studies: Sequence[Document] | None = None, series: Sequence[Document] | None = None
    ) -> None:
        self._unit = unit
        self._loaded = {Level.STUDY: studies, Level.SERIES: series}
        self._several: set[tuple[Level, str]] = set()
        self._known: dict[tuple[Level, str], Document] = {}
        self._edits: dict[str, Document] = {}
        self._new: set[tuple[Level, str]] = set()
        self._added: dict[tuple[Level, str], Increments] = defaultdict(Increments)
        self._origins: dict[str, int] = {}
        self._new_origins: list[Document] = []
        self._dirty: set[tuple[Level, str]] = set()

    async def load(self, steps: Sequence[StoreStep], several: set[tuple[Level, str]]) -> None:
        """Load the entities that exist already, the edits of all, and the origins that may be known.

        Parameters
        ----------
        steps : sequence of StoreStep
            The arrivals.
        several : set of (Level, str)
            UIDs that name several entities from now on.
        """
        unit, self._several = self._unit, several
        await self._load(Level.SERIES, {step.new.series for step in steps})
        series = {row: self._known.get((Level.SERIES, row)) for row in (step.rows[Level.SERIES] for step in steps)}
        self._origins = {one["origin"]: one["origin_first"] for one in series.values() if one}
        # A file that says what others of its series did changes only counts.
        others = [step for step in steps if step.origin.id not in self._origins]
        if others:
            await self._load(Level.STUDY, {uid_of(step.place.study) for step in others})
            for patient in await unit.among("patients", {step.place.patient for step in others}):
                self._known[Level.PATIENT, patient["_id"]] = patient
        keys = {edits_key(Level.INSTANCE, step.place.instance) for step in steps}
        keys |= {edits_key(level, step.place.key(level)) for step in others for level in _ABOVE}
        self._edits = {one["_id"]: one for one in await unit.among("edits", keys, *EFFECTIVE)}
        unsure = {step.origin.id for step in others if series[step.rows[Level.SERIES]]}
        if unsure:
            self._origins |= {one["_id"]: one["first"] for one in await unit.among("origins", unsure, "first")}

    async def _load(self, level: Level, uids: set[str]) -> None:
        found = self._loaded[level]
        if found is None:
            found = await self._unit.among(collection(level), uids, by="uid")
        self._known |= {(level, one["_id"]): one for one in found}

    def edits_of_instance(self, step: StoreStep) -> list[Edit]:
        """Look up the edits of an arriving instance."""
        return self._edits_of(Level.INSTANCE, step)

    def _edits_of(self, level: Level, step: StoreStep) -> list[Edit]:
        return as_edits(self._edits.get(edits_key(level, step.place.key(level))))

    def count(self, step: StoreStep) -> Document:
        """Count one more instance; return the members that it takes over from its series."""
        first = self._origins.get(step.origin.id)
        if first is None:
            said, patient = step.origin.said, (Level.PATIENT, step.place.patient)
            self._ensure(Level.STUDY, step, said)
            series = self._ensure(Level.SERIES, step, said)
            if patient not in self._known:
                self._known[patient] = {"_id": step.place.patient}
                self._new.add(patient)
            self._origins[step.origin.id] = step.number
            self._new_origins.append(step.origin.to_document(step.rows, step.number))
            if step.number > series.get("origin_first", 0):
                series |= {"origin": step.origin.id, "origin_first": step.number}
            if step.origin.moved is not None or "natural" in series or "natural" in self._study(step):
                # The keys and attributes of an entity that moves made of several follow from all of them.
                self._dirty |= {(level, step.rows[level]) for level in (Level.STUDY, Level.SERIES)}
        else:
            series = self._known[Level.SERIES, step.rows[Level.SERIES]]
        if step.number < max(series["source"], first or 0):
            # Numbers are given before writes take turns, so that a later arrival may come to be written first.
            self._dirty |= {(level, step.rows[level]) for level in (Level.STUDY, Level.SERIES)}
        for level in _ABOVE:
            added = self._added[level, step.rows[level]]
            added.counts["images_count"] += 1
            if level is not Level.PATIENT:
                added.counts["bytes"] += step.new.blob.size
                added.received = max(added.received, step.new.received)
        return inherited(Level.INSTANCE, series)

    def _study(self, step: StoreStep) -> Document:
        return self._known[Level.STUDY, step.rows[Level.STUDY]]

    def _ensure(self, level: Level, step: StoreStep, said: dict[str, Value]) -> Document:
        """Find the study or series of an arrival; make it if it is new."""
        key, row = step.place.key(level), step.rows[level]
        found = self._known.get((level, row))
        if found is not None:
            if not same_as_shown(_FIELDS[level], said, shown_of(found)):
                self._dirty.add((level, found["_id"]))
            return found
        uid = uid_of(key)
        edits = self._edits_of(level, step)
        if level is Level.STUDY:
            parent: Document = {"_id": step.place.patient}
            edits = [*self._edits_of(Level.PATIENT, step), *edits]
            self._added[Level.PATIENT, step.place.patient].counts["studies_count"] += 1
        else:
            parent = self._study(step)
            self._added[Level.STUDY, step.rows[Level.STUDY]].counts["series_count"] += 1
        shown = merged(level, [said], edits)
        named = naming(row, key, key if (level, uid) in self._several else uid)
        found = self._known[level, row] = build(level, named, parent, shown, step.number)
        self._new.add((level, row))
        return found

    def new_studies(self) -> set[str]:
        """List the UIDs of the studies that the arrivals make."""
        return {self._known[level, row]["uid"] for level, row in self._new if level is Level.STUDY}

    def new_origins(self) -> list[InsertOne[Document]]:
        """Make the operations that store the origins that were not known."""
        return [InsertOne(one) for one in self._new_origins]

    async def write(self) -> set[tuple[Level, str]]:
        """Write the new entities, and add to the counts of the existing ones; return those to update."""
        new_studies: dict[str, list[Document]] = defaultdict(list)
        new_series: dict[str, list[Document]] = defaultdict(list)
        for level, row in self._new:
            document = self._known[level, row]
            if level is Level.STUDY:
                new_studies[document["patient"]].append(document)
            elif level is Level.SERIES:
                new_series[document["study"]].append(document)
        changed = {one["series"] for one in self._new_origins}
        operations: dict[Level, list[InsertOne[Document] | UpdateOne]] = defaultdict(list)
        for (level, row), come in self._added.items():
            document, counts = self._known.get((level, row), {}), come.counts
            latest = {} if level is Level.PATIENT else {"received": come.received}
            if level is Level.STUDY:
                self._unit.count_bytes(counts["bytes"])
            more: Document = {}
            if level is Level.STUDY and (added := new_series[row]):
                more = _with_modalities(document, added)
            if (level, row) in self._new:
                document |= counts | more | latest
                if level is Level.PATIENT:
                    edits = as_edits(self._edits.get(edits_key(level, row)))
                    document |= {"key": row, **patient_fields(new_studies[row], edits)}
                operations[level].append(InsertOne(document))
                continue
            if level is Level.SERIES and row in changed:
                more = {name: document[name] for name in ("origin", "origin_first")}
            changes: Document = {"$inc": dict(counts)} | ({"$set": more} if more else {})
            changes |= {"$max": latest} if latest else {}
            operations[level].append(UpdateOne({"_id": row}, changes))
        for level in reversed(_ABOVE):
            await self._unit.bulk(collection(level), operations[level])
        for patient, studies in new_studies.items():
            await self._show_patient(patient, studies)
        return self._dirty

    async def _show_patient(self, patient: str, studies: Sequence[Document]) -> None:
        """Update what a patient that was known shows and is found by, if new studies tell more."""
        document = self._known[Level.PATIENT, patient]
        if (Level.PATIENT, patient) in self._new:
            return
        count = document["studies_count"] + len(studies)
        crowds = document["studies_count"] <= CROWDED < count
        shown = shown_of(document)
        alike = all(same_as_shown(_FIELDS[Level.PATIENT], shown_of(one), shown) for one in studies)
        # Where not all studies are looked at, one more may move another out of sight.
        if crowds or count > LATEST_STUDIES or not alike:
            await show_patient(self._unit, patient, document, count)


def _with_modalities(study: Document, added: Sequence[Document]) -> Document:
    fields = modalities_fields(added)
    return {name: sorted({*found, *study.get(name, ())}) for name, found in fields.items()}
