"""State machine test of the archive port against its model (hypothesis, a development dependency)."""

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from neurdicom.catalog.base import Catalog, NewInstance
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import AT_LEVEL, Kind, Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Condition, Either, Like, Moment, Query, Value, Word
from neurdicom.testing.catalog_model import CatalogModel
from neurdicom.testing.machine import AdapterMachine

_LEVELS = st.sampled_from(list(Level))
_TEXTS = ["", "a", "AB", "ab c", "Ünal", "STRASSE", "straße", "a_b%", "[x]", "山田 太郎"]
_NAMES = ["DOE^JOHN", "doe^jane=山田^太郎=やまだ^たろう", "=安倍", "Ünal^Ö", "^^", "Roe"]
_VALUES: dict[Kind, list[Any]] = {
    Kind.CODE: ["CT", "MR", "ct", "US", "O"],
    Kind.TEXT: _TEXTS,
    Kind.NAME: _NAMES,
    Kind.DATE: ["20230131", "20240101", "20240229", "2024"],
    Kind.TIME: ["080000", "120000.5", "1200"],
    Kind.INTEGER: [-1, 0, 1, 7, 512],
    Kind.NUMBER: [0.5, 1.0, -3.25],
    Kind.UID: ["1.2.3", "1.2.30", "1.2.3.4"],  # none that is a number: the server of the tests would make it one
}
_PATTERNS = ["*", "d*", "*o*", "?o?*", "山*", "a?", "AB", "*[*", "ü*", "a_*", "strass*", "2024*", ""]
_WORDS = ["j*", "unal", "山*", "*o", "doe", "?oe"]
_MOMENTS = [("20240101", "0900"), ("20240101", "120000.5"), ("20240229", "080000")]
_FIELDS = ["patient_name", "study_date", "study_id", "modality", "operators_name", "image_type", "rows"]
_FIELDS += ["content_date", "content_time"]
_FIELDS += ["patient_sex", "other_patient_ids", "series_number", "instance_number", "sop_class_uid"]
_ATTRIBUTES = [attribute for level in Level for attribute in AT_LEVEL[level] if attribute.field in _FIELDS]


@st.composite
def _attributes(draw: st.DrawFn, editable: Level | None = None) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for attribute in _ATTRIBUTES:
        if editable and not (attribute.editable and attribute.level is editable):
            continue
        one = st.sampled_from(_VALUES[attribute.kind])
        value: Any = draw(st.none() | (st.lists(one, max_size=2) if attribute.many else one))
        if value is not None or (editable and draw(st.booleans())):
            values[attribute.field] = value
    return values


@st.composite
def _arrivals(draw: st.DrawFn) -> NewInstance:
    patient, study, series, instance = (draw(st.integers(1, bound)) for bound in (2, 3, 3, 6))
    content = draw(st.integers(1, 2))
    arrival = draw(st.integers(0, 10**9))
    ids = {
        "study_instance_uid": f"1.{study}",
        "series_instance_uid": f"2.{series}",
        "sop_instance_uid": f"3.{instance}",
    }
    return NewInstance(
        patient=f"p{patient}",
        study=f"1.{study}",
        series=f"2.{series}",
        instance=f"3.{instance}",
        attributes={**draw(_attributes()), "patient_id": f"P{patient}", **ids},
        header=f'{{"content": {content}}}'.encode(),
        blob=BlobRef(f"{instance}-{content}-{arrival}", content, f"sha-{instance}-{content}"),
        received="2024-01-01T00:00:00Z",
        layout={"content": content},
    )


@st.composite
def _queries(draw: st.DrawFn) -> Query:
    level = draw(_LEVELS)
    known = [attribute for attribute in _ATTRIBUTES if attribute.level in (*level.above, level)]
    conditions: list[Condition] = []
    for attribute in draw(st.lists(st.sampled_from(known), max_size=2)):
        values = st.sampled_from(_VALUES[attribute.kind])
        choices: list[st.SearchStrategy[Condition]] = [
            st.builds(AnyOf, st.just(attribute.field), st.lists(values, min_size=1, max_size=2).map(tuple))
        ]
        if attribute.kind in (Kind.DATE, Kind.TIME, Kind.INTEGER):
            choices.append(st.builds(Between, st.just(attribute.field), st.none() | values, st.none() | values))
        if attribute.kind is not Kind.INTEGER:
            choices.append(st.builds(Like, st.just(attribute.field), st.sampled_from(_PATTERNS)))
        if attribute.kind is Kind.NAME:
            choices.append(st.builds(Word, st.just(attribute.field), st.sampled_from(_WORDS)))
        simple = st.one_of(choices)
        either: st.SearchStrategy[Condition] = st.builds(Either, st.lists(simple, min_size=1, max_size=2).map(tuple))
        conditions.append(draw(simple | either))
    if level is not Level.PATIENT and draw(st.booleans()):
        conditions.append(AnyOf("modalities", (draw(st.sampled_from(_VALUES[Kind.CODE])),)))
    if level is not Level.PATIENT and draw(st.integers(0, 3)) == 0:
        conditions.append(AnyOf("sop_classes", (draw(st.sampled_from(_VALUES[Kind.UID])),)))
    if level is Level.INSTANCE and draw(st.booleans()):
        ends = [draw(st.none() | st.sampled_from(_MOMENTS)) for _ in range(2)]
        conditions.append(Moment("content_date", "content_time", *ends))
    named = [above for above in (*level.above, level) if draw(st.integers(0, 9)) == 0]
    conditions += [AnyOf(above.value, ("p1", "1.1", "2.1", "3.1")) for above in named]
    sort = draw(st.lists(st.tuples(st.sampled_from([a.field for a in known]), st.booleans()), max_size=2))
    limit, offset = draw(st.none() | st.integers(0, 3)), draw(st.integers(0, 2))
    after = None if sort else draw(st.none() | st.sampled_from(["", "1.2", "2.1", "3.3", "p1"]))
    return Query(level, tuple(conditions), tuple(sort), limit, offset, after, draw(st.booleans()))


class CatalogMachine(AdapterMachine):
    """Random operations on an adapter and the model; a subclass implements `open_catalog` and runs its `TestCase`."""

    #: True to run the rules that reopen the catalog (which may be slow).
    reopens: ClassVar[bool] = True

    async def reopen(self, catalog: Catalog) -> Catalog:
        """Close the catalog, and open its backend again, as `CatalogSuite.reopen`."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.model = CatalogModel()

    @rule(arrivals=st.lists(_arrivals(), min_size=1, max_size=6))
    def store(self, arrivals: list[NewInstance]) -> None:
        assert self.wait(self.tested.store(arrivals)) == self.model.store(arrivals)

    @rule(query=_queries())
    def find(self, query: Query) -> None:
        assert self.wait(self.tested.find(query)) == self.model.find(query)

    @rule(level=_LEVELS, number=st.integers(0, 5))
    def delete(self, level: Level, number: int) -> None:
        entity = self._some(level, number)
        assert self.wait(self.tested.delete(level, entity)) == self.model.delete(level, entity)

    @rule(data=st.data(), level=_LEVELS, number=st.integers(0, 5))
    def edit(self, data: st.DataObject, level: Level, number: int) -> None:
        entity, changes = self._some(level, number), data.draw(_attributes(editable=level))
        kept = self.wait(self.tested.edit(level, entity, changes, user="u", time="t"))
        assert kept == self.model.edit(level, entity, changes, "u", "t")

    @rule(level=_LEVELS, number=st.integers(0, 5))
    def headers(self, level: Level, number: int) -> None:
        entity = self._some(level, number)
        assert self.wait(self.tested.headers(level, entity)) == self.model.headers(level, entity)

    @rule(level=_LEVELS, number=st.integers(0, 5), budget=st.integers(1, 60))
    def described(self, level: Level, number: int, budget: int) -> None:
        entity = self._some(level, number)
        expected, found, after = self.model.described(level, entity), [], ""
        while page := self.wait(self.tested.described(level, entity, after=after, budget=budget)):
            sizes = [len(one.header) for one in page]
            assert sum(sizes[:-1]) < budget
            found += page
            after = page[-1].instance
        assert found == expected

    @rule(level=_LEVELS, numbers=st.lists(st.integers(0, 5), max_size=3))
    def samples(self, level: Level, numbers: list[int]) -> None:
        entities = [self._some(level, number) for number in numbers]
        assert self.wait(self.tested.samples(level, entities)) == self.model.samples(level, entities)
        studies = [self._some(Level.STUDY, number) for number in numbers]
        assert self.wait(self.tested.sop_classes(studies)) == self.model.sop_classes(studies)

    @rule()
    def clear(self) -> None:
        self.wait(self.tested.clear())
        self.model.clear()

    @rule()
    def restart(self) -> None:
        if self.reopens:
            self.catalog = self.wait(self.reopen(self.tested))

    @rule()
    def forget_garbage(self) -> None:
        keys = self.wait(self.tested.garbage())
        assert set(keys) == self.model.garbage
        self.wait(self.tested.forget_garbage(keys[:1]))
        self.model.garbage -= set(keys[:1])

    @invariant()
    def agrees(self) -> None:
        if self.catalog is None:
            return
        for level in Level:
            expected = self.model.find(Query(level, limit=None))
            assert self.wait(self.catalog.find(Query(level, limit=None))) == expected
            for entity in expected.items[:2]:
                assert self.wait(self.catalog.get(level, entity["id"])) == entity
        for instance, new in list(self.model.instances.items())[:3]:
            location = self.wait(self.catalog.locate(instance))
            assert location is not None
            assert (location.blob, location.layout) == (new.blob, new.layout)
            chain = self.model.chain(instance)
            assert (location.study, location.series) == (chain[Level.STUDY], chain[Level.SERIES])
            edits = self.model.edits(instance)
            assert location.edited == bool(edits)
            assert self.wait(self.catalog.edits(instance)) == edits

    def _some(self, level: Level, number: int) -> str:
        known = sorted(self.model.sources(level))
        return known[number % len(known)] if known else "none"
