"""Routes of jobs: list, one, cancel or delete, items, retry."""

from collections.abc import Sequence
from typing import Any

from neurdicom.archive.names import EntityNames
from neurdicom.archive.selection import MANY
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BOOLEAN, INTEGER, STRING, operation
from neurdicom.http.parameters import Paging, choice_parameter, text_parameter
from neurdicom.http.routing import Route
from neurdicom.jobs import ITEM_STATES, STATES, Job, JobService
from neurdicom.jobs.job import MAX_ERRORS
from neurdicom.security.access import Principal
from neurdicom.web.listing import send_items
from neurdicom.web.schemas import json_answer

_TIME = {"type": ["string", "null"], "format": "date-time"}
_TOLD = {
    "type": "object",
    "properties": {
        "study": {**STRING, "description": "Id of the study, where it is known."},
        "series": {**STRING, "description": "Id of the series, where it is known."},
        "instance": {"type": ["string", "null"]},
        "reason": STRING,
        "attempts": INTEGER,
    },
}
_JOB: dict[str, Any] = {
    "type": "object",
    "required": ["id", "kind", "state", "done", "failed", "total", "created", "started", "ended", "results", "errors"],
    "properties": {
        "id": STRING,
        "kind": {**STRING, "description": "Kind of the job: `process`, `send`, `retrieve`, `commitment` or `verify`."},
        "state": {
            "enum": list(STATES),
            "description": "State of the job; one that waits for another attempt is `queued`, with `retry_at`.",
        },
        "done": {
            **INTEGER,
            "description": "Number of instances that are done; for `process`, number of results, one for each unit "
            "(`results.unit`).",
        },
        "failed": INTEGER,
        "total": {"type": ["integer", "null"], "description": "Number in all; null while unknown."},
        "rate": {
            "type": ["number", "null"],
            "description": "Number per second, over the last ten seconds; null while the job does not run.",
        },
        "time_left": {"type": ["number", "null"], "description": "Estimated seconds until the end, at this rate."},
        "created": {"type": "string", "format": "date-time"},
        "started": _TIME,
        "ended": _TIME,
        "retry_at": _TIME,
        "retry_reason": {"type": ["string", "null"]},
        "user": STRING,
        "request": {"type": "object", "description": "The request that made the job."},
        "results": {
            "type": "object",
            "description": "For jobs that keep their items: `url` of the items, and numbers of `skipped` instances. "
            "For `verify`: numbers of `files`, `bytes`, and `damaged`, `repaired` and `unknown` files, and the first "
            "`findings`.",
        },
        "errors": {
            "type": "array",
            "items": _TOLD,
            "description": "The first failures, at most 100 (5 in lists); `instance` is null where a "
            "whole series, study or node failed.",
        },
    },
}

_ITEM: dict[str, Any] = {
    "type": "object",
    "required": ["number", "state", "error"],
    "properties": {
        "number": {**INTEGER, "description": "Number of the item in the job, from 0."},
        "series": {**STRING, "description": "Id of the series."},
        "series_uid": {**STRING, "description": "Series Instance UID."},
        "instance": {
            "type": ["string", "null"],
            "description": "Id of the instance; null where the whole series is one item.",
        },
        "instance_uid": {"type": ["string", "null"], "description": "SOP Instance UID."},
        "frame": {"type": ["integer", "null"]},
        "state": {"enum": list(ITEM_STATES)},
        "result": {"type": ["string", "null"], "description": "Id of the result, if it is kept."},
        "url": {"type": ["string", "null"], "description": "URL of the result."},
        "stored": {
            "type": "array",
            "items": STRING,
            "description": "Ids of the DICOM instances made of the result.",
        },
        "stored_uids": {
            "type": "array",
            "items": STRING,
            "description": "SOP Instance UIDs of the DICOM instances made of the result.",
        },
        "cached": {**BOOLEAN, "description": "Whether the result had been computed before."},
        "error": {
            "type": ["object", "null"],
            "properties": {"code": STRING, "detail": STRING, "attempts": INTEGER},
            "description": "Why the item failed; `code` is one of those in problem details.",
        },
    },
}

#: Most errors, warnings and ids that a list shows of each job.
_FEW = 5

_STATE = choice_parameter("state", "Only jobs in this state.", STATES, None)
_KIND = text_parameter(
    "kind", "Only jobs of this kind: `process`, `send`, `retrieve`, `commitment` or `verify`.", None, longest=64
)
_PAGING = Paging("jobs")
_SORT = choice_parameter(
    "sort", "Order by creation; `-created` is the newest first.", ("created", "-created"), "-created"
)
_ITEM_STATE = choice_parameter("state", "Only items in this state.", ITEM_STATES, None)


def job_answer(description: str) -> dict[str, Any]:
    """Make an OpenAPI response object with a job."""
    return json_answer(description, _JOB)


def principal_of(handler: ApiHandler) -> Principal:
    """Return the user behind a request; there is one wherever the operation's access is not public."""
    assert handler.principal is not None
    return handler.principal


async def describe_jobs(
    jobs: Sequence[Job], names: EntityNames, *, most: int = MAX_ERRORS, prefix: str = ""
) -> list[dict[str, Any]]:
    """Describe jobs for the API, with ids in place of keys.

    Parameters
    ----------
    jobs : sequence of Job
        The jobs.
    names : EntityNames
        Knows the ids.
    most : int
        Most errors, warnings and ids of the request of each.
    prefix : str
        Path below which the client reaches our routes.
    """
    described = [job.to_api(most=most) for job in jobs]
    requests = [{name: one["request"][name] for name in MANY if name in one["request"]} for one in described]
    notes = [[*one["errors"], *one["results"].get("warnings", ())] for one in described]
    shown = iter(await names.shown([*requests, *(note for each in notes for note in each)], uids=False))
    for one, request in zip(described, [next(shown) for _ in described], strict=True):
        one["request"] |= request
    for one in described:
        one["errors"] = [next(shown) for _ in one["errors"]]
        if "warnings" in one["results"]:
            one["results"] |= {"warnings": [next(shown) for _ in one["results"]["warnings"]]}
        one["results"] = below(prefix, one["results"])
    return described


def below(prefix: str, document: dict[str, Any]) -> dict[str, Any]:
    """Put the prefix before the path in a document's `url`, if it has one."""
    url = document.get("url")
    return {**document, "url": prefix + url} if prefix and isinstance(url, str) else document


async def send_job(handler: ApiHandler, job: Job, names: EntityNames) -> None:
    """Finish with a job that was made or asked to end.

    Parameters
    ----------
    handler : ApiHandler
        The handler that answers.
    job : Job
        The job.
    names : EntityNames
        Ids that users see.
    """
    handler.set_header("Location", handler.public_path(f"/api/jobs/{job.id}"))
    [described] = await describe_jobs([job], names, prefix=handler.reach.prefix)
    handler.send_json(described, 202)


class JobsHandler(ApiHandler):
    """Handler of all jobs."""

    jobs: JobService
    names: EntityNames

    @operation(
        "List jobs",
        tag="jobs",
        query=(_STATE, _KIND, *_PAGING.parameters, _SORT),
        answers={200: json_answer("A page of jobs.", {"type": "array", "items": _JOB})},
    )
    async def get(self) -> None:
        """Send a page of jobs."""
        limit, offset = _PAGING.of(self)
        where = {each.name: value for each in (_STATE, _KIND) if (value := each.of(self)) is not None}
        newest_first = _SORT.of(self) == "-created"
        jobs, total = await self.jobs.list(where, limit=limit, offset=offset, newest_first=newest_first)
        described = await describe_jobs(jobs, self.names, most=_FEW, prefix=self.reach.prefix)
        send_items(self, described, offset=offset, total=total)


class JobHandler(ApiHandler):
    """Handler of one job."""

    jobs: JobService
    names: EntityNames

    @operation("Get a job", tag="jobs", answers={200: job_answer("The job.")})
    async def get(self, job: str) -> None:
        """Send a job."""
        [described] = await describe_jobs([await self.jobs.get(job)], self.names, prefix=self.reach.prefix)
        self.send_json(described)

    @operation(
        "Cancel a job, or delete the record of one that is over",
        tag="jobs",
        description="A running job ends after the current instance. Users may do this with their own jobs, "
        "administrators with all.",
        answers={
            202: job_answer("The job is cancelled, or will be after the current instance."),
            204: "The job was over, and its record is deleted.",
            403: "The job is another user's.",
        },
    )
    async def delete(self, job: str) -> None:
        """Cancel a job, or delete its record."""
        cancelled = await self.jobs.cancel_or_remove(job, by=self.principal)
        if cancelled is not None:
            await send_job(self, cancelled, self.names)
        else:
            self.set_status(204)
            self.finish()


class JobResultsHandler(ApiHandler):
    """Handler of the items of a job."""

    jobs: JobService
    names: EntityNames

    @operation(
        "List the items of a job with their results",
        tag="jobs",
        description="Only processing jobs keep their items, ordered by series and slice; for others the list is empty.",
        query=(_ITEM_STATE, *_PAGING.parameters),
        answers={200: json_answer("A page of items.", {"type": "array", "items": _ITEM})},
    )
    async def get(self, job: str) -> None:
        """Send a page of items."""
        limit, offset = _PAGING.of(self)
        items, total = await self.jobs.results.page(job, limit=limit, offset=offset, state=_ITEM_STATE.of(self))
        shown = [below(self.reach.prefix, item) for item in await self.names.shown(items)]
        send_items(self, shown, offset=offset, total=total)


class RetryHandler(ApiHandler):
    """Handler that runs a job again."""

    jobs: JobService
    names: EntityNames

    @operation(
        "Run a job again for its failed items",
        tag="jobs",
        description="The job runs again for the items that failed or were never run; a processing job uses the current "
        "version of its plugin or model. Finished items stay as they are.",
        answers={202: job_answer("The job, which is queued again."), 403: "The job is another user's."},
    )
    async def post(self, job: str) -> None:
        """Queue a job again."""
        await send_job(self, await self.jobs.retry(job, by=principal_of(self)), self.names)


ROUTES = [
    Route("/api/jobs", JobsHandler),
    Route("/api/jobs/{id}", JobHandler),
    Route("/api/jobs/{id}/results", JobResultsHandler),
    Route("/api/jobs/{id}/retry", RetryHandler),
]
