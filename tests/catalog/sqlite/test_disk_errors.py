"""A file that SQLite can't write or read is one of our errors, and the catalog goes on when it can again."""

import asyncio
from pathlib import Path

import pytest

from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.catalog.sqlite.connection import Connections
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.errors import StorageFull, Unavailable
from neurdicom.testing.arrivals import arrival
from tests.support.catalogs import opened


def connections(catalog: SqliteCatalog) -> Connections:
    """The catalog's connections."""
    return catalog._connections


async def pragma(catalog: SqliteCatalog, text: str) -> None:
    """Set something of the connection that writes."""
    writer = connections(catalog)._writer
    assert writer is not None
    await asyncio.get_running_loop().run_in_executor(connections(catalog)._write_thread, writer.execute, text)


@pytest.mark.parametrize(
    ("begin", "end", "error"),
    [
        ("max_page_count = 1", "max_page_count = 1000000", StorageFull),
        ("query_only = ON", "query_only = OFF", Unavailable),
    ],
)
def test_a_file_that_can_not_be_written(tmp_path: Path, begin: str, end: str, error: type[Unavailable]) -> None:
    async def test() -> None:
        catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
        async with opened(lambda: catalog):
            await pragma(catalog, f"PRAGMA {begin}")
            with pytest.raises(Unavailable) as caught:
                await catalog.store([arrival(number) for number in range(500)])
            assert type(caught.value) is error
            assert str(tmp_path) not in str(caught.value)
            await pragma(catalog, f"PRAGMA {end}")
            assert (await catalog.find(Query(Level.INSTANCE, limit=None))).items == []
            assert [each.status for each in await catalog.store([arrival(1)])] == ["stored"]

    asyncio.run(test())


def test_a_damaged_file(tmp_path: Path) -> None:
    async def test() -> None:
        catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
        async with opened(lambda: catalog):
            for name in ("catalog.sqlite", "catalog.sqlite-wal"):
                with (tmp_path / name).open("r+b") as file:
                    file.write(b"something else" * 20_000)
            with pytest.raises(Unavailable, match="can't be read"):
                await catalog.find(Query(Level.INSTANCE, limit=None))

    asyncio.run(test())
