"""A bounded cache that never shows what a finished write has changed."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class ReadCache(Generic[V]):
    """An LRU of values by key, emptied by writes.

    A reader notes `generation` before it asks the backend and hands it to `put`: what was read before a write ended
    is not kept after it. Any thread may call.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()
        self.generation = 0

    def get(self, key: str) -> V | None:
        """Give the value, if it is there and current."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: str, value: V, generation: int) -> None:
        """Keep a value that was read at a generation, unless a write ended since."""
        with self._lock:
            if generation != self.generation:
                return
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._size:
                self._values.popitem(last=False)

    def invalidate(self) -> None:
        """Drop all values, as a write may have changed any of them."""
        with self._lock:
            self.generation += 1
            self._values.clear()
