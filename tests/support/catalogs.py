"""Catalogs that a test opens, as several processes would."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from neurdicom.catalog.base import Catalog
from tests.support.checkout import CHECKOUT

#: Makes a catalog, as another process would.
Opener = Callable[[], Catalog]

#: Dump of a catalog of version 0.1.0, whose schema was 3; `tests/catalog/sqlite/test_migration.py` says what is in it.
VERSION_3 = CHECKOUT / "tests" / "catalog" / "sqlite" / "version3.sql"


def write_version_3(folder: Path, *further: str) -> None:
    """Make a data folder with the catalog of version 0.1.0, and change it by further statements."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as db:
        db.executescript(VERSION_3.read_text(encoding="utf-8"))
        for statement in further:
            db.execute(statement)
        db.commit()


@asynccontextmanager
async def opened(opener: Opener) -> AsyncIterator[Catalog]:
    """Open a catalog, and close it."""
    catalog = opener()
    await catalog.open()
    try:
        yield catalog
    finally:
        await catalog.close()


def run(opener: Opener, test: Callable[[Catalog], Awaitable[None]]) -> None:
    """Run a test with an open catalog."""

    async def go() -> None:
        async with opened(opener) as catalog:
            await test(catalog)

    asyncio.run(go())
