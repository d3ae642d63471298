"""A bounded cache of reads that never returns values from before a finished write."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class ReadCache(Generic[V]):
    """LRU of values by key, emptied by writes. Thread-safe.

    A reader notes `generation` before it reads from the backend and passes it to `put`, so that a value read before the
    end of a write is not cached after it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()
        self.generation = 0

    def get(self, key: str) -> V | None:
        """Return the cached value of a key, None if there is none."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: str, value: V, generation: int) -> None:
        """Cache a value, unless a write ended since it was read.

        Parameters
        ----------
        key : str
            The key.
        value : V
            The value read from the backend.
        generation : int
            `generation` before the read.
        """
        with self._lock:
            if generation != self.generation:
                return
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._size:
                self._values.popitem(last=False)

    def invalidate(self) -> None:
        """Drop all values, since a write may have changed any of them."""
        with self._lock:
            self.generation += 1
            self._values.clear()
