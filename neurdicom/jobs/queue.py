"""Which of the waiting jobs is next: fair between users."""

from collections import Counter, deque
from collections.abc import Collection

from neurdicom.jobs.runner import Lane


class FairQueue:
    """Entries by user; users take turns, each with theirs in order."""

    def __init__(self) -> None:
        self._by_user: dict[str, deque[str]] = {}
        self._waiting: set[str] = set()

    def __contains__(self, entry: str) -> bool:
        return entry in self._waiting

    def put(self, user: str, entry: str) -> None:
        """Let an entry wait; one that waits already keeps its place."""
        if entry not in self._waiting:
            self._waiting.add(entry)
            self._by_user.setdefault(user, deque()).append(entry)

    def take(self, full: Collection[str] = ()) -> tuple[str, str] | None:
        """The user and the entry whose turn it is, but for users who have enough; None if there is none."""
        for user in list(self._by_user):
            if user not in full:
                entries = self._by_user.pop(user)
                entry = entries.popleft()
                self._waiting.discard(entry)
                if entries:
                    self._by_user[user] = entries  # to the end of the line
                return user, entry
        return None


class Places:
    """The jobs that run or wait for a place, by lane."""

    def __init__(self) -> None:
        self._queues: dict[Lane, FairQueue] = {}
        self._running: dict[str, tuple[Lane, str]] = {}

    def __contains__(self, job: str) -> bool:
        return job in self._running or any(job in queue for queue in self._queues.values())

    def put(self, lane: Lane, user: str, job: str) -> None:
        """Let a job wait for a place."""
        self._queues.setdefault(lane, FairQueue()).put(user, job)

    def take(self) -> tuple[str, str] | None:
        """The user and the job that there is a place for, which it has from now on; None if there is none."""
        for lane, queue in self._queues.items():
            users = Counter(user for of, user in self._running.values() if of == lane)
            if users.total() >= lane.at_once:
                continue
            turn = queue.take({user for user, running in users.items() if running >= lane.of_one_user})
            if turn is not None:
                user, job = turn
                self._running[job] = (lane, user)
                return turn
        return None

    def free(self, job: str) -> None:
        """A job has given up its place."""
        self._running.pop(job, None)
