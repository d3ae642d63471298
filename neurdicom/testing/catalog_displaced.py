"""Contract suite of the archive port: files of one SOP Instance UID that moves put in one series."""

from dataclasses import replace

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import Refusal, StoreOutcome, StorePolicy
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf
from neurdicom.testing.arrivals import arrival, place_of
from neurdicom.testing.catalog_places import one
from neurdicom.testing.catalog_suite import CatalogSuite
from neurdicom.testing.move_requests import (
    again_after,
    colliding,
    displaced,
    found_by,
    listing,
    merge,
    shown_blob,
)

#: The policy by which deleted files are restored.
RESTORING = StorePolicy(same_instance="earlier", keep_versions=True)


class DisplacedContract(CatalogSuite):
    """Tests of instances of several files: the latest is shown, and the others are displaced."""

    def test_a_displaced_file_is_not_found(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(colliding(sop_class_uid="1.2.840.1", modality="MR"))
            await catalog.move(merge("p1", "p2"))
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["study_id"], study["modalities"]) == ("four", ["CT"])
            assert await found_by(catalog, Level.STUDY, AnyOf("study_id", ("one",))) == []
            assert await found_by(catalog, Level.SERIES, AnyOf("modality", ("MR",))) == []
            assert await found_by(catalog, Level.INSTANCE, AnyOf("sop_class_uid", ("1.2.840.1",))) == []
            for field, level, keys in (
                ("study", Level.SERIES, [key_of("1.2.1", patient) for patient in ("p1", "p2")]),
                ("series", Level.INSTANCE, [key_of("1.2.1.1", patient, "1.2.1") for patient in ("p1", "p2")]),
            ):
                found = [await found_by(catalog, level, AnyOf(field, (key,))) for key in keys]
                assert found[0] == found[1] != [], "conditions take either key"
                assert await found_by(catalog, level, AnyOf(field, tuple(keys))) == found[0], "each once"
            await catalog.undo_move("m")
            assert await found_by(catalog, Level.STUDY, AnyOf("study_id", ("one",))) == [key_of("1.2.1", "p1")]

        self.run(test)

    def test_what_arrived_last_is_shown(self) -> None:
        async def test(catalog: Catalog) -> None:
            for received, shown in ((None, 1), ("2024-01-02T03:04:01Z", 1), ("2020-01-01T00:00:00Z", 0)):
                first = arrival(1)
                second = arrival(3, patient="p2", instance="1.9.1")
                second = replace(second, received=received or second.received)
                files = [first, second]
                await catalog.store(files)
                for request in (merge("p1", "p2"), merge("p2", "p1")):
                    await catalog.move(request)
                    assert await shown_blob(catalog, "1.9.1") == files[shown].blob.key, received
                    assert await catalog.displaced("1.9.1") == [displaced(files[1 - shown])]
                    entity = await one(catalog, Level.INSTANCE, "1.9.1")
                    assert (entity["sha256"], entity["received"]) == (files[shown].blob.sha256, files[shown].received)
                    await catalog.undo_move("m")
                await catalog.delete(Level.PATIENT, "p1")
                await catalog.delete(Level.PATIENT, "p2")

        self.run(test)

    def test_equal_instances_are_kept_once(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(1, sha256="same"), arrival(3, patient="p2", instance="1.9.1", sha256="same")]
            files.append(arrival(5, patient="p3", instance="1.9.1", sha256="same"))
            await catalog.store(files)
            before = await listing(catalog)
            await catalog.move(merge("p1", "p2", "a"))
            assert (await one(catalog, Level.PATIENT, "p2"))["images_count"] == 1
            await catalog.move(merge("p3", "p2", "b"))
            assert (await one(catalog, Level.PATIENT, "p2"))["images_count"] == 1
            assert await catalog.displaced("1.9.1") == [displaced(files[1]), displaced(files[0])], "the latest first"
            assert set(await catalog.keys(Level.INSTANCE, "1.9.1")) == {place_of(new).instance for new in files}
            await catalog.undo_move("a")
            assert await catalog.displaced(place_of(files[1]).instance) == [displaced(files[1])]
            assert await catalog.displaced(place_of(files[0]).instance) == []
            await catalog.undo_move("b")
            assert await listing(catalog) == before

        self.run(test)

    def test_deletions_take_what_is_displaced_along(self) -> None:
        async def test(catalog: Catalog) -> None:
            blobs = [new.blob.key for new in colliding()]
            for level, reference, deleted in (
                (Level.INSTANCE, place_of(colliding()[0]).instance, [blobs[0], blobs[2]]),
                (Level.SERIES, "1.2.1.1", blobs),
                (Level.STUDY, key_of("1.2.1", "p1"), blobs),
                (Level.PATIENT, "p2", blobs),
            ):
                await catalog.store(colliding())
                await catalog.move(merge("p1", "p2"))
                assert sorted(await catalog.delete(level, reference, aside="trash/1") or ()) == sorted(deleted)
                assert await catalog.garbage() == dict.fromkeys(deleted, "trash/1")
                assert await catalog.known_blobs(blobs) == set(blobs) - set(deleted)
                assert await catalog.get(Level.INSTANCE, "1.9.1") is None
                assert await catalog.displaced("1.9.1") == []
                left = 4 - len(deleted)
                assert len(await found_by(catalog, Level.INSTANCE)) == left
                [outcome] = await catalog.store([colliding()[0]])
                assert (outcome.status, outcome.place and outcome.place.patient) == ("stored", "p2"), "moves stay"
                assert (await one(catalog, Level.PATIENT, "p2"))["images_count"] == left + 1
                await catalog.undo_move("m")
                assert await shown_blob(catalog, "1.9.1") == blobs[0]
                for patient in ("p1", "p2"):
                    await catalog.delete(Level.PATIENT, patient)
                await catalog.forget_garbage([*await catalog.garbage()])

        self.run(test)

    def test_what_arrives_of_a_displaced_file(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(files := colliding())
            await catalog.move(merge("p1", "p2"))
            before = await listing(catalog)
            assert await catalog.store([files[0]]) == [StoreOutcome("duplicate")], "it is there"
            other = arrival(7, instance="1.9.1")
            assert await catalog.store([other], StorePolicy(same_instance="keep")) == [
                StoreOutcome("kept", other.blob.key)
            ]
            [outcome] = await catalog.store([other], StorePolicy(same_instance="refuse"))
            assert outcome.refusal == Refusal(Level.INSTANCE, "1.9.1", ("1.9.1",), ("p2",), same_place=True)
            assert await listing(catalog) == before
            [outcome] = await catalog.store([other])
            assert (outcome.status, outcome.unused, outcome.previous) == ("replaced", files[0].blob.key, "sha-1")
            assert outcome.place is not None
            assert outcome.place.patient == "p2"
            assert await shown_blob(catalog, "1.9.1") == other.blob.key
            assert await catalog.displaced("1.9.1") == [displaced(files[2])]
            assert await catalog.garbage() == {files[0].blob.key: ""}
            await catalog.undo_move("m")
            for new in (other, files[2]):
                assert await shown_blob(catalog, place_of(new).instance) == new.blob.key

        self.run(test)

    def test_the_bytes_of_a_displaced_file_that_arrive_again_are_shown(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(files := colliding())
            await catalog.edit(Level.INSTANCE, place_of(files[0]).instance, {"image_comments": "a"}, user="v", time="t")
            await catalog.move(merge("p1", "p2"))
            before = await listing(catalog)
            again = again_after(7, files[0])
            for policy in (StorePolicy(same_instance="keep"), StorePolicy(same_instance="refuse"), RESTORING):
                [outcome] = await catalog.store([again], policy)
                assert outcome == StoreOutcome("duplicate", again.blob.key), policy
            early = replace(again, received=files[0].received)
            assert await catalog.store([early]) == [StoreOutcome("duplicate", again.blob.key)], (
                "arrived before the other"
            )
            assert await listing(catalog) == before
            [outcome] = await catalog.store([again], StorePolicy(keep_versions=True))
            assert outcome == StoreOutcome("replaced", files[0].blob.key), "the bytes stay, under another key"
            assert outcome.previous == files[2].blob.sha256
            assert await catalog.garbage() == {files[0].blob.key: ""}
            for key in (place_of(files[0]).instance, place_of(files[2]).instance):
                assert await shown_blob(catalog, key) == again.blob.key
                assert await catalog.displaced(key) == [displaced(files[2])]
            assert (await one(catalog, Level.PATIENT, "p2"))["images_count"] == 3
            after = await listing(catalog)
            await catalog.clear()
            await catalog.store([*files[1:], again])
            assert await listing(catalog) == after
            other = again_after(9, files[2])
            [outcome] = await catalog.store([other])
            assert (outcome.status, outcome.unused, outcome.previous) == ("replaced", files[2].blob.key, "sha-1")
            assert await shown_blob(catalog, "1.9.1") == other.blob.key
            assert await catalog.displaced("1.9.1") == [displaced(again)]
            await catalog.undo_move("m")
            for new in (again, other):
                assert await shown_blob(catalog, place_of(new).instance) == new.blob.key

        self.run(test)

    def test_the_bytes_that_are_shown_and_displaced_are_duplicates(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(1, sha256="same"), arrival(3, patient="p2", instance="1.9.1", sha256="same")]
            await catalog.store(files)
            await catalog.move(merge("p1", "p2"))
            for file in files:
                again = again_after(7, file)
                assert await catalog.store([again]) == [StoreOutcome("duplicate", again.blob.key)]
            assert await shown_blob(catalog, "1.9.1") == files[1].blob.key

        self.run(test)

    def test_what_arrives_of_a_file_that_is_shown_instead_of_another(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(files := colliding())
            await catalog.move(merge("p1", "p2"))
            assert await catalog.store([files[2]]) == [StoreOutcome("duplicate")]
            other = arrival(8, patient="p2", instance="1.9.1")
            [outcome] = await catalog.store([other])
            assert (outcome.status, outcome.unused, outcome.previous) == ("replaced", files[2].blob.key, "sha-3")
            assert await shown_blob(catalog, "1.9.1") == other.blob.key
            assert await catalog.displaced("1.9.1") == [displaced(files[0])]
            assert (await one(catalog, Level.PATIENT, "p2"))["images_count"] == 3
            await catalog.undo_move("m")
            for new in (other, files[0]):
                assert await shown_blob(catalog, place_of(new).instance) == new.blob.key

        self.run(test)

    def test_what_arrives_beside_a_file_that_was_moved_there(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([first := arrival(1), arrival(2, patient="p2")])
            await catalog.move(merge("p1", "p2"))
            before = await listing(catalog)
            new = arrival(5, patient="p2", instance="1.9.1")
            [kept] = await catalog.store([new], StorePolicy(same_instance="keep"))
            assert kept == StoreOutcome("kept", new.blob.key)
            assert kept.place is not None
            assert kept.place.patient == "p2"
            [outcome] = await catalog.store([new], StorePolicy("refuse", "refuse"))
            assert (outcome.status, outcome.unused) == ("conflict", new.blob.key)
            assert outcome.refusal == Refusal(Level.INSTANCE, "1.9.1", ("1.9.1",), ("p2",), same_place=True)
            assert await listing(catalog) == before
            assert await catalog.known_blobs([new.blob.key]) == set()
            [outcome] = await catalog.store([new])
            assert (outcome.status, outcome.unused, outcome.previous) == ("replaced", None, "sha-1")
            assert await catalog.garbage() == {}
            assert await shown_blob(catalog, "1.9.1") == new.blob.key
            assert await catalog.displaced("1.9.1") == [displaced(first)]
            assert (await one(catalog, Level.SERIES, "1.2.1.1"))["images_count"] == 2
            await catalog.undo_move("m")
            for each in (first, new):
                assert await shown_blob(catalog, place_of(each).instance) == each.blob.key
            assert [conflict.kind for conflict in await catalog.conflicts()] == ["study_of_two_patients"]

        self.run(test)

    def test_a_file_that_replaces_a_later_one_gives_way_to_what_it_displaced(self) -> None:
        async def test(catalog: Catalog) -> None:
            first, other = arrival(10), arrival(20, patient="p2", instance="1.9.10")
            await catalog.store([first, other])
            await catalog.move(merge("p1", "p2"))
            for number, shown in ((30, 30), (15, 20), (25, 25), (5, 20)):
                new = arrival(number, instance="1.9.10")
                [outcome] = await catalog.store([new])
                assert outcome.status == "replaced"
                assert (await one(catalog, Level.INSTANCE, "1.9.10"))["sha256"] == f"sha-{shown}", number
                kept = other if shown == number else new
                assert await catalog.displaced("1.9.10") == [displaced(kept)]
                before = await listing(catalog)
                await catalog.clear()
                await catalog.store([other, new])
                assert await listing(catalog) == before, "whatever arrived before whatever"

        self.run(test)
