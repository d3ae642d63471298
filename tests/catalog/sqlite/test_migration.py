"""A catalog that an earlier version left is brought along whole, also when it is killed on the way.

`version3.sql` is the dump of a catalog of version 0.1.0: what it made of `FILES`, stored one by one, a deletion, and
`EDITS`. Of the files 4 and 5, which have one SOP Instance UID, it kept the later one.
"""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import MigrationProgress
from neurdicom.catalog.sqlite import SqliteCatalog, migration, schema
from neurdicom.catalog.sqlite.copy import copy_catalog, open_copy
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query, Value, Word
from neurdicom.testing.arrivals import arrival, arrival_of, place_of
from neurdicom.testing.catalog_model import CatalogModel

FILES = [
    arrival(1, study_description="HEAD"),
    # Another patient's study of the same UID, of which the first patient had both series.
    arrival(2, patient="p2", patient_name="ROE^JANE", series="1.2.1.2", modality="MR", study_description="KNEE"),
    # A series of the same UID in another study of another patient.
    arrival(3, patient="p2", patient_name="ROE^JANE", study="1.2.3", modality="US"),
    arrival(4, instance="1.9.90"),
    arrival(5, patient="p3", study="1.2.5", series="1.2.5.1", instance="1.9.90", patient_name="LAST"),
    # A study whose files say more and more about its patient.
    arrival_of(6, study="1.2.6", series="1.2.6.1", patient_name="UNNAMED"),
    arrival_of(7, "A", study="1.2.6", series="1.2.6.2", modality="CR"),
    arrival_of(8, "A", "X", study="1.2.6", series="1.2.6.1", patient_birth_date="19500101"),
    arrival(9, patient="p1", study="1.2.9", series="1.2.9.1", study_date="20200101", patient_name="MAIDEN"),
    arrival(10, study_description="HEAD AGAIN", series_description="axial", operators_name=["Roe^Zoë"]),
]
# The headers of that version's tests.
for _number, _new in enumerate(FILES, 1):
    FILES[_number - 1] = replace(_new, header=f'{{"number": {_number}, "sha": "sha-{_number}"}}'.encode())
LEFT = [new for new in FILES if new.blob.key != "blob-4-sha-4"]
#: What was edited, by level and the file whose entity now has the edit: the earliest of its UID.
EDITS: list[tuple[Level, int, dict[str, Value]]] = [
    (Level.PATIENT, 1, {"patient_sex": "F"}),
    (Level.STUDY, 1, {"study_description": "EDITED STUDY"}),
    (Level.SERIES, 1, {"series_description": "EDITED SERIES"}),
    (Level.SERIES, 7, {"modality": "SR"}),
    (Level.INSTANCE, 10, {"image_comments": "EDITED", "instance_number": 100}),
]

MIGRATE = """
import asyncio, sys, time
from pathlib import Path
from neurdicom.catalog.sqlite import SqliteCatalog, migration

async def main():
    migration.BATCH = 2
    catalog = SqliteCatalog(Path(sys.argv[1]))
    await catalog.open()
    print("open", flush=True)
    sys.stdin.readline()
    def copy_now(progress):
        print(progress.done, flush=True)
        sys.stdin.readline()
    await catalog.migrate(copy_now)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A catalog as version 3 left it."""
    made = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(made)) as db:
        db.executescript(Path(__file__).with_name("version3.sql").read_text(encoding="utf-8"))
        db.execute("PRAGMA journal_mode = WAL")
    return made


def expected() -> CatalogModel:
    model = CatalogModel()
    model.store(LEFT)
    for level, number, changes in EDITS:
        assert model.edit(level, place_of(FILES[number - 1]).key(level), changes, "u", "2024-02-03T04:05:06Z")
    # That version did not keep what was there before.
    for edits in model.changes.values():
        edits[:] = [replace(edit, before=None) for edit in edits]
    return model


async def check(catalog: Catalog) -> None:
    """The catalog answers as the model of the files that are left."""
    model = expected()
    for level in Level:
        assert await catalog.find(Query(level, limit=None)) == model.find(Query(level, limit=None))
        for name in ("UNNAMED", "MAIDEN", "ROE^JANE", "DOE^JOHN", "GUESSED"):
            query = Query(level, (AnyOf("patient_name", (name,)),))
            assert await catalog.find(query) == model.find(query)
        for path in model.paths(level):
            for key in model.keys_at(path):
                assert sorted(await catalog.keys(level, key)) == sorted(model.keys(level, key))
                assert await catalog.locate_all(level, key) == model.locate_all(level, key)
                assert await catalog.described(level, key) == model.described(level, key)
                assert await catalog.samples(level, [key]) == model.samples(level, [key])
    word = Query(Level.SERIES, (Word("operators_name", "zoe"),))
    assert await catalog.find(word) == model.find(word)
    assert await catalog.conflicts() == model.conflicts()
    assert set(await catalog.garbage()) == {"blob-4-sha-4", "blob-11-gone"}
    assert await catalog.documents.get("things", "one") == {"a": 1}


def set_back(path: Path, version: int) -> None:
    """Make the file one of an earlier version."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE term")
        db.execute("DROP TABLE termed")
        if version == 1:
            for level in ("patient", "study", "series"):
                db.execute(f"DELETE FROM {level}_key WHERE field LIKE '%\\_words' ESCAPE '\\'")
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_catalog_of_before(path: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "BATCH", 2)
    if version < 3:
        set_back(path, version)

    async def go() -> None:
        catalog = SqliteCatalog(path)
        await catalog.open()
        try:
            assert await catalog.needs_migration()
            told: list[MigrationProgress] = []
            await catalog.migrate(told.append)
            assert not await catalog.needs_migration()
            assert [one.done for one in told] == [2, 4, 6, 8, 9, 9]
            assert {one.total for one in told} == {len(LEFT)}
            unnamed, *others = sorted(told[-1].findings, key=lambda finding: "times" in finding or "kept" in finding)
            assert FILES[5].patient in unnamed
            assert sum("times" in finding and "1.2.1" in finding for finding in others) == 2
            assert sum("1.2.404" in finding for finding in others) == 1
            assert len(others) == 3
            await check(catalog)
            later: list[MigrationProgress] = []
            await catalog.migrate(later.append)
            assert not later
            # What was brought along takes part in what comes after.
            model = expected()
            more = [arrival(12, patient="p9", study="1.2.5", series="1.2.5.1", instance="1.9.90"), FILES[3], FILES[0]]
            assert await catalog.store(more) == model.store(more)
            assert await catalog.delete(Level.PATIENT, "p1") == model.delete(Level.PATIENT, "p1")
            for level in Level:
                assert await catalog.find(Query(level, limit=None)) == model.find(Query(level, limit=None))
        finally:
            await catalog.close()
        await catalog.open()
        assert not await catalog.needs_migration()
        await catalog.close()

    asyncio.run(go())
    with closing(sqlite3.connect(path)) as db:
        left = db.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'old%'").fetchall()
        assert (left, db.execute("PRAGMA integrity_check").fetchone()) == ([], ("ok",))


def test_edits_of_absent_entities_of_before_apply_to_the_first_that_comes(path: Path) -> None:
    async def go() -> None:
        catalog = SqliteCatalog(path)
        await catalog.open()
        try:
            await catalog.migrate(lambda _: None)
            await catalog.store([arrival(13, study="1.2.404", series="1.2.404.1")])
            await catalog.store([arrival(14, patient="p2", study="1.2.404", series="1.2.404.2")])
            found = await catalog.find(Query(Level.STUDY, (AnyOf("study", ("1.2.404",)),)))
            assert {study["patient"]: study["study_id"] for study in found.items} == {"p1": "X", "p2": None}
        finally:
            await catalog.close()

    asyncio.run(go())


def version_of(path: Path) -> int:
    """The number of the schema, which earlier versions compare with their own before anything else."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_a_program_of_before_refuses_from_the_beginning_of_a_migration_on(path: Path) -> None:
    seen: list[int] = []

    async def go() -> None:
        catalog = SqliteCatalog(path)
        await catalog.open()
        await catalog.documents.put("user", {"a": {"name": "A"}})
        # Its own program may still run, as when a command of this one is used on its folder.
        assert version_of(path) == 3
        assert await catalog.needs_migration()
        await catalog.migrate(lambda _: seen.append(version_of(path)))
        await catalog.close()

    asyncio.run(go())
    assert {*seen} == {schema.VERSION}
    assert schema.VERSION > 3


@pytest.mark.parametrize("steps", range(6))
def test_a_killed_migration_goes_on(path: Path, steps: int) -> None:
    command = [sys.executable, "-c", MIGRATE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(steps):
            assert process.stdout.readline().strip()
            process.stdin.write("\n")
            process.stdin.flush()
        process.send_signal(signal.SIGKILL)

    async def go() -> None:
        catalog = SqliteCatalog(path)
        await catalog.open()
        try:
            assert await catalog.needs_migration()
            reports: list[MigrationProgress] = []
            await catalog.migrate(reports.append)
            assert (reports[-1].done, reports[-1].total, len(reports[-1].findings)) == (len(LEFT), len(LEFT), 4)
            await check(catalog)
        finally:
            await catalog.close()

    asyncio.run(go())


def test_a_copy_made_in_the_middle_names_all_files(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "BATCH", 4)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE instance SET blob_key = substr(sha256, 1, 5) || 'xyz/' || blob_key")
        db.commit()

    async def go() -> None:
        catalog = SqliteCatalog(path)
        await catalog.open()
        copies = [tmp_path / "first.sqlite"]
        copy_catalog(path, copies[0], left_out="token")

        def copy_now(progress: MigrationProgress) -> None:
            copies.append(tmp_path / f"{len(copies)}.sqlite")
            copy_catalog(path, copies[-1], left_out="token")

        await catalog.migrate(copy_now)
        await catalog.close()
        assert len(copies) == 5
        for file in copies:
            with open_copy(file) as copy:
                assert copy.count() == len(LEFT)
                assert copy.shards() == {f"{new.blob.sha256[:5]}xyz" for new in LEFT}
                named = [blob for shard in sorted(copy.shards()) for blob in copy.blobs(shard)]
                assert [blob.sha256 for blob in named] == sorted(new.blob.sha256 for new in LEFT)
            catalog = SqliteCatalog(file)
            await catalog.open()
            await catalog.migrate(lambda _: None)
            assert (await catalog.find(Query(Level.INSTANCE))).total == len(LEFT)
            assert not await catalog.needs_migration()
            await catalog.close()

    asyncio.run(go())
