"""Contract suite of the archive port: whose a file is that does not say it, and what stays after a reindex."""

import asyncio
from itertools import permutations

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import StorePolicy
from neurdicom.catalog.records import Edit, NewInstance
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.dicom.uids import patient_key
from neurdicom.errors import Ambiguous
from neurdicom.testing.arrivals import arrival_of, place_of
from neurdicom.testing.catalog_places import one
from neurdicom.testing.catalog_suite import CatalogSuite

_STUDY = "1.2.1"
_NONE = patient_key(None, None, _STUDY)
_A, _AX, _AY, _B = (patient_key(one, issuer, _STUDY) for one, issuer in (("A", ""), ("A", "X"), ("A", "Y"), ("B", "")))


async def owners(catalog: Catalog, files: list[NewInstance]) -> list[str]:
    """List the patients that files belong to, who are looked up by the key that each file has by itself alone.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    files : list of NewInstance
        Files that are there.

    Returns
    -------
    list of str
        Ids of the patients.
    """
    found = []
    for new in files:
        instance = await one(catalog, Level.INSTANCE, place_of(new).instance)
        location = await catalog.locate(place_of(new).instance)
        assert location is not None
        assert location.blob == new.blob
        assert location.instance == key_of(new.instance, instance["patient"], new.study, new.series)
        found.append(instance["patient"])
    return found


class IdentityContract(CatalogSuite):
    """Tests of the patients of files without Patient ID or issuer, of former keys, and of a reindex."""

    def test_files_that_name_nobody_are_of_the_patient_that_others_name(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival_of(1), arrival_of(2, "A"), arrival_of(3, "A", "X")]
            for order in permutations(files):
                for new in order:
                    await catalog.store([new])
                assert await owners(catalog, files) == [_AX] * 3
                patient = await one(catalog, Level.PATIENT, _AX)
                assert (patient["patient_id"], patient["issuer_of_patient_id"]) == ("A", "X")
                assert (patient["studies_count"], patient["images_count"]) == (1, 3)
                assert [(await catalog.find(Query(level))).total for level in Level] == [1, 1, 1, 3]
                assert await catalog.conflicts() == []
                study = key_of(_STUDY, _AX)
                assert (await one(catalog, Level.STUDY, study))["id"] == _STUDY
                keys = await catalog.keys(Level.STUDY, _STUDY)
                assert (keys[0], set(keys)) == (study, {study, key_of(_STUDY, _NONE), key_of(_STUDY, _A)})
                assert set(await catalog.keys(Level.PATIENT, _AX)) == {_AX, _A, _NONE}
                for reference in (_A, _NONE, _AX):
                    assert await one(catalog, Level.PATIENT, reference) == patient
                    assert await catalog.keys(Level.PATIENT, reference) == await catalog.keys(Level.PATIENT, _AX)
                    for level in Level:
                        assert (await catalog.find(Query(level, (AnyOf("patient", (reference,)),)))).total > 0
                    above = AnyOf("study", (key_of(_STUDY, reference),))
                    assert (await catalog.find(Query(Level.SERIES, (above,)))).total == 1
                await catalog.delete(Level.PATIENT, _NONE)
                assert await catalog.keys(Level.STUDY, study) == ()
                assert await catalog.get(Level.PATIENT, _A) is None

        self.run(test)

    def test_several_patients_in_one_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival_of(1), arrival_of(2, "A"), arrival_of(3, "B"), arrival_of(4, "A", "X"), arrival_of(5)]
            for order, nobody in ((files, _AX), (files[::-1], _AX), ([files[2], *files[:2], *files[3:]], _B)):
                await catalog.store(order)
                assert await owners(catalog, files) == [nobody, _AX, _B, _AX, nobody]
                [conflict] = await catalog.conflicts()
                assert set(conflict.ids) == {key_of(_STUDY, _AX), key_of(_STUDY, _B)}
                shown = {key_of(_STUDY, claim): key_of(_STUDY, _AX) for claim in (_A, _AX)}
                assert await catalog.ids(Level.STUDY, shown.keys()) == shown, "a key of before is shown as it is now"
                await catalog.delete(Level.PATIENT, _AX)
                await catalog.delete(Level.PATIENT, _B)

        self.run(test)

    def test_another_issuer_is_another_patient(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival_of(1, "A", "X"), arrival_of(2, "A", "Y"), arrival_of(3, "A"), arrival_of(4)]
            await catalog.store(files)
            assert await owners(catalog, files) == [_AX, _AY, _AX, _AX], "the first that was named"

        self.run(test)

    def test_edits_go_along_with_a_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            new = arrival_of(1)
            await catalog.store([new, arrival_of(2, "C", study="1.2.2", series="2.2")])
            for level, field in (
                (Level.PATIENT, "patient_comments"),
                (Level.STUDY, "study_description"),
                (Level.SERIES, "series_description"),
                (Level.INSTANCE, "image_comments"),
            ):
                assert await catalog.edit(level, place_of(new).key(level), {field: field}, user="u", time="t")
            await catalog.store([arrival_of(3, "A", series="1.2.1.2")])
            keys = key_of(_STUDY, _A), key_of(new.series, _A, _STUDY), key_of(new.instance, _A, _STUDY, new.series)
            assert await catalog.edits(new.instance) == [
                Edit(Level.STUDY, keys[0], "study_description", "study_description", "u", "t"),
                Edit(Level.SERIES, keys[1], "series_description", "series_description", "u", "t"),
                Edit(Level.INSTANCE, keys[2], "image_comments", "image_comments", "u", "t"),
            ], "those of a patient that is no more are gone"
            assert await catalog.edits(place_of(new).instance) == await catalog.edits(new.instance)
            assert [one.edits for one in await catalog.described(Level.SERIES, place_of(new).series)] == [
                tuple(await catalog.edits(new.instance))
            ]
            assert (await one(catalog, Level.STUDY, _STUDY))["study_description"] == "study_description"
            assert await catalog.edit(Level.STUDY, place_of(new).study, {"study_id": "S"}, user="u", time="t")
            assert (await one(catalog, Level.STUDY, keys[0]))["study_id"] == "S"
            await catalog.delete(Level.STUDY, place_of(new).study)
            await catalog.store([new])
            assert await catalog.edits(new.instance) == [], "edits go with what they are of"
            assert (await one(catalog, Level.PATIENT, _NONE))["patient_comments"] is None
            assert (await one(catalog, Level.STUDY, _STUDY))["study_description"] is None

        self.run(test)

    def test_edits_go_along_with_a_study_that_is_not_entered_again_yet(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([new := arrival_of(1)])
            fields = ((Level.STUDY, "study_id"), (Level.SERIES, "protocol_name"), (Level.INSTANCE, "image_comments"))
            for level, field in fields:
                assert await catalog.edit(level, place_of(new).key(level), {field: "E"}, user="u", time="t")
            await catalog.clear()
            await catalog.store([arrival_of(2, "A", series="1.2.1.2")])
            await catalog.store([new])
            assert await owners(catalog, [new]) == [_A]
            assert [(edit.level, edit.field) for edit in await catalog.edits("1.9.1")] == [*fields]
            instance = await one(catalog, Level.INSTANCE, "1.9.1")
            assert [edit.entity for edit in await catalog.edits("1.9.1")][-1] == instance["key"]
            assert instance["image_comments"] == "E"

        self.run(test)

    def test_an_issuer_takes_the_study_that_names_it(self) -> None:
        async def test(catalog: Catalog) -> None:
            there = [arrival_of(1, "A"), arrival_of(2, "A", study="1.2.2", series="2.2")]
            await catalog.store(there)
            await catalog.edit(Level.PATIENT, _A, {"patient_name": "EDITED"}, user="u", time="t")
            await catalog.store([arrival_of(3, "A", "X")])
            assert await owners(catalog, there) == [_AX, _A]
            patients = [await one(catalog, Level.PATIENT, patient) for patient in (_A, _AX)]
            assert [(each["studies_count"], each["images_count"]) for each in patients] == [(1, 1), (1, 2)]
            assert [each["patient_name"] for each in patients] == ["EDITED", "DOE^JOHN"]
            assert await catalog.keys(Level.PATIENT, _AX) == (_AX,), "the id leads to the patient that has it"
            await catalog.store([arrival_of(4, "A", "Y", study="1.2.2", series="2.2")])
            assert await owners(catalog, there) == [_AX, _AY]
            try:
                await catalog.get(Level.PATIENT, _A)
            except Ambiguous as error:
                assert set(error.candidates) == {_AX, _AY}
            else:
                raise AssertionError("the id of a patient of before named one of two")
            page = await catalog.find(Query(Level.STUDY, (AnyOf("patient", (_A,)),)))
            assert [study["id"] for study in page.items] == ["1.2.1", "1.2.2"]

        self.run(test)

    def test_deletions_and_a_reindex_move_nothing(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival_of(1), arrival_of(2, "A"), arrival_of(3, "A", "X"), arrival_of(4, "B")]
            await catalog.store(files)
            await catalog.delete(Level.INSTANCE, place_of(files[2]).instance)
            await catalog.delete(Level.PATIENT, _B)
            assert await owners(catalog, files[:2]) == [_AX, _AX]
            await catalog.edit(Level.STUDY, _STUDY, {"study_id": "edited"}, user="u", time="t")
            before = [await catalog.find(Query(level)) for level in Level]
            await catalog.clear()
            assert [(await catalog.find(Query(level))).total for level in Level] == [0] * 4
            assert await catalog.keys(Level.STUDY, key_of(_STUDY, _AX)) == ()
            for new in files[:2]:
                await catalog.store([new])
            assert [await catalog.find(Query(level)) for level in Level] == before
            await catalog.store([arrival_of(5, "A", "Y")])
            assert await owners(catalog, files[:2]) == [_AX, _AX]
            await catalog.delete(Level.STUDY, key_of(_STUDY, _AX))
            await catalog.delete(Level.STUDY, key_of(_STUDY, _AY))
            await catalog.store(files[:1])
            assert await owners(catalog, files[:1]) == [_NONE], "what is known of a study goes with its last file"

        self.run(test)

    def test_a_reindex_gives_the_same_ids_and_conflicts(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [
                arrival_of(1, "A", patient_name="ROE", study_date="20230101"),
                arrival_of(2, "B", instance="1.9.1", study_date=None),
                arrival_of(3, series="1.2.1.2", study_id="S"),
                arrival_of(4, "A", study="1.2.2", patient_name="DOE", study_id="first"),
                arrival_of(5, "A", study="1.2.2", series="1.2.1.2", study_id="second"),
            ]
            for new in files:
                await catalog.store([new])
            await catalog.edit(Level.SERIES, place_of(files[3]).series, {"modality": "SR"}, user="u", time="t")
            await catalog.store([arrival_of(1, "A", sha256="new", patient_name="NEW")])
            before = [await catalog.find(Query(level)) for level in Level], await catalog.conflicts()
            assert len(before[1]) == 3
            await catalog.clear()
            assert await catalog.conflicts() == []
            await catalog.store([*files[1:], arrival_of(1, "A", sha256="new", patient_name="NEW")])
            assert ([await catalog.find(Query(level)) for level in Level], await catalog.conflicts()) == before

        self.run(test)

    def test_what_is_refused_or_left_out_moves_nothing(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival_of(1), arrival_of(2, "B", study="1.2.2", series="2.2")]
            await catalog.store(files)
            for new, policy, status in (
                (arrival_of(3, "A", series="2.2"), StorePolicy(conflicts="refuse"), "conflict"),
                (arrival_of(4, "A", instance="1.9.1"), StorePolicy(same_instance="keep"), "kept"),
                (arrival_of(4, "A", instance="1.9.1"), StorePolicy(same_instance="refuse"), "conflict"),
            ):
                [outcome] = await catalog.store([new], policy)
                assert (outcome.status, outcome.unused) == (status, new.blob.key)
                if outcome.place is not None:
                    assert outcome.place == place_of(files[0])
                assert await owners(catalog, files) == [_NONE, patient_key("B", None, "1.2.2")]
                assert await catalog.keys(Level.STUDY, _STUDY) == (key_of(_STUDY, _NONE),), "nor is it known"
            [outcome] = await catalog.store([arrival_of(5, "A")], StorePolicy("refuse", "refuse"))
            assert outcome.status == "stored", "a study that goes over is no conflict"
            assert await owners(catalog, files[:1]) == [_A]
            [outcome] = await catalog.store([arrival_of(6, "A", "X", instance="1.9.1")])
            assert (outcome.status, outcome.unused) == ("replaced", files[0].blob.key), "the same place by now"
            assert outcome.place is not None
            assert outcome.place.patient == _AX
            assert (await one(catalog, Level.PATIENT, _AX))["images_count"] == 2

        self.run(test)

    def test_one_study_is_found_by_what_each_of_its_claims_gives(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival_of(1), arrival_of(2, "A", "X"), arrival_of(3, "B")])
            for field, value, ids in (
                ("patient_id", "a", [key_of(_STUDY, _AX)]),
                ("issuer_of_patient_id", "X", [key_of(_STUDY, _AX)]),
                ("patient_id", "B", [key_of(_STUDY, _B)]),
                ("study", _STUDY, sorted([key_of(_STUDY, _AX), key_of(_STUDY, _B)])),
            ):
                page = await catalog.find(Query(Level.STUDY, (AnyOf(field, (value,)),)))
                assert [study["id"] for study in page.items] == ids, field

        self.run(test)

    def test_parallel_stores_of_one_study(self) -> None:
        async def test(catalog: Catalog) -> None:
            named = [("A", "X"), (None, None), ("A", None), ("B", None)]
            files = [arrival_of(n, *named[n % 4], series=f"1.2.1.{n % 3}", instance=f"1.9.{n // 4}") for n in range(48)]
            await asyncio.gather(*(catalog.store(files[n::8]) for n in range(8)))
            found = [await catalog.find(Query(level, limit=None)) for level in Level]
            assert {patient["id"] for patient in found[0].items} == {_AX, _B}
            assert {study["key"] for study in found[1].items} == {key_of(_STUDY, _AX), key_of(_STUDY, _B)}
            counts = [sum(one["images_count"] for one in page.items) for page in found[:3]]
            assert counts == [found[3].total] * 3
            nobody = (await one(catalog, Level.INSTANCE, place_of(files[1]).instance))["patient"]
            assert nobody in (_AX, _B), "the first that was named"
            owned = {None: nobody, "A": _AX, "B": _B}
            paths = {(owned[named[n % 4][0]], new.series, new.instance) for n, new in enumerate(files)}
            keys = {key_of(instance, patient, _STUDY, series) for patient, series, instance in paths}
            assert {instance["key"] for instance in found[3].items} == keys
            used = {new.blob.key for new in files} - set(await catalog.garbage())
            assert await catalog.known_blobs([new.blob.key for new in files]) == used
            assert len(used) == len(keys)

        self.run(test)
