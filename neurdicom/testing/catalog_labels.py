"""Contract suite of the archive port: entities that are found by the documents of their labels."""

import pytest

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import IndexedDocument
from neurdicom.catalog.labels import KIND, document_key, terms_of
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Like, Query
from neurdicom.dicom.query.labels import LABELS
from neurdicom.dicom.uids import patient_key
from neurdicom.errors import Invalid
from neurdicom.testing.arrivals import arrival, arrival_of, place_of
from neurdicom.testing.catalog_suite import CatalogSuite


async def label(catalog: Catalog, level: Level, entity: str, *labels: str) -> None:
    """Store the documents of labels of an entity.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    level : Level
        Level of the entity.
    entity : str
        One of its keys.
    *labels : str
        The labels.
    """
    documents = {
        document_key(level, entity, one): IndexedDocument({"label": one}, terms_of(level, entity, one))
        for one in labels
    }
    await catalog.documents.put(KIND, documents)


async def labelled(catalog: Catalog, level: Level, *labels: str) -> list[str]:
    """List the ids of the entities that have one of some labels, and check that the page counts as many.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    level : Level
        Level of the entities.
    *labels : str
        The labels.
    """
    page = await catalog.find(Query(level, (AnyOf(LABELS, labels),)))
    assert page.total == len(page.items)
    assert (await catalog.find(Query(level, (AnyOf(LABELS, labels),), limit=0))).total == page.total
    return [entity["id"] for entity in page.items]


class LabelContract(CatalogSuite):
    """Tests of the condition on labels."""

    def test_entities_are_found_by_their_own_labels(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(n, study=f"1.2.{n}", series=f"1.3.{n}", study_date=f"2024010{n}") for n in range(1, 6)]
            await catalog.store(files)
            for level in Level:
                for new in files[:3]:
                    await label(catalog, level, place_of(new).key(level), "a", str(level))
                await label(catalog, level, place_of(files[3]).key(level), "a.", "A")
                ids = [place_of(new).id(level) for new in files]
                only = list(dict.fromkeys(ids[:3]))
                assert await labelled(catalog, level, "a") == await labelled(catalog, level, str(level)) == only
                assert await labelled(catalog, level, "A", "other") == [ids[3]]
                assert await labelled(catalog, level, "a", "A", "a") == list(dict.fromkeys(ids[:4]))
                assert await labelled(catalog, level, "other") == []
            assert await labelled(catalog, Level.STUDY, "series") == []

        self.run(test)

    def test_labels_with_other_conditions_orders_and_pages(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(n, study=f"1.2.{n}", series=f"1.3.{n}", study_date=f"2024010{n}") for n in range(1, 8)]
            await catalog.store(files)
            for new in files[1:6]:
                await label(catalog, Level.STUDY, place_of(new).study, "a")
                await label(catalog, Level.INSTANCE, place_of(new).instance, "a")
            conditions = (AnyOf(LABELS, ("a",)), AnyOf("study_date", tuple(f"2024010{n}" for n in (1, 2, 3, 5))))
            for level, ids in (
                (Level.STUDY, ["1.2.5", "1.2.3", "1.2.2"]),
                (Level.INSTANCE, ["1.9.5", "1.9.3", "1.9.2"]),
            ):
                for offset in range(3):
                    query = Query(level, conditions, (("study_date", True),), limit=2, offset=offset)
                    page = await catalog.find(query)
                    assert ([one["id"] for one in page.items], page.total) == (ids[offset : offset + 2], 3)
            page = await catalog.find(Query(Level.STUDY, conditions[:1], limit=2, after="1.2.3", counted=False))
            assert [one["id"] for one in page.items] == ["1.2.4", "1.2.5"]
            below = (AnyOf("series", ("1.3.2", "1.3.7")), conditions[0])
            assert [one["id"] for one in (await catalog.find(Query(Level.INSTANCE, below))).items] == ["1.9.2"]
            with pytest.raises(Invalid):
                await catalog.find(Query(Level.STUDY, (Like(LABELS, "a*"),)))

        self.run(test)

    def test_of_several_entities_with_one_uid_one_has_the_label(self) -> None:
        async def test(catalog: Catalog) -> None:
            files = [arrival(1, patient=patient, instance="1.9.1", sha256=patient) for patient in ("p1", "p2")]
            for new in files:
                await catalog.store([new])
                for level in Level:
                    await label(catalog, level, place_of(new).key(level), new.patient)
            for new in files:
                for level in Level:
                    assert await labelled(catalog, level, new.patient) == [place_of(new).key(level)]
            await catalog.delete(Level.PATIENT, "p1")
            for level in Level:
                assert await labelled(catalog, level, "p1") == [], "its labels are not of the other"
                assert await labelled(catalog, level, "p2") == [place_of(files[1]).id(level)]

        self.run(test)

    def test_labels_by_keys_of_before_find_the_entity_once(self) -> None:
        async def test(catalog: Catalog) -> None:
            before, after = arrival_of(1), arrival_of(2, "A")
            await catalog.store([before])
            old, new = patient_key(None, None, before.study), patient_key("A", "", before.study)
            await label(catalog, Level.PATIENT, old, "a")
            await label(catalog, Level.STUDY, key_of(before.study, old), "a")
            await catalog.store([after])
            for _ in range(2):
                assert await labelled(catalog, Level.PATIENT, "a") == [new]
                assert await labelled(catalog, Level.STUDY, "a") == [before.study]
                await label(catalog, Level.PATIENT, new, "a")
                await label(catalog, Level.STUDY, key_of(before.study, new), "a")
            keys = [key_of(before.study, old), key_of(before.study, new), "1.2~01234567"]
            known = await catalog.all_keys(Level.STUDY, keys)
            assert known == {key: await catalog.keys(Level.STUDY, key) for key in keys}
            assert known[keys[2]] == ()
            assert (await catalog.all_keys(Level.PATIENT, [old]))[old][0] == new

        self.run(test)
