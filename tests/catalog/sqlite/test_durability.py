"""Durability of the embedded catalog: acknowledged writes survive `kill -9`, others leave no part of themselves."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.catalog.sqlite import schema as sqlite_schema
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Unavailable
from neurdicom.testing.arrivals import arrival

BATCH = 5

WRITER = """
import asyncio, sys
from pathlib import Path
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.testing.arrivals import arrival

async def main():
    catalog = SqliteCatalog(Path(sys.argv[1]))
    await catalog.open()
    for batch in range(int(sys.argv[2]), 10**6):
        await catalog.store([arrival(5 * batch + n, series=f"1.2.1.{batch % 7}") for n in range(5)])
        print(batch, flush=True)

asyncio.run(main())
"""


def test_kill_9(tmp_path: Path) -> None:
    path, begin, acknowledged = tmp_path / "catalog.sqlite", 0, 0
    for delay in (0.05, 0.11, 0.23):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(begin)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
            acknowledged = int([first, *writer.stdout.read().splitlines(keepends=True)][-1].strip())
        present = asyncio.run(images(path))
        assert present % BATCH == 0, "a part of a transaction"
        assert present >= BATCH * (acknowledged + 1)
        begin = present // BATCH


async def images(path: Path) -> int:
    """Count the images in every way there is."""
    catalog = SqliteCatalog(path)
    await catalog.open()
    try:
        total = (await catalog.find(Query(Level.INSTANCE, limit=1))).total
        study = await catalog.get(Level.STUDY, "1.2.1")
        series = await catalog.find(Query(Level.SERIES, limit=None))
        matching = await catalog.find(Query(Level.INSTANCE, (AnyOf("modality", ("CT",)),), limit=None))
        assert study is not None
        assert study["images_count"] == total == sum(one["images_count"] for one in series.items)
        assert len(await catalog.headers(Level.STUDY, "1.2.1")) == len(matching.items) == total
        return total
    finally:
        await catalog.close()


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {sqlite_schema.VERSION + 1}")
    db.close()
    with pytest.raises(Unavailable, match="newer NeurDICOM"):
        asyncio.run(SqliteCatalog(path).open())


def test_what_is_no_catalog_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(b"not a database " * 1000)
    with pytest.raises(Unavailable, match=r"catalog\.sqlite"):
        asyncio.run(SqliteCatalog(path).open())


def test_an_attribute_that_became_filterable_is_indexed(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"

    async def fill() -> None:
        catalog = SqliteCatalog(path)
        await catalog.open()
        await catalog.store([arrival(1, study_id="A"), arrival(2, study="1.2.2", series="1.2.2.1", study_id="B")])
        await catalog.close()

    asyncio.run(fill())
    with sqlite3.connect(path) as db:  # as a version that did not have it left the file
        db.execute("DROP INDEX study_by_study_id")
        db.execute("ALTER TABLE study DROP COLUMN study_id")
    db.close()

    async def find() -> None:
        catalog = SqliteCatalog(path)
        await catalog.open()
        page = await catalog.find(Query(Level.STUDY, (AnyOf("study_id", ("b",)),)))
        await catalog.store([arrival(3, study="1.2.3", series="1.2.3.1", study_id="B")])
        more = await catalog.find(Query(Level.STUDY, (AnyOf("study_id", ("b",)),)))
        await catalog.close()
        assert [one["id"] for one in page.items] == ["1.2.2"]
        assert [one["id"] for one in more.items] == ["1.2.2", "1.2.3"]

    asyncio.run(find())


def test_every_filter_has_an_index(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"

    async def make() -> None:
        catalog = SqliteCatalog(path)
        await catalog.open()
        await catalog.close()

    asyncio.run(make())
    with sqlite3.connect(path) as db:
        for level in Level:
            indexes = [row[1] for row in db.execute(f"PRAGMA index_list({level})")]
            first = {next(iter(db.execute(f'PRAGMA index_info("{name}")')))[2] for name in indexes}
            own_id = {"sop_instance_uid", "series_instance_uid", "study_instance_uid"}
            assert {a.field for a in AT_LEVEL[level] if a.filterable} - own_id <= first
    db.close()
