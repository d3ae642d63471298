"""Contract suite of the archive port: attributes that entities show, and those that they are found by."""

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.shown import LATEST_STUDIES
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Condition, Like, Moment, Query, Word
from neurdicom.testing.arrivals import arrival
from neurdicom.testing.catalog_places import one
from neurdicom.testing.catalog_suite import CatalogSuite


class AttributeContract(CatalogSuite):
    """Tests of what studies and series show and are found by where files differ, and of patients' demographics."""

    async def found(self, catalog: Catalog, level: Level, *conditions: Condition) -> list[str]:
        """Find entities.

        Parameters
        ----------
        catalog : Catalog
            The catalog.
        level : Level
            Level of the entities.
        *conditions : Condition
            Conditions that they meet.

        Returns
        -------
        list of str
            Their ids.
        """
        return [each["id"] for each in (await catalog.find(Query(level, conditions))).items]

    def test_an_empty_value_hides_none(self) -> None:
        async def test(catalog: Catalog) -> None:
            first = arrival(1, accession_number=None, patient_name=None, study_date=None, series_description=" ")
            await catalog.store([first, arrival(2, patient_name="^^")])
            await catalog.store([arrival(3, patient_name="ROE", accession_number="N", series_description="d")])
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["patient_name"], study["accession_number"], study["study_date"]) == ("ROE", "N", "20240102")
            assert (await one(catalog, Level.SERIES, "1.2.1.1"))["series_description"] == "d"
            assert (await one(catalog, Level.PATIENT, "p1"))["patient_name"] == "ROE"

        self.run(test)

    def test_the_earliest_value_is_shown_and_all_are_found(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(
                [
                    arrival(1, study_date="20240110", study_time="1200", modality="CT", series_number=1),
                    arrival(2, study_date="20240120", study_time="0900", patient_name="ROE^JANE", modality="MR"),
                    arrival(3, other_patient_ids=["a", "b"], series_number=7, operators_name=["One^A", "Two^B"]),
                    arrival(4, other_patient_ids=["c"], series_number=1, operators_name=["Three^C"]),
                ]
            )
            study = await one(catalog, Level.STUDY, "1.2.1")
            assert (study["study_date"], study["study_time"], study["patient_name"]) == ("20240110", "1200", "DOE^JOHN")
            assert (study["other_patient_ids"], study["modalities"]) == (["a", "b"], ["CT"])
            assert (await one(catalog, Level.SERIES, "1.2.1.1"))["series_number"] == 1
            by_study: list[Condition] = [
                AnyOf("study_date", ("20240110",)),
                AnyOf("study_date", ("20240120",)),
                AnyOf("study_date", ("20240102",)),
                Between("study_date", "20240115", None),
                Between("study_date", None, "20240105"),
                Like("patient_name", "roe*"),
                Like("patient_name", "doe*"),
                Word("patient_name", "jane"),
                AnyOf("other_patient_ids", ("B",)),
                AnyOf("other_patient_ids", ("C",)),
                AnyOf("modalities", ("ct",)),
                AnyOf("modalities", ("mr",)),
                # Another date than the one that is shown has no time.
                Moment("study_date", "study_time", ("20240110", "1100"), ("20240110", "1300")),
                Moment("study_date", "study_time", ("20240120", "0100"), ("20240120", "0200")),
            ]
            by_series: list[Condition] = [
                AnyOf("series_number", (7,)),
                Between("series_number", 5, 9),
                AnyOf("modality", ("MR",)),
                Word("operators_name", "thr*"),
                Like("operators_name", "two*"),
            ]
            for condition in by_study:
                for level, entity in ((Level.STUDY, "1.2.1"), (Level.SERIES, "1.2.1.1")):
                    assert await self.found(catalog, level, condition) == [entity], condition
                assert len(await self.found(catalog, Level.INSTANCE, condition)) == 4, condition
            for condition in by_series:
                assert await self.found(catalog, Level.SERIES, condition) == ["1.2.1.1"], condition
                assert len(await self.found(catalog, Level.INSTANCE, condition)) == 4, condition
            for condition in (
                AnyOf("study_date", ("20240111",)),
                Between("study_date", "20240111", "20240119"),
                Moment("study_date", "study_time", ("20240110", "1300"), ("20240110", "1400")),
                Moment("study_date", "study_time", ("20240111", "0000"), ("20240119", "0000")),
            ):
                assert await self.found(catalog, Level.STUDY, condition) == [], condition
            assert (await catalog.find(Query(Level.STUDY, (by_study[0], by_study[1])))).total == 1

        self.run(test)

    def test_an_edit_counts_alone(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1, study_id="A"), arrival(2, study_id="B", patient_name="ROE")])
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": "C"}, user="u", time="t")
            await catalog.edit(Level.PATIENT, "p1", {"patient_name": "EDITED"}, user="u", time="t")
            await catalog.store([arrival(3, study_id="D", patient_name="MORE")])
            for field, none, value in (("study_id", ("A", "B", "D"), "C"), ("patient_name", ("ROE", "MORE"), "EDITED")):
                assert (await one(catalog, Level.STUDY, "1.2.1"))[field] == value
                assert await self.found(catalog, Level.STUDY, AnyOf(field, none)) == []
                assert await self.found(catalog, Level.STUDY, AnyOf(field, (value,))) == ["1.2.1"]
            assert await self.found(catalog, Level.PATIENT, AnyOf("patient_name", ("ROE", "MORE", "DOE^JOHN"))) == []
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": None}, user="u", time="t")
            assert (await one(catalog, Level.STUDY, "1.2.1"))["study_id"] is None
            assert await self.found(catalog, Level.STUDY, Like("study_id", "*")) == []

        self.run(test)

    def test_values_go_with_the_files_that_give_them(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1, study_id="A"), arrival(2, study_id="B"), arrival(3, study_id="A")])
            await catalog.delete(Level.INSTANCE, "1.9.1")
            assert (await one(catalog, Level.STUDY, "1.2.1"))["study_id"] == "B", "of the earliest that is left"
            await catalog.store([arrival(2, study_id="C", sha256="new")])
            assert (await one(catalog, Level.STUDY, "1.2.1"))["study_id"] == "A"
            assert await self.found(catalog, Level.STUDY, AnyOf("study_id", ("B",))) == []
            assert await self.found(catalog, Level.STUDY, AnyOf("study_id", ("C",))) == ["1.2.1"]

        self.run(test)

    def test_two_studies_of_one_patient_id(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store(
                [
                    arrival(1, patient_name="ROE^JANE", patient_sex="F", study_date="20240301", study_time="1000"),
                    arrival(2, study="1.2.2", series="2.2", patient_birth_date="19700101", study_date="20240301"),
                    arrival(3, study="1.2.3", series="2.3", patient_name="DOE^ANN", study_date=None),
                ]
            )
            names = {"1.2.1": "ROE^JANE", "1.2.2": "DOE^JOHN", "1.2.3": "DOE^ANN"}
            for study, name in names.items():
                assert (await one(catalog, Level.STUDY, study))["patient_name"] == name
                for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
                    page = await catalog.find(Query(level, (AnyOf("patient_name", (name,)),)))
                    assert [each["id" if level is Level.STUDY else "study"] for each in page.items] == [study]
                assert await self.found(catalog, Level.PATIENT, AnyOf("patient_name", (name,))) == ["p1"]
            patient = await one(catalog, Level.PATIENT, "p1")
            shown = patient["patient_name"], patient["patient_sex"], patient["patient_birth_date"]
            assert shown == ("ROE^JANE", "F", "19700101"), "of the latest study that has one"
            assert (await one(catalog, Level.STUDY, "1.2.2"))["patient_sex"] is None
            # Each condition by itself: the patient has a study with either.
            both = AnyOf("patient_name", ("DOE^ANN",)), AnyOf("patient_sex", ("F",))
            assert await self.found(catalog, Level.PATIENT, *both) == ["p1"]
            assert await self.found(catalog, Level.STUDY, *both) == []
            page = await catalog.find(Query(Level.STUDY, sort=(("patient_name", True),)))
            assert [study["id"] for study in page.items] == ["1.2.1", "1.2.2", "1.2.3"]
            page = await catalog.find(Query(Level.SERIES, sort=(("patient_name", False),)))
            assert [series["id"] for series in page.items] == ["2.3", "2.2", "1.2.1.1"]

        self.run(test)

    def test_a_patient_shows_the_latest_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            async def shown() -> tuple[str, str]:
                sample = (await catalog.samples(Level.PATIENT, ["p1"]))["p1"]
                return (await one(catalog, Level.PATIENT, "p1"))["patient_name"], sample.header.decode()

            first = arrival(1, patient_name="ONE", study_date="20240301")
            second = arrival(2, study="1.2.2", series="2.2", patient_name="TWO", study_date="20240301")
            third = arrival(3, study="1.2.3", series="2.3", patient_name="THREE", study_date="20240201")
            await catalog.store([first, second, third])
            assert await shown() == ("TWO", second.header.decode()), "of two at one moment the one that arrived later"
            await catalog.edit(Level.STUDY, "1.2.3", {"study_date": "20240401"}, user="u", time="t")
            assert await shown() == ("THREE", third.header.decode())
            await catalog.edit(Level.STUDY, "1.2.3", {"study_date": None}, user="u", time="t")
            assert await shown() == ("TWO", second.header.decode())
            await catalog.edit(Level.STUDY, "1.2.1", {"study_time": "0100"}, user="u", time="t")
            assert await shown() == ("ONE", first.header.decode())
            await catalog.delete(Level.STUDY, "1.2.1")
            assert await shown() == ("TWO", second.header.decode())
            await catalog.store([replacement := arrival(4, study="1.2.4", series="2.4", study_date="2025")])
            assert await shown() == ("DOE^JOHN", replacement.header.decode())
            await catalog.edit(Level.PATIENT, "p1", {"patient_name": "EDITED"}, user="u", time="t")
            assert await shown() == ("EDITED", replacement.header.decode())
            names = [study["patient_name"] for study in (await catalog.find(Query(Level.STUDY))).items]
            assert names == ["EDITED"] * 3

        self.run(test)

    def test_a_patient_of_many_studies(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(n, study=f"1.2.{n}", series=f"2.2.{n}") for n in range(2, LATEST_STUDIES)]
            first = arrival(1, patient_sex="F", patient_comments="seen", study_date="20200101")
            await catalog.store([*files, first])
            patient = await one(catalog, Level.PATIENT, "p1")
            assert (patient["patient_sex"], patient["patient_comments"]) == ("F", "seen")
            await catalog.store([arrival(n, study=f"1.2.{n}", series=f"2.2.{n}") for n in (1001, 1002)])
            patient = await one(catalog, Level.PATIENT, "p1")
            assert (patient["patient_sex"], patient["studies_count"]) == (None, LATEST_STUDIES + 1)
            assert await self.found(catalog, Level.PATIENT, AnyOf("patient_sex", ("F",))) == ["p1"]

        self.run(test)
