"""The record of a job, a small document that is rewritten with the progress."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from neurdicom.errors import Conflict
from neurdicom.jobs.states import JobState, JobStateEvent, next_state

#: Most errors and warnings in a record; the counts include all.
MAX_ERRORS = 100

#: Names of fields in documents, where they differ from the attributes' because earlier versions wrote them.
_DOCUMENT_NAMES: Final = {"finished_count": "settled", "summary": "told"}


@dataclass(slots=True, kw_only=True)
class Job:
    """Record of a job.

    Attributes
    ----------
    id : str
        Begins with the time, so that ids sort in the order of creation.
    kind : str
        Kind, which selects the runner.
    user, user_id : str
        Address and id of the user whose job it is.
    request : dict
        Request to the runner.
    subject : str
        Key by which `JobQueue.find_open` finds it while it is not over, at most 64 characters; none if empty.
    state : JobState
        A job that waits for another attempt is `queued`, with `retry_at`.
    done, failed, warned : int
        Instances so far; `warned` ones count as done too.
    total : int or None
        Instances in all, where known.
    created, started, ended : str or None
        ISO 8601, UTC.
    retry_at : float or None
        Time of the next attempt, in seconds since the epoch.
    retry_reason : str or None
        Why there is another attempt.
    attempts : int
        Number of passes in a row without progress.
    errors : list of dict
        The first failures: `instance` (None for the node as a whole), `reason`, `attempts`, perhaps `code`.
    warnings : list of dict
        The first instances that were stored with changes: `instance`, `reason`.
    chunks : int
        Number of documents with its items; valid once `expanded`.
    expanded : bool
        Whether all items are written down.
    keeps_items : bool
        Whether the items, and the order in which they finished (`EventLog`), stay when the job is over.
    finished_count : int
        Number of entries of that log.
    reopened : bool
        Whether failed items are to be run again.
    rate : float or None
        Recent instances per second; None while it does not run.
    summary : dict
        The runner's summary, such as the number of skipped instances.
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
        """Return the record as a document of the catalog."""
        document = {_DOCUMENT_NAMES.get(name, name): value for name, value in asdict(self).items()}
        return {**document, "state": self.state.value}

    @property
    def is_over(self) -> bool:
        """True if the job is over, in whatever way."""
        return self.state.is_over

    @property
    def time_left(self) -> float | None:
        """Estimated seconds until the job's end, at the current rate; None where unknown."""
        if not self.rate or self.total is None:
            return None
        return round(max(0, self.total - self.done - self.failed) / self.rate, 1)

    def check_reopen(self) -> None:
        """Check that the job can be run again.

        Raises
        ------
        Conflict
            It is not over, its items were not kept, or nothing failed and nothing is left.
        """
        if not self.is_over:
            raise Conflict(f"the job is {self.state}; only a job that is over can be tried again")
        if not self.keeps_items:
            raise Conflict(f"the items of a job of the kind {self.kind!r} are not kept; make a new job")
        if self.expanded and not self.failed and self.done == self.total:
            raise Conflict("there is nothing to run again: nothing failed, and nothing is left")

    def begin(self) -> None:
        """Set the job running, for the first time or again."""
        self._apply(JobStateEvent.BEGUN)
        self.started = self.started or now()

    def postpone(self, retry_at: float | None = None, reason: str | None = None) -> None:
        """Queue the job again, to resume at `retry_at` or as soon as there is a slot."""
        self._apply(JobStateEvent.POSTPONED)
        self.rate, self.retry_at, self.retry_reason = None, retry_at, reason

    def end(self, event: JobStateEvent) -> None:
        """End the job, as completed, failed or cancelled."""
        self._apply(event)
        self.rate, self.ended = None, now()

    def reopen(self) -> None:
        """Queue an ended job again, for its failed and remaining items."""
        self._apply(JobStateEvent.REOPENED)
        self.ended, self.reopened = None, True
        self.attempts, self.errors = 0, []

    def _apply(self, event: JobStateEvent) -> None:
        try:
            self.state = next_state(self.state, event)
        except ValueError as error:
            raise ValueError(f"job {self.id}: {error}") from None
        self.retry_at, self.retry_reason = None, None

    def to_api(self, *, most: int = MAX_ERRORS) -> dict[str, Any]:
        """Return the record as the API shows it, with at most `most` errors, warnings and ids of the request."""
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
        summary = {name: value[:most] if isinstance(value, list) else value for name, value in self.summary.items()}
        return {"warned": self.warned, "warnings": self.warnings[:most], **summary}


def new_id() -> str:
    """Make an id that sorts after those of earlier milliseconds, and can't be guessed."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def made_at(job: str) -> float:
    """Read the time at which an id was made, in seconds since the epoch."""
    return int(job[:12], 16) / 1000


def iso(seconds: float) -> str:
    """Format seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def now() -> str:
    """Format the current time as ISO 8601 in UTC."""
    return iso(time.time())
