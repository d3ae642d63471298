"""State machine test of the archive port against its model (hypothesis, a development dependency)."""

from collections.abc import Collection
from dataclasses import replace
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import StoreOutcome, StorePolicy
from neurdicom.catalog.records import Edit, NewInstance
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.errors import Ambiguous
from neurdicom.testing.catalog_compared import NUMBERS, compared
from neurdicom.testing.catalog_moving_rules import MoveRules, has_instances
from neurdicom.testing.catalog_placement import level_of
from neurdicom.testing.catalog_strategies import LEVELS, POLICIES, arrivals, attributes, queries


class CatalogMachine(MoveRules):
    """Random operations on an adapter and the model; a subclass implements `open_catalog` and runs its `TestCase`."""

    #: True to run the rules that reopen the catalog (which may be slow).
    reopens: ClassVar[bool] = True

    async def reopen(self, catalog: Catalog) -> Catalog:
        """Close the catalog, and open its backend again, as `CatalogSuite.reopen`."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self._edits = 0
        self._again = 0
        self.aside: tuple[list[Edit], list[Edit]] = [], []

    @rule(batch=st.lists(arrivals(), min_size=2, max_size=8), policy=POLICIES)
    def store(self, batch: list[NewInstance], policy: StorePolicy) -> None:
        self._store(batch, policy)

    @precondition(has_instances)
    @rule(number=NUMBERS, second=st.integers(0, 59), policy=POLICIES)
    def store_again(self, number: int, second: int, policy: StorePolicy) -> None:
        """Store the bytes of a file once more, of a displaced one if there is any."""
        model = self.model
        files = [model.files[each] for found in model.naturals.values() for each in found[1:]] or [
            *model.files.values()
        ]
        file = files[number % len(files)]
        self._again += 1
        blob = replace(file.blob, key=f"{file.blob.key}-{self._again}")
        self._store([replace(file, blob=blob, received=f"2024-01-01T00:01:{second:02}Z")], policy)

    def _store(self, batch: list[NewInstance], policy: StorePolicy) -> None:
        found = self.wait(self.tested.store(batch, policy))
        expected = self.model.store(batch, policy)
        assert found == expected
        for one, other in zip(found, expected, strict=True):
            self._same_outcome(one, other)
        if found[-1].place is not None and expected[-1].place is not None:
            assert found[-1].place.shared == expected[-1].place.shared

    def _same_outcome(self, found: StoreOutcome, expected: StoreOutcome) -> None:
        assert (found.place is None, found.refusal is None) == (expected.place is None, expected.refusal is None)
        if found.place is not None and expected.place is not None:
            # Within one batch a study may have gone over to another patient since.
            levels = [level for level in Level if found.place.key(level) != expected.place.key(level)]
            for level in levels:
                keys = self.model.keys(level, found.place.key(level))
                assert expected.place.key(level) in keys, level
        if found.refusal is not None and expected.refusal is not None:
            one, other = found.refusal, expected.refusal
            assert (one.level, one.uid, one.same_place) == (other.level, other.uid, other.same_place)
            assert sorted(one.holders) == sorted(other.holders)
            assert set(one.patients) == set(other.patients)

    @rule(query=queries())
    def find(self, query: Query) -> None:
        assert self.wait(self.tested.find(query)) == self.model.find(query)

    @precondition(has_instances)
    @rule(level=LEVELS, number=NUMBERS, aside=st.sampled_from(["", "trash/1"]))
    def delete(self, level: Level, number: int, aside: str) -> None:
        self._delete(level, self.some(level, number), aside)

    def _delete(self, level: Level, entity: str, aside: str) -> None:
        found, expected = self.both(
            self.tested.delete(level, entity, aside=aside), lambda: self.model.delete(level, entity, aside)
        )
        assert sorted(found or ()) == sorted(expected or ())
        assert (found is None) == (expected is None)

    @precondition(has_instances)
    @rule(data=st.data(), level=LEVELS, number=NUMBERS, time=st.sampled_from(["t1", "t2"]))
    def edit(self, data: st.DataObject, level: Level, number: int, time: str) -> None:
        entity, changes = self.some(level, number), data.draw(attributes(editable=level))
        self._edits += 1
        time = f"{time}-{self._edits:03}"  # of parts of one entity the latest counts
        kept, expected = self.both(
            self.tested.edit(level, entity, changes, user="u", time=time),
            lambda: self.model.edit(level, entity, changes, "u", time),
        )
        assert kept == expected

    @precondition(has_instances)
    @rule(level=LEVELS, number=NUMBERS, which=NUMBERS)
    def undo(self, level: Level, number: int, which: int) -> None:
        entity = self.some(level, number)
        found, expected = self.both(self.tested.history(level, entity), lambda: self.model.history(level, entity))
        assert found == expected
        if Ambiguous.__name__ in found or not found:
            return
        own, other = found[which % len(found)].id, expected[which % len(found)].id
        assert self.wait(self.tested.undo(level, entity, own))
        assert self.model.undo(level, entity, other)
        assert not self.wait(self.tested.undo(level, entity, own))

    @precondition(has_instances)
    @rule(level=LEVELS, number=NUMBERS)
    def set_aside(self, level: Level, number: int) -> None:
        """Delete an entity as the trash does, and keep its edits."""
        paths = self.model.paths(level)
        path = paths[number % len(paths)]
        kept = [
            (level_of(at), self.model.key_at(at))
            for each in Level
            for at in self.model.paths(each)
            if at[: len(path)] == path
        ]
        found = [self.wait(self.tested.history(*entity)) for entity in kept]
        expected = [self.model.history(*entity) for entity in kept]
        assert found == expected
        self.aside = [edit for edits in found for edit in edits], [edit for edits in expected for edit in edits]
        self._delete(level, self.model.key_at(path), "trash/1")

    @rule()
    def bring_back(self) -> None:
        """Bring back the edits of what was set aside, as far as it is there again, and once more."""
        for _ in range(2):
            self.wait(self.tested.restore_edits(self.aside[0]))
            self.model.restore_edits(self.aside[1])

    @precondition(has_instances)
    @rule(level=LEVELS, number=NUMBERS)
    def locate(self, level: Level, number: int) -> None:
        entity = self.some(level, number)
        found, expected = self.both(self.tested.locate_all(level, entity), lambda: self.model.locate_all(level, entity))
        assert compared(found) == compared(expected)
        if level is Level.INSTANCE:
            one, expected = self.both(
                self.tested.locate(entity),
                lambda: next((each.location for each in self.model.locate_all(level, entity)), None),
            )
            assert one == expected

    @precondition(has_instances)
    @rule(level=LEVELS, number=NUMBERS, budget=st.integers(1, 400))
    def described(self, level: Level, number: int, budget: int) -> None:
        entity = self.some(level, number)
        first, expected = self.both(
            self.tested.described(level, entity, budget=budget), lambda: self.model.described(level, entity)
        )
        if Ambiguous.__name__ in first:
            assert first == expected
            return
        found, page = [], first
        while page:
            sizes = [len(one.header) for one in page]
            assert sum(sizes[:-1]) < budget
            found += page
            page = self.wait(self.tested.described(level, entity, after=page[-1].instance, budget=budget))
        assert compared(found) == compared(expected)
        assert self.wait(self.tested.headers(level, entity)) == [one.header for one in found]

    @precondition(has_instances)
    @rule(level=LEVELS, numbers=st.lists(NUMBERS, max_size=3))
    def samples(self, level: Level, numbers: list[int]) -> None:
        one = self.keys_of_some(level, numbers)
        seen, known = self.wait(self.tested.samples(level, one)), self.model.samples(level, one)
        assert dict(zip(seen, compared(seen.values()), strict=True)) == dict(
            zip(known, compared(known.values()), strict=True)
        )
        for found, expected in (
            (self.tested.sop_classes(two := self.keys_of_some(Level.STUDY, numbers)), self.model.sop_classes(two)),
            (self.tested.digests(three := self.keys_of_some(Level.INSTANCE, numbers)), self.model.digests(three)),
        ):
            assert self.wait(found) == expected

    @precondition(has_instances)
    @rule(level=LEVELS, number=NUMBERS)
    def keys(self, level: Level, number: int) -> None:
        entity = self.some(level, number)
        found, expected = self.both(self.tested.keys(level, entity), lambda: self.model.keys(level, entity))
        assert (found[:1], sorted(found, key=str)) == (expected[:1], sorted(expected, key=str))
        found, expected = self.both(self.tested.get(level, entity), lambda: self.model.get(level, entity))
        assert found == expected

    @precondition(has_instances)
    @rule(size=st.integers(1, 6), lost=st.just(()) | st.sets(st.integers(0, 10), max_size=3))
    def reindex(self, size: int, lost: Collection[int]) -> None:
        """Delete all entities and enter the files that are left, in the order of their arrival: nothing changes."""
        before = [self.wait(self.tested.find(Query(level, limit=None))) for level in Level]
        left = [new for number, new in enumerate(self.model.files.values()) if number not in lost]
        whole = len(left) == len(self.model.files)
        self.wait(self.tested.clear())
        self.model.clear()
        assert [self.wait(self.tested.find(Query(level, limit=None))).items for level in Level] == [[]] * 4
        assert self.wait(self.tested.conflicts()) == []
        for at in range(0, len(left), size):
            batch = left[at : at + size]
            assert self.wait(self.tested.store(batch)) == self.model.store(batch)
        if whole:
            assert [self.wait(self.tested.find(Query(level, limit=None))) for level in Level] == before

    @rule()
    def restart(self) -> None:
        if self.reopens:
            self.catalog = self.wait(self.reopen(self.tested))

    @rule()
    def forget_garbage(self) -> None:
        garbage = self.wait(self.tested.garbage())
        assert garbage == self.model.garbage
        self.wait(self.tested.forget_garbage([*garbage][:1]))
        for key in [*garbage][:1]:
            del self.model.garbage[key]

    @invariant()
    def agrees(self) -> None:
        if self.catalog is None:
            return
        for level in Level:
            expected = self.model.find(Query(level, limit=None))
            assert self.wait(self.catalog.find(Query(level, limit=None))) == expected
            for entity in expected.items[:2]:
                assert self.wait(self.catalog.get(level, entity["id"])) == entity
                assert self.wait(self.catalog.get(level, entity["key"])) == entity
            keys = [key for path in self.model.paths(level) for key in self.model.keys_at(path)]
            assert self.wait(self.catalog.ids(level, keys)) == self.model.ids(level, keys)
        assert self.wait(self.catalog.conflicts()) == self.model.conflicts()
        holdings = self.model.holdings()
        found = self.wait(self.catalog.holdings(100))
        assert sorted(found, key=lambda one: (one.received, one.study)) == holdings
        assert self.wait(self.catalog.stored_bytes()) == sum(one.bytes for one in holdings)
        blobs = {new.blob.key for new in self.model.files.values()}
        assert self.wait(self.catalog.known_blobs([*blobs, *self.model.garbage])) == blobs
