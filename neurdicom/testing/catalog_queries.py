"""Contract suite of the archive port: queries of C-FIND, QIDO-RS and lists."""

from dataclasses import replace

from neurdicom.catalog.base import Catalog
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import (
    AnyOf,
    Between,
    Condition,
    Contains,
    Either,
    Like,
    Moment,
    Query,
    Word,
)
from neurdicom.errors import Invalid
from neurdicom.testing.arrivals import arrival, place_of
from neurdicom.testing.catalog_suite import CatalogSuite


class QueryContract(CatalogSuite):
    """Tests of conditions, pages, and invalid queries."""

    def test_conditions_of_levels_above(self) -> None:
        async def test(catalog: Catalog) -> None:
            more = arrival(3, patient="p2", study="1.2.2", series="1.2.2.1", patient_name="ROE", modality="MR")
            await catalog.store([arrival(1), arrival(2), more])
            for conditions, ids in (
                ((Like("patient_name", "roe"),), ["1.9.3"]),
                ((AnyOf("modality", ("ct", "US")), Between("instance_number", 2, None)), ["1.9.2"]),
                ((AnyOf("study", ("1.2.1",)), AnyOf("patient", ("p1", "p2"))), ["1.9.1", "1.9.2"]),
                ((Between("study_date", "20240103", None),), []),
                ((AnyOf("image_type", ("primary",)), AnyOf("series", ("1.2.2.1",))), ["1.9.3"]),
            ):
                page = await catalog.find(Query(Level.INSTANCE, conditions))
                assert [instance["id"] for instance in page.items] == ids, conditions

        self.run(test)

    def test_pages_and_totals(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(n, series=f"1.2.1.{n % 2}") for n in range(10, 35)])
            query = Query(Level.INSTANCE, sort=(("series_instance_uid", True), ("instance_number", False)), limit=7)
            found = []
            for offset in range(0, 28, 7):
                page = await catalog.find(replace(query, offset=offset))
                assert page.total == 25
                found += [item["instance_number"] for item in page.items]
            assert found == [*range(11, 35, 2), *range(10, 35, 2)]
            past = await catalog.find(replace(query, offset=100))
            assert (past.items, past.total) == ([], 25)
            none = await catalog.find(replace(query, limit=0))
            assert (none.items, none.total) == ([], 25)
            assert len((await catalog.find(replace(query, limit=None))).items) == 25

        self.run(test)

    def test_what_can_not_be_asked_is_invalid(self) -> None:
        async def test(catalog: Catalog) -> None:
            for query in (
                Query(Level.STUDY, (AnyOf("modality", ("CT",)),)),
                Query(Level.STUDY, (AnyOf("unknown", ("x",)),)),
                Query(Level.INSTANCE, (AnyOf("pixel_spacing", (1.0,)),)),
                Query(Level.PATIENT, (Between("patient_name", "A", "B"),)),
                Query(Level.STUDY, sort=(("rows", False),)),
                Query(Level.INSTANCE, (AnyOf("rows", (2**70,)),)),
                Query(Level.STUDY, (Like("study", "1.2*"),)),
                Query(Level.SERIES, (Between("study", "1", "2"),)),
                Query(Level.STUDY, (AnyOf("series", ("1.2.1.1",)),)),
                Query(Level.PATIENT, (AnyOf("study_date", ("20240101",)),)),
                Query(Level.SERIES, (Contains(Level.STUDY, (AnyOf("study_date", ("20240101",)),)),)),
                Query(Level.STUDY, (Contains(Level.SERIES, (AnyOf("rows", (1,)),)),)),
                Query(Level.STUDY, (Contains(Level.SERIES, (AnyOf("labels", ("a",)),)),)),
                Query(Level.STUDY, sort=(("patient_name", False),), past=("A", "1")),
                Query(Level.STUDY, sort=(("study_date", False),), past=("A", "1"), offset=1),
                Query(Level.STUDY, sort=(("study_date", False),), past=("1",)),
            ):
                try:
                    await catalog.find(query)
                except Invalid as error:
                    assert error.field, query
                else:
                    raise AssertionError(f"{query} was answered")

        self.run(test)

    def test_hostile_values_are_stored(self) -> None:
        async def test(catalog: Catalog) -> None:
            odd = arrival(1, patient_name="$where[a]%_'\"\\^\ud800", instance_number=2**80, study_id="a*b?c[d]")
            assert [outcome.status for outcome in await catalog.store([odd])] == ["stored"]
            for pattern in ("A*B?C[D]", "a*[d]", "*[*"):
                assert (await catalog.find(Query(Level.STUDY, (Like("study_id", pattern),)))).total == 1, pattern
            assert (await catalog.find(Query(Level.STUDY, (Like("study_id", "a[*]b*"),)))).total == 0
            assert (await catalog.find(Query(Level.STUDY, (Like("patient_name", "$where[a]*"),)))).total == 1

        self.run(test)

    def test_pages_by_id(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(n, modality="CT" if n % 3 else "MR", series=f"2.{n % 3}") for n in range(30)])
            for conditions in ((), (AnyOf("modality", ("CT",)),), (Between("instance_number", 3, None),)):
                expected = [
                    one["id"] for one in (await catalog.find(Query(Level.INSTANCE, conditions, (), None))).items
                ]
                found: list[str] = []
                while True:
                    after = found[-1] if found else None
                    page = await catalog.find(Query(Level.INSTANCE, conditions, (), 7, 0, after=after, counted=False))
                    found += [one["id"] for one in page.items]
                    assert page.total == len(page.items)
                    if len(page.items) < 7:
                        break
                assert found == expected
            rest = await catalog.find(Query(Level.INSTANCE, (), (), 2, after="1.9.27"))
            assert ([one["id"] for one in rest.items], rest.total) == (["1.9.28", "1.9.29"], 9)
            try:
                await catalog.find(Query(Level.INSTANCE, (), (("rows", False),), after="1"))
            except Invalid as error:
                assert error.field == "sort"
            else:
                raise AssertionError("a sorted page began after an id")

        self.run(test)

    def test_words_moments_and_alternatives(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(
                [
                    arrival(1, patient_name="Müller-Roe^Zoë=山田^太郎", study_date="20240101", study_time="2300"),
                    arrival(
                        2, patient="p2", study="1.2.2", series="2.2", patient_name="DOE^JANE", study_date="20240102"
                    ),
                ]
            )
            late = Moment("study_date", "study_time", ("20240101", "2200"), ("20240102", "0100"))
            wanted: list[tuple[Condition, list[str]]] = [
                (Word("patient_name", "MULL*"), ["1.2.1"]),
                (Word("patient_name", "roe"), ["1.2.1"]),
                (Word("patient_name", "太*"), ["1.2.1"]),
                (Word("patient_name", "oe*"), []),
                (late, ["1.2.1", "1.2.2"]),
                (Moment("study_date", "study_time", ("20240101", "2301"), None), ["1.2.2"]),
                (Moment("study_date", "study_time", None, ("20240101", "2259")), []),
                (Either((Like("patient_name", "d*"), AnyOf("patient_name", ("山田^太郎",)))), ["1.2.1", "1.2.2"]),
            ]
            for condition, ids in wanted:
                for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
                    found = (await catalog.find(Query(level, (condition,)))).items
                    studies = [one["id" if level is Level.STUDY else "study"] for one in found]
                    assert sorted(studies) == ids, condition

        self.run(test)

    def test_pages_of_the_newest_studies(self) -> None:
        async def test(catalog: Catalog) -> None:
            days, times = ("20240101", "20231231", None), ("1200", None, "0800")
            files = [
                arrival(n, study=f"1.2.{n}", series=f"2.{n}", study_date=days[n % 3], study_time=times[n // 3 % 3])
                for n in range(10, 40)
            ]
            await catalog.store(files)
            fields = ("study_date", "study_time")
            sorts: list[tuple[tuple[str, bool], ...]] = [
                (("study_date", True), ("study_time", True)),
                (("study_date", False), ("study_time", True)),
                (("study_time", True),),
            ]
            filters: list[tuple[Condition, ...]] = [
                (),
                (Between("study_date", "20240101", None),),
                (AnyOf("patient", ("p1",)),),
            ]
            for sort in sorts:
                for conditions in filters:
                    query = Query(Level.STUDY, conditions, sort, None)
                    expected = [one["id"] for one in (await catalog.find(query)).items]
                    assert len(expected) == (10 if conditions == filters[1] else 30)
                    for size in (1, 7, None):
                        found: list[str] = []
                        past = None
                        while True:
                            page = await catalog.find(replace(query, limit=size, past=past, counted=False))
                            found += [one["id"] for one in page.items]
                            if size is None or len(page.items) < size:
                                break
                            end = page.items[-1]
                            past = (*(end[field] for field, _ in sort), end["id"])
                        assert found == expected, (sort, conditions, size)
            newest = Query(Level.STUDY, (), tuple((field, True) for field in fields), None)
            shown = [tuple(one[field] or "" for field in fields) for one in (await catalog.find(newest)).items]
            assert shown == sorted(shown, reverse=True)

        self.run(test)

    def test_what_levels_below_contain(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(
                [
                    arrival(1, series_description="one", rows=10),
                    arrival(2, series="2.2", series_description="two", rows=20),
                    arrival(3, patient="p2", study="1.2.2", series="2.3", series_description="two", rows=10),
                ]
            )
            two, one = AnyOf("series_description", ("two",)), AnyOf("series_description", ("one",))
            small = Between("rows", None, 10)
            wanted: list[tuple[Level, Condition, list[str]]] = [
                (Level.STUDY, Contains(Level.SERIES, (two,)), ["1.2.1", "1.2.2"]),
                (Level.STUDY, Contains(Level.SERIES, (one,)), ["1.2.1"]),
                (Level.STUDY, Contains(Level.INSTANCE, (two, small)), ["1.2.2"]),
                (Level.PATIENT, Contains(Level.INSTANCE, (two, small)), ["p2"]),
                (Level.PATIENT, Contains(Level.STUDY, (AnyOf("modalities", ("CT",)),)), ["p1", "p2"]),
                (Level.SERIES, Contains(Level.INSTANCE, (small,)), ["1.2.1.1", "2.3"]),
                (Level.STUDY, Contains(Level.SERIES, (AnyOf("series", ("2.2", "2.3")), two)), ["1.2.1", "1.2.2"]),
                (Level.STUDY, Contains(Level.SERIES, (AnyOf("series", ("9.9",)),)), []),
            ]
            for level, condition, ids in wanted:
                for sort in ((), (("study_date", True),)) if level is Level.STUDY else ((),):
                    for counted in (True, False):
                        query = Query(level, (condition,), sort, 10, counted=counted)
                        assert [one["id"] for one in (await catalog.find(query)).items] == ids, condition

        self.run(test)

    def test_what_is_in_a_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(
                [
                    arrival(1, sop_class_uid="1.2.840.1"),
                    arrival(2, sop_class_uid="1.2.840.2", series="2.2", modality="SR"),
                    arrival(3, sop_class_uid="1.2.840.1", study="1.2.2", series="2.3"),
                    arrival(4, study="1.2.3", series="2.4"),
                ]
            )
            for condition, ids in (
                (AnyOf("sop_classes", ("1.2.840.2",)), ["1.9.1", "1.9.2"]),
                (AnyOf("sop_classes", ("1.2.840.1",)), ["1.9.1", "1.9.2", "1.9.3"]),
                (AnyOf("modalities", ("sr",)), ["1.9.1", "1.9.2"]),
            ):
                found = await catalog.find(Query(Level.INSTANCE, (condition,)))
                assert [one["id"] for one in found.items] == ids, condition
            assert await catalog.sop_classes(["1.2.1", "1.2.3", "9"]) == {
                "1.2.1": ["1.2.840.1", "1.2.840.2"],
                "1.2.3": [],
            }

        self.run(test)

    def test_samples_are_the_earliest_instances(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(n, series=f"2.{n % 2}") for n in (5, 2, 9, 4)])
            await catalog.edit(Level.SERIES, "2.1", {"modality": "US"}, user="u", time="t")
            found = await catalog.samples(Level.SERIES, ["2.0", "2.1", "none"])
            assert {entity: uid_of(one.instance) for entity, one in found.items()} == {"2.0": "1.9.2", "2.1": "1.9.5"}
            assert [edit.field for edit in found["2.1"].edits] == ["modality"]
            assert found["2.0"].edits == ()
            for level, entity in ((Level.PATIENT, "p1"), (Level.STUDY, "1.2.1"), (Level.INSTANCE, "1.9.5")):
                one = (await catalog.samples(level, [entity]))[entity]
                assert (one.instance, one.header) == (place_of(arrival(5, series="2.1")).instance, arrival(5).header)
            await catalog.delete(Level.INSTANCE, "1.9.5")
            assert (await catalog.samples(Level.STUDY, ["1.2.1"]))["1.2.1"].header == arrival(2).header
            assert await catalog.samples(Level.STUDY, []) == {}

        self.run(test)
