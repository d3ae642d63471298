"""Contract suite of the archive port: storing arrivals."""

import asyncio
from dataclasses import replace

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import StoreOutcome, StorePolicy, version_place
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.testing.arrivals import arrival, place_of
from neurdicom.testing.catalog_suite import CatalogSuite


class StoringContract(CatalogSuite):
    """Tests of outcomes, counts, and the sources of attributes, where no UID is in two places."""

    def test_store_and_get_every_level(self) -> None:
        async def test(catalog: Catalog) -> None:
            assert await catalog.store([arrival(1), arrival(2, series="1.2.1.2", modality="MR")]) == [
                StoreOutcome("stored"),
                StoreOutcome("stored"),
            ]
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert (study["id"], study["key"]) == ("1.2.1", place_of(arrival(1)).study)
            assert study["modalities"] == ["CT", "MR"]
            assert (study["patient"], study["patient_name"]) == ("p1", "DOE^JOHN")
            assert (study["series_count"], study["images_count"]) == (2, 2)
            assert study["accession_number"] is None
            series = await catalog.get(Level.SERIES, "1.2.1.2")
            assert series is not None
            assert (series["patient"], series["study"], series["images_count"]) == ("p1", "1.2.1", 1)
            instance = await catalog.get(Level.INSTANCE, "1.9.1")
            assert instance is not None
            assert (instance["patient"], instance["study"]) == ("p1", "1.2.1")
            assert (instance["series"], instance["size"], instance["sha256"]) == ("1.2.1.1", 1001, "sha-1")
            assert instance["image_type"] == ["ORIGINAL", "PRIMARY"]
            assert (instance["id"], instance["key"]) == ("1.9.1", place_of(arrival(1)).instance)
            assert await catalog.get(Level.INSTANCE, instance["key"]) == instance
            assert await catalog.get(Level.STUDY, "9.9") is None
            assert await catalog.get(Level.STUDY, key_of("1.2.1", "p2")) is None
            assert await self.backend_blobs(catalog) == {
                place_of(arrival(1)).instance: "blob-1-sha-1",
                key_of("1.9.2", "p1", "1.2.1", "1.2.1.2"): "blob-2-sha-2",
            }

        self.run(test)

    def test_a_duplicate_leaves_its_blob_to_the_garbage(self) -> None:
        async def test(catalog: Catalog) -> None:
            again = replace(arrival(1), blob=BlobRef("again", 1001, "sha-1"))
            assert await catalog.store([arrival(1), again]) == [
                StoreOutcome("stored"),
                StoreOutcome("duplicate", "again"),
            ]
            assert await catalog.store([arrival(1)]) == [StoreOutcome("duplicate")]  # the same blob: still in use
            assert await catalog.garbage() == {"again": ""}
            await catalog.forget_garbage(["again", "never there"])
            assert await catalog.garbage() == {}

        self.run(test)

    def test_a_replacement_takes_the_place_of_the_earlier_file(self) -> None:
        async def test(catalog: Catalog) -> None:
            first, second = arrival(1), arrival(1, sha256="new", patient_name="ROE^JANE", rows=7)
            await catalog.store([first])
            assert await catalog.locate("1.9.1") is not None  # known to the adapter's caches
            assert await catalog.store([second]) == [StoreOutcome("replaced", "blob-1-sha-1")]
            location = await catalog.locate("1.9.1")
            assert location is not None
            assert (location.blob, location.edited) == (second.blob, False)
            assert location.layout == second.layout
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert (study["patient_name"], study["images_count"]) == ("ROE^JANE", 1)
            assert await catalog.headers(Level.PATIENT, "p1") == [second.header]
            assert await catalog.garbage() == {"blob-1-sha-1": ""}
            assert await catalog.known_blobs(["blob-1-sha-1", "blob-1-new", "x"]) == {"blob-1-new"}

        self.run(test)

    def test_the_places_of_arrivals(self) -> None:
        async def test(catalog: Catalog) -> None:
            first, again, other = arrival(1), arrival(1), arrival(1, sha256="new")
            outcomes = await catalog.store([first, again, other])
            assert [outcome.status for outcome in outcomes] == ["stored", "duplicate", "replaced"]
            for outcome in outcomes:
                assert outcome.place is not None
                assert outcome.place == place_of(first)
                assert [outcome.place.id(level) for level in Level] == ["p1", "1.2.1", "1.2.1.1", "1.9.1"]

        self.run(test)

    def test_a_replacement_counts_as_the_latest_arrival(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1, study_id="A"), arrival(2, study_id="B")])
            await catalog.store([arrival(1, sha256="new", study_id="C")])
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert (study["study_id"], study["images_count"]) == ("B", 2)
            assert (await catalog.samples(Level.STUDY, ["1.2.1"]))["1.2.1"].header == arrival(2).header
            await catalog.delete(Level.INSTANCE, "1.9.2")
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert study["study_id"] == "C"

        self.run(test)

    def test_blobs_leave_the_store_for_the_places_that_they_are_set_aside_to(self) -> None:
        async def test(catalog: Catalog) -> None:
            keeps = StorePolicy(keep_versions=True)
            first, second = arrival(1), arrival(1, sha256="new")
            await catalog.store([first, arrival(2)], keeps)
            version = version_place(first.blob.key)
            [outcome] = await catalog.store([second], keeps)
            assert (outcome.status, outcome.unused, outcome.aside) == ("replaced", first.blob.key, version)
            assert outcome.previous == first.blob.sha256
            assert await catalog.garbage() == {first.blob.key: version}
            [outcome] = await catalog.store([first], replace(keeps, same_instance="earlier"))
            assert (outcome.status, outcome.unused, outcome.aside) == ("kept", first.blob.key, version)
            location = await catalog.locate("1.9.1")
            assert location is not None
            assert location.blob == second.blob
            assert await catalog.delete(Level.INSTANCE, "1.9.2", aside="trash/1") == [arrival(2).blob.key]
            assert await catalog.garbage() == {first.blob.key: version, arrival(2).blob.key: "trash/1"}
            await catalog.store([arrival(2)])  # restored
            assert await catalog.garbage() == {first.blob.key: version}

        self.run(test)

    def test_attributes_come_from_the_earliest_instance_that_is_left(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(1, study_id="A"), arrival(2, study_id="B", patient_name="B")])
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert (study["study_id"], study["patient_name"]) == ("A", "DOE^JOHN")
            await catalog.delete(Level.INSTANCE, "1.9.1")
            study = await catalog.get(Level.STUDY, "1.2.1")
            assert study is not None
            assert (study["study_id"], study["patient"], study["patient_name"]) == ("B", "p1", "B")
            await catalog.delete(Level.INSTANCE, "1.9.2")
            assert await catalog.get(Level.PATIENT, "p1") is None

        self.run(test)

    def test_parallel_stores_count_exactly(self) -> None:
        async def test(catalog: Catalog) -> None:
            batches = [[arrival(40 * b + i, series=f"1.2.1.{i % 3}") for i in range(40)] for b in range(8)]
            await asyncio.gather(*(catalog.store(batch) for batch in batches))
            patient = await catalog.get(Level.PATIENT, "p1")
            assert patient is not None
            assert (patient["studies_count"], patient["images_count"]) == (1, 320)
            page = await catalog.find(Query(Level.SERIES))
            assert sum(series["images_count"] for series in page.items) == 320
            assert (await catalog.find(Query(Level.INSTANCE, limit=1))).total == 320

        self.run(test)

    def test_digests(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(n) for n in range(3)])
            assert await catalog.digests(["1.9.2", "none", "1.9.0"]) == {"1.9.0": "sha-0", "1.9.2": "sha-2"}
            assert await catalog.digests([]) == {}
            await catalog.store([arrival(2, sha256="new")])
            assert await catalog.digests(["1.9.2"]) == {"1.9.2": "new"}
            key = place_of(arrival(2)).instance
            assert await catalog.digests([key]) == {key: "new"}

        self.run(test)
