"""Fairness between users: a queue whose keys take turns, and a semaphore whose places go to keys in turn.

Imports nothing of the package.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class RoundRobin(Generic[T]):
    """Queue whose keys, such as users, take turns, each with its items in order. Every method takes constant time."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[str, OrderedDict[T, None]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def waiting_keys(self) -> Iterator[str]:
        """Yield the keys whose items wait, the next one first."""
        return iter(self._by_key)

    def append(self, key: str, item: T) -> None:
        """Add an item behind those of its key; one that waits already keeps its place."""
        items = self._by_key.setdefault(key, OrderedDict())
        if item not in items:
            items[item] = None
            self._count += 1

    def put_back(self, key: str, item: T) -> None:
        """Add an item in front of all others."""
        self.append(key, item)
        self._by_key[key].move_to_end(item, last=False)
        self._by_key.move_to_end(key, last=False)

    def peek(self) -> T:
        """Return the next item without removing it."""
        return next(iter(next(iter(self._by_key.values()))))

    def pop(self, key: str | None = None) -> T:
        """Remove and return the next item, or the next one of a key; its key goes to the end of the queue.

        Raises
        ------
        LookupError
            No item waits.
        """
        if key is None:
            if not self._by_key:
                raise LookupError("pop from a queue in which nothing waits")
            key = next(iter(self._by_key))
        items = self._by_key[key]
        item, _ = items.popitem(last=False)
        self._count -= 1
        if items:
            self._by_key.move_to_end(key)
        else:
            del self._by_key[key]
        return item

    def remove(self, key: str, item: T) -> bool:
        """Remove an item, wherever it stands; return whether it was there."""
        items = self._by_key.get(key)
        if items is None or item not in items:
            return False
        del items[item]
        self._count -= 1
        if not items:
            del self._by_key[key]
        return True


class FairSemaphore:
    """Semaphore whose places go to keys in turn, however many callers of one key wait.

    Parameters
    ----------
    places : callable
        Returns the number of places at this moment.
    """

    def __init__(self, places: Callable[[], int]) -> None:
        self._places = places
        self._taken = 0
        self._waiting: RoundRobin[asyncio.Future[None]] = RoundRobin()

    @asynccontextmanager
    async def place(self, key: str) -> AsyncIterator[None]:
        """Wait for a place, and hold it for as long as the context lasts."""
        permit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(key, permit)
        self._admit()
        try:
            await permit
            yield
        finally:
            if not self._waiting.remove(key, permit):  # it has had its turn
                self._taken -= 1
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._taken < max(1, self._places()):
            self._taken += 1
            permit = self._waiting.pop()
            if not permit.done():
                permit.set_result(None)
