"""When what failed is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow with each attempt, with jitter, so that jobs that failed together do not come back together.

    Attributes
    ----------
    first, factor, longest : float
        Seconds of the first wait, by how much the next is longer, and where that ends. As it is: 2, 6, 18, 54, 162.
    attempts : int
        After so many it is given up.
    """

    first: float = 2.0
    factor: float = 3.0
    longest: float = 300.0
    attempts: int = 6

    def delay(self, attempt: int, asked: float | None = None, *, jitter: Callable[[], float] = random.random) -> float:
        """Seconds to wait after the n-th attempt, from 1; at least as long as the node `asked` for, within an hour."""
        delay = min(self.longest, self.first * self.factor ** (attempt - 1))
        return max(delay * (0.75 + jitter() / 2), min(asked or 0.0, 3600.0))
