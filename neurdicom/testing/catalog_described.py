"""Contract suite of the archive port: headers and locations with the edits that apply to them."""

from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.testing.arrivals import arrival, place_of
from neurdicom.testing.catalog_suite import CatalogSuite


class DescribedContract(CatalogSuite):
    """Tests of headers, locations and edits of the instances below an entity."""

    def test_headers_come_with_the_edits_that_apply(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(n, series=f"1.2.1.{n % 2}") for n in range(4)])
            for level, entity, field in (
                (Level.INSTANCE, "1.9.1", "window_center"),
                (Level.SERIES, "1.2.1.1", "series_description"),
                (Level.PATIENT, "p1", "patient_name"),
            ):
                assert await catalog.edit(level, entity, {field: None}, user="u", time="t")
            found = await catalog.described(Level.SERIES, "1.2.1.1")
            assert [(one.study, one.series, one.instance) for one in found] == [
                (place.study, place.series, place.instance)
                for place in [place_of(arrival(n, series="1.2.1.1")) for n in (1, 3)]
            ]
            assert [one.header for one in found] == await catalog.headers(Level.SERIES, "1.2.1.1")
            fields = [[edit.field for edit in one.edits] for one in found]
            assert fields == [
                ["patient_name", "series_description", "window_center"],
                ["patient_name", "series_description"],
            ]
            assert list(found[0].edits) == await catalog.edits("1.9.1")
            keys = [place_of(arrival(n, series=f"1.2.1.{n % 2}")).instance for n in range(4)]
            assert [one.instance for one in await catalog.described(Level.PATIENT, "p1")] == keys
            pages = [await catalog.described(Level.STUDY, "1.2.1", after=after, budget=1) for after in ("", keys[0])]
            assert [[one.instance for one in page] for page in pages] == [[keys[0]], [keys[1]]]
            assert await catalog.described(Level.STUDY, found[0].study) == await catalog.described(Level.PATIENT, "p1")
            assert await catalog.described(Level.STUDY, "9.9") == []

        self.run(test)

    def test_all_instances_below_are_located_with_their_edits(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.store([arrival(n, series=f"1.2.1.{n % 2}") for n in range(4)])
            assert await catalog.edit(Level.INSTANCE, "1.9.1", {"window_center": None}, user="u", time="t")
            assert await catalog.edit(Level.SERIES, "1.2.1.0", {"series_description": "d"}, user="u", time="t")
            for level, entity, count in (
                (Level.INSTANCE, "1.9.3", 1),
                (Level.SERIES, "1.2.1.1", 2),
                (Level.STUDY, "1.2.1", 4),
                (Level.PATIENT, "p1", 4),
                (Level.SERIES, "9.9", 0),
            ):
                found = await catalog.locate_all(level, entity)
                assert len(found) == count
                assert [one.location for one in found] == [await catalog.locate(one.location.instance) for one in found]
                assert [[*one.edits] for one in found] == [await catalog.edits(one.location.instance) for one in found]
                uids = [one.location.instance for one in found]
                assert uids == sorted(uids)

        self.run(test)
