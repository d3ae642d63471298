"""Routes of jobs: lists, one, cancel or forget."""

from typing import Any

from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BOOLEAN, INTEGER, STRING, operation
from neurdicom.http.parameters import Paging, choice_parameter, text_parameter
from neurdicom.http.routing import Route
from neurdicom.jobs import ITEM_STATES, STATES, Job, JobService
from neurdicom.security.access import Principal
from neurdicom.web.listing import send_items
from neurdicom.web.schemas import json_answer

_TIME = {"type": ["string", "null"], "format": "date-time"}
_TOLD = {
    "type": "object",
    "properties": {"instance": {"type": ["string", "null"]}, "reason": STRING, "attempts": INTEGER},
}
_JOB: dict[str, Any] = {
    "type": "object",
    "required": ["id", "kind", "state", "done", "failed", "total", "created", "started", "ended", "results", "errors"],
    "properties": {
        "id": STRING,
        "kind": {**STRING, "description": "`process`, `send`, `retrieve`, `commitment`."},
        "state": {"enum": list(STATES), "description": "A job that waits to try again is `queued`, with `retry_at`."},
        "done": {**INTEGER, "description": "Instances; for `process` results, of `results.unit`."},
        "failed": INTEGER,
        "total": {"type": ["integer", "null"], "description": "Null while it is not known."},
        "rate": {"type": ["number", "null"], "description": "A second, over the last ten; null while it does not run."},
        "time_left": {"type": ["number", "null"], "description": "Seconds, at this rate."},
        "created": {"type": "string", "format": "date-time"},
        "started": _TIME,
        "ended": _TIME,
        "retry_at": _TIME,
        "retry_reason": {"type": ["string", "null"]},
        "user": STRING,
        "request": {"type": "object", "description": "What was asked for."},
        "results": {
            "type": "object",
            "description": "Of jobs that keep them, their `url`; and what was left out (`skipped`).",
        },
        "errors": {
            "type": "array",
            "items": _TOLD,
            "description": "The first failures, at most 100 (5 in lists); no instance where it is the whole node.",
        },
    },
}

_ITEM: dict[str, Any] = {
    "type": "object",
    "required": ["number", "state", "error"],
    "properties": {
        "number": {**INTEGER, "description": "Its place in the job, from 0."},
        "series": STRING,
        "instance": {"type": ["string", "null"], "description": "Null where the whole series is one item."},
        "frame": {"type": ["integer", "null"]},
        "state": {"enum": list(ITEM_STATES)},
        "result": {"type": ["string", "null"], "description": "Id of the result, where it is kept."},
        "url": {"type": ["string", "null"], "description": "Where the result is."},
        "stored": {"type": "array", "items": STRING, "description": "SOP Instance UIDs of what was made of it."},
        "cached": {**BOOLEAN, "description": "It had been computed before."},
        "error": {
            "type": ["object", "null"],
            "properties": {"code": STRING, "detail": STRING, "attempts": INTEGER},
            "description": "Why it failed; the codes are those of problem details.",
        },
    },
}

#: Errors, warnings and ids of each job in a list.
_FEW = 5

_STATE = choice_parameter("state", "Only those in this state.", STATES, None)
_KIND = text_parameter("kind", "Only those of this kind.", None)
_PAGING = Paging("jobs")
_SORT = choice_parameter("sort", "By when they were made.", ("created", "-created"), "-created")
_ITEM_STATE = choice_parameter("state", "Only those in this state.", ITEM_STATES, None)


def job_answer(description: str) -> dict[str, Any]:
    """Make an OpenAPI response object with a job."""
    return json_answer(description, _JOB)


def principal_of(handler: ApiHandler) -> Principal:
    """Give who asks; there is someone wherever the operation's access is not public."""
    assert handler.principal is not None
    return handler.principal


def send_job(handler: ApiHandler, job: Job) -> None:
    """Finish with a job that was made or asked to end."""
    handler.set_header("Location", f"/api/jobs/{job.id}")
    handler.send_json(job.to_api(), 202)


class JobsHandler(ApiHandler):
    """All jobs."""

    jobs: JobService

    @operation(
        "List jobs",
        tag="jobs",
        query=(_STATE, _KIND, *_PAGING.parameters, _SORT),
        answers={200: json_answer("A page, the newest first.", {"type": "array", "items": _JOB})},
    )
    async def get(self) -> None:
        """Answer a page."""
        limit, offset = _PAGING.of(self)
        where = {each.name: value for each in (_STATE, _KIND) if (value := each.of(self)) is not None}
        newest_first = _SORT.of(self) == "-created"
        jobs, total = await self.jobs.list(where, limit=limit, offset=offset, newest_first=newest_first)
        send_items(self, [job.to_api(most=_FEW) for job in jobs], offset=offset, total=total)


class JobHandler(ApiHandler):
    """One job."""

    jobs: JobService

    @operation("Get a job", tag="jobs", answers={200: job_answer("The job.")})
    async def get(self, job: str) -> None:
        """Answer it."""
        self.send_json((await self.jobs.get(job)).to_api())

    @operation(
        "Cancel a job, or forget one that is over",
        tag="jobs",
        description="A job ends after the instance under way. Users do this with their own jobs, administrators with "
        "all.",
        answers={
            202: job_answer("It is cancelled, or will be once the instance under way has ended."),
            204: "It was over, and is forgotten.",
            403: "It is another user's.",
        },
    )
    async def delete(self, job: str) -> None:
        """Cancel or forget it."""
        cancelled = await self.jobs.cancel_or_remove(job, by=self.principal)
        if cancelled is not None:
            send_job(self, cancelled)
        else:
            self.set_status(204)
            self.finish()


class JobResultsHandler(ApiHandler):
    """Handler of the results of a job's items."""

    jobs: JobService

    @operation(
        "List what came of each item of a job",
        tag="jobs",
        description="Of processing jobs: series by series, slice by slice. Other jobs keep no items.",
        query=(_ITEM_STATE, *_PAGING.parameters),
        answers={200: json_answer("A page.", {"type": "array", "items": _ITEM})},
    )
    async def get(self, job: str) -> None:
        """Answer a page."""
        limit, offset = _PAGING.of(self)
        items, total = await self.jobs.results.page(job, limit=limit, offset=offset, state=_ITEM_STATE.of(self))
        send_items(self, items, offset=offset, total=total)


class RetryHandler(ApiHandler):
    """Another run of a job that is over."""

    jobs: JobService

    @operation(
        "Run what failed of a job once more",
        tag="jobs",
        description="The same job runs again, over what failed and what it did not come to; a processing job with the "
        "version of its plugin or model that is current then. What is done stays.",
        answers={202: job_answer("The job, which waits for its turn."), 403: "It is another user's."},
    )
    async def post(self, job: str) -> None:
        """Let it run again."""
        send_job(self, await self.jobs.retry(job, by=principal_of(self)))


ROUTES = [
    Route("/api/jobs", JobsHandler),
    Route("/api/jobs/{id}", JobHandler),
    Route("/api/jobs/{id}/results", JobResultsHandler),
    Route("/api/jobs/{id}/retry", RetryHandler),
]
