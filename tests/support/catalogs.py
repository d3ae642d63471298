"""Catalogs that a test opens, as several processes would."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from neurdicom.catalog.base import Catalog

#: Makes a catalog, as another process would.
Opener = Callable[[], Catalog]


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
