"""The states of a job and the end of a pass, without a catalog."""

from dataclasses import replace
from itertools import product

import pytest

from neurdicom.errors import Conflict, PeerFailed
from neurdicom.jobs.conclusion import PassEnd, StopRequest, conclude
from neurdicom.jobs.items import Chunk
from neurdicom.jobs.job import Job, now
from neurdicom.jobs.progress import PassProgress
from neurdicom.jobs.runner import Backoff, Failure, ItemOutcome
from neurdicom.jobs.states import TRANSITIONS, JobState, JobStateEvent, next_state

DOWN = PeerFailed("down")
BACKOFF = Backoff(attempts=3)
END = PassEnd(is_complete=True, done=2, failed=1, has_advanced=True)


def made() -> Job:
    return Job(id="1", kind="work", user="ann", user_id="a", request={}, created=now())


def test_a_job_from_its_making_to_a_second_end() -> None:
    job = made()
    job.begin()
    started = job.started
    job.postpone(5.0, "busy")
    assert (job.state, job.retry_at, job.retry_reason) == (JobState.QUEUED, 5.0, "busy")
    job.begin()
    assert (job.started, job.retry_at, job.retry_reason) == (started, None, None)
    job.end(JobStateEvent.FAILED)
    assert job.is_over
    assert job.ended is not None
    job.reopen()
    assert (job.is_over, job.ended, job.reopened) == (False, None, True)
    job.begin()
    job.begin()  # as after a crash
    job.end(JobStateEvent.COMPLETED)
    assert job.state is JobState.DONE


def test_what_may_not_happen() -> None:
    refused = {(str(before), str(after)) for before, after in product(JobState, JobState)} - {
        (str(before), str(after)) for (before, _), after in TRANSITIONS.items()
    }
    over = ("done", "failed", "cancelled")
    assert refused == {("queued", "done"), *((before, after) for before in over for after in ("running", *over))}
    job = made()
    with pytest.raises(ValueError, match="job 1: the event COMPLETED can't happen to a job that is queued"):
        job.end(JobStateEvent.COMPLETED)
    assert (job.state, job.ended) == (JobState.QUEUED, None)


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("event", JobStateEvent)
def test_every_event_in_every_state(state: JobState, event: JobStateEvent) -> None:
    ends = {
        JobStateEvent.COMPLETED: JobState.DONE,
        JobStateEvent.FAILED: JobState.FAILED,
        JobStateEvent.CANCELLED: JobState.CANCELLED,
    }
    begins = {JobStateEvent.BEGUN: JobState.RUNNING, JobStateEvent.POSTPONED: JobState.QUEUED}
    allowed = {JobStateEvent.REOPENED: JobState.QUEUED} if state.is_over else {**ends, **begins}
    if state is JobState.QUEUED:
        del allowed[JobStateEvent.COMPLETED]
    if event in allowed:
        assert next_state(state, event) is allowed[event]
    else:
        with pytest.raises(ValueError, match=event.name):
            next_state(state, event)


@pytest.mark.parametrize(
    ("end", "state", "attempts", "is_delayed", "error"),
    [
        (END, "done", 0, False, None),
        (replace(END, done=0), "failed", 0, False, None),
        (replace(END, done=0, failed=0), "done", 0, False, None),
        (replace(END, stop=StopRequest.CANCEL, error=DOWN), "cancelled", 0, False, None),
        (replace(END, stop=StopRequest.HALT, attempts=2), "queued", 2, False, None),
        (replace(END, error=DOWN, attempts=2), "queued", 0, True, "down"),
        (replace(END, error=DOWN, has_advanced=False, attempts=1), "queued", 2, True, "down"),
        (replace(END, error=DOWN, has_advanced=False, attempts=2), "failed", 3, False, "down"),
        (replace(END, error=PeerFailed("no", retryable=False)), "failed", 0, False, "no"),
        (replace(END, is_complete=False), "queued", 0, True, "the node did not confirm some instances"),
    ],
)
def test_the_end_of_a_pass(end: PassEnd, state: str, attempts: int, is_delayed: bool, error: str | None) -> None:
    conclusion = conclude(end, BACKOFF)
    assert (next_state(JobState.RUNNING, conclusion.event), conclusion.attempts) == (state, attempts)
    assert (conclusion.delay is not None) is is_delayed
    assert (conclusion.error and str(conclusion.error)) == error


def test_an_item_that_was_tried_often_is_waited_for_longer() -> None:
    end = replace(END, is_complete=False)
    first, later = conclude(end, BACKOFF).delay, conclude(replace(end, tried=3), BACKOFF).delay
    assert first is not None
    assert later is not None
    assert later > 2 * first


def concluded(end: PassEnd, *, left: int = 0, retry_reason: str | None = None) -> Job:
    """A job of five instances after a pass."""
    job = made()
    job.total, job.done, job.failed = 5, end.done, end.failed
    job.begin()
    conclude(end, BACKOFF).apply(job, left=left, retry_reason=retry_reason, now=100.0)
    return job


def test_the_record_after_a_pass() -> None:
    over = concluded(END)
    assert (over.state, over.total, over.errors) == (JobState.DONE, 3, [])
    assert over.ended is not None
    cancelled = concluded(replace(END, stop=StopRequest.CANCEL))
    assert (cancelled.state, cancelled.total) == (JobState.CANCELLED, 5)
    halted = concluded(replace(END, stop=StopRequest.HALT))
    assert (halted.state, halted.retry_at, halted.ended) == (JobState.QUEUED, None, None)
    again = concluded(replace(END, error=DOWN), left=2)
    assert (again.state, again.retry_reason, again.attempts) == (JobState.QUEUED, "down", 0)
    assert again.retry_at is not None
    assert again.retry_at > 100.0
    assert concluded(replace(END, is_complete=False), retry_reason="busy").retry_reason == "busy"


def test_what_a_node_that_refuses_leaves_counts_as_failed() -> None:
    refused = concluded(replace(END, error=PeerFailed("no", retryable=False), is_complete=False), left=1)
    assert (refused.state, refused.done, refused.failed, refused.total) == (JobState.FAILED, 2, 3, 5)
    assert refused.errors == [{"instance": None, "reason": "no", "attempts": 1}]


def test_what_can_be_run_again() -> None:
    job = made()
    with pytest.raises(Conflict, match="the job is queued"):
        job.check_reopen()
    job.begin()
    job.end(JobStateEvent.FAILED)
    with pytest.raises(Conflict, match="are not kept"):
        job.check_reopen()
    job.keeps_items = job.expanded = True
    job.done = job.total = 2
    with pytest.raises(Conflict, match="nothing to run again"):
        job.check_reopen()
    job.failed, job.total = 1, 3
    job.check_reopen()


def test_the_progress_of_a_pass() -> None:
    job = made()
    progress = PassProgress(job, attempts=2, left=2)
    chunk = Chunk(0, ["a", "b"])
    assert not progress.take(chunk, 0, ItemOutcome(0, done=3, total=9, final=False))
    assert (job.done, job.total, progress.left) == (3, None, 2)
    assert progress.take(chunk, 0, ItemOutcome(0, done=5))
    busy = ItemOutcome(1, failed=1, failures=(Failure("1.2", "busy"),), retryable=True)
    assert not progress.take(chunk, 1, busy)
    assert (job.done, job.failed, progress.tried, progress.retry_reason) == (5, 0, 1, "busy")
    assert not progress.take(chunk, 1, ItemOutcome(1, done=3, total=4, final=False))
    assert (job.done, job.total) == (8, 9), "what the last item has told of"
    progress.drop_live()
    assert job.done == 5
    assert progress.take(chunk, 1, busy)
    assert (job.done, job.failed, progress.left) == (5, 1, 0)
    assert job.errors == [{"instance": "1.2", "reason": "busy", "attempts": 2}]


def test_documents_keep_their_form() -> None:
    job = made()
    job.finished_count, job.summary = 3, {"skipped": 1}
    document = job.to_document()
    assert (document["settled"], document["told"], type(document["state"])) == (3, {"skipped": 1}, str)
    assert "finished_count" not in document
    assert Job.from_document(document) == job
