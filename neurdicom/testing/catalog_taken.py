"""Contract suite of the archive port: moves of studies that the patient of a later file takes over."""

from itertools import product

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import Refusal, StorePolicy
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.dicom.uids import patient_key
from neurdicom.testing.arrivals import arrival_of, place_of
from neurdicom.testing.catalog_places import one
from neurdicom.testing.catalog_suite import CatalogSuite
from neurdicom.testing.move_requests import MADE, found_by, listing, merge, placed, series_to, split, study_to

_A, _B = patient_key("A", None, ""), patient_key("B", None, "")
_NONE = patient_key(None, None, "1.2.1")


class TakenMoveContract(CatalogSuite):
    """Tests of moves where the patient of a file is the one that another file of its study names."""

    def test_moves_go_over_to_the_patient_that_takes_a_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            nobody, named = arrival_of(1), arrival_of(3, "A")
            for order in ((nobody, named), (named, nobody)):
                await catalog.store([order[0], arrival_of(2, "B", study="1.2.2", series="2.2")])
                await catalog.move(study_to(_B, "1.2.1"))
                assert await placed(catalog, order[1]) == (_B, "1.2.1")
                study = await one(catalog, Level.STUDY, "1.2.1")
                assert (study["key"], study["images_count"]) == (key_of("1.2.1", _A), 2)
                keys = await catalog.keys(Level.STUDY, key_of("1.2.1", _NONE))
                assert (keys[0], set(keys)) == (study["key"], {study["key"], key_of("1.2.1", _NONE)})
                [move] = await catalog.moves(Level.STUDY, "1.2.1")
                assert (move.path, move.patient) == ((_A, "1.2.1"), _B)
                assert await found_by(catalog, Level.PATIENT) == [_B]
                assert await found_by(catalog, Level.STUDY, AnyOf("patient_id", ("A",))) == []
                await catalog.delete(Level.STUDY, "1.2.1")
                assert await placed(catalog, nobody) == (_B, "1.2.1"), "claims stay as long as the move does"
                assert (await one(catalog, Level.STUDY, "1.2.1"))["key"] == key_of("1.2.1", _A)
                await catalog.undo_move("m")
                assert (await one(catalog, Level.STUDY, "1.2.1"))["patient"] == _A
                await catalog.delete(Level.STUDY, "1.2.1")
                await catalog.delete(Level.STUDY, "1.2.2")
                await catalog.forget_garbage([*await catalog.garbage()])

        self.run(test)

    def test_demographics_are_forgotten_where_the_study_that_a_series_went_to_is_taken(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(
                [arrival_of(1, "A", patient_name="FIRST"), arrival_of(2, "B", study="1.2.2", series="2.2")]
            )
            await catalog.store([arrival_of(4, "B", study="1.2.2", series="2.4")])
            await catalog.move(series_to("1.2.1", "2.4"))
            await catalog.store([arrival_of(3, "A", "ISSUER")])
            await catalog.store([arrival_of(5, "A", study="1.2.3", series="2.5", patient_name="LATER")])
            await catalog.move(study_to(_A, "1.2.2", "n"))
            said = {edit.field: edit.value for edit in await catalog.edits("1.9.2")}
            assert said["patient_name"] == "LATER", "what its files say now, to whom nothing had been moved"

        self.run(test)

    def test_a_split_is_listed_at_a_study_that_is_taken(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival_of(1, series="2.1"), arrival_of(2, series="2.2")])
            await catalog.move(split(["2.2"]))
            await catalog.store([arrival_of(3, "A", series="2.1")])
            for study in ("1.2.1", MADE):
                assert [move.edit for move in await catalog.moves(Level.STUDY, study)] == ["m"]

        self.run(test)

    def test_what_was_split_off_goes_along_with_a_study_that_is_taken(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival_of(n, series=f"2.{n}") for n in (1, 2, 3)])
            await catalog.move(split(["2.2", "2.3"]))
            await catalog.move(split(["2.3"], "2.25.2", "n"))
            await catalog.edit(Level.STUDY, MADE, {"study_description": "edited"}, user="v", time="t")
            assert await placed(catalog, arrival_of(4, "A", series="2.1")) == (_A, "1.2.1")
            assert await found_by(catalog, Level.PATIENT) == [_A]
            for made, edits in ((MADE, ["m", "n"]), ("2.25.2", ["n"])):
                study = await one(catalog, Level.STUDY, made)
                assert (study["key"], study["patient"]) == (key_of(made, _A), _A)
                for key in (key_of(made, _A), key_of(made, _NONE)):
                    assert set(await catalog.keys(Level.STUDY, key)) == {key_of(made, _A), key_of(made, _NONE)}
                    assert sorted({move.edit for move in await catalog.moves(Level.STUDY, key)}) == edits
            assert (await one(catalog, Level.STUDY, MADE))["study_description"] == "edited"
            assert (await one(catalog, Level.PATIENT, _NONE))["studies_count"] == 3
            assert await placed(catalog, arrival_of(5, series="2.2")) == (_A, MADE)
            assert await placed(catalog, arrival_of(6, "A", "X", series="2.1")) == (patient_key("A", "X", ""), "1.2.1")
            assert await found_by(catalog, Level.PATIENT) == [patient_key("A", "X", "")], "also where it is told twice"
            assert await catalog.conflicts() == []
            keys = await catalog.keys(Level.STUDY, key_of("2.25.2", _NONE))
            assert set(keys) == {key_of("2.25.2", patient) for patient in (_NONE, _A, patient_key("A", "X", ""))}
            await catalog.undo_move("m")
            await catalog.undo_move("n")
            assert await found_by(catalog, Level.STUDY) == ["1.2.1"]
            assert (await one(catalog, Level.STUDY, "1.2.1"))["images_count"] == 6

        self.run(test)

    def test_what_was_moved_before_or_after_a_split_goes_along(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival_of(1), arrival_of(2, "B", study="1.2.2", series="2.2")])
            await catalog.store([arrival_of(4, "B", study="1.2.2", series="2.4")])
            await catalog.move(series_to("1.2.1", "2.4"))
            await catalog.move(split(["2.4"], edit="n"))
            await catalog.move(series_to(MADE, "2.2", "o"))
            assert await placed(catalog, arrival_of(3, "A", patient_name="NAMED")) == (_A, "1.2.1")
            made = await one(catalog, Level.STUDY, MADE)
            assert (made["patient"], made["series_count"], made["patient_id"]) == (_A, 2, "A")
            assert await found_by(catalog, Level.PATIENT) == [_A]
            await catalog.move(study_to(_B, MADE, "p", patient_id="B"))
            assert await placed(catalog, arrival_of(5, "A", "X")) == (patient_key("A", "X", ""), "1.2.1")
            assert (await one(catalog, Level.STUDY, MADE))["patient"] == _B, "it was given to another patient"
            await catalog.undo_move("p")
            assert (await one(catalog, Level.STUDY, MADE))["patient"] == patient_key("A", "X", "")
            for edit in ("o", "n", "m"):
                await catalog.undo_move(edit)
            assert (await one(catalog, Level.STUDY, "1.2.2"))["images_count"] == 2

        self.run(test)

    def test_what_was_split_off_another_study_stays(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival_of(n, "A", series=f"2.{n}") for n in (1, 2)]
            await catalog.store([*files, arrival_of(3, "A", study="1.2.2", series="2.3")])
            await catalog.move(series_to("1.2.2", "2.2"))
            await catalog.move(split(["2.2"], edit="n"))
            assert await placed(catalog, arrival_of(4, "A", "X")) == (patient_key("A", "X", ""), "1.2.1")
            assert (await one(catalog, Level.STUDY, MADE))["patient"] == _A, "the study that it was split off is there"

        self.run(test)

    def test_a_series_goes_along_with_a_study_that_is_taken(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival_of(1, patient_name="FIRST"), arrival_of(2, "B", study="1.2.2", series="2.2")])
            await catalog.store([arrival_of(4, "B", study="1.2.2", series="2.4")])
            await catalog.move(series_to("1.2.1", "2.4"))
            assert (await one(catalog, Level.SERIES, "2.4"))["patient"] == _NONE
            assert await placed(catalog, arrival_of(3, "A", patient_name="SECOND")) == (_A, "1.2.1")
            series = await one(catalog, Level.SERIES, "2.4")
            assert (series["patient"], series["study"]) == (_A, "1.2.1")
            said = {edit.field: edit.value for edit in await catalog.edits("1.9.4")}
            assert (said["patient_id"], said["patient_name"]) == ("A", "FIRST"), "what files of A say together"
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["images_count"], study["patient_id"], study["key"]) == (3, "A", key_of("1.2.1", _A))
            assert await found_by(catalog, Level.STUDY, AnyOf("patient_id", ("B",))) == ["1.2.2"]
            assert await placed(catalog, arrival_of(5, "B", study="1.2.2", series="2.4")) == (_A, "1.2.1")
            await catalog.undo_move("m")
            assert (await one(catalog, Level.SERIES, "2.4"))["patient"] == _B
            assert [(await one(catalog, Level.STUDY, f"1.2.{n}"))["images_count"] for n in (1, 2)] == [2, 3]

        self.run(test)

    def test_a_series_that_was_moved_keeps_its_place_where_its_own_study_is_taken(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival_of(1), arrival_of(2, series="1.2.1.2")])
            await catalog.store([arrival_of(4, "B", study="1.2.2", series="2.2")])
            await catalog.move(series_to("1.2.2", "1.2.1.2"))
            assert await placed(catalog, arrival_of(3, "A")) == (_A, "1.2.1")
            assert await placed(catalog, arrival_of(5, "A", series="1.2.1.2")) == (_B, "1.2.2")
            series = await one(catalog, Level.SERIES, "1.2.1.2")
            assert (series["patient"], series["images_count"]) == (_B, 2)
            assert series["key"] == key_of("1.2.1.2", _A, "1.2.1")
            await catalog.undo_move("m")
            assert (await one(catalog, Level.STUDY, "1.2.1"))["images_count"] == 4

        self.run(test)

    def test_claims_go_with_the_last_file_and_the_last_move(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival_of(1), arrival_of(2, "A"), arrival_of(3, "B", study="1.2.2", series="2.2")])
            await catalog.move(study_to(_B, "1.2.1"))
            await catalog.delete(Level.STUDY, "1.2.1")
            assert await catalog.undo_move("m") == [], "there is nothing to move"
            assert await placed(catalog, arrival_of(1)) == (_NONE, "1.2.1")

        self.run(test)

    def test_a_patient_is_named_by_an_id_that_it_had(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival_of(1, "A"), arrival_of(2, "A", "X"), arrival_of(3, "B", study="1.2.2", series="2.2")]
            await catalog.store(files)
            await catalog.move(study_to(_A, "1.2.2"))
            assert await found_by(catalog, Level.PATIENT) == [files[1].patient]
            study = await one(catalog, Level.STUDY, "1.2.2")
            assert (study["patient_id"], study["issuer_of_patient_id"]) == ("A", "X")
            [move] = await catalog.moves(Level.STUDY, "1.2.2")
            assert (move.patient, move.after) == (files[1].patient, files[1].patient)
            await catalog.undo_move("m")
            await catalog.move(merge(_A, _B))
            assert await found_by(catalog, Level.PATIENT) == [_B]
            assert await catalog.merged_into(files[1].patient) == _B

        self.run(test)

    def test_one_batch_that_takes_a_study_counts_once(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival_of(1), arrival_of(2, "B", study="1.2.2", series="2.2")])
            await catalog.store([arrival_of(3, "C", study="1.2.3", series="2.3")])
            await catalog.move(merge(patient_key("C", None, ""), _B))
            await catalog.store([arrival_of(4), arrival_of(5, series="1.2.1.2"), arrival_of(6, "A"), arrival_of(7)])
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["patient"], study["series_count"], study["images_count"]) == (_A, 2, 5)
            assert (await one(catalog, Level.SERIES, "1.2.1.1"))["images_count"] == 4
            patients = [await one(catalog, Level.PATIENT, patient) for patient in (_A, _B)]
            assert [(each["studies_count"], each["images_count"]) for each in patients] == [(1, 5), (2, 2)]
            assert [len(await found_by(catalog, level)) for level in Level] == [2, 3, 4, 7]

        self.run(test)

    def test_a_file_that_replaces_the_only_one_takes_the_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            for is_moved, is_edited in product((False, True), (False, True)):
                files = [arrival_of(1), arrival_of(2, "B", study="1.2.2", series="2.2")]
                await catalog.store([*files, arrival_of(3, "C", study="1.2.3", series="2.3")])
                await catalog.move(study_to(_B, "1.2.1") if is_moved else merge(patient_key("C", None, ""), _B))
                changes: list[tuple[Level, str, str]] = [
                    (Level.STUDY, "1.2.1", "study_description"),
                    (Level.SERIES, "1.2.1.1", "series_description"),
                    (Level.INSTANCE, "1.9.1", "image_comments"),
                ]
                for level, entity, field in changes if is_edited else ():
                    await catalog.edit(level, entity, {field: "edited"}, user="v", time="t")
                [outcome] = await catalog.store([arrival_of(4, "A", instance="1.9.1", study_id="new")])
                assert (outcome.status, outcome.unused) == ("replaced", files[0].blob.key)
                study = await one(catalog, Level.STUDY, "1.2.1")
                assert (study["patient"], study["study_id"]) == (_B if is_moved else _A, "new")
                assert (study["series_count"], study["images_count"]) == (1, 1)
                assert study["key"] == key_of("1.2.1", _A)
                for level, entity, field in changes:
                    assert (await one(catalog, level, entity))[field] == ("edited" if is_edited else None), (
                        level,
                        is_moved,
                    )
                await catalog.undo_move("m")
                assert (await one(catalog, Level.STUDY, "1.2.1"))["patient"] == _A
                for patient in await found_by(catalog, Level.PATIENT):
                    await catalog.delete(Level.PATIENT, patient)
                await catalog.forget_garbage([*await catalog.garbage()])

        self.run(test)

    def test_claims_stay_as_long_as_a_series_is_to_go_to_their_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            moved = arrival_of(4, "B", study="1.2.2", series="2.4")
            await catalog.store([arrival_of(1), arrival_of(2, "B", study="1.2.2", series="2.2"), moved])
            await catalog.move(series_to("1.2.1", "2.4"))
            await catalog.delete(Level.STUDY, "1.2.1")
            assert await placed(catalog, arrival_of(5, "A")) == (_A, "1.2.1")
            assert await placed(catalog, moved) == (_A, "1.2.1")
            assert await placed(catalog, arrival_of(6)) == (_A, "1.2.1")
            assert await catalog.conflicts() == []
            await catalog.delete(Level.STUDY, "1.2.1")
            assert await catalog.undo_move("m") == []
            assert await placed(catalog, arrival_of(7)) == (_NONE, "1.2.1"), "nothing is left that names it"

        self.run(test)

    def test_what_is_replaced_says_nothing_of_the_patient_that_takes_the_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival_of(1, patient_name="OLD", patient_comments="old")])
            await catalog.store([arrival_of(2, "B", study="1.2.2", series="2.2"), arrival_of(4, "B", study="1.2.2")])
            await catalog.move(series_to("1.2.1", "2.2"))
            [outcome] = await catalog.store([arrival_of(5, "A", instance="1.9.1", patient_name="NEW")])
            assert outcome.status == "replaced"
            said = {edit.field: edit.value for edit in await catalog.edits("1.9.2")}
            assert (said["patient_id"], said["patient_name"], said["patient_comments"]) == ("A", "NEW", None)
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["patient"], study["patient_name"], study["patient_comments"]) == (_A, "NEW", None)

        self.run(test)

    def test_a_file_that_stays_behind_keeps_nothing_out(self) -> None:
        async def test(catalog: Catalog) -> None:
            for policy in (StorePolicy(), StorePolicy(same_instance="keep"), StorePolicy(same_instance="refuse")):
                files = [arrival_of(1, "A"), arrival_of(2, "B", instance="1.9.9"), arrival_of(3, "A", study="1.2.3")]
                await catalog.store(files)
                await catalog.move(study_to(_A, key_of("1.2.1", _B)))
                assert (await one(catalog, Level.STUDY, "1.2.1"))["images_count"] == 2
                taker = arrival_of(4, "A", "X", instance="1.9.9")
                assert await placed(catalog, taker, policy) == (taker.patient, "1.2.1"), policy
                page = await catalog.find(Query(Level.STUDY, (AnyOf("study_instance_uid", ("1.2.1",)),)))
                counts = {study["patient"]: study["images_count"] for study in page.items}
                assert counts == {taker.patient: 2, _A: 1}
                await catalog.undo_move("m")
                for patient in await found_by(catalog, Level.PATIENT):
                    await catalog.delete(Level.PATIENT, patient)
                await catalog.forget_garbage([*await catalog.garbage()])

        self.run(test)

    def test_an_arrival_that_takes_a_study_is_refused_by_where_it_lies_afterwards(self) -> None:
        async def test(catalog: Catalog) -> None:
            issued = patient_key("A", "X", "")
            files = [arrival_of(1, "A", series="2.1"), arrival_of(2, "B", series="2.2")]
            await catalog.store(files)
            await catalog.move(study_to(_A, key_of("1.2.1", _B)))
            before = await listing(catalog)
            taker = arrival_of(3, "A", "X", series="2.2")
            [outcome] = await catalog.store([taker], StorePolicy(conflicts="refuse"))
            assert outcome.refusal == Refusal(Level.SERIES, "2.2", ("2.2",), (_A,)), "it would part from the other's"
            assert (outcome.status, outcome.unused) == ("conflict", taker.blob.key)
            assert await listing(catalog) == before
            taker = arrival_of(4, "A", "X", series="2.1")
            assert await placed(catalog, taker, StorePolicy(conflicts="refuse")) == (issued, "1.2.1")
            assert (await one(catalog, Level.SERIES, "2.2"))["patient"] == _A

        self.run(test)

    def test_an_arrival_that_takes_a_study_to_where_another_was_moved_is_no_conflict(self) -> None:
        async def test(catalog: Catalog) -> None:
            issued = patient_key("A", "X", "")
            await catalog.store([arrival_of(1, "A", series="2.1"), arrival_of(2, "B", series="2.2")])
            given = {"patient_id": "A", "issuer_of_patient_id": "X"}
            await catalog.move(study_to(issued, key_of("1.2.1", _B), **given))
            taker = arrival_of(3, "A", "X", series="2.2")
            assert await placed(catalog, taker, StorePolicy(conflicts="refuse")) == (issued, "1.2.1")
            assert (await one(catalog, Level.SERIES, "2.2"))["images_count"] == 2
            assert await found_by(catalog, Level.PATIENT) == [issued]

        self.run(test)

    def test_an_arrival_that_takes_a_study_meets_the_file_that_is_shown_afterwards(self) -> None:
        async def test(catalog: Catalog) -> None:
            for policy in (StorePolicy(same_instance="keep"), StorePolicy(same_instance="refuse")):
                files = [arrival_of(1, "C", instance="1.9.9"), arrival_of(2, "A"), arrival_of(3, "B", instance="1.9.9")]
                await catalog.store(files)
                issued = patient_key("A", "X", "")
                given = {"patient_id": "A", "issuer_of_patient_id": "X"}
                await catalog.move(study_to(issued, key_of("1.2.1", _B), **given))
                before = await listing(catalog)
                taker = arrival_of(4, "A", "X", instance="1.9.9")
                [outcome] = await catalog.store([taker], policy)
                assert outcome.status == ("kept" if policy.same_instance == "keep" else "conflict")
                instance = place_of(files[2]).instance
                if outcome.place:
                    assert (outcome.place.instance, outcome.place.patient) == (instance, issued)
                else:
                    assert outcome.refusal == Refusal(Level.INSTANCE, "1.9.9", (instance,), (issued,), same_place=True)
                assert await listing(catalog) == before
                for patient in await found_by(catalog, Level.PATIENT):
                    await catalog.delete(Level.PATIENT, patient)
                await catalog.undo_move("m")
                await catalog.forget_garbage([*await catalog.garbage()])

        self.run(test)
