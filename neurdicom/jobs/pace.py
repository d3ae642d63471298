"""How fast a job goes."""

from collections import deque

#: Seconds that the rate is taken over.
WINDOW = 10.0


class Pace:
    """Counts of the last seconds, from a beginning with a first count. Times are those of any one clock."""

    def __init__(self, began: float, count: int) -> None:
        self._counts: deque[tuple[float, int]] = deque([(began, count)])

    def note(self, when: float, count: int) -> None:
        """So many instances are over by now, all in all."""
        self._counts.append((when, count))
        self._forget(when)

    def rate(self, when: float) -> float:
        """Instances a second, over the window or since the beginning."""
        self._forget(when)
        (start, before), (_, count) = self._counts[0], self._counts[-1]
        return round((count - before) / max(when - start, 0.1), 2)

    def _forget(self, when: float) -> None:
        """Drop what lies before the window, but for the last of it."""
        while len(self._counts) > 1 and self._counts[1][0] <= when - WINDOW:
            self._counts.popleft()
