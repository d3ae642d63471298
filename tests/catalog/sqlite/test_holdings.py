"""Bytes and last arrivals of studies: they are counted in a file without them, and follow moved series."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from neurdicom.catalog.records import StudyHolding
from neurdicom.catalog.sqlite import SqliteCatalog, holdings
from neurdicom.testing.arrivals import arrival
from neurdicom.testing.catalog_holdings import holding_of

FILES = [
    arrival(1),
    arrival(2, series="1.2.1.2"),
    arrival(3, study="1.2.3", series="1.2.3.1"),
    arrival(4, study="1.2.3", series="1.2.3.1"),
]


def held_after(path: Path, change: Callable[[sqlite3.Connection], None]) -> tuple[list[StudyHolding], int]:
    """What the catalog holds after a change in the file itself."""

    async def fill() -> None:
        catalog = SqliteCatalog(path)
        await catalog.open()
        await catalog.store(FILES)
        await catalog.close()

    async def look() -> tuple[list[StudyHolding], int]:
        catalog = SqliteCatalog(path)
        await catalog.open()
        try:
            return await catalog.holdings(10), await catalog.stored_bytes()
        finally:
            await catalog.close()

    asyncio.run(fill())
    with closing(sqlite3.connect(path)) as db, db:
        change(db)
    return asyncio.run(look())


def row_of(db: sqlite3.Connection, table: str, uid: str) -> int:
    return int(db.execute(f"SELECT pk FROM {table} WHERE id = ?", (uid,)).fetchone()[0])


def test_a_file_of_before_is_counted(tmp_path: Path) -> None:
    def change(db: sqlite3.Connection) -> None:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("DROP TABLE holding")
        db.execute("DELETE FROM total WHERE level = 'bytes'")

    expected = [holding_of(*FILES[:2]), holding_of(*FILES[2:])]
    assert held_after(tmp_path / "catalog.sqlite", change) == (expected, sum(new.blob.size for new in FILES))


def test_series_and_instances_that_move_are_counted_where_they_are(tmp_path: Path) -> None:
    def change(db: sqlite3.Connection) -> None:
        to = row_of(db, "study", "1.2.1")
        db.execute("UPDATE series SET parent = ? WHERE id = '1.2.3.1'", (to,))
        holdings.settle(db)
        back = row_of(db, "study", "1.2.3")
        db.execute("UPDATE series SET parent = ? WHERE id = '1.2.1.2'", (back,))
        db.execute("UPDATE instance SET parent = ? WHERE id = '1.9.4'", (row_of(db, "series", "1.2.1.2"),))
        holdings.settle(db)

    found, size = held_after(tmp_path / "catalog.sqlite", change)
    assert [(one.study[:5], one.bytes, one.received) for one in found] == [
        ("1.2.1", FILES[0].blob.size + FILES[2].blob.size, FILES[2].received),
        ("1.2.3", FILES[1].blob.size + FILES[3].blob.size, FILES[3].received),
    ]
    assert size == sum(new.blob.size for new in FILES)


def test_the_list_is_read_from_its_index(tmp_path: Path) -> None:
    plans: list[str] = []

    def change(db: sqlite3.Connection) -> None:
        explained: list[str] = []
        db.set_trace_callback(explained.append)
        holdings.holdings(db, 10, StudyHolding("1.2.1", "p1", 1, "2024", 1))
        db.set_trace_callback(None)
        plans.extend(detail for *_, detail in db.execute(f"EXPLAIN QUERY PLAN {explained[-1]}"))

    held_after(tmp_path / "catalog.sqlite", change)
    assert "USING COVERING INDEX holding_by_received" in plans[0] or "USING INDEX holding_by_received" in plans[0]
    assert not [detail for detail in plans if "SCAN" in detail or "TEMP" in detail], plans
