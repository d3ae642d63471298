"""A semaphore shared by users in turn: for tasks of a cluster, and for the memory of volumes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from neurdicom.workers.call import Priority
from neurdicom.workers.scheduler import RoundRobin


@dataclass(slots=True, eq=False)
class _Waiter:
    """Caller that waits for a place."""

    fairness: str
    permit: asyncio.Future[None]
    priority: Priority = Priority.BACKGROUND
    is_batchable: bool = False


class FairSemaphore:
    """Semaphore whose places go to fairness keys in turn, however many callers of one key wait.

    Parameters
    ----------
    places : callable
        Returns the number of places at this moment.
    """

    def __init__(self, places: Callable[[], int]) -> None:
        self._places = places
        self._taken = 0
        self._waiting: RoundRobin[_Waiter] = RoundRobin()

    @asynccontextmanager
    async def place(self, fairness: str) -> AsyncIterator[None]:
        """Wait for a place, and hold it for as long as the context lasts."""
        waiter = _Waiter(fairness, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._admit()
        try:
            await waiter.permit
            yield
        finally:
            if not self._waiting.remove(waiter):  # it has had its turn
                self._taken -= 1
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._taken < max(1, self._places()):
            self._taken += 1
            waiter = self._waiting.pop()
            if not waiter.permit.done():
                waiter.permit.set_result(None)
