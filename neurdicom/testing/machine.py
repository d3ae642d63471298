"""Base of the state machine tests: an adapter that is open for a run, in an event loop of the machine's own."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from hypothesis.stateful import RuleBasedStateMachine, initialize

from neurdicom.catalog.base import Catalog

T = TypeVar("T")


class AdapterMachine(RuleBasedStateMachine):
    """Random operations on an adapter; a subclass implements `open_catalog`."""

    async def open_catalog(self) -> Catalog:
        """Open an empty catalog, as `CatalogSuite.open_catalog`; the machine closes it."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.catalog: Catalog | None = None

    def wait(self, work: Awaitable[T]) -> T:
        """Run an awaitable in the machine's event loop and return its result.

        Parameters
        ----------
        work : Awaitable

        Returns
        -------
        object
            The result of `work`.
        """

        async def go() -> T:
            return await work

        return self.runner.run(go())

    @property
    def tested(self) -> Catalog:
        """The adapter under test."""
        if self.catalog is None:
            raise RuntimeError("the catalog is not open")
        return self.catalog

    @initialize()
    def begin(self) -> None:
        self.catalog = self.wait(self.open_catalog())

    def teardown(self) -> None:
        """Close the catalog at the end of a run."""
        if self.catalog is not None:
            self.wait(self.catalog.close())
        self.runner.close()
