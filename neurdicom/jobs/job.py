"""The record of a job, one small document that is written again as the job goes on, and its states."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self


class JobState(StrEnum):
    """The state of a job; `TRANSITIONS` has the ways between them."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, in one way or another."""
        return self in _OVER


_OVER: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})

#: The states that may follow each. A job that runs may begin anew, after a crash; one that is over may be reopened.
TRANSITIONS: Final = {
    JobState.QUEUED: frozenset({JobState.QUEUED, JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(JobState),
    **dict.fromkeys(_OVER, frozenset({JobState.QUEUED})),
}

STATES: Final = tuple(state.value for state in JobState)

#: Errors and warnings that a record holds; the counts tell of all.
MAX_ERRORS = 100


#: Names of fields in documents, where they are not those of the record: earlier versions wrote them.
_DOCUMENT_NAMES: Final = {"finished_count": "settled", "summary": "told"}


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
    state : JobState
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
        They stay when the job is over, and so does the order in which they were over (`EventLog`).
    finished_count : int
        Entries of that log.
    reopened : bool
        What failed is to be run again before anything else.
    rate : float or None
        Instances a second, lately; None while it does not run.
    summary : dict
        The runner's account of the whole: what was skipped.
    """

    id: str
    kind: str
    user: str
    user_id: str
    request: dict[str, Any]
    created: str
    subject: str = ""
    state: JobState = JobState.QUEUED
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
    finished_count: int = 0
    reopened: bool = False
    rate: float | None = None
    summary: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a document of the catalog."""
        names = {name: _DOCUMENT_NAMES.get(name, name) for name in cls.__slots__}
        fields = {name: document[written] for name, written in names.items() if written in document}
        return cls(**{**fields, "state": JobState(document["state"])})

    def to_document(self) -> dict[str, Any]:
        """Write it as a document of the catalog."""
        document = {_DOCUMENT_NAMES.get(name, name): value for name, value in asdict(self).items()}
        return {**document, "state": self.state.value}

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in one way or another."""
        return self.state.is_over

    @property
    def time_left(self) -> float | None:
        """Seconds that the rest takes at this rate; None where that is not known."""
        if not self.rate or self.total is None:
            return None
        return round(max(0, self.total - self.done - self.failed) / self.rate, 1)

    def begin(self) -> None:
        """Let it run, for the first time or again."""
        self._move(JobState.RUNNING)
        self.started = self.started or now()

    def wait(self, retry_at: float | None = None, reason: str | None = None) -> None:
        """Let it give its slot to others, and go on later."""
        self._move(JobState.QUEUED)
        self.rate, self.retry_at, self.retry_reason = None, retry_at, reason

    def end(self, state: JobState) -> None:
        """Let it be over."""
        self._move(state)
        self.rate, self.ended = None, now()

    def reopen(self) -> None:
        """Let it run once more, over what failed and what was never run."""
        self._move(JobState.QUEUED)
        self.ended, self.reopened = None, True
        self.attempts, self.errors = 0, []

    def _move(self, state: JobState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"the job {self.id} can't go from {self.state} to {state}")
        self.state, self.retry_at, self.retry_reason = state, None, None

    def to_api(self, *, most: int = MAX_ERRORS) -> dict[str, Any]:
        """Describe it for the API, with at most so many errors, warnings and ids of the request."""
        retry_at = None if self.retry_at is None else iso(self.retry_at)
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state.value,
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
            return {"url": f"/api/jobs/{self.id}/results", **self.summary}
        return {"warned": self.warned, "warnings": self.warnings[:most]}


def new_id() -> str:
    """Make an id that is later than those made in earlier milliseconds, and that nobody guesses."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def made_at(job: str) -> float:
    """Read when an id was made; seconds since the epoch."""
    return int(job[:12], 16) / 1000


def iso(seconds: float) -> str:
    """Write seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def now() -> str:
    """Write the time as ISO 8601 in UTC."""
    return iso(time.time())
