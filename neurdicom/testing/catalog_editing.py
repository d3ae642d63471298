"""Contract suite of the archive port: editing and deleting."""

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Edit
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Like, Query, Value
from neurdicom.testing.arrivals import arrival, place_of
from neurdicom.testing.catalog_suite import CatalogSuite


class EditingContract(CatalogSuite):
    """Tests of edits beside the originals, and of deletions."""

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
                Edit(Level.SERIES, place_of(arrival(1)).series, "modality", "US", "u1", "t1"),
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
            assert await catalog.garbage() == {"blob-1-sha-1": ""}, "a reindex deletes no file"
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
                await catalog.forget_garbage([*await catalog.garbage()])
                keys = await catalog.delete(level, entity)
                assert sorted(await catalog.garbage()) == sorted(keys or [])
                assert [(await catalog.find(Query(one))).total for one in Level] == left, level
                assert await catalog.delete(level, entity) is None
                assert sum(left[-1:]) + len(keys or []) == 3

        self.run(test)
