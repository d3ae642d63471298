"""Contract suite of the archive port: editing, undoing and deleting."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Edit
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Like, Query, Scalar, Value
from neurdicom.testing.arrivals import arrival, arrival_of, place_of
from neurdicom.testing.catalog_suite import CatalogSuite

_INSTANCE = (Level.INSTANCE, "1.9.1")


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
                Edit(Level.PATIENT, "p1", "patient_name", name["patient_name"], "u1", "t1", "DOE^JOHN"),
                Edit(Level.PATIENT, "p1", "patient_sex", None, "u2", "t2"),
                Edit(Level.SERIES, place_of(arrival(1)).series, "modality", "US", "u1", "t1", "CT"),
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

    def test_each_edit_can_be_undone(self) -> None:
        async def test(catalog: Catalog) -> None:
            for level, entity, field, values in (
                (Level.PATIENT, "p1", "patient_name", ["DOE^JOHN", "A^B", None, "C^D"]),
                (Level.STUDY, "1.2.1", "study_id", [None, "X", "Y", "Z"]),
                (Level.SERIES, "1.2.1.1", "modality", ["CT", "MR", "US", "CR"]),
                (Level.INSTANCE, "1.9.1", "instance_number", [1, 7, 8, None]),
            ):
                await catalog.store([arrival(1)])
                key = place_of(arrival(1)).key(level)
                assert await catalog.history(level, entity) == []
                for number, value in enumerate(values[1:]):
                    assert await catalog.edit(level, entity, {field: value}, user="u", time=f"t{number}")
                history = await catalog.history(level, key)
                assert history == [
                    Edit(level, key, field, after, "u", f"t{number}", before)
                    for number, (before, after) in enumerate(pairwise(values))
                ]
                first, second, third = (edit.id for edit in history)
                assert len({first, second, third, ""}) == 4
                assert [edit.value for edit in await catalog.edits("1.9.1") if edit.level is level] == [values[3]]
                assert not await catalog.undo(level, "nothing", second)
                assert not await catalog.undo(level, entity, "nothing")
                # Undoing an earlier edit changes `before` of the next one, and not what is shown.
                assert await catalog.undo(level, entity, second)
                assert not await catalog.undo(level, entity, second)
                left = [(edit.before, edit.value, edit.id) for edit in await catalog.history(level, entity)]
                assert left == [(values[0], values[1], first), (values[1], values[3], third)]
                assert await self.shown(catalog, level, entity, field, values) == values[3]
                assert await catalog.undo(level, key, third)
                assert await self.shown(catalog, level, entity, field, values) == values[1]
                assert await catalog.undo(level, entity, first)
                assert await self.shown(catalog, level, entity, field, values) == values[0]
                assert await catalog.history(level, entity) == await catalog.edits("1.9.1") == []
                location = await catalog.locate("1.9.1")
                assert location is not None
                assert not location.edited
                await catalog.delete(Level.PATIENT, "p1")

        self.run(test)

    async def shown(
        self, catalog: Catalog, level: Level, entity: str, field: str, values: Sequence[Scalar | None]
    ) -> Value:
        """Look up the value that an entity shows, and check that no other value finds it.

        Parameters
        ----------
        catalog : Catalog
            The open catalog.
        level : Level
            Level of the entity.
        entity : str
            Its UID.
        field : str
            The field.
        values : sequence of Scalar or None
            All values that it ever showed.

        Returns
        -------
        Value
        """
        one = await catalog.get(level, entity)
        assert one is not None
        found: Value = one[field]
        for value in values:
            if value is not None:
                page = await catalog.find(Query(level, (AnyOf(field, (value,)),)))
                assert [each["id"] for each in page.items] == ([entity] if value == found else []), value
        if level is Level.PATIENT:
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert study[field] == found
        return found

    def test_edits_of_several_fields_are_undone_one_by_one(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1)])
            both: dict[str, Value] = {"instance_number": 7, "window_center": [1.5, 2.5]}
            await catalog.edit(Level.INSTANCE, "1.9.1", both, user="u", time="t")
            number, window = await catalog.history(Level.INSTANCE, "1.9.1")
            assert (number.field, number.before, number.value) == ("instance_number", 1, 7)
            assert (window.field, window.before, window.value) == ("window_center", None, [1.5, 2.5])
            assert await catalog.undo(Level.INSTANCE, "1.9.1", number.id)
            instance = await catalog.get(Level.INSTANCE, "1.9.1")
            assert instance is not None
            assert (instance["instance_number"], instance["window_center"]) == (1, [1.5, 2.5])

        self.run(test)

    def test_histories_survive_a_replacement_and_a_reindex(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1)])
            for value in (7, 8):
                await catalog.edit(Level.INSTANCE, "1.9.1", {"instance_number": value}, user="u", time="t")
                await catalog.edit(Level.STUDY, "1.2.1", {"study_id": str(value)}, user="u", time="t")
            before = [await catalog.history(level, one) for level, one in ((Level.STUDY, "1.2.1"), _INSTANCE)]
            replacement = arrival(1, sha256="new", instance_number=2)
            await catalog.store([replacement])
            await catalog.clear()
            await catalog.store([replacement])
            assert [await catalog.history(level, one) for level, one in ((Level.STUDY, "1.2.1"), _INSTANCE)] == before
            for edit, shown in zip(before[1], (8, 2), strict=True):
                assert await catalog.undo(*_INSTANCE, edit.id)
                instance = await catalog.get(*_INSTANCE)
                assert instance is not None
                assert instance["instance_number"] == shown, "the last is what the present file says"

        self.run(test)

    def test_histories_go_along_with_a_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            first = arrival_of(1)
            await catalog.store([first])
            fields = [
                (Level.STUDY, "study_id"),
                (Level.SERIES, "series_description"),
                (Level.INSTANCE, "image_comments"),
            ]
            for level, field in fields:
                for value in ("A", "B"):
                    await catalog.edit(level, place_of(first).key(level), {field: value}, user="u", time="t")
            before = [await catalog.history(level, place_of(first).key(level)) for level, _ in fields]
            later = arrival_of(2, "A")
            await catalog.store([later])
            for (level, field), edits in zip(fields, before, strict=True):
                key = place_of(arrival_of(1, "A")).key(level)
                history = await catalog.history(level, key)
                assert history == [replace(edit, entity=key) for edit in edits]
                assert [edit.id for edit in history] == [edit.id for edit in edits]
                assert await catalog.undo(level, place_of(first).key(level), history[1].id), "by its earlier key"
                shown = await catalog.get(level, key)
                assert shown is not None
                assert shown[field] == "A"

        self.run(test)

    def test_histories_are_restored(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1)])
            made: list[tuple[Level, dict[str, Value]]] = [
                (Level.STUDY, {"study_id": "A"}),
                (Level.STUDY, {"study_id": "B"}),
                (Level.INSTANCE, {"instance_number": 7}),
            ]
            for number, (level, changes) in enumerate(made):
                await catalog.edit(level, place_of(arrival(1)).key(level), changes, user="u", time=f"t{number}")
            kept = [edit for level in Level for edit in await catalog.history(level, place_of(arrival(1)).key(level))]
            await catalog.delete(Level.STUDY, "1.2.1")
            await catalog.restore_edits(kept)
            assert await catalog.history(Level.STUDY, "1.2.1") == [], "of what is not there nothing is kept"
            await catalog.store([arrival(1)])
            assert await catalog.history(Level.STUDY, "1.2.1") == []
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": "C"}, user="u", time="t9")
            for _ in range(2):
                await catalog.restore_edits(kept)
                history = await catalog.history(Level.STUDY, "1.2.1")
                assert [(edit.before, edit.value) for edit in history] == [(None, "A"), ("A", "B"), ("B", "C")]
                assert [edit.id for edit in history[:2]] == [edit.id for edit in kept[:2]]
            study, instance = await catalog.get(Level.STUDY, "1.2.1"), await catalog.get(Level.INSTANCE, "1.9.1")
            assert study is not None
            assert instance is not None
            assert (study["study_id"], instance["instance_number"]) == ("C", 7)
            assert await catalog.undo(Level.STUDY, "1.2.1", history[2].id)
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert study["study_id"] == "B"

        self.run(test)

    def test_one_edit_is_undone_once(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1)])
            for value in ("A", "B"):
                await catalog.edit(Level.STUDY, "1.2.1", {"study_id": value}, user="u", time="t")
            for edit, shown in zip(reversed(await catalog.history(Level.STUDY, "1.2.1")), ("A", None), strict=True):
                calls = [catalog.undo(Level.STUDY, "1.2.1", edit.id) for _ in range(4)]
                assert sorted(await asyncio.gather(*calls)) == [False, False, False, True]
                study = await catalog.get(Level.STUDY, "1.2.1")
                assert study is not None
                assert study["study_id"] == shown

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
