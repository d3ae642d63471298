"""Model of the archive port in plain dictionaries, which every adapter must agree with, verb for verb."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from neurdicom.catalog.moves import demographics_of
from neurdicom.catalog.outcomes import KEEP_ALL, Refusal, StoreOutcome, StorePolicy
from neurdicom.catalog.records import (
    DescribedInstance,
    Edit,
    Entity,
    Located,
    Location,
    NewInstance,
    Page,
    StudyHolding,
)
from neurdicom.catalog.shown import LATEST_STUDIES, ShownAttributes, latest_first, merged, of_latest
from neurdicom.dicom.identity import PatientClaim, Place, belonging
from neurdicom.dicom.query.attributes import AT_LEVEL, BY_FIELD, UID_KEYWORD, Level, snake_case
from neurdicom.dicom.query.conditions import AnyOf, Condition, Either, Moment, Query, Value, matches, sort_key
from neurdicom.testing.catalog_hierarchy import new_below
from neurdicom.testing.catalog_histories import HistoryModel
from neurdicom.testing.catalog_placement import Path, level_of, renamed, up_to


class CatalogModel(HistoryModel):
    """Model of a catalog: files in the order of their arrival, claims, moves and edits, and all that follows from them.

    Attributes
    ----------
    garbage : dict of str to str
        Keys of blobs that no instance refers to any more, with the places that they are set aside to.
    known : set of tuple
        Natural paths of all entities that were there after the last verb.
    """

    def __init__(self) -> None:
        super().__init__()
        self._edit_ids = count()
        self.garbage: dict[str, str] = {}
        self.known: set[Path] = set()

    # -- verbs -----------------------------------------------------------------------------------------------

    def store(self, arrivals: Sequence[NewInstance], policy: StorePolicy = KEEP_ALL) -> list[StoreOutcome]:
        """Store arrivals in order, as `Catalog.store`."""
        outcomes = [self._store_one(new, policy) for new in arrivals]
        self._forget()
        return outcomes

    def _store_one(self, new: NewInstance, policy: StorePolicy) -> StoreOutcome:
        claim = PatientClaim.read(new.patient, new.attributes)
        owner = belonging(claim, self.claims.get(new.study, {}))
        natural = (owner.patient, new.study, new.series, new.instance)
        after = self if owner.moved_from is None else copy.copy(self)
        studies = after.take_over(new.study, owner.moved_from, owner.patient)
        if owner.moved_from is not None:
            after.settle()
        path = after.place_by_moves(natural)
        go = partial(renamed, studies=studies, former=owner.moved_from, patient=owner.patient)
        before = {go(path): path for path in self.files}
        old, other = after.files.get(natural), after.instances.get(path)
        there = self._place_of(before[after.naturals[path][0]]) if other else path
        is_same = old is not None and old.blob.sha256 == new.blob.sha256
        comes_again = is_same and self._comes_again(natural, path, new, policy) and owner.moved_from is None
        if is_same and not comes_again:
            return self._left_out("duplicate", new, self.place_at(there))
        if other is not None:
            if policy.same_instance == "keep" or (policy.same_instance == "earlier" and old is not None):
                return self._left_out("kept", new, self.place_at(there), policy.place_of("kept", new.blob.key))
            if policy.same_instance == "refuse":
                return self._refused(new, Level.INSTANCE, [there], same_place=True)
        elif policy.conflicts == "refuse" and (found := new_below(list(after.instances), path)):
            level, _ = found
            return self._refused(new, level, self.named(level, up_to(level, path)[-1]))
        self.take_over(new.study, owner.moved_from, owner.patient)
        self.claims.setdefault(new.study, {}).setdefault(claim, owner.patient)
        self.follow_claims(new.study, studies, owner.moved_from, owner.patient)
        for changed in [each for each in self.changes if go(each) != each]:
            earlier = self.changes.pop(changed)
            self.changes[go(changed)] = self.joined(self.changes.get(go(changed), []), earlier)
        self.files.pop(natural, None)
        self.files[natural] = new
        self.garbage.pop(new.blob.key, None)
        self.settle()
        if old is not None:
            aside = "" if comes_again else policy.place_of("replaced", old.blob.key)
            self.garbage[old.blob.key] = aside
            return StoreOutcome("replaced", old.blob.key, self.place_at(path), aside=aside)
        if other is None:
            return StoreOutcome("stored", None, self.place_at(path))
        is_shown = self.naturals[path][0] == natural
        return StoreOutcome("replaced" if is_shown else "kept", None, self.place_at(path))

    def _comes_again(self, natural: Path, path: Path, new: NewInstance, policy: StorePolicy) -> bool:
        """Tell whether an arrival with the bytes of the file there, if that is displaced, makes these current."""
        if self.naturals.get(path, [natural])[0] == natural:
            return False
        shown = self.instances[path]
        return policy.shows_again(new, self.files[natural].blob.key, shown.blob.sha256, shown.received)

    def _place_of(self, natural: Path) -> Path:
        """Return where a file lies, by its natural path."""
        return next(place for place, found in self.naturals.items() if natural in found)

    def _left_out(self, status: Any, new: NewInstance, place: Place | None, aside: str = "") -> StoreOutcome:
        if new.blob.key in {each.blob.key for each in self.files.values()}:
            return StoreOutcome(status, None, place)
        self.garbage[new.blob.key] = aside
        return StoreOutcome(status, new.blob.key, place, aside=aside)

    def _refused(self, new: NewInstance, level: Level, there: list[Path], *, same_place: bool = False) -> StoreOutcome:
        uid = {Level.STUDY: new.study, Level.SERIES: new.series}.get(level, new.instance)
        holders, patients = tuple(self.id_at(path) for path in there), tuple(path[0] for path in there)
        return replace(
            self._left_out("conflict", new, None), refusal=Refusal(level, uid, holders, patients, same_place)
        )

    def delete(self, level: Level, entity: str, aside: str = "") -> list[str] | None:
        """Delete an entity and all below it, as `Catalog.delete`. Raises `Ambiguous`."""
        path = self.one(level, entity)
        if path is None:
            return None
        below = [natural for each in self.children(path, Level.INSTANCE) for natural in self.naturals[each]]
        keys = [self.files.pop(natural).blob.key for natural in below]
        self.garbage |= dict.fromkeys(keys, aside)
        self.settle()
        self._forget()
        return keys

    def edit(self, level: Level, entity: str, changes: Mapping[str, Value], user: str, time: str) -> bool:
        """Store changed values of an entity, as `Catalog.edit`. Raises `Ambiguous`."""
        path = self.one(level, entity)
        if path is None:
            return False
        shown = self.shown(path).values
        for field, value in changes.items():
            made = Edit(level, entity, field, value, user, time, shown.get(field), f"edit-{next(self._edit_ids)}")
            self.changes.setdefault(self.parts(path)[0], []).append(made)
        return True

    def clear(self) -> None:
        """Delete all entities, but neither edits, moves nor claims, as `Catalog.clear`."""
        self.files.clear()
        self.known = set()
        self.settle()

    def settle(self) -> None:
        """Recompute the places of all files, and the demographics of patients that files have newly been moved to."""
        super().settle()
        moved_to = {move.patient for move in self.moves}
        self.demographics = {patient: known for patient, known in self.demographics.items() if patient in moved_to}
        if missing := {path[0] for path in self.paths(Level.PATIENT)} - set(self.demographics):
            for place, found in self.naturals.items():
                if place[0] in missing and any(natural[0] != place[0] for natural in found):
                    self.demographics[place[0]] = self.claimed(place[0])
            super().settle()

    def claimed(self, patient: str) -> dict[str, Value]:
        """Compute the demographics of a patient from all files that name it, shown or not, edits not applied.

        Parameters
        ----------
        patient : str
            Its id.

        Returns
        -------
        dict
        """
        studies: list[Mapping[str, Value]] = []
        for study in self._latest_studies((patient,))[:LATEST_STUDIES]:
            inside = {each for place in self.children(study, Level.INSTANCE) for each in self.naturals[place]}
            own = [self.placed(each) for each in self.files if each in inside and each[0] == patient]
            studies.append(merged(Level.STUDY, [new.attributes for new in own]).values)
        return demographics_of(of_latest(studies))

    def _forget(self) -> None:
        """Delete the edits of entities that are gone, and the claims of studies that are."""
        present = self.all_parts()
        gone = self.known - present
        self.changes = {path: edits for path, edits in self.changes.items() if path not in gone}
        self.forget_claims({path[1] for path in gone if len(path) > 1})
        self.known = present

    def all_parts(self) -> set[Path]:
        """List the natural paths of all entities."""
        return {part for level in Level for path in self.paths(level) for part in self.parts(path)}

    def forget_claims(self, studies: Collection[str]) -> None:
        """Delete the claims on studies that have neither files nor moves.

        Parameters
        ----------
        studies : collection of str
            UIDs.
        """
        left = {path[1] for path in (*self.paths(Level.STUDY), *self.files)}
        for study in set(studies) - left - {uid for move in self.moves for uid in move.studies}:
            self.claims.pop(study, None)

    # -- attributes ------------------------------------------------------------------------------------------

    def place_at(self, path: Path) -> Place:
        """Compute the place of an instance.

        Parameters
        ----------
        path : tuple of str
            Its path.

        Returns
        -------
        dicom.identity.Place
        """
        levels = (Level.STUDY, Level.SERIES, Level.INSTANCE)
        shared = frozenset(level for level in levels if self.shared(level, [up_to(level, path)[-1]]))
        study, series, instance = (self.key_at(up_to(level, path)) for level in levels)
        return Place(path[0], study, series, instance, shared)

    def shown(self, path: Path) -> ShownAttributes:
        """Compute the attributes that an entity shows and is found by, edits applied.

        Parameters
        ----------
        path : tuple of str
            Path of the entity.

        Returns
        -------
        ShownAttributes
        """
        level = level_of(path)
        edits = self.edits_at(path)
        if level is Level.PATIENT:
            latest = [self.shown(study).values for study in self._latest_studies(path)[:LATEST_STUDIES]]
            return ShownAttributes(of_latest(latest, edits))
        if level is Level.STUDY:
            edits = [*self.edits_at(path[:1]), *edits]
        found = merged(level, [new.attributes for new in self.arrivals(path)], edits)
        return ShownAttributes({**found.values, snake_case(UID_KEYWORD[level]): path[-1]}, found.others)

    def _latest_studies(self, patient: Path) -> list[Path]:
        studies = self.children(patient, Level.STUDY)[::-1]
        return sorted(studies, key=lambda study: latest_first(self.shown(study).values), reverse=True)

    # -- finding ---------------------------------------------------------------------------------------------

    def entity(self, path: Path) -> Entity:
        """Write the entity at a path in the form that `find` returns.

        Parameters
        ----------
        path : tuple of str
            Path of the entity.

        Returns
        -------
        dict
        """
        level = level_of(path)
        found: Entity = {"id": self.id_at(path), "key": self.key_at(path)}
        found |= {above.value: self.id_at(up_to(above, path)) for above in level.above}
        values = self.shown(path).values
        fields = [*AT_LEVEL[level], *(AT_LEVEL[Level.PATIENT] if level is Level.STUDY else ())]
        found |= {attribute.field: values.get(attribute.field) for attribute in fields}
        if level is Level.INSTANCE:
            new = self.instances[path]
            return found | {"size": new.blob.size, "sha256": new.blob.sha256, "received": new.received}
        if level is Level.PATIENT:
            found["studies_count"] = len(self.children(path, Level.STUDY))
        if level is Level.STUDY:
            series = self.children(path, Level.SERIES)
            modalities = {str(self.shown(each).values.get("modality") or "") for each in series}
            found |= {"series_count": len(series), "modalities": sorted(modalities - {""})}
        return found | {"images_count": len(self.children(path, Level.INSTANCE))}

    def get(self, level: Level, entity: str) -> Entity | None:
        """Look up an entity by a reference, as `Catalog.get`. Raises `Ambiguous`."""
        path = self.one(level, entity)
        return self.entity(path) if path else None

    def find(self, query: Query) -> Page:
        """Find the entities that meet a query, as `Catalog.find`."""
        found = [
            path
            for path in sorted(self.paths(query.level), key=self.id_at)
            if (query.after is None or self.id_at(path) > query.after)
            and all(self._meets(condition, path) for condition in query.conditions)
        ]
        for field, descending in reversed(query.sort):
            found.sort(key=partial(self._order, field), reverse=descending)  # ties keep their order either way
        end = None if query.limit is None else query.offset + query.limit
        page = [self.entity(path) for path in found[query.offset : end]]
        return Page(page, len(found) if query.counted else query.offset + len(page))

    def _meets(self, condition: Condition, path: Path) -> bool:
        if isinstance(condition, Either):
            return any(self._meets(each, path) for each in condition.conditions)
        field = condition.field
        if field in list(Level):
            named = condition.values if isinstance(condition, AnyOf) else ()
            wanted = up_to(Level(field), path)
            return any(wanted in self.referred(Level(field), str(reference)) for reference in named)
        return any(self._holds(condition, holder) for holder in self._holders(field, path))

    def _holders(self, field: str, path: Path) -> list[Path]:
        """List the entities that are searched for a field, of which one must meet the condition."""
        if field in ("modalities", "sop_classes"):
            return self.children(path[:2], Level.SERIES if field == "modalities" else Level.INSTANCE)
        owner = BY_FIELD[field].level
        if owner is Level.PATIENT:
            return self.children(path[:2], Level.STUDY)  # of a patient all its studies
        return [up_to(owner, path)]

    def _holds(self, condition: Condition, holder: Path) -> bool:
        field, shown = condition.field, self.shown(holder)
        name = {"modalities": "modality", "sop_classes": "sop_class_uid"}.get(field, field)
        first: dict[str, Value] = {field: shown.values.get(name)}
        if isinstance(condition, Moment):
            first[condition.time] = shown.values.get(condition.time)
        return any(matches(condition, one) for one in [first, *({field: o} for o in shown.others.get(name, []))])

    def _order(self, field: str, path: Path) -> tuple[bool, Any]:
        if field in BY_FIELD:
            owner = BY_FIELD[field].level
            demographics = owner is Level.PATIENT and len(path) > 1
            value = self.shown(path[:2] if demographics else up_to(owner, path)).values.get(field)
        else:
            value = self.entity(path)[field]
        key = sort_key(field, value)
        return (key is not None, 0 if key is None else key)

    def holdings(self) -> list[StudyHolding]:
        """List the studies with their bytes by their last arrival and their key, as `Catalog.holdings`."""
        found = []
        for path in self.paths(Level.STUDY):
            below = [self.files[each] for one in self.children(path, Level.INSTANCE) for each in self.naturals[one]]
            size, received = sum(new.blob.size for new in below), max(new.received for new in below)
            found.append(StudyHolding(self.key_at(path), path[0], size, received))
        return sorted(found, key=lambda one: (one.received, one.study))

    # -- files and headers -----------------------------------------------------------------------------------

    def locate_all(self, level: Level, entity: str) -> list[Located]:
        """List locations and edits of all instances below an entity, as `Catalog.locate_all`. Raises `Ambiguous`."""
        return [Located(self._location(path), self._edits_of(path)) for path in self._below(level, entity)]

    def described(self, level: Level, entity: str) -> list[DescribedInstance]:
        """List headers and edits of all instances below an entity, as `Catalog.described`. Raises `Ambiguous`."""
        return [self._described(path) for path in self._below(level, entity)]

    def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        """Look up an instance of each entity, as `Catalog.samples`."""
        found = {entity: self.one(level, entity) for entity in entities}
        return {entity: self._described(self._sample(path)) for entity, path in found.items() if path}

    def _sample(self, path: Path) -> Path:
        """Return the earliest instance of an entity; for a patient that of its latest study."""
        holder = self._latest_studies(path)[0] if level_of(path) is Level.PATIENT else path
        return self.children(holder, Level.INSTANCE)[0]

    def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        """List the SOP Class UIDs of each study, as `Catalog.sop_classes`."""
        found: dict[str, list[str]] = {}
        for study in studies:
            paths = self.referred(Level.STUDY, study)
            uids = {new.attributes.get("sop_class_uid") for path in paths for new in self.arrivals(path)}
            if paths:
                found[study] = sorted(str(uid) for uid in uids if uid)
        return found

    def digests(self, instances: Sequence[str]) -> dict[str, str]:
        """Look up the SHA-256 of the files of instances, as `Catalog.digests`."""
        found = {instance: self.one(Level.INSTANCE, instance) for instance in instances}
        return {instance: self.instances[path].blob.sha256 for instance, path in found.items() if path}

    def _below(self, level: Level, entity: str) -> list[Path]:
        path = self.one(level, entity)
        return sorted(self.children(path, Level.INSTANCE), key=self.key_at) if path else []

    def _edits_of(self, instance: Path) -> tuple[Edit, ...]:
        placed = self.edits_by_moves(self.naturals[instance][0])
        return (*placed, *(edit for level in Level for edit in self.edits_at(up_to(level, instance))))

    def _location(self, path: Path) -> Location:
        new, place = self.instances[path], self.place_at(path)
        edited = bool(self._edits_of(path))
        return Location(place.instance, new.blob, new.layout, edited, place.study, place.series)

    def _described(self, path: Path) -> DescribedInstance:
        place = self.place_at(path)
        new = self.instances[path]
        syntax = str(new.layout.get("transfer_syntax") or "")
        return DescribedInstance(place.study, place.series, place.instance, new.header, self._edits_of(path), syntax)
