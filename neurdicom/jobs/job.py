"""What is kept of a job: one small document, written again as the job goes on."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

State = Literal["queued", "running", "done", "failed", "cancelled"]

STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "cancelled")

#: Errors and warnings that a record holds; the counts tell of all.
MAX_ERRORS = 100


@dataclass(slots=True, kw_only=True)
class Job:
    """A job.

    Attributes
    ----------
    id : str
        Begins with the time, so that jobs in the order of their ids are in the order of their making.
    kind : str
        Which runner does it.
    user, user_id : str
        Who asked for it: the address, and the id.
    request : dict
        What the runner was asked for.
    subject : str
        What to find it by while it is not over (`JobService.find_open`), at most 64 characters; none if empty.
    state : str
        A job that waits to try again is `queued`, with `retry_at`.
    done, failed, warned : int
        Instances so far; `warned` ones count as done too.
    total : int or None
        How many there are to be, where that is known.
    created, started, ended : str or None
        ISO 8601, UTC.
    retry_at : float or None
        When it is tried again; seconds since the epoch.
    retry_reason : str or None
        Why it has to be.
    attempts : int
        Passes over what is left that brought nothing, one after another.
    errors : list of dict
        The first failures: `instance` (None for the node as a whole), `reason`, `attempts`, perhaps `code`.
    warnings : list of dict
        The first that were stored with changes: `instance`, `reason`.
    chunks : int
        Documents that its items fill; counts once `expanded`.
    expanded : bool
        The items are all written down.
    keeps_items : bool
        They stay when the job is over, and so does the order in which they were over (`Log`).
    settled : int
        Entries of that log.
    reopened : bool
        What failed is to be run again before anything else.
    rate : float or None
        Instances a second, lately; None while it does not run.
    told : dict
        What the runner has to say of the whole: what was skipped.
    """

    id: str
    kind: str
    user: str
    user_id: str
    request: dict[str, Any]
    created: str
    subject: str = ""
    state: State = "queued"
    done: int = 0
    failed: int = 0
    warned: int = 0
    total: int | None = None
    started: str | None = None
    ended: str | None = None
    retry_at: float | None = None
    retry_reason: str | None = None
    attempts: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    chunks: int = 0
    expanded: bool = False
    keeps_items: bool = False
    settled: int = 0
    reopened: bool = False
    rate: float | None = None
    told: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `as_document` gave."""
        return cls(**{name: document[name] for name in cls.__slots__ if name in document})

    def as_document(self) -> dict[str, Any]:
        """A copy of it as JSON, whole."""
        return asdict(self)

    @property
    def is_over(self) -> bool:
        """It has ended, in one way or another."""
        return self.ended is not None

    @property
    def time_left(self) -> float | None:
        """Seconds that the rest takes at this rate; None where that can't be told."""
        if not self.rate or self.total is None:
            return None
        return round(max(0, self.total - self.done - self.failed) / self.rate, 1)

    def begin(self) -> None:
        """It runs, for the first time or again."""
        self.state, self.retry_at, self.retry_reason = "running", None, None
        self.started = self.started or now()

    def wait(self, retry_at: float | None = None, reason: str | None = None) -> None:
        """It gives its place to others, and goes on later."""
        self.rate = None
        self.state, self.retry_at, self.retry_reason = "queued", retry_at, reason

    def end(self, state: State) -> None:
        """It is over."""
        self.rate = None
        self.state, self.retry_at, self.retry_reason, self.ended = state, None, None, now()

    def reopen(self) -> None:
        """It is to run once more, over what failed and what was never run."""
        self.state, self.ended, self.reopened = "queued", None, True
        self.attempts, self.errors = 0, []

    def as_answer(self, *, most: int = MAX_ERRORS) -> dict[str, Any]:
        """What the API tells of it, with at most so many errors, warnings and ids of the request."""
        retry_at = None if self.retry_at is None else iso(self.retry_at)
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "done": self.done,
            "failed": self.failed,
            "total": self.total,
            "rate": self.rate,
            "time_left": self.time_left,
            "created": self.created,
            "started": self.started,
            "ended": self.ended,
            "retry_at": retry_at,
            "retry_reason": self.retry_reason,
            "user": self.user,
            "request": {
                name: value[:most] if isinstance(value, list) else value for name, value in self.request.items()
            },
            "results": self._results(most),
            "errors": self.errors[:most],
        }

    def _results(self, most: int) -> dict[str, Any]:
        if self.keeps_items:
            return {"url": f"/api/jobs/{self.id}/results", **self.told}
        return {"warned": self.warned, "warnings": self.warnings[:most]}


def new_id() -> str:
    """Make an id that is later than those made in earlier milliseconds, and that nobody guesses."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def made_at(job: str) -> float:
    """When an id was made; seconds since the epoch."""
    return int(job[:12], 16) / 1000


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def now() -> str:
    """The time as ISO 8601 in UTC."""
    return iso(time.time())
