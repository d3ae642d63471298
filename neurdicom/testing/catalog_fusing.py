"""Contract suite of the archive port: entities of one UID that moves put under one parent, and part again."""

from neurdicom.catalog.base import Catalog
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.testing.arrivals import arrival, place_of
from neurdicom.testing.catalog_places import ambiguity, one
from neurdicom.testing.catalog_suite import CatalogSuite
from neurdicom.testing.move_requests import (
    colliding,
    displaced,
    found_by,
    listing,
    merge,
    series_to,
    shown_blob,
    study_to,
)


class FusingContract(CatalogSuite):
    """Tests of studies, series and instances that are one entity as long as moves put them together."""

    def test_a_merge_makes_one_of_two(self) -> None:
        async def test(catalog: Catalog) -> None:
            for source, target in (("p1", "p2"), ("p2", "p1")):
                await catalog.store(files := colliding())
                before = await listing(catalog)
                assert [conflict.kind for conflict in await catalog.conflicts()] == ["study_of_two_patients"]
                assert len(await catalog.move(merge(source, target))) == 1
                assert await catalog.conflicts() == []
                for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
                    uid, keys = place_of(files[0]).id(level), {place_of(files[n]).key(level) for n in (0, 2)}
                    assert await ambiguity(catalog, level, uid) == set()
                    entity = await one(catalog, level, uid)
                    assert (entity["id"], entity["patient"]) == (uid, target)
                    for key in keys:
                        assert await one(catalog, level, key) == entity
                        found = await catalog.keys(level, key)
                        assert (found[0], len(found), set(found)) == (entity["key"], 2, keys)
                    assert await catalog.ids(level, keys) == dict.fromkeys(keys, uid)
                study, series = await one(catalog, Level.STUDY, "1.2.1"), await one(catalog, Level.SERIES, "1.2.1.1")
                assert study["key"] == key_of("1.2.1", target), "that of the part that was not moved"
                assert series["key"] == key_of("1.2.1.1", target, "1.2.1")
                assert (study["series_count"], study["images_count"], series["images_count"]) == (1, 3, 3)
                assert study["patient_id"] == target.upper()
                assert (await one(catalog, Level.PATIENT, target))["images_count"] == 3
                assert [len(await found_by(catalog, level)) for level in Level] == [1, 1, 1, 3]
                assert (await one(catalog, Level.INSTANCE, "1.9.1"))["sha256"] == "sha-3", "what arrived last"
                for new in (files[0], files[2]):
                    key = place_of(new).instance
                    assert await shown_blob(catalog, key) == files[2].blob.key
                    assert await catalog.digests([key]) == {key: "sha-3"}
                    assert await catalog.displaced(key) == [displaced(files[0])]
                assert await catalog.displaced("1.9.2") == []
                assert await catalog.displaced("none") == []
                blobs = [new.blob.key for new in files]
                assert await catalog.known_blobs([*blobs, "none"]) == set(blobs)
                assert await catalog.garbage() == {}
                await catalog.undo_move("m")
                assert await listing(catalog) == before
                await catalog.delete(Level.PATIENT, "p1")
                await catalog.delete(Level.PATIENT, "p2")
                await catalog.forget_garbage(blobs)

        self.run(test)

    def test_both_parts_are_moved(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([*colliding(), arrival(9, patient="p3", study="1.2.9", series="2.9")])
            before = await listing(catalog)
            first, second = key_of("1.2.1", "p1"), key_of("1.2.1", "p2")
            await catalog.move(study_to("p3", second, "b"))
            alone = await listing(catalog)
            await catalog.move(study_to("p3", first, "a"))
            assert await catalog.keys(Level.STUDY, "1.2.1") == (first, second), "the key of the earliest instance"
            assert (await one(catalog, Level.PATIENT, "p3"))["images_count"] == 4
            assert [move.edit for move in await catalog.moves(Level.STUDY, second)] == ["b", "a"]
            assert await found_by(catalog, Level.PATIENT) == ["p3"]
            await catalog.undo_move("a")
            assert await listing(catalog) == alone
            await catalog.move(study_to("p3", first, "a"))
            await catalog.undo_move("b")
            assert await catalog.keys(Level.STUDY, second) == (second,)
            assert (await one(catalog, Level.STUDY, first))["patient"] == "p3"
            assert (await one(catalog, Level.STUDY, second))["patient"] == "p2"
            assert len(await catalog.conflicts()) == 1
            await catalog.undo_move("a")
            assert await listing(catalog) == before

        self.run(test)

    def test_what_became_one_is_moved_as_one(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([*colliding(), arrival(9, patient="p3", study="1.2.9", series="2.9")])
            before = await listing(catalog)
            await catalog.move(merge("p1", "p2"))
            moved = await catalog.move(study_to("p3", "1.2.1", "second"))
            assert {each.key for each in moved} == {key_of("1.2.1.1", patient, "1.2.1") for patient in ("p1", "p2")}
            assert {each.patient for each in moved} == {"p3"}
            assert await found_by(catalog, Level.PATIENT) == ["p3"]
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["patient"], study["patient_id"], study["images_count"]) == ("p3", "P3", 3)
            listed = await catalog.moves(Level.STUDY, "1.2.1")
            assert [move.edit for move in listed] == ["m", "second", "second"]
            assert {(move.path, move.before, move.after) for move in listed[1:]} == {
                ((patient, "1.2.1"), "p2", "p3") for patient in ("p1", "p2")
            }
            after = [await one(catalog, level, (await found_by(catalog, level))[0]) for level in Level]
            assert await catalog.undo_move("m") == [], "a later move of the same studies counts"
            assert [await one(catalog, level, (await found_by(catalog, level))[0]) for level in Level] == after
            assert len(await catalog.undo_move("second") or ()) == 2
            assert await listing(catalog) == before

        self.run(test)

    def test_series_of_one_study_become_one(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [
                arrival(1, series="2.1", series_description="one"),
                arrival(2, study="1.2.2", series="2.1", instance="1.9.1"),
                arrival(3, study="1.2.2", series="2.1", series_description="two"),
                arrival(4, study="1.2.2", series="2.2", instance="1.9.1"),
            ]
            await catalog.store(files)
            before = await listing(catalog)
            first, second = place_of(files[0]).series, place_of(files[1]).series
            assert [conflict.kind for conflict in await catalog.conflicts()] == [
                "series_of_two_studies",
                "instance_of_two_series",
            ]
            for series, study, gone in ((first, "1.2.2", "1.2.1"), (second, "1.2.1", "")):
                await catalog.move(series_to(study, series))
                shown = await one(catalog, Level.SERIES, "2.1")
                assert (shown["key"], shown["study"]) == (first if series == second else second, study)
                assert set(await catalog.keys(Level.SERIES, "2.1")) == {first, second}
                assert (shown["images_count"], shown["series_description"]) == (2, "two")
                assert await catalog.displaced(place_of(files[1]).instance) == [displaced(files[0])]
                assert [conflict.kind for conflict in await catalog.conflicts()] == ["instance_of_two_series"]
                assert await found_by(catalog, Level.STUDY) == sorted({"1.2.1", "1.2.2"} - {gone})
                await catalog.undo_move("m")
                assert await listing(catalog) == before

        self.run(test)

    def test_edits_of_both_parts_apply(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(colliding())
            first, second = key_of("1.2.1", "p1"), key_of("1.2.1", "p2")
            for key, time, changes in (
                (second, "2024-01-01", {"study_id": "two", "study_description": "second"}),
                (first, "2024-01-02", {"study_id": "one", "accession_number": "first"}),
                (second, "2024-01-03", {"accession_number": "second"}),
            ):
                await catalog.edit(Level.STUDY, key, changes, user="v", time=time)
            for series, text in ((place_of(new).series, new.patient) for new in colliding()[1:3]):
                await catalog.edit(Level.SERIES, series, {"series_description": text}, user="v", time=text)
            instance = place_of(colliding()[0]).instance
            await catalog.edit(Level.INSTANCE, instance, {"image_comments": "displaced"}, user="v", time="t")
            before = await listing(catalog)
            await catalog.move(merge("p1", "p2"))
            study = await one(catalog, Level.STUDY, "1.2.1")
            fields = ("study_id", "study_description", "accession_number")
            assert [study[field] for field in fields] == ["one", "second", "second"], "the latest counts"
            assert (await one(catalog, Level.SERIES, "1.2.1.1"))["series_description"] == "p2"
            assert (await one(catalog, Level.INSTANCE, "1.9.1"))["image_comments"] == "displaced"
            applied = {edit.field: edit.value for edit in await catalog.edits("1.9.2")}
            assert [applied[field] for field in fields] == ["one", "second", "second"]
            assert applied["series_description"] == "p2"
            assert {edit.field: edit.value for edit in await catalog.edits("1.9.1")}["image_comments"] == "displaced"
            await catalog.undo_move("m")
            assert await listing(catalog) == before
            await catalog.move(merge("p1", "p2"))
            assert await catalog.edit(Level.STUDY, first, {"study_id": "new"}, user="v", time="2024-01-04")
            assert (await one(catalog, Level.STUDY, "1.2.1"))["study_id"] == "new"
            await catalog.undo_move("m")
            found = [(await one(catalog, Level.STUDY, key))["study_id"] for key in (first, second)]
            assert found == ["one", "new"], "the edit is of the one whose key the whole had"

        self.run(test)

    def test_what_is_entered_again_is_the_same(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [*colliding(), arrival(9, patient="p3", study="1.2.9", series="2.9", instance="1.9.4")]
            await catalog.store(files)
            await catalog.edit(Level.STUDY, key_of("1.2.1", "p1"), {"study_id": "edited"}, user="v", time="t")
            apart = await listing(catalog)
            await catalog.move(merge("p1", "p2"))
            await catalog.move(series_to("1.2.9", "1.2.1.1", "second"))
            before = await listing(catalog)
            await catalog.clear()
            assert [await found_by(catalog, level) for level in Level] == [[]] * 4
            assert await catalog.known_blobs([new.blob.key for new in files]) == set()
            for new in files:
                await catalog.store([new])
            assert await listing(catalog) == before
            await catalog.clear()
            await catalog.store(files)
            assert await listing(catalog) == before
            await catalog.undo_move("second")
            await catalog.undo_move("m")
            assert await listing(catalog) == apart

        self.run(test)

    def test_the_key_is_that_of_the_earliest_part_whatever_changes(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(1), arrival(3, patient="p2"), arrival(9, patient="p3", study="1.2.9", series="2.9")]
            replacement, later = arrival(7, instance="1.9.1"), arrival(5)
            for change in ("replaced", "deleted", "both"):
                await catalog.store(files)
                for number, patient in enumerate(("p1", "p2")):
                    await catalog.move(study_to("p3", key_of("1.2.1", patient), f"m{number}"))
                keys = [key_of("1.2.1", patient) for patient in ("p1", "p2")]
                assert await catalog.keys(Level.STUDY, "1.2.1") == tuple(keys)
                if change != "replaced":
                    await catalog.store([later])
                    await catalog.delete(Level.INSTANCE, "1.9.1")
                if change != "deleted":
                    await catalog.store([replacement])
                assert await catalog.keys(Level.STUDY, "1.2.1") == tuple(keys[::-1]), change
                series = await one(catalog, Level.SERIES, "1.2.1.1")
                assert series["key"] == place_of(files[1]).series, change
                before = await listing(catalog)
                await catalog.clear()
                again = {"replaced": [replacement], "deleted": [later], "both": [later, replacement]}[change]
                await catalog.store([*files[1:], *again])
                assert await listing(catalog) == before
                for number in range(2):
                    await catalog.undo_move(f"m{number}")
                for patient in ("p1", "p2", "p3"):
                    await catalog.delete(Level.PATIENT, patient)
                await catalog.forget_garbage([*await catalog.garbage()])

        self.run(test)

    def test_restored_edits_are_of_the_part_that_they_were_of(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(colliding())
            for new in (colliding()[0], colliding()[2]):
                for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
                    field = {Level.STUDY: "study_id", Level.SERIES: "protocol_name"}.get(level, "image_comments")
                    changes: dict[str, Value] = {field: new.patient}
                    await catalog.edit(level, place_of(new).key(level), changes, user="v", time=f"t-{new.patient}")
            before = await listing(catalog)
            await catalog.move(merge("p1", "p2"))
            after = await listing(catalog)
            kept = []
            for level in Level:
                for entity in await found_by(catalog, level):
                    kept += await catalog.history(level, entity)
            await catalog.delete(Level.PATIENT, "p2")
            await catalog.store(colliding())
            for _ in range(2):
                await catalog.restore_edits(kept)
                assert await listing(catalog) == after
            await catalog.undo_move("m")
            assert await listing(catalog) == before

        self.run(test)
