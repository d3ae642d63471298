"""Model of the archive port in plain dictionaries, which every adapter must agree with, verb for verb."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from neurdicom.catalog.base import DescribedInstance, Edit, Entity, NewInstance, Page, StoreOutcome
from neurdicom.dicom.query.attributes import AT_LEVEL, UID_KEYWORD, Level, snake_case
from neurdicom.dicom.query.conditions import Query, Scalar, Value, matches, sort_key


class CatalogModel:
    """Model of a catalog: instances in the order of their arrival, and edits; everything else is derived from these."""

    def __init__(self) -> None:
        self.instances: dict[str, NewInstance] = {}
        self.changes: dict[tuple[Level, str], dict[str, Edit]] = {}
        self.garbage: set[str] = set()
        self._known: set[tuple[Level, str]] = set()

    # -- verbs -----------------------------------------------------------------------------------------------

    def store(self, arrivals: Sequence[NewInstance]) -> list[StoreOutcome]:
        """Store arrivals in order, as `Catalog.store`."""
        return [self._store_one(new) for new in arrivals]

    def _store_one(self, new: NewInstance) -> StoreOutcome:
        old = self.instances.get(new.instance)
        if old is not None and old.blob.sha256 == new.blob.sha256:
            unused = new.blob.key if new.blob.key != old.blob.key else None
            self.garbage |= {unused} if unused else set()
            return StoreOutcome("duplicate", unused)
        self.instances.pop(new.instance, None)
        self.instances[new.instance] = new
        self.garbage.discard(new.blob.key)
        self._forget_edits()
        if old is None:
            return StoreOutcome("stored")
        self.garbage.add(old.blob.key)
        return StoreOutcome("replaced", old.blob.key)

    def delete(self, level: Level, entity: str) -> list[str] | None:
        """Delete an entity and all below it, as `Catalog.delete`."""
        if entity not in self.sources(level):
            return None
        keys = [self.instances.pop(instance).blob.key for instance in self.below(level, entity)]
        self.garbage |= set(keys)
        self._forget_edits()
        return keys

    def edit(self, level: Level, entity: str, changes: Mapping[str, Value], user: str, time: str) -> bool:
        """Store changed values of an entity, as `Catalog.edit`."""
        if entity not in self.sources(level):
            return False
        kept = self.changes.setdefault((level, entity), {})
        kept.update({field: Edit(level, entity, field, value, user, time) for field, value in changes.items()})
        return True

    def clear(self) -> None:
        """Delete all entities, but not the edits, as `Catalog.clear`."""
        self.instances.clear()
        self._known = set()

    def _forget_edits(self) -> None:
        present = {(level, entity) for level in Level for entity in self.sources(level)}
        gone = self._known - present
        self.changes = {entity: edits for entity, edits in self.changes.items() if entity not in gone}
        self._known = present

    # -- what follows ----------------------------------------------------------------------------------------

    def parent(self, level: Level, entity: str) -> str:
        """Look up the id of the entity above.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Id of the entity.

        Returns
        -------
        str
        """
        return _claims(self.sources(level)[entity])[level.above[-1]]

    def sources(self, level: Level) -> dict[str, NewInstance]:
        """Map every entity of a level to its earliest instance.

        Parameters
        ----------
        level : Level
            The level.

        Returns
        -------
        dict of str to NewInstance
        """
        if level is Level.INSTANCE:
            return dict(self.instances)
        found: dict[str, NewInstance] = {}
        for new in sorted(self.sources(Level(level.child or level)).values(), key=self._arrival):
            found.setdefault(_claims(new)[level], new)
        return found

    def _arrival(self, new: NewInstance) -> int:
        return list(self.instances).index(new.instance)

    def chain(self, instance: str) -> dict[Level, str]:
        """Look up the ids of an instance and of the entities above it, by level.

        Parameters
        ----------
        instance : str
            SOP Instance UID.

        Returns
        -------
        dict of Level to str
        """
        series = self.instances[instance].series
        study = self.parent(Level.SERIES, series)
        patient = self.parent(Level.STUDY, study)
        return {Level.PATIENT: patient, Level.STUDY: study, Level.SERIES: series, Level.INSTANCE: instance}

    def below(self, level: Level, entity: str) -> list[str]:
        """List the instances of an entity in the order of their arrival.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Id of the entity.

        Returns
        -------
        list of str
        """
        return [instance for instance in self.instances if self.chain(instance)[level] == entity]

    def attributes(self, level: Level, entity: str) -> dict[str, Value]:
        """Compute the effective attributes of an entity.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Id of the entity.

        Returns
        -------
        dict of str to Value
            By field name.
        """
        source = self.sources(level)[entity].attributes
        values: dict[str, Value] = {a.field: source.get(a.field) for a in AT_LEVEL[level]}
        if level in UID_KEYWORD:
            values[snake_case(UID_KEYWORD[level])] = entity
        edits = self.changes.get((level, entity), {})
        return values | {field: edit.value for field, edit in edits.items()}

    def get(self, level: Level, entity: str) -> Entity | None:
        """Look up an entity by id, as `Catalog.get`."""
        if entity not in self.sources(level):
            return None
        instances = self.below(level, entity)
        chain = self.chain(instances[0])
        found: Entity = {"id": entity, **{above.value: chain[above] for above in level.above}}
        if level is Level.STUDY:
            found |= self.attributes(Level.PATIENT, chain[Level.PATIENT])
        found |= self.attributes(level, entity)
        chains = [self.chain(instance) for instance in instances]
        if level is Level.INSTANCE:
            new = self.instances[entity]
            return found | {"size": new.blob.size, "sha256": new.blob.sha256, "received": new.received}
        if level is Level.PATIENT:
            found["studies_count"] = len({chain[Level.STUDY] for chain in chains})
        series = {chain[Level.SERIES] for chain in chains}
        if level is Level.STUDY:
            found |= {"series_count": len(series), "modalities": self._modalities(entity)}
        return found | {"images_count": len(instances)}

    def _modalities(self, study: str) -> list[Scalar]:
        series = {self.chain(instance)[Level.SERIES] for instance in self.below(Level.STUDY, study)}
        found = {self.attributes(Level.SERIES, one)["modality"] for one in series}
        return [*sorted(str(modality) for modality in found if modality)]

    def find(self, query: Query) -> Page:
        """Find the entities that meet a query, as `Catalog.find`."""
        level = query.level
        found = []
        for entity in sorted(self.sources(level)):
            if query.after is not None and entity <= query.after:
                continue
            shown = self.get(level, entity) or {}
            whole: dict[str, Value] = {}
            for above in level.above:
                whole |= self.attributes(above, shown[above.value])
            whole |= shown | {level.value: entity}
            if level is not Level.PATIENT:
                study = shown["id"] if level is Level.STUDY else shown["study"]
                whole |= {"modalities": self._modalities(study), "sop_classes": [*self.sop_classes([study])[study]]}
            if all(matches(condition, whole) for condition in query.conditions):
                found.append((whole, shown))
        for field, descending in reversed(query.sort):
            found.sort(key=partial(_order, field), reverse=descending)  # ties keep their order either way
        end = None if query.limit is None else query.offset + query.limit
        page = [shown for _, shown in found[query.offset : end]]
        return Page(page, len(found) if query.counted else query.offset + len(page))

    def edits(self, instance: str) -> list[Edit]:
        """List all edits that apply to an instance, as `Catalog.edits`."""
        if instance not in self.instances:
            return []
        chain = self.chain(instance)
        kept = [self.changes.get((level, chain[level]), {}) for level in Level]
        return [edits[field] for edits in kept for field in sorted(edits)]

    def headers(self, level: Level, entity: str) -> list[bytes]:
        """List the headers of all instances below an entity, as `Catalog.headers`."""
        if entity not in self.sources(level):
            return []
        return [self.instances[instance].header for instance in sorted(self.below(level, entity))]

    def described(self, level: Level, entity: str) -> list[DescribedInstance]:
        """List headers and edits of all instances below an entity, as `Catalog.described`."""
        if entity not in self.sources(level):
            return []
        return [self._described(instance) for instance in sorted(self.below(level, entity))]

    def _described(self, instance: str) -> DescribedInstance:
        chain = self.chain(instance)
        header, edits = self.instances[instance].header, tuple(self.edits(instance))
        return DescribedInstance(chain[Level.STUDY], chain[Level.SERIES], instance, header, edits)

    def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        """Look up the earliest instance of each entity, as `Catalog.samples`."""
        sources = self.sources(level)
        return {entity: self._described(sources[entity].instance) for entity in entities if entity in sources}

    def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        """List the SOP Class UIDs of each study, as `Catalog.sop_classes`."""
        known = self.sources(Level.STUDY)
        below = {study: self.below(Level.STUDY, study) for study in studies if study in known}
        uids = {
            study: {self.attributes(Level.INSTANCE, one)["sop_class_uid"] for one in instances}
            for study, instances in below.items()
        }
        return {study: sorted(str(uid) for uid in found if uid) for study, found in uids.items()}


def _claims(new: NewInstance) -> dict[Level, str]:
    return dict(zip(Level, (new.patient, new.study, new.series, new.instance), strict=True))


def _order(field: str, pair: tuple[dict[str, Value], Entity]) -> tuple[bool, Any]:
    key = sort_key(field, pair[0].get(field))
    return (key is not None, 0 if key is None else key)
