"""How many items of processing jobs are under way at a time, all jobs together, and whose turn it is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

from neurdicom.jobs.scheduler import FairQueue


class Turns:
    """Places for items; users take turns, however many items each of them waits with.

    Parameters
    ----------
    places : callable
        How many there are at this moment.
    """

    def __init__(self, places: Callable[[], int]) -> None:
        self._places = places
        self._taken = 0
        self._queue = FairQueue()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._tickets = count()

    @property
    def places(self) -> int:
        """How many there are, at least one."""
        return max(1, self._places())

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[None]:
        """Wait for a place, and have it for as long as the context lasts."""
        await self._enter(user)
        try:
            yield
        finally:
            self._taken -= 1
            self._admit()

    async def _enter(self, user: str) -> None:
        ticket, waiter = str(next(self._tickets)), asyncio.get_running_loop().create_future()
        self._waiting[ticket] = waiter
        self._queue.put(user, ticket)
        self._admit()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # its turn had just come
                self._taken -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._taken < self.places and (turn := self._queue.take()) is not None:
            waiter = self._waiting.pop(turn[1])
            if not waiter.done():
                self._taken += 1
                waiter.set_result(None)
