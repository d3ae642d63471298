"""A semaphore for what several users wait for: tasks of a cluster, memory of volumes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from neurdicom.workers.call import Priority
from neurdicom.workers.scheduler import RoundRobin


@dataclass(slots=True, eq=False)
class _Waiter:
    """Somebody who waits for a place."""

    fairness: str
    turn: asyncio.Future[None]
    priority: Priority = Priority.BACKGROUND
    is_batchable: bool = False


class FairSemaphore:
    """A semaphore for which fairness keys take turns, however many each of them waits with.

    Parameters
    ----------
    places : callable
        How many there are at this moment.
    """

    def __init__(self, places: Callable[[], int]) -> None:
        self._places = places
        self._taken = 0
        self._waiting: RoundRobin[_Waiter] = RoundRobin()

    @asynccontextmanager
    async def place(self, fairness: str) -> AsyncIterator[None]:
        """Wait for a place, and have it for as long as the context lasts."""
        waiter = _Waiter(fairness, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._admit()
        try:
            await waiter.turn
            yield
        finally:
            if not self._waiting.remove(waiter):  # it has had its turn
                self._taken -= 1
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._taken < max(1, self._places()):
            self._taken += 1
            waiter = self._waiting.pop()
            if not waiter.turn.done():
                waiter.turn.set_result(None)
