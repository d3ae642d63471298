"""The states of a job and the end of a pass, without a catalog."""

from dataclasses import replace
from itertools import product

import pytest

from neurdicom.errors import PeerFailed
from neurdicom.jobs.conclusion import PassEnd, StopRequest, conclude
from neurdicom.jobs.items import Chunk
from neurdicom.jobs.job import TRANSITIONS, Job, JobState, now
from neurdicom.jobs.progress import PassProgress
from neurdicom.jobs.runner import Backoff, Failure, ItemOutcome

DOWN = PeerFailed("down")
BACKOFF = Backoff(attempts=3)
END = PassEnd(is_complete=True, done=2, failed=1, has_advanced=True)


def made() -> Job:
    return Job(id="1", kind="work", user="ann", user_id="a", request={}, created=now())


def test_a_job_from_its_making_to_a_second_end() -> None:
    job = made()
    job.begin()
    started = job.started
    job.wait(5.0, "busy")
    assert (job.state, job.retry_at, job.retry_reason) == (JobState.QUEUED, 5.0, "busy")
    job.begin()
    assert (job.started, job.retry_at, job.retry_reason) == (started, None, None)
    job.end(JobState.FAILED)
    assert job.is_over
    assert job.ended is not None
    job.reopen()
    assert (job.is_over, job.ended, job.reopened) == (False, None, True)
    job.begin()
    job.begin()  # as after a crash
    job.end(JobState.DONE)


def test_what_may_not_happen() -> None:
    refused = {(str(before), str(after)) for before, after in product(JobState, JobState)} - {
        (str(before), str(after)) for before, states in TRANSITIONS.items() for after in states
    }
    over = ("done", "failed", "cancelled")
    assert refused == {("queued", "done"), *((before, after) for before in over for after in ("running", *over))}
    job = made()
    with pytest.raises(ValueError, match="from queued to done"):
        job.end(JobState.DONE)


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
    assert (conclusion.state, conclusion.attempts) == (state, attempts)
    assert (conclusion.delay is not None) is is_delayed
    assert (conclusion.error and str(conclusion.error)) == error


def test_an_item_that_was_tried_often_is_waited_for_longer() -> None:
    end = replace(END, is_complete=False)
    first, later = conclude(end, BACKOFF).delay, conclude(replace(end, tried=3), BACKOFF).delay
    assert first is not None
    assert later is not None
    assert later > 2 * first


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
