"""Contract suite of the archive port: arrivals, deletions and reindexes after moves, and moves that are refused."""

import asyncio
from dataclasses import replace

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.moves import MoveRequest
from neurdicom.catalog.outcomes import Refusal, StorePolicy
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf
from neurdicom.errors import Ambiguous, Conflict, NotFound
from neurdicom.testing.arrivals import arrival, arrival_of, place_of
from neurdicom.testing.catalog_places import one
from neurdicom.testing.catalog_suite import CatalogSuite
from neurdicom.testing.move_requests import (
    MADE,
    found_by,
    listing,
    merge,
    placed,
    refused,
    series_to,
    split,
    study_to,
    two_patients,
)


class FollowingContract(CatalogSuite):
    """Tests of arrivals, deletions and reindexes after moves, and of moves that are refused."""

    def test_what_comes_later_of_a_study_follows(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(two_patients())
            await catalog.move(study_to("p2", "1.2.1"))
            assert await placed(catalog, arrival(5)) == ("p2", "1.2.1")
            assert await placed(catalog, arrival(6, series="1.2.1.2")) == ("p2", "1.2.1")
            assert await placed(catalog, arrival(7, study="1.2.7", series="2.7")) == ("p1", "1.2.7")
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["key"], study["images_count"]) == (key_of("1.2.1", "p1"), 3)
            assert {edit.value for edit in await catalog.edits("1.9.6") if edit.field == "patient_id"} == {"P2"}
            [outcome] = await catalog.store([arrival(5, sha256="new")])
            assert (outcome.status, outcome.previous) == ("replaced", "sha-5")
            assert outcome.place == replace(place_of(arrival(5)), patient="p2"), "keys are those of before"
            assert (await one(catalog, Level.INSTANCE, "1.9.5"))["patient"] == "p2"
            await catalog.undo_move("m")
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["patient"], study["images_count"], study["series_count"]) == ("p1", 3, 2)

        self.run(test)

    def test_what_comes_later_of_a_merged_patient(self) -> None:
        async def test(catalog: Catalog) -> None:
            for from_now_on in (False, True):
                await catalog.store(two_patients())
                await catalog.move(merge("p1", "p2", from_now_on=from_now_on))
                assert await placed(catalog, arrival(5)) == ("p2", "1.2.1"), "its studies follow"
                assert await catalog.merged_into("p1") == "p2"
                new = arrival(6, study="1.2.7", series="2.7", patient_name="LATE")
                assert await placed(catalog, new) == ("p2" if from_now_on else "p1", "1.2.7")
                assert await catalog.merged_into("p1") == ("p2" if from_now_on else None)
                name = "ROE^JANE" if from_now_on else "LATE"
                assert (await one(catalog, Level.STUDY, "1.2.7"))["patient_name"] == name
                assert await catalog.undo_move("m")
                assert (await one(catalog, Level.PATIENT, "p1"))["studies_count"] == 3
                assert (await one(catalog, Level.STUDY, "1.2.7"))["patient_name"] == "LATE"
                assert await placed(catalog, arrival(8, study="1.2.8", series="2.8")) == ("p1", "1.2.8")
                await catalog.delete(Level.PATIENT, "p1")
                await catalog.delete(Level.PATIENT, "p2")

        self.run(test)

    def test_what_comes_later_of_a_series_follows(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([*two_patients(), arrival(4, series="1.2.1.2")])
            await catalog.move(series_to("1.2.3", "1.2.1.2"))
            assert await placed(catalog, arrival(5, series="1.2.1.2")) == ("p2", "1.2.3")
            assert await placed(catalog, arrival(6, series="1.2.1.3")) == ("p1", "1.2.1")
            await catalog.move(split(["1.2.1.3"], edit="second"))
            assert await placed(catalog, arrival(7, series="1.2.1.3")) == ("p1", MADE)
            assert await placed(catalog, arrival(8, series="1.2.1.4")) == ("p1", "1.2.1")
            study = await one(catalog, Level.STUDY, MADE)
            assert (study["images_count"], study["study_id"]) == (2, "one")
            await catalog.move(study_to("p2", "1.2.1", "third"))
            assert await placed(catalog, arrival(9, series="1.2.1.3")) == ("p1", MADE), "a study of its own"
            await catalog.undo_move("second")
            assert (await one(catalog, Level.SERIES, "1.2.1.3"))["study"] == "1.2.1"
            assert (await one(catalog, Level.SERIES, "1.2.1.3"))["patient"] == "p2", "as its study is by now"
            assert (await one(catalog, Level.SERIES, "1.2.1.3"))["images_count"] == 3

        self.run(test)

    def test_a_series_goes_with_the_study_that_it_was_given_to(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([*two_patients(), arrival(4, series="1.2.1.2"), arrival(5, patient="p3", study="1.5")])
            before = await listing(catalog)
            await catalog.move(study_to("p3", "1.2.3", "study"))
            await catalog.move(series_to("1.2.3", "1.2.1.2", "series"))
            series = await one(catalog, Level.SERIES, "1.2.1.2")
            assert (series["patient"], series["study"]) == ("p3", "1.2.3")
            assert await found_by(catalog, Level.STUDY, AnyOf("patient_id", ("P3",))) == ["1.2.3", "1.5"]
            [move] = await catalog.moves(Level.SERIES, "1.2.1.2")
            assert (move.patient, move.study, move.after) == ("p2", "1.2.3", key_of("1.2.3", "p2"))
            assert len(await catalog.undo_move("study") or ()) == 2
            series = await one(catalog, Level.SERIES, "1.2.1.2")
            assert (series["patient"], series["study"]) == ("p2", "1.2.3")
            assert (await one(catalog, Level.PATIENT, "p2"))["images_count"] == 2
            assert await found_by(catalog, Level.STUDY, AnyOf("patient_id", ("P1",))) == ["1.2.1", "1.2.2"]
            said = {edit.field: edit.value for edit in await catalog.edits("1.9.4")}
            assert (said["patient_id"], said["patient_name"]) == ("P2", "ROE^JANE"), "what files of p2 say"
            await catalog.undo_move("series")
            assert await listing(catalog) == before

        self.run(test)

    def test_patients_that_were_merged_away(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [*two_patients(), arrival(4, patient="p3", study="1.2.4", series="2.4")]
            await catalog.store(files)
            before = await listing(catalog)
            assert [await catalog.merged_into(patient) for patient in ("p1", "p2", "none")] == [None] * 3
            await catalog.move(merge("p1", "p2", "first"))
            assert [await catalog.merged_into(patient) for patient in ("p1", "p2")] == ["p2", None]
            moved = await catalog.move(merge("p2", "p3", "second"))
            assert len(moved) == 3
            assert {each.before[2] for each in moved} == {"p2"}
            assert [await catalog.merged_into(patient) for patient in ("p1", "p2", "p3")] == ["p3", "p3", None]
            assert (await one(catalog, Level.PATIENT, "p3"))["studies_count"] == 4
            assert [move.edit for move in await catalog.moves(Level.STUDY, "1.2.1")] == ["first", "second"]
            for order in (("first", "second"), ("second", "first")):
                await catalog.undo_move(order[0])
                left, count = ("p3", 4) if order[0] == "first" else ("p2", 3)
                assert (await one(catalog, Level.PATIENT, left))["studies_count"] == count
                assert await catalog.merged_into("p1") == (None if order[0] == "first" else "p2")
                await catalog.undo_move(order[1])
                assert await listing(catalog) == before
                await catalog.move(merge("p1", "p2", "first"))
                await catalog.move(merge("p2", "p3", "second"))
            await catalog.delete(Level.PATIENT, "p3")
            assert [await catalog.merged_into(patient) for patient in ("p1", "p2", "p3")] == [None] * 3

        self.run(test)

    def test_a_later_move_of_the_same_counts_and_an_earlier_one_may_go(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([*two_patients(), arrival(4, patient="p3", study="1.2.4", series="2.4")])
            before = await listing(catalog)
            await catalog.move(study_to("p2", "1.2.1", "first"))
            await catalog.move(study_to("p3", "1.2.1", "second"))
            after = await listing(catalog)
            assert await catalog.undo_move("second")
            assert (await one(catalog, Level.STUDY, "1.2.1"))["patient"] == "p2"
            await catalog.move(study_to("p3", "1.2.1", "second"))
            assert await listing(catalog) == after
            assert await catalog.undo_move("first") == []
            assert (await one(catalog, Level.STUDY, "1.2.1"))["patient"] == "p3"
            await catalog.move(study_to("p1", "1.2.1", "third"))
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["patient"], study["patient_id"], study["patient_sex"]) == ("p1", "P1", "M"), "as files say"
            assert await catalog.edits("1.9.1") == []
            assert await catalog.undo_move("third")
            assert (await one(catalog, Level.STUDY, "1.2.1"))["patient_id"] == "P3"
            assert await catalog.undo_move("second")
            assert await listing(catalog) == before

        self.run(test)

    def test_moves_outlive_deletions_reindexes_and_restarts(self) -> None:
        async def go() -> None:
            catalog = await self.open_catalog()
            files = [*two_patients(), arrival(4, series="1.2.1.2"), arrival(5, series="1.2.1.3")]
            await catalog.store(files)
            before = await listing(catalog)
            await catalog.move(merge("p1", "p2", from_now_on=True))
            await catalog.move(series_to("1.2.2", "1.2.1.2", "second"))
            await catalog.move(split(["1.2.1.3"], edit="third"))
            after = await listing(catalog)
            await catalog.close()
            async with self.opened(await self.reopen(catalog)) as again:
                assert await listing(again) == after
                await again.clear()
                await again.store(files)
                assert await listing(again) == after
                await again.delete(Level.PATIENT, "p2")
                assert await found_by(again, Level.STUDY) == []
                await again.store(files)
                assert await listing(again) == after
                assert await placed(again, arrival(6, study="1.2.6", series="2.6")) == ("p2", "1.2.6")
                await again.delete(Level.STUDY, "1.2.6")
                for edit in ("second", "m", "third"):
                    assert await again.undo_move(edit), edit
                await again.clear()
                await again.store(files)
                assert await listing(again) == before

        asyncio.run(go())

    def test_edits_of_what_is_deleted_go_and_moves_stay(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(files := two_patients())
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": "edited"}, user="v", time="t")
            await catalog.move(study_to("p2", "1.2.1"))
            await catalog.delete(Level.STUDY, "1.2.1")
            assert await catalog.moves(Level.STUDY, "1.2.1") == []
            await catalog.store(files[:1])
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["study_id"], study["patient"]) == ("one", "p2")
            assert len(await catalog.moves(Level.STUDY, "1.2.1")) == 1

        self.run(test)

    def test_a_study_whose_patient_becomes_known_keeps_its_moves(self) -> None:
        async def test(catalog: Catalog) -> None:
            nameless = [arrival_of(1, series="2.1"), arrival_of(2, series="2.2"), arrival_of(3, series="2.3")]
            await catalog.store([*nameless, arrival(4, patient="p4", study="1.2.4", series="2.4")])
            await catalog.move(split(["2.2"]))
            await catalog.move(series_to("1.2.4", "2.3", "series"))
            for patient in (None, "A"):
                await catalog.store([arrival_of(5, patient, series="2.1")])
                listed = await catalog.moves(Level.STUDY, "1.2.1")
                assert [move.edit for move in listed] == ["m", "series"], patient
                assert [move.edit for move in await catalog.moves(Level.STUDY, MADE)] == ["m"]

        self.run(test)

    def test_merges_of_two_patients_into_each_other(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(two_patients())
            await catalog.move(merge("p1", "p2", "first", from_now_on=True))
            await catalog.move(study_to("p1", "1.2.1", "again", patient_id="P1"))
            before = await listing(catalog)
            await catalog.move(merge("p2", "p1", "second", from_now_on=True))
            assert await found_by(catalog, Level.PATIENT) == ["p1"]
            later = [arrival(4, study="1.2.4", series="2.4"), arrival(5, patient="p2", study="1.2.5", series="2.5")]
            for new in later:
                assert await placed(catalog, new) == ("p1", new.study), "both are the patient of the later merge"
            assert await found_by(catalog, Level.PATIENT) == ["p1"]
            await catalog.undo_move("second")
            for new in later:
                assert (await one(catalog, Level.STUDY, new.study))["patient"] == "p2"
                await catalog.delete(Level.STUDY, new.study)
            assert await listing(catalog) == before

        self.run(test)

    def test_arrivals_where_moves_put_them_are_no_conflict(self) -> None:
        async def test(catalog: Catalog) -> None:
            refuse = StorePolicy(conflicts="refuse")
            files = [arrival(1), arrival(2, patient="p2", series="1.2.1.2"), arrival(3, study="1.2.2", series="2.2")]
            await catalog.store(files)
            await catalog.move(merge("p1", "p2"))
            await catalog.move(series_to("1.2.2", "1.2.1.1", "second"))
            assert await catalog.conflicts() == []
            assert await placed(catalog, arrival(5), refuse) == ("p2", "1.2.2")
            assert await placed(catalog, arrival(6, series="1.2.1.6"), refuse) == ("p2", "1.2.1")
            assert await placed(catalog, arrival(7, patient="p2", series="1.2.1.7"), refuse) == ("p2", "1.2.1")
            before = await listing(catalog)
            for new, refusal in (
                (arrival(8, patient="p3"), Refusal(Level.STUDY, "1.2.1", ("1.2.1",), ("p2",))),
                (arrival(9, patient="p2"), Refusal(Level.SERIES, "1.2.1.1", ("1.2.1.1",), ("p2",))),
            ):
                [outcome] = await catalog.store([new], refuse)
                assert (outcome.status, outcome.refusal) == ("conflict", refusal)
            assert await listing(catalog) == before
            await catalog.undo_move("m")
            assert [conflict.kind for conflict in await catalog.conflicts()] == ["study_of_two_patients"]

        self.run(test)

    def test_moves_that_are_refused(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [*two_patients(), arrival(4, patient="p3", study="1.2.3", series="2.4")]
            files += [arrival(5, patient="p4", study="1.2.4", series="2.4"), arrival(6, series="2.6")]
            await catalog.store(files)
            await catalog.move(merge("p4", "p1", "before"))
            before = await listing(catalog)
            requests: list[tuple[MoveRequest, type[Exception]]] = [
                (merge("none", "p1"), NotFound),
                (merge("p1", "none"), NotFound),
                (merge("p4", "p1"), NotFound),
                (merge("p1", "p4"), NotFound),
                (merge("p1", "p1"), Conflict),
                (study_to("p1", "none"), NotFound),
                (study_to("none", "1.2.1"), NotFound),
                (study_to("p1", "1.2.1"), Conflict),
                (study_to("p1", "1.2.4"), Conflict),
                (study_to("p1", "1.2.3"), Ambiguous),
                (study_to("p2", key_of("1.2.3", "p2")), Conflict),
                (series_to("1.2.1", "none"), NotFound),
                (series_to("none", "1.2.1.1"), NotFound),
                (series_to("1.2.1", "1.2.1.1"), Conflict),
                (series_to("1.2.3", "1.2.1.1"), Ambiguous),
                (series_to("1.2.1", "2.4"), Ambiguous),
                (split(["1.2.1.1", "2.6"]), Conflict),
                (split(["1.2.1.1", "2.6", "2.6"]), Conflict),
                (split(["1.2.1.1", "none"]), NotFound),
                (split(["1.2.1.1", "2.4"]), Ambiguous),
                (split(["2.2"]), Conflict),
            ]
            for request, error in requests:
                assert await refused(catalog.move(request)) is error, request
                assert await catalog.undo_move("m") is None, request
            assert await listing(catalog) == before
            for level in (Level.STUDY, Level.SERIES):
                uid = "1.2.3" if level is Level.STUDY else "2.4"
                assert await refused(catalog.moves(level, uid)) is Ambiguous
            await catalog.store([arrival(7, study="1.2.7", instance="1.9.1")])
            assert await refused(catalog.displaced("1.9.1")) is Ambiguous

        self.run(test)

    def test_parallel_moves_and_arrivals(self) -> None:
        async def test(catalog: Catalog) -> None:
            # Each of eight SOP Instance UIDs is in three studies of two patients.
            paths = [(f"p{1 + n % 2}", f"1.2.{n % 3}", f"1.9.{n // 6}") for n in range(48)]
            files = [
                arrival(n, patient=patient, study=study, series=f"{study}.1", instance=instance)
                for n, (patient, study, instance) in enumerate(paths)
            ]
            files += [arrival(50 + n, study="1.2.8", series="2.8") for n in range(8)]
            await catalog.store([arrival(100, patient="p9", study="1.2.9", series="2.9"), *files[:12], files[48]])
            work = [catalog.store(files[12 + n :: 9]) for n in range(9)]
            await asyncio.gather(
                *work[:4],
                catalog.move(merge("p1", "p2", "first", from_now_on=True)),
                *work[4:],
                catalog.move(study_to("p9", "1.2.8", "second")),
            )
            patients = {
                each: await one(catalog, Level.PATIENT, each) for each in await found_by(catalog, Level.PATIENT)
            }
            counts = {each: (one["studies_count"], one["images_count"]) for each, one in patients.items()}
            assert counts == {"p2": (3, 24), "p9": (2, 9)}
            assert len(await found_by(catalog, Level.INSTANCE)) == 33
            assert await catalog.known_blobs([new.blob.key for new in files]) == {new.blob.key for new in files}
            await asyncio.gather(catalog.undo_move("first"), catalog.undo_move("second"))
            after = await listing(catalog)
            assert len(await found_by(catalog, Level.INSTANCE)) == 57
            assert len(await catalog.conflicts()) == 11, "three studies of two patients, and instances of two studies"
            assert await catalog.garbage() == {}
            await asyncio.gather(*(catalog.delete(Level.PATIENT, patient) for patient in ("p1", "p2", "p9")))
            assert len(await catalog.garbage()) == 57
            assert after

        self.run(test)
