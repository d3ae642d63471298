"""Search keys of names that earlier rules wrote are folded anew when a catalog is opened."""

import asyncio
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from pymongo import MongoClient

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Condition, Query, Word
from neurdicom.testing.arrivals import arrival

_FILES = [arrival(1, patient_name="Søren ^Ø^^"), arrival(2, series="2.2", operators_name=["Łu^Ł^", "Roe"])]
_FOUND: list[tuple[Level, Condition]] = [
    (Level.STUDY, AnyOf("patient_name", ("SØREN^Ø",))),
    (Level.SERIES, Word("patient_name", "soren")),
    (Level.PATIENT, Word("patient_name", "o")),
    (Level.SERIES, Word("operators_name", "lu")),
    (Level.SERIES, AnyOf("operators_name", ("łu^ł",))),
]


async def _write(catalog: Catalog) -> None:
    await catalog.open()
    await catalog.store(_FILES)
    await catalog.close()


async def _ask(catalog: Catalog) -> list[int]:
    await catalog.open()
    try:
        return [(await catalog.find(Query(level, (condition,)))).total for level, condition in _FOUND]
    finally:
        await catalog.close()


def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    asyncio.run(_write(SqliteCatalog(path)))
    with closing(sqlite3.connect(path)) as db, db:
        for table in ("study_key", "series_key"):
            for new, old in (
                ("søren^ø", "søren ^ø^^"),
                ("soren", "søren"),
                ("o", "ø"),
                ("łu^ł", "łu^ł^"),
                ("lu", "łu"),
            ):
                db.execute(f"UPDATE {table} SET key = ? WHERE key = ?", (old, new))
            db.execute(f"INSERT INTO {table} SELECT 'patient_name', '^', entity FROM {table} LIMIT 1")
        db.execute("DELETE FROM total WHERE level = 'folding'")
    for _ in range(2):
        assert asyncio.run(_ask(SqliteCatalog(path))) == [1, 2, 1, 1, 1]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM study_key WHERE key IN ('', 'søren ^ø^^', 'søren')").fetchone() == (0,)


def test_mongodb(mongodb_uri: str) -> None:
    name = f"folding_{uuid.uuid4().hex[:12]}"
    try:
        asyncio.run(_write(MongoCatalog(mongodb_uri, name)))
        with MongoClient(mongodb_uri) as client:
            for collection in ("patients", "studies", "series"):
                old = {"keys_patient_name": ["søren ^ø^^"], "keys_patient_name_words": ["søren", "ø"]}
                client[name][collection].update_many({"keys_patient_name": "søren^ø"}, {"$set": old})
                old = {"keys_operators_name": ["łu^ł^", "roe"], "keys_operators_name_words": ["łu", "ł", "roe"]}
                client[name][collection].update_many({"keys_operators_name": "roe"}, {"$set": old})
            client[name]["meta"].update_one({"_id": "schema"}, {"$unset": {"folding": ""}})
        for _ in range(2):
            assert asyncio.run(_ask(MongoCatalog(mongodb_uri, name))) == [1, 2, 1, 1, 1]
    finally:
        with MongoClient(mongodb_uri) as client:
            client.drop_database(name)
