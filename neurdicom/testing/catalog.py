"""The contract of the catalog port: a suite that an adapter enrols in with a subclass of a few lines.

>>> class TestMine(CatalogContract):
...     async def open_catalog(self): ...
...     async def backend_blobs(self, catalog): ...
...     async def lose_instance(self, catalog, instance): ...
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from neurdicom.catalog.base import Catalog, Edit, Outcome
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Like, Query, Value
from neurdicom.errors import Invalid, Unavailable
from neurdicom.testing.arrivals import arrival
from neurdicom.testing.catalog_described import DescribedContract
from neurdicom.testing.catalog_documents import DocumentContract
from neurdicom.testing.catalog_queries import QueryContract
from neurdicom.testing.catalog_terms import TermContract

STUDIES = Query(Level.STUDY)


class CatalogContract(DescribedContract, DocumentContract, QueryContract, TermContract, ABC):
    """What holds for every catalog. Each test begins with an empty one."""

    @abstractmethod
    async def open_catalog(self) -> Catalog:
        """Open an empty catalog."""

    @abstractmethod
    async def reopen(self, catalog: Catalog) -> Catalog:
        """Open the same backend anew, as the next process would; `catalog` is closed."""

    @abstractmethod
    async def backend_blobs(self, catalog: Catalog) -> dict[str, str]:
        """Instance id to blob key, read from the backend behind the adapter's back."""

    def run(self, test: Callable[[Catalog], Awaitable[None]]) -> None:
        """Run a test on an empty catalog, and close it."""

        async def go() -> None:
            async with self.opened() as catalog:
                await test(catalog)

        asyncio.run(go())

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Catalog]:
        catalog = await self.open_catalog()
        try:
            yield catalog
        finally:
            await catalog.close()

    def test_digests(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(n) for n in range(3)])
            assert await catalog.digests(["1.9.2", "none", "1.9.0"]) == {"1.9.0": "sha-0", "1.9.2": "sha-2"}
            assert await catalog.digests([]) == {}
            await catalog.store([arrival(2, sha256="new")])
            assert await catalog.digests(["1.9.2"]) == {"1.9.2": "new"}

        self.run(test)

    # -- storing ---------------------------------------------------------------------------------------------

    def test_store_and_get_every_level(self) -> None:
        async def test(catalog: Catalog) -> None:
            assert await catalog.store([arrival(1), arrival(2, series="1.2.1.2", modality="MR")]) == [
                Outcome("stored"),
                Outcome("stored"),
            ]
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert study["modalities"] == ["CT", "MR"]
            assert (study["patient"], study["patient_name"]) == ("p1", "DOE^JOHN")
            assert (study["series_count"], study["images_count"]) == (2, 2)
            assert study["accession_number"] is None
            series = await catalog.get(Level.SERIES, "1.2.1.2")
            assert series is not None
            assert (series["patient"], series["study"], series["images_count"]) == ("p1", "1.2.1", 1)
            instance = await catalog.get(Level.INSTANCE, "1.9.1")
            assert instance is not None
            assert (instance["series"], instance["size"], instance["sha256"]) == ("1.2.1.1", 1001, "sha-1")
            assert instance["image_type"] == ["ORIGINAL", "PRIMARY"]
            assert await catalog.get(Level.STUDY, "9.9") is None
            assert await self.backend_blobs(catalog) == {"1.9.1": "blob-1-sha-1", "1.9.2": "blob-2-sha-2"}

        self.run(test)

    def test_a_duplicate_leaves_its_blob_to_the_garbage(self) -> None:
        async def test(catalog: Catalog) -> None:
            again = replace(arrival(1), blob=BlobRef("again", 1001, "sha-1"))
            assert await catalog.store([arrival(1), again]) == [Outcome("stored"), Outcome("duplicate", "again")]
            assert await catalog.store([arrival(1)]) == [Outcome("duplicate")]  # the same blob: still in use
            assert await catalog.garbage() == ["again"]
            await catalog.forget_garbage(["again", "never there"])
            assert await catalog.garbage() == []

        self.run(test)

    def test_a_replacement_takes_the_place_of_the_earlier_file(self) -> None:
        async def test(catalog: Catalog) -> None:
            first, second = arrival(1), arrival(1, sha256="new", patient_name="ROE^JANE", rows=7)
            await catalog.store([first])
            assert await catalog.locate("1.9.1") is not None  # known to the adapter's caches
            assert await catalog.store([second]) == [Outcome("replaced", "blob-1-sha-1")]
            location = await catalog.locate("1.9.1")
            assert location is not None
            assert (location.blob, location.edited) == (second.blob, False)
            assert location.layout == second.layout
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert (study["patient_name"], study["images_count"]) == ("ROE^JANE", 1)
            assert await catalog.headers(Level.PATIENT, "p1") == [second.header]
            assert await catalog.garbage() == ["blob-1-sha-1"]
            assert await catalog.known_blobs(["blob-1-sha-1", "blob-1-new", "x"]) == {"blob-1-new"}

        self.run(test)

    def test_a_replacement_moves_and_empty_parents_go(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1), arrival(2, patient="p2", study="1.2.2", series="1.2.2.1")])
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": "S"}, user="u", time="t")
            moved = arrival(1, sha256="new", patient="p2", study="1.2.2", series="1.2.2.2", modality="US")
            assert [outcome.status for outcome in await catalog.store([moved])] == ["replaced"]
            assert await catalog.get(Level.PATIENT, "p1") is None
            assert await catalog.get(Level.SERIES, "1.2.1.1") is None
            study = await catalog.get(Level.STUDY, "1.2.2")
            assert study is not None
            assert (study["modalities"], study["series_count"], study["images_count"]) == (["CT", "US"], 2, 2)
            assert [page.total for page in [await catalog.find(Query(level)) for level in Level]] == [1, 1, 2, 2]
            await catalog.store([arrival(3)])
            back = await catalog.get(Level.STUDY, "1.2.1")
            assert back is not None
            assert back["study_id"] is None, "the edits of an entity go with it"

        self.run(test)

    def test_attributes_come_from_the_earliest_instance_that_is_left(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1, study_id="A"), arrival(2, study_id="B", patient="p2", patient_name="B")])
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert (study["study_id"], study["patient"]) == ("A", "p1")
            assert await catalog.get(Level.PATIENT, "p2") is None
            await catalog.delete(Level.INSTANCE, "1.9.1")
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert (study["study_id"], study["patient"], study["patient_name"]) == ("B", "p2", "B")
            assert await catalog.get(Level.PATIENT, "p1") is None

        self.run(test)

    def test_parallel_stores_count_exactly(self) -> None:
        async def test(catalog: Catalog) -> None:
            batches = [[arrival(40 * b + i, series=f"1.2.1.{i % 3}") for i in range(40)] for b in range(8)]
            await asyncio.gather(*(catalog.store(batch) for batch in batches))
            patient = await catalog.get(Level.PATIENT, "p1")
            assert patient is not None
            assert (patient["studies_count"], patient["images_count"]) == (1, 320)
            page = await catalog.find(Query(Level.SERIES))
            assert sum(series["images_count"] for series in page.items) == 320
            assert (await catalog.find(Query(Level.INSTANCE, limit=1))).total == 320

        self.run(test)

    def test_everything_is_there_after_a_reopening(self) -> None:
        async def go() -> None:
            catalog = await self.open_catalog()
            await catalog.store([arrival(1), arrival(2)])
            await catalog.edit(Level.PATIENT, "p1", {"patient_name": "ROE"}, user="u", time="t")
            await catalog.put_document("user", "a", {"name": "A"})
            await catalog.delete(Level.INSTANCE, "1.9.1")
            await catalog.close()
            await catalog.close()
            async with self._reopened(catalog) as again:
                study = await again.get(Level.STUDY, "1.2.1")
                assert study is not None
                assert (study["patient_name"], study["images_count"]) == ("ROE", 1)
                assert await again.garbage() == ["blob-1-sha-1"]
                assert await again.get_document("user", "a") == {"name": "A"}

        asyncio.run(go())

    @asynccontextmanager
    async def _reopened(self, catalog: Catalog) -> AsyncIterator[Catalog]:
        again = await self.reopen(catalog)
        try:
            yield again
        finally:
            await again.close()

    def test_a_closed_catalog_says_so(self) -> None:
        async def go() -> None:
            catalog = await self.open_catalog()
            await catalog.close()
            try:
                await catalog.get(Level.STUDY, "1")
            except Unavailable:
                return
            raise AssertionError("a closed catalog answered")

        asyncio.run(go())

    # -- editing and deleting --------------------------------------------------------------------------------

    def test_edits_are_shown_found_sorted_and_kept_apart(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1), arrival(2, patient="p2", study="1.2.2", series="1.2.2.1")])
            assert await catalog.locate("1.9.1") is not None
            name: dict[str, Value] = {"patient_name": "ABE^Zoë=安倍^ぞえ"}
            assert await catalog.edit(Level.PATIENT, "p1", name, user="u1", time="t1")
            assert await catalog.edit(Level.SERIES, "1.2.1.1", {"modality": "US"}, user="u1", time="t1")
            assert await catalog.edit(Level.PATIENT, "p1", {"patient_sex": None}, user="u2", time="t2")
            assert not await catalog.edit(Level.PATIENT, "nobody", name, user="u", time="t")
            for pattern in ("abe*", "安倍*", "*zoË"):
                page = await catalog.find(Query(Level.STUDY, (Like("patient_name", pattern),)))
                assert [study["id"] for study in page.items] == ["1.2.1"], pattern
            assert (await catalog.find(Query(Level.STUDY, (AnyOf("modalities", ("CT",)),)))).total == 1
            page = await catalog.find(Query(Level.STUDY, sort=(("patient_name", False),)))
            assert [study["modalities"] for study in page.items] == [["US"], ["CT"]]
            assert await catalog.edits("1.9.1") == [
                Edit(Level.PATIENT, "p1", "patient_name", name["patient_name"], "u1", "t1"),
                Edit(Level.PATIENT, "p1", "patient_sex", None, "u2", "t2"),
                Edit(Level.SERIES, "1.2.1.1", "modality", "US", "u1", "t1"),
            ]
            first, second = await catalog.locate("1.9.1"), await catalog.locate("1.9.2")
            assert first is not None
            assert second is not None
            assert (first.edited, second.edited) == (True, False)
            assert await catalog.edits("nothing") == []

        self.run(test)

    def test_edits_survive_a_replacement_and_a_reindex(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1)])
            await catalog.edit(Level.INSTANCE, "1.9.1", {"instance_number": 77}, user="u", time="t")
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": "X"}, user="u", time="t")
            await catalog.store([arrival(1, sha256="new")])
            await catalog.clear()
            assert await catalog.get(Level.INSTANCE, "1.9.1") is None
            assert await catalog.locate("1.9.1") is None
            assert await catalog.garbage() == ["blob-1-sha-1"], "a reindex deletes no file"
            await catalog.store([arrival(1, sha256="new")])
            instance = await catalog.get(Level.INSTANCE, "1.9.1")
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert instance is not None
            assert study is not None
            assert (instance["instance_number"], study["study_id"]) == (77, "X")
            page = await catalog.find(Query(Level.INSTANCE, (Between("instance_number", 70, None),)))
            assert page.total == 1

        self.run(test)

    def test_deleting_at_every_level(self) -> None:
        async def test(catalog: Catalog) -> None:
            for level, entity, left in (
                (Level.INSTANCE, "1.9.1", [1, 1, 2, 2]),
                (Level.SERIES, "1.2.1.2", [1, 1, 1, 2]),
                (Level.STUDY, "1.2.1", [0, 0, 0, 0]),
                (Level.PATIENT, "p1", [0, 0, 0, 0]),
            ):
                await catalog.store([arrival(1), arrival(2), arrival(3, series="1.2.1.2")])
                await catalog.forget_garbage(await catalog.garbage())
                keys = await catalog.delete(level, entity)
                assert sorted(await catalog.garbage()) == sorted(keys or [])
                assert [(await catalog.find(Query(one))).total for one in Level] == left, level
                assert await catalog.delete(level, entity) is None
                assert sum(left[-1:]) + len(keys or []) == 3

        self.run(test)

    # -- finding ---------------------------------------------------------------------------------------------

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
