"""Contract suite of the archive port: merges of patients, moves of studies and series, splits, and their undo."""

from functools import partial

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.moves import Move, MovedSeries, study_values
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Like, Value
from neurdicom.testing.arrivals import arrival, place_of
from neurdicom.testing.catalog_places import one
from neurdicom.testing.catalog_suite import CatalogSuite
from neurdicom.testing.move_requests import (
    JANE,
    MADE,
    TIME,
    USER,
    found_by,
    listing,
    merge,
    moved_from,
    patient_edits,
    series_to,
    split,
    study_to,
    two_patients,
)


class MoveContract(CatalogSuite):
    """Tests of merges, moves and splits of entities whose UIDs name one."""

    def test_a_merge_gives_all_studies_to_another_patient(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(files := two_patients())
            before = await listing(catalog)
            moved = await catalog.move(merge("p1", "p2"))
            assert len(moved) == 2
            assert set(moved) == {moved_from(new, "p1", to="p2") for new in files[:2]}
            assert await catalog.get(Level.PATIENT, "p1") is None
            patient = await one(catalog, Level.PATIENT, "p2")
            assert (patient["studies_count"], patient["images_count"]) == (3, 3)
            for new in files:
                place = place_of(new)
                study = await one(catalog, Level.STUDY, new.study)
                assert (study["key"], study["patient"], study["images_count"]) == (place.study, "p2", 1)
                assert {name: study[name] for name in JANE} == JANE
                assert study["study_id"] == new.attributes["study_id"], "its own"
                assert study["patient_sex"] is None
                for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
                    assert await catalog.keys(level, place.id(level)) == (place.key(level),), "keys do not change"
                    assert (await one(catalog, level, place.key(level)))["patient"] == "p2"
            for condition, ids in (
                (AnyOf("patient_id", ("P1",)), []),
                (AnyOf("patient_sex", ("M",)), []),
                (Like("patient_name", "doe*"), []),
                (AnyOf("patient", ("p1",)), []),
                (AnyOf("patient_id", ("P2",)), ["1.2.1", "1.2.2", "1.2.3"]),
                (Like("patient_name", "roe*"), ["1.2.1", "1.2.2", "1.2.3"]),
                (AnyOf("patient", ("p2",)), ["1.2.1", "1.2.2", "1.2.3"]),
            ):
                assert await found_by(catalog, Level.STUDY, condition) == ids, condition
            assert await found_by(catalog, Level.PATIENT) == ["p2"]
            assert len(await found_by(catalog, Level.INSTANCE, AnyOf("patient_id", ("P2",)))) == 3
            assert await catalog.undo_move("m") == [
                MovedSeries(each.key, *each.before, (each.series, each.study, each.patient)) for each in moved
            ]
            assert await listing(catalog) == before
            assert await catalog.undo_move("m") is None
            assert await catalog.undo_move("none") is None

        self.run(test)

    def test_files_say_whose_they_are_by_edits(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(two_patients())
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": "S"}, user="v", time="t")
            await catalog.edit(Level.PATIENT, "p2", {"patient_name": "EDITED"}, user="v", time="t")
            await catalog.move(study_to("p2", "1.2.1"))
            above = patient_edits("p2", **JANE)
            edits = [*above, *await catalog.history(Level.PATIENT, "p2"), *await catalog.history(Level.STUDY, "1.2.1")]
            assert [(edit.entity, edit.value) for edit in edits[-2:]] == [
                ("p2", "EDITED"),
                (key_of("1.2.1", "p1"), "S"),
            ]
            assert await catalog.edits("1.9.1") == edits
            [described] = await catalog.described(Level.STUDY, "1.2.1")
            assert described.edits == tuple(edits)
            assert described.header == arrival(1).header
            location = await catalog.locate("1.9.1")
            assert location is not None
            assert location.edited
            assert (await one(catalog, Level.STUDY, "1.2.1"))["patient_name"] == "EDITED"
            assert [edit.field for edit in await catalog.edits("1.9.3")] == ["patient_name"]
            assert await catalog.edits("1.9.2") == []
            await catalog.undo_move("m")
            assert await catalog.edits("1.9.1") == edits[-1:]

        self.run(test)

    def test_moves_are_listed(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(two_patients())
            await catalog.store([arrival(4, patient="p3", study="1.2.4", series="2.4")])
            await catalog.move(merge("p1", "p2", "first", from_now_on=True))
            made = partial(Move, user=USER, time=TIME)
            first = made("first", Level.PATIENT, ("p1",), "p2", before="p1", after="p2", from_now_on=True)
            of_study = made("first", Level.STUDY, ("p1", "1.2.1"), "p2", before="p1", after="p2")
            assert await catalog.moves(Level.PATIENT, "p2") == [first]
            assert await catalog.moves(Level.STUDY, "1.2.1") == [of_study]
            assert await catalog.moves(Level.STUDY, "1.2.3") == []
            assert await catalog.moves(Level.SERIES, "1.2.1.1") == []
            assert await catalog.moves(Level.INSTANCE, "1.9.1") == []
            assert await catalog.moves(Level.STUDY, "none") == []
            await catalog.move(study_to("p3", "1.2.1", "second"))
            second = made("second", Level.STUDY, ("p1", "1.2.1"), "p3", before="p2", after="p3")
            assert await catalog.moves(Level.STUDY, "1.2.1") == [of_study, second]
            assert await catalog.moves(Level.PATIENT, "p3") == [], "no merge"
            await catalog.undo_move("first")
            assert await catalog.moves(Level.STUDY, "1.2.1") == [second]
            assert await catalog.moves(Level.PATIENT, "p2") == []

        self.run(test)

    def test_a_study_goes_to_a_patient_that_is_made(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(files := two_patients())
            before = await listing(catalog)
            moved = await catalog.move(study_to("p9", "1.2.1", patient_id="P9", patient_name="NEW"))
            assert moved == [moved_from(files[0], "p1", to="p9")]
            patient = await one(catalog, Level.PATIENT, "p9")
            assert (patient["patient_id"], patient["patient_name"], patient["patient_sex"]) == ("P9", "NEW", None)
            assert (patient["studies_count"], patient["images_count"]) == (1, 1)
            assert (await one(catalog, Level.PATIENT, "p1"))["studies_count"] == 1
            assert await found_by(catalog, Level.STUDY, AnyOf("patient_sex", ("M",))) == []
            assert await catalog.edits("1.9.1") == patient_edits("p9", patient_id="P9", patient_name="NEW")
            await catalog.move(study_to("p9", "1.2.2", "second"))
            assert (await one(catalog, Level.STUDY, "1.2.2"))["patient_name"] == "NEW", "it is there by now"
            assert await catalog.get(Level.PATIENT, "p1") is None
            await catalog.move(study_to("p9", "1.2.3", "third", patient_id="P9", patient_name="NEWER"))
            for study in ("1.2.1", "1.2.2", "1.2.3"):
                shown = await one(catalog, Level.STUDY, study)
                assert (shown["patient"], shown["patient_name"]) == ("p9", "NEWER")
            assert await found_by(catalog, Level.PATIENT) == ["p9"]
            for edit in ("second", "third", "m"):
                assert await catalog.undo_move(edit)
            assert await listing(catalog) == before

        self.run(test)

    def test_a_patient_gives_what_it_showed_when_the_first_was_moved_there(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(two_patients())
            await catalog.move(study_to("p2", "1.2.1"))
            late = arrival(4, patient="p2", study="1.2.4", series="2.4", study_date="20300101", patient_name="LATE")
            await catalog.store([late])
            await catalog.move(study_to("p2", "1.2.2", "second"))
            names = [(await one(catalog, Level.STUDY, f"1.2.{n}"))["patient_name"] for n in (1, 2, 3, 4)]
            assert names == ["ROE^JANE", "ROE^JANE", "ROE^JANE", "LATE"]
            assert (await one(catalog, Level.PATIENT, "p2"))["patient_name"] == "LATE"
            for edit in ("m", "second"):
                await catalog.undo_move(edit)
            await catalog.move(study_to("p2", "1.2.1"))
            assert (await one(catalog, Level.STUDY, "1.2.1"))["patient_name"] == "LATE", "nothing lay there meanwhile"
            assert (await one(catalog, Level.STUDY, "1.2.1"))["patient_birth_date"] == "19700101"

        self.run(test)

    def test_a_series_goes_to_another_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [*two_patients(), arrival(4, series="1.2.1.2", modality="MR", study_id="one")]
            await catalog.store(files)
            await catalog.edit(Level.STUDY, "1.2.3", {"study_description": "edited"}, user="v", time="t")
            before = await listing(catalog)
            old, target = place_of(files[3]), place_of(files[2])
            moved = await catalog.move(series_to("1.2.3", "1.2.1.2"))
            keys = (old.series, old.study, "p1")
            assert moved == [MovedSeries(old.series, old.series, target.study, "p2", keys)]
            studies = [await one(catalog, Level.STUDY, study) for study in ("1.2.1", "1.2.3")]
            assert [(each["series_count"], each["images_count"]) for each in studies] == [(1, 1), (2, 2)]
            assert [each["modalities"] for each in studies] == [["CT"], ["CT", "MR"]]
            series = await one(catalog, Level.SERIES, "1.2.1.2")
            assert (series["key"], series["study"], series["patient"]) == (old.series, "1.2.3", "p2")
            assert await found_by(catalog, Level.SERIES, AnyOf("study_id", ("three",))) == ["1.2.1.2", "2.3"]
            assert await found_by(catalog, Level.SERIES, AnyOf("study_id", ("one",))) == ["1.2.1.1"]
            for reference in ("1.2.3", target.study):
                assert len(await found_by(catalog, Level.INSTANCE, AnyOf("study", (reference,)))) == 2
            location = await catalog.locate(old.instance)
            assert location is not None
            assert (location.instance, location.series, location.study) == (old.instance, old.series, target.study)
            values = study_values(files[2].attributes)
            edits = await catalog.edits("1.9.4")
            assert edits[:8] == patient_edits("p2", **JANE)
            assert {(edit.field, edit.value) for edit in edits[8:]} == {
                *(item for item in values.items() if item[0] != "study_description"),
                ("study_instance_uid", "1.2.3"),
                ("study_description", None),
                ("study_description", "edited"),
            }
            assert {(edit.level, edit.entity) for edit in edits[8:]} == {(Level.STUDY, target.study)}
            assert (await one(catalog, Level.STUDY, "1.2.3"))["study_description"] == "edited"
            assert await catalog.moves(Level.SERIES, old.series) == [
                Move(
                    "m",
                    Level.SERIES,
                    ("p1", "1.2.1", "1.2.1.2"),
                    "p2",
                    "1.2.3",
                    values,
                    old.study,
                    target.study,
                    USER,
                    TIME,
                )
            ]
            assert await catalog.undo_move("m")
            assert await listing(catalog) == before

        self.run(test)

    def test_parents_that_are_left_empty_are_gone_until_the_undo(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(two_patients()[1:])
            changes: list[tuple[Level, str, dict[str, Value]]] = [
                (Level.PATIENT, "p2", {"patient_comments": "edited"}),
                (Level.STUDY, "1.2.3", {"study_description": "edited"}),
                (Level.SERIES, "2.3", {"series_description": "edited"}),
                (Level.INSTANCE, "1.9.3", {"image_comments": "edited"}),
            ]
            for level, entity, change in changes:
                assert await catalog.edit(level, entity, change, user="v", time="t")
            before = await listing(catalog)
            await catalog.move(series_to("1.2.2", "2.3"))
            assert await catalog.get(Level.STUDY, "1.2.3") is None
            assert await catalog.get(Level.PATIENT, "p2") is None
            assert [len(await found_by(catalog, level)) for level in Level] == [1, 1, 2, 2]
            assert (await one(catalog, Level.SERIES, "2.3"))["series_description"] == "edited", "edits go along"
            assert (await one(catalog, Level.INSTANCE, "1.9.3"))["image_comments"] == "edited"
            assert (await one(catalog, Level.STUDY, "1.2.2"))["study_description"] is None
            await catalog.undo_move("m")
            assert await listing(catalog) == before

        self.run(test)

    def test_a_split_makes_a_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(n, series=f"2.{n}", study_id="S", study_description="D") for n in (1, 2, 3)]
            await catalog.store(files)
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": "edited"}, user="v", time="t")
            before = await listing(catalog)
            made = key_of(MADE, "p1")
            moved = await catalog.move(split(["2.2", place_of(files[2]).series, "2.2"]))
            places = [place_of(new) for new in files]
            assert sorted(moved, key=lambda each: each.key) == [
                MovedSeries(place.series, place.series, made, "p1", (place.series, place.study, "p1"))
                for place in places[1:]
            ]
            study = await one(catalog, Level.STUDY, MADE)
            assert (study["key"], study["patient"], study["series_count"], study["images_count"]) == (made, "p1", 2, 2)
            assert (study["study_id"], study["study_description"], study["study_date"]) == ("edited", "D", "20240102")
            assert study["study_instance_uid"] == MADE
            assert (await one(catalog, Level.STUDY, "1.2.1"))["series_count"] == 1
            assert (await one(catalog, Level.PATIENT, "p1"))["studies_count"] == 2
            assert await found_by(catalog, Level.SERIES, AnyOf("study_instance_uid", (MADE,))) == ["2.2", "2.3"]
            assert {edit.field: edit.value for edit in await catalog.edits("1.9.2")} == {
                **study_values(files[1].attributes),
                "study_id": "edited",
                "study_instance_uid": MADE,
            }
            assert {(edit.level, edit.entity) for edit in await catalog.edits("1.9.2")} == {(Level.STUDY, made)}
            for reference in (MADE, "1.2.1"):
                listed = await catalog.moves(Level.STUDY, reference)
                assert [(move.edit, move.is_split, move.after) for move in listed] == [("m", True, made)] * 2
                assert {move.path for move in listed} == {("p1", "1.2.1", "2.2"), ("p1", "1.2.1", "2.3")}
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": "again"}, user="v", time="t2")
            assert (await one(catalog, Level.STUDY, MADE))["study_id"] == "edited", "a study of its own"
            assert await catalog.undo(Level.STUDY, "1.2.1", (await catalog.history(Level.STUDY, "1.2.1"))[-1].id)
            assert len(await catalog.undo_move("m") or ()) == 2
            assert await listing(catalog) == before

        self.run(test)
