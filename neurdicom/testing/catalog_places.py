"""Contract suite of the archive port: one UID in several places, its references, refusals and conflicts."""

from collections.abc import Awaitable

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import CONFLICT_LEVELS, Refusal, Status, StoreOutcome, StorePolicy, UidConflict
from neurdicom.catalog.records import Entity, NewInstance
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Ambiguous
from neurdicom.testing.arrivals import arrival, arrival_of, place_of
from neurdicom.testing.catalog_suite import CatalogSuite

#: Two files for each pair of levels: the level of the conflict, what names the second, and the levels that it shares.
PAIRS: list[tuple[Level, NewInstance, list[Level]]] = [
    (
        Level.STUDY,
        arrival(2, patient="p2", series="1.2.1.1", instance="1.9.1"),
        [Level.STUDY, Level.SERIES, Level.INSTANCE],
    ),
    (Level.STUDY, arrival(2, patient="p2", series="1.2.1.2", instance="1.9.1"), [Level.STUDY, Level.INSTANCE]),
    (Level.STUDY, arrival(2, patient="p2", series="1.2.1.1"), [Level.STUDY, Level.SERIES]),
    (Level.STUDY, arrival(2, patient="p2", series="1.2.1.2"), [Level.STUDY]),
    (
        Level.SERIES,
        arrival(2, patient="p2", study="1.2.2", series="1.2.1.1", instance="1.9.1"),
        [Level.SERIES, Level.INSTANCE],
    ),
    (Level.SERIES, arrival(2, study="1.2.2", series="1.2.1.1"), [Level.SERIES]),
    (Level.INSTANCE, arrival(2, study="1.2.2", series="1.2.1.2", instance="1.9.1"), [Level.INSTANCE]),
    (Level.INSTANCE, arrival(2, series="1.2.1.2", instance="1.9.1"), [Level.INSTANCE]),
]
_KINDS = {level: kind for kind, level in CONFLICT_LEVELS.items()}
_EDITS = {
    Level.PATIENT: "patient_name",
    Level.STUDY: "study_description",
    Level.SERIES: "series_description",
    Level.INSTANCE: "image_comments",
}


async def one(catalog: Catalog, level: Level, entity: str) -> Entity:
    """Look up an entity that is there.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    level : Level
        Level of the entity.
    entity : str
        A reference.

    Returns
    -------
    dict
    """
    found = await catalog.get(level, entity)
    assert found is not None, f"{level} {entity}"
    return found


async def ambiguity(catalog: Catalog, level: Level, uid: str) -> set[str]:
    """List the candidates of an ambiguous UID, and check that every verb that takes one entity refuses it.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    level : Level
        Level of the entities.
    uid : str
        The UID.

    Returns
    -------
    set of str
        Empty where the UID names one.
    """
    candidates: set[str] = set()
    calls: list[Awaitable[object]] = [
        catalog.get(level, uid),
        catalog.keys(level, uid),
        catalog.locate_all(level, uid),
        catalog.described(level, uid),
        catalog.headers(level, uid),
    ]
    if level is Level.INSTANCE:
        calls += [catalog.locate(uid), catalog.edits(uid)]
    refused = 0
    for call in calls:
        try:
            await call
        except Ambiguous as error:
            assert uid in str(error)
            candidates |= set(error.candidates)
            refused += 1
    assert refused in (0, len(calls)), f"{refused} of {len(calls)} verbs refused {uid}"
    return candidates


class PlaceContract(CatalogSuite):
    """Contract tests of entities that share a UID: a change of one leaves the other as it is."""

    def test_both_places_are_kept(self) -> None:
        async def test(catalog: Catalog) -> None:
            for highest, second, levels in PAIRS:
                first = arrival(1)
                places = [place_of(first), place_of(second)]
                assert [out.status for out in await catalog.store([first])] == ["stored"]
                [outcome] = await catalog.store([second])
                assert outcome == StoreOutcome("stored")
                assert outcome.place is not None
                assert outcome.place.shared == set(levels)
                assert [outcome.place.key(level) for level in Level] == [places[1].key(level) for level in Level]
                for new, place in ((first, places[0]), (second, places[1])):
                    location = await catalog.locate(place.instance)
                    assert location is not None
                    assert location.blob == new.blob
                    assert (location.study, location.series) == (place.study, place.series)
                    instance = await one(catalog, Level.INSTANCE, place.instance)
                    for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
                        wanted = place.key(level) if level in levels else place.id(level)
                        assert (await one(catalog, level, place.key(level)))["id"] == wanted
                        assert instance["id" if level is Level.INSTANCE else level.value] == wanted
                    assert instance["patient"] == new.patient
                    assert await catalog.headers(Level.SERIES, place.series) == [
                        each.header for each in (first, second) if place_of(each).series == place.series
                    ]
                for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
                    keys, first_key = {place.key(level) for place in places}, places[0].key(level)
                    uid = places[0].id(level)
                    assert await ambiguity(catalog, level, uid) == (keys if level in levels else set())
                    assert await catalog.shared(level, [uid, "9"]) == ({uid} if level in levels else set())
                    if level in levels:
                        assert await catalog.ids(level, keys) == {key: key for key in keys}
                    for field in (level.value, f"{'sop' if level is Level.INSTANCE else level}_instance_uid"):
                        page = await catalog.find(Query(level, (AnyOf(field, (uid,)),)))
                        assert {each["key"] for each in page.items} == (keys if level in levels else {first_key})
                [conflict] = await catalog.conflicts()
                uid = places[0].id(highest)
                both = tuple(place.key(highest) for place in places)
                assert conflict == UidConflict(_KINDS[highest], uid, both, second.received)
                await catalog.delete(Level.PATIENT, "p1")
                await catalog.delete(Level.PATIENT, "p2")
                assert await catalog.conflicts() == []

        self.run(test)

    def test_edits_and_deletions_reach_one(self) -> None:
        async def test(catalog: Catalog) -> None:
            for _, second, levels in PAIRS:
                places = [place_of(arrival(1)), place_of(second)]
                for level in levels:
                    await catalog.store([arrival(1), second])
                    await catalog.forget_garbage([*await catalog.garbage()])
                    field = _EDITS[level]
                    assert await catalog.edit(level, places[1].key(level), {field: "edited"}, user="u", time="t")
                    found = [(await one(catalog, level, place.key(level)))[field] for place in places]
                    assert found == [None, "edited"]
                    edits = [await catalog.edits(place.instance) for place in places]
                    assert [[edit.entity for edit in each] for each in edits] == [[], [places[1].key(level)]]
                    for verb in (
                        catalog.edit(level, places[0].id(level), {field: "no"}, user="u", time="t"),
                        catalog.delete(level, places[0].id(level)),
                    ):
                        try:
                            await verb
                        except Ambiguous:
                            continue
                        raise AssertionError(f"a UID of two was taken at the level {level}")
                    assert await catalog.delete(level, places[0].key(level)) == ["blob-1-sha-1"]
                    assert await catalog.garbage() == {"blob-1-sha-1": ""}
                    left = await one(catalog, level, places[1].key(level))
                    assert (left["id"], left[field]) == (places[1].id(level), "edited"), "one is left, and has the UID"
                    assert await one(catalog, level, places[1].id(level)) == left
                    assert await catalog.locate(places[0].instance) is None
                    assert await catalog.conflicts() == []
                    await catalog.delete(level, places[1].id(level))
                    assert [(await catalog.find(Query(each))).total for each in Level] == [0] * 4

        self.run(test)

    def test_conflicts_are_listed_where_paths_part(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [
                arrival(1),
                arrival(2, patient="p2", instance="1.9.1"),  # a study of two patients, with all that is in it
                arrival(3, study="1.2.3", series="1.2.3.1"),
                arrival(4, study="1.2.4", series="1.2.3.1"),
                arrival(5, study="1.2.4", series="1.2.4.1", instance="1.9.3"),
            ]
            await catalog.store(files)
            places = [place_of(new) for new in files]
            assert await catalog.conflicts() == [
                UidConflict("study_of_two_patients", "1.2.1", (places[0].study, places[1].study), files[1].received),
                UidConflict(
                    "series_of_two_studies", "1.2.3.1", (places[2].series, places[3].series), files[3].received
                ),
                UidConflict(
                    "instance_of_two_series", "1.9.3", (places[2].instance, places[4].instance), files[4].received
                ),
            ]
            await catalog.store([arrival(6, study="1.2.7", series="1.2.1.1")])
            listed = (await catalog.conflicts())[1]
            third = key_of("1.2.1.1", "p1", "1.2.7")
            assert (listed.kind, listed.ids) == ("series_of_two_studies", (places[0].series, places[1].series, third))
            assert listed.since == files[1].received, "all that have the UID are named, wherever the paths part"

        self.run(test)

    def test_refusals(self) -> None:
        async def test(catalog: Catalog) -> None:
            refuse = StorePolicy(conflicts="refuse")
            for highest, second, _ in PAIRS:
                await catalog.store([arrival(1)], refuse)
                before = [await catalog.find(Query(level)) for level in Level]
                [outcome] = await catalog.store([second], refuse)
                uid = place_of(arrival(1)).id(highest)
                assert (outcome.status, outcome.unused, outcome.place) == ("conflict", second.blob.key, None)
                assert outcome.refusal == Refusal(highest, uid, (uid,), ("p1",))
                assert await catalog.garbage() == {second.blob.key: ""}
                assert [await catalog.find(Query(level)) for level in Level] == before
                both = await catalog.store([second, arrival(3, series="1.2.1.9")], refuse)
                assert [out.status for out in both] == ["conflict", "stored"]
                await catalog.store([second])  # kept apart, and since then at home in both places
                more = [
                    arrival(4, patient=second.patient, study=second.study, series=second.series),
                    arrival(5, patient="p3", study="1.2.1", series="3.3"),
                ]
                found = await catalog.store(more, refuse)
                assert [out.status for out in found] == ["stored", "conflict"]
                for patient in ("p1", "p2"):
                    await catalog.delete(Level.PATIENT, patient)
                await catalog.forget_garbage([*await catalog.garbage()])

        self.run(test)

    def test_refusals_within_one_call(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(1), arrival(2, study="1.2.2"), arrival(3, study="1.2.2", series="2.2"), arrival(4)]
            outcomes = await catalog.store(files, StorePolicy(conflicts="refuse"))
            assert [outcome.status for outcome in outcomes] == ["stored", "conflict", "stored", "stored"]
            assert outcomes[1].refusal == Refusal(Level.SERIES, "1.2.1.1", ("1.2.1.1",), ("p1",))

        self.run(test)

    def test_the_same_instance_with_other_bytes(self) -> None:
        async def test(catalog: Catalog) -> None:
            first, other = arrival(1), arrival(1, sha256="new", patient_name="ROE")
            await catalog.store([first])
            before = [await catalog.find(Query(level)) for level in Level]
            policies: list[tuple[StorePolicy, Status]] = [
                (StorePolicy(same_instance="keep"), "kept"),
                (StorePolicy(same_instance="refuse"), "conflict"),
                (StorePolicy(conflicts="refuse", same_instance="keep"), "kept"),
            ]
            for policy, status in policies:
                [outcome] = await catalog.store([other], policy)
                assert outcome == StoreOutcome(status, other.blob.key)
                assert (outcome.place is None) == (status == "conflict")
                if outcome.refusal is not None:
                    assert outcome.refusal == Refusal(Level.INSTANCE, "1.9.1", ("1.9.1",), ("p1",), same_place=True)
                assert await catalog.garbage() == {other.blob.key: ""}
                assert [await catalog.find(Query(level)) for level in Level] == before
                assert (await catalog.store([first], policy))[0] == StoreOutcome("duplicate")
            assert await catalog.store([other], StorePolicy(conflicts="refuse")) == [
                StoreOutcome("replaced", first.blob.key)
            ]
            assert await catalog.garbage() == {first.blob.key: ""}

        self.run(test)

    def test_no_key_means_two(self) -> None:
        async def test(catalog: Catalog) -> None:
            first, second = arrival_of(1, "ID35957"), arrival_of(2, "ID67614", series="1.2.1.2")
            key = place_of(first).study
            assert place_of(second).study == key, "two Patient IDs that were sought for it"
            await catalog.store([first])
            [outcome] = await catalog.store([second])
            assert (outcome.status, outcome.unused, outcome.place) == ("conflict", second.blob.key, None)
            assert outcome.refusal == Refusal(Level.STUDY, "1.2.1", ("1.2.1",), (first.patient,))
            study = await one(catalog, Level.STUDY, key)
            assert (study["patient"], study["images_count"]) == (first.patient, 1)
            assert await catalog.get(Level.PATIENT, second.patient) is None
            assert await catalog.conflicts() == []
            await catalog.delete(Level.STUDY, key)
            assert [out.status for out in await catalog.store([second])] == ["stored"]
            assert (await one(catalog, Level.STUDY, key))["patient"] == second.patient

        self.run(test)

    def test_pages_go_by_the_ids_that_are_shown(self) -> None:
        async def test(catalog: Catalog) -> None:
            uids = ["1.2", "1.2.1", "1.2.3", "1.20", "1.2.1.4"]
            files = [arrival(n, study=uid, series=f"2.{n}") for n, uid in enumerate(uids)]
            files += [arrival(10 + n, patient="p2", study=uid, series=f"3.{n}") for n, uid in enumerate(uids[:3])]
            await catalog.store(files)
            found: list[str] = []
            while page := (await catalog.find(Query(Level.STUDY, limit=2, after=found[-1] if found else None))).items:
                found += [study["id"] for study in page]
            keys = [key_of(uid, patient) for uid in uids[:3] for patient in ("p1", "p2")]
            assert found == sorted([*keys, *uids[3:]])
            assert [one["id"] for one in (await catalog.find(Query(Level.STUDY))).items] == found

        self.run(test)

    def test_uids_that_are_none(self) -> None:
        async def test(catalog: Catalog) -> None:
            # About the separator of keys, in another case, and with what patterns mean.
            uids = ["1.2", "1.2.3", "1.2}", "1.2A", "1.2a", "1.2é", "1.2%", "1.2_", "a[b]*?$.'", "x" * 128, "1" * 64]
            files = [arrival(n, study=uid, series=f"s{uid}", instance=f"i{uid}") for n, uid in enumerate(uids)]
            others = [arrival(100 + n, patient="p2", study=uid, series=f"s{uid}") for n, uid in enumerate(uids)]
            outcomes = await catalog.store([*files, *others])
            assert {outcome.status for outcome in outcomes} == {"stored"}
            assert [conflict.uid for conflict in await catalog.conflicts()] == sorted(uids)
            for new, other in zip(files, others, strict=True):
                keys = {place_of(new).study, place_of(other).study}
                assert await ambiguity(catalog, Level.STUDY, new.study) == keys
                assert (await catalog.find(Query(Level.STUDY, (AnyOf("study", (new.study,)),)))).total == 2
                assert (
                    await catalog.find(Query(Level.INSTANCE, (AnyOf("study_instance_uid", (new.study,)),)))
                ).total == 2
                assert await catalog.keys(Level.SERIES, place_of(other).series) == (place_of(other).series,)
                assert await catalog.digests([new.instance]) == {new.instance: new.blob.sha256}
            assert await catalog.shared(Level.SERIES, [f"s{uid}" for uid in uids]) == {f"s{uid}" for uid in uids}
            assert await catalog.delete(Level.PATIENT, "p2") is not None
            assert await catalog.conflicts() == []
            found = [study["id"] for study in (await catalog.find(Query(Level.STUDY))).items]
            assert found == sorted(uids)

        self.run(test)
