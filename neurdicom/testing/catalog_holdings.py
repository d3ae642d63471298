"""Contract suite of the archive port: the bytes of all instances, and studies by their last arrival."""

import asyncio
from dataclasses import replace

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import StorePolicy
from neurdicom.catalog.records import NewInstance, StudyHolding
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level
from neurdicom.testing.arrivals import arrival, arrival_of, place_of
from neurdicom.testing.catalog_suite import CatalogSuite


def holding_of(*arrivals: NewInstance) -> StudyHolding:
    """Make the holding of a study from the arrivals of its instances.

    Parameters
    ----------
    *arrivals : NewInstance
        Its instances.

    Returns
    -------
    StudyHolding
    """
    place = place_of(arrivals[0])
    size, received = sum(new.blob.size for new in arrivals), max(new.received for new in arrivals)
    return StudyHolding(place.study, arrivals[0].patient, size, received)


class HoldingContract(CatalogSuite):
    """Tests of bytes and last arrivals, which stay exact whatever happens to instances."""

    async def holds(self, catalog: Catalog, *studies: StudyHolding) -> None:
        """Check the bytes and last arrivals of all studies of a catalog.

        Parameters
        ----------
        catalog : Catalog
            The catalog.
        *studies : StudyHolding
            Its studies, in order.
        """
        assert await catalog.holdings(100) == [*studies]
        assert await catalog.stored_bytes() == sum(study.bytes for study in studies)

    def test_an_empty_catalog_holds_nothing(self) -> None:
        self.run(self.holds)

    def test_studies_are_listed_by_their_last_arrival(self) -> None:
        async def test(catalog: Catalog) -> None:
            first, second, third = (
                arrival(n, study=f"1.2.{n}", series=f"1.2.{n}.1", patient=f"p{n % 2}") for n in (1, 2, 3)
            )
            await catalog.store([third, first])
            await catalog.store([second])
            await self.holds(catalog, holding_of(first), holding_of(second), holding_of(third))
            more = arrival(4, study="1.2.1", series="1.2.1.2", patient="p1")
            await catalog.store([more, arrival(5, study="1.2.3", series="1.2.3.1", patient="p1")])
            await catalog.store([first, replace(second, blob=BlobRef("again", 9, second.blob.sha256))])  # duplicates
            third_now = holding_of(third, arrival(5, study="1.2.3", series="1.2.3.1", patient="p1"))
            await self.holds(catalog, holding_of(second), holding_of(first, more), third_now)

        self.run(test)

    def test_pages_go_on_where_the_last_ended(self) -> None:
        async def test(catalog: Catalog) -> None:
            # Several arrive at the same time.
            arrivals = [
                replace(arrival(n, study=f"1.2.{n}", series=f"1.2.{n}.1"), received=f"2024-01-02T03:04:{n // 4:02}Z")
                for n in range(18)
            ]
            await catalog.store(arrivals)
            found, page = [], await catalog.holdings(4)
            while page:
                found += page
                await catalog.delete(Level.STUDY, page[-1].study)
                page = await catalog.holdings(4, page[-1])
            assert [one.received for one in found] == [new.received for new in arrivals]
            assert {one.study for one in found} == {place_of(new).study for new in arrivals}
            assert len(found) == 18
            assert await catalog.holdings(0) == []

        self.run(test)

    def test_studies_are_looked_up_by_their_keys(self) -> None:
        async def test(catalog: Catalog) -> None:
            # Two patients have a study of one UID.
            first, second = arrival(1, patient="p1"), arrival(2, patient="p2")
            third = arrival(3, study="1.2.3", series="1.2.3.1")
            await catalog.store([first, second, third])
            keys = [place_of(new).study for new in (second, third)]
            found = await catalog.holdings_of([*keys, "1.2.9~00000000", "none"])
            assert sorted(found, key=lambda one: one.received) == [holding_of(second), holding_of(third)]
            assert await catalog.holdings_of([]) == []

        self.run(test)

    def test_deletions_take_bytes_and_times_back(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(n, series=f"1.2.1.{n % 3}") for n in range(1, 7)]
            other = arrival(63, study="1.2.9", series="1.2.9.1")  # it came at the same time as 3
            await catalog.store([*files, other])
            await catalog.delete(Level.INSTANCE, "1.9.6")
            await self.holds(catalog, holding_of(other), holding_of(*files[:5]))
            await catalog.delete(Level.INSTANCE, "1.9.1")
            await catalog.delete(Level.SERIES, "1.2.1.2")
            await self.holds(catalog, holding_of(other), holding_of(*files[2:4]))
            await catalog.delete(Level.STUDY, "1.2.9")
            await self.holds(catalog, holding_of(*files[2:4]))
            await catalog.delete(Level.PATIENT, "p1")
            await self.holds(catalog)
            await catalog.store(files)
            await self.holds(catalog, holding_of(*files))
            await catalog.clear()
            await self.holds(catalog)
            await catalog.store(files[:2])
            await self.holds(catalog, holding_of(*files[:2]))

        self.run(test)

    def test_other_bytes_count_instead_of_the_earlier_ones(self) -> None:
        async def test(catalog: Catalog) -> None:
            first, second = arrival(9), arrival(2)
            larger = replace(arrival(9, sha256="new"), blob=BlobRef("larger", 5000, "new"), received=second.received)
            await catalog.store([first, second])
            await catalog.store([larger], StorePolicy(same_instance="keep"))
            await self.holds(catalog, holding_of(first, second))
            # The bytes of before, with the time of their arrival, as from the trash.
            await catalog.store([larger])
            await self.holds(catalog, holding_of(larger, second))

        self.run(test)

    def test_a_study_that_goes_over_to_another_patient_stays_one(self) -> None:
        async def test(catalog: Catalog) -> None:
            unnamed, named = arrival_of(1, study="1.2.6"), arrival_of(2, "A", study="1.2.6")
            await catalog.store([unnamed])
            await catalog.store([named])
            study = await catalog.get(Level.STUDY, "1.2.6")
            assert study is not None
            expected = holding_of(named, unnamed)
            assert (expected.study, expected.patient) == (study["key"], study["patient"])
            await self.holds(catalog, expected)

        self.run(test)

    def test_parallel_arrivals_and_deletions_are_counted_exactly(self) -> None:
        async def test(catalog: Catalog) -> None:
            batches = [[arrival(40 * b + i, study=f"1.2.{i % 3}") for i in range(40)] for b in range(6)]
            stored = [catalog.store(batch) for batch in batches]
            await asyncio.gather(*stored, catalog.delete(Level.STUDY, "1.2.1"))
            await catalog.delete(Level.STUDY, "1.2.1")
            left = [new for batch in batches for new in batch if new.study != "1.2.1"]
            assert await catalog.stored_bytes() == sum(new.blob.size for new in left)
            assert sum(one.bytes for one in await catalog.holdings(10)) == sum(new.blob.size for new in left)

        self.run(test)

    def test_they_are_there_after_a_reopening(self) -> None:
        async def go() -> None:
            catalog = await self.open_catalog()
            files = [arrival(1), arrival(2, study="1.2.3", series="1.2.3.1")]
            await catalog.store(files)
            await catalog.close()
            async with self.opened(await self.reopen(catalog)) as again:
                await self.holds(again, *map(holding_of, files))

        asyncio.run(go())
