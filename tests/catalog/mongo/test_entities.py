"""Patients of very many studies are found by all their names, which only these studies have."""

import asyncio
import uuid

import pytest
from pymongo import MongoClient

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog, ancestors, entities, select
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Condition, Either, Like, Query, Word
from neurdicom.testing.arrivals import arrival
from neurdicom.testing.catalog_model import CatalogModel

NAMES = ["DOE^JOHN", "ROE^JANE", "DOE^J", "MAIDEN^ANN", "LATE^LEE"]
FILES = [
    arrival(
        number,
        study=f"1.2.{number}",
        series=f"1.2.{number}.1",
        study_date=f"2024010{9 - number}",
        patient_name=name,
        patient_birth_date=f"19{number}00101",
        other_patient_ids=[f"OTHER{number}"],
    )
    for number, name in enumerate(NAMES, 1)
]
CONDITIONS: list[Condition] = [
    *(AnyOf("patient_name", (name,)) for name in NAMES),
    *(AnyOf("other_patient_ids", (f"other{number}",)) for number in range(1, 6)),
    Like("patient_name", "d*"),
    Word("patient_name", "ann"),
    Between("patient_birth_date", "19200101", "19350101"),
    Either((AnyOf("patient_sex", ("F",)), AnyOf("patient_sex", ("M",)))),
]


@pytest.mark.parametrize("most", [2, 4, 200])
def test_patients_are_found_by_the_names_of_all_their_studies(
    mongodb_uri: str, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    for module in (entities, ancestors, select):
        monkeypatch.setattr(module, "CROWDED", most)
    name, model = f"patients_{uuid.uuid4().hex[:12]}", CatalogModel()

    async def compare(catalog: Catalog) -> None:
        for condition in CONDITIONS:
            query = Query(Level.PATIENT, (condition,))
            assert await catalog.find(query) == model.find(query), condition
        query = Query(Level.PATIENT, tuple(CONDITIONS[:3]), (("patient_name", False),))
        assert await catalog.find(query) == model.find(query)

    async def go() -> None:
        catalog = MongoCatalog(mongodb_uri, name)
        await catalog.open()
        try:
            for new in FILES:
                assert await catalog.store([new]) == model.store([new])
                await compare(catalog)
            changes = {"patient_sex": "F"}
            assert await catalog.edit(Level.PATIENT, "p1", changes, user="u", time="t")
            assert model.edit(Level.PATIENT, "p1", changes, "u", "t")
            await compare(catalog)
            for new in FILES[:-1]:
                assert await catalog.delete(Level.STUDY, new.study) == model.delete(Level.STUDY, new.study)
                await compare(catalog)
        finally:
            await catalog.close()

    try:
        asyncio.run(go())
    finally:
        with MongoClient(mongodb_uri) as client:
            client.drop_database(name)
