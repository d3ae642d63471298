"""Which of the waiting jobs is next: fair between users."""

from collections import deque
from collections.abc import Callable


class FairQueue:
    """Jobs by user; users take turns, each with their jobs in order."""

    def __init__(self) -> None:
        self._by_user: dict[str, deque[str]] = {}
        self._waiting: set[str] = set()

    def __contains__(self, job: str) -> bool:
        return job in self._waiting

    def put(self, user: str, job: str) -> None:
        """Let a job wait; one that waits already keeps its place."""
        if job not in self._waiting:
            self._waiting.add(job)
            self._by_user.setdefault(user, deque()).append(job)

    def take(self, may_run: Callable[[str], bool]) -> tuple[str, str] | None:
        """The user and the job whose turn it is, of the users who may run one; None if there is none."""
        for user in list(self._by_user):
            if may_run(user):
                jobs = self._by_user.pop(user)
                job = jobs.popleft()
                self._waiting.discard(job)
                if jobs:
                    self._by_user[user] = jobs  # to the end of the line
                return user, job
        return None
