"""Hooks of the catalog's contract suites: opening an adapter, and accessing its backend without it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import Documents


class CatalogSuite(ABC):
    """Base class of the suites; each test begins with an empty catalog."""

    @abstractmethod
    async def open_catalog(self) -> Catalog:
        """Open an empty catalog.

        Returns
        -------
        Catalog
            Closed by the suite.
        """

    @abstractmethod
    async def reopen(self, catalog: Catalog) -> Catalog:
        """Open the same backend again, as the next process would.

        Parameters
        ----------
        catalog : Catalog
            The previous catalog, closed.

        Returns
        -------
        Catalog
            Another one on the same backend.
        """

    @abstractmethod
    async def backend_blobs(self, catalog: Catalog) -> dict[str, str]:
        """Read instances from the backend, without the adapter.

        Parameters
        ----------
        catalog : Catalog
            The open catalog.

        Returns
        -------
        dict of str to str
            Key of an instance to blob key.
        """

    @abstractmethod
    async def backend_documents(self, catalog: Catalog, kind: str, key: str, document: dict[str, Any]) -> None:
        """Write a document into the backend, without the adapter.

        Parameters
        ----------
        catalog : Catalog
            The open catalog.
        kind, key : str
            Kind and key of the document.
        document : dict
            The document.
        """

    def run(self, test: Callable[[Catalog], Awaitable[None]]) -> None:
        """Run a test on an empty catalog, and close it.

        Parameters
        ----------
        test : callable
            Coroutine function that takes the catalog.
        """

        async def go() -> None:
            async with self.opened(await self.open_catalog()) as catalog:
                await test(catalog)

        asyncio.run(go())

    def run_documents(self, test: Callable[[Documents], Awaitable[None]]) -> None:
        """Run a test on the document port of an empty catalog, and close it.

        Parameters
        ----------
        test : callable
            Coroutine function that takes the documents.
        """
        self.run(lambda catalog: test(catalog.documents))

    @asynccontextmanager
    async def opened(self, catalog: Catalog) -> AsyncIterator[Catalog]:
        """Close a catalog at the end of the context.

        Parameters
        ----------
        catalog : Catalog
            The open catalog.

        Yields
        ------
        Catalog
            `catalog`.
        """
        try:
            yield catalog
        finally:
            await catalog.close()
