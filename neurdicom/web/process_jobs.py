"""Routes that run a plugin or a model on a series, a study, a patient, or on what filters find: they make jobs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from neurdicom.archive.selection import NAME_OF, Selection
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Invalid
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import INTEGER, operation
from neurdicom.http.parameters import described_parameter
from neurdicom.http.routing import Route
from neurdicom.plugins.params import Param
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.execute import ProcessService
from neurdicom.processing.jobs import ProcessJobs
from neurdicom.processing.schemas import PROCESS_REQUEST, TOOLS
from neurdicom.web.jobs import job_answer, principal_of, send_job
from neurdicom.web.process import FIELDS, FORMS, OPTIONS, PARAMETERS, QUERY, ToolHandler
from neurdicom.web.schemas import json_answer

_FRAME = "A frame of each instance, from 1; `all` makes a result of each where the tool takes frames one by one."
_OPTIONS: Mapping[str, Param] = {**OPTIONS, "frame": Param.from_meta("frame", {"type": "text", "default": "all"})}
_QUERY = tuple(
    described_parameter("frame", _FRAME, {"type": "string", "pattern": "^(all|[1-9][0-9]{0,8})$", "default": "all"})
    if each.name == "frame"
    else each
    for each in QUERY
)
_LEFT_OUT = (
    "Skips series whose modality META.json does not list; instances without pixels and segmentations, unless their "
    "modality is listed; results stored by this server, unless selected by id. The job tells how many. The version of "
    "the tool that is current now does the whole job."
)
_ACCEPTED = job_answer("The job that was made; its URL is in Location.")

_ESTIMATE = {
    "type": "object",
    "required": ["total", "skipped"],
    "properties": {
        "total": {**INTEGER, "description": "Results that the job would make."},
        "skipped": {
            "type": "object",
            "additionalProperties": INTEGER,
            "description": "Instances that it would leave out, by reason: `modality`, `no_pixels`, `derived`.",
        },
    },
}


def below_handler(level: Level, tool_type: ToolType) -> type[ApiHandler]:
    """Make the handler that runs a tool of a type on all that lies below an entity."""

    class ProcessBelowHandler(ToolHandler):
        processing: ProcessService
        process_jobs: ProcessJobs

        own_options = _OPTIONS

        @operation(
            f"Run a {tool_type} on {'an' if level is Level.INSTANCE else 'a'} {level}, as a job",
            tag="processing",
            description=f"{PARAMETERS} {_LEFT_OUT}",
            query=_QUERY,
            open_query=True,
            json=FIELDS,
            body=FORMS,
            answers={202: _ACCEPTED},
        )
        async def post(self, entity: str, tool: str) -> None:
            request = await self._run_request(tool_type, tool)
            is_own = "frame" in self.processing.tool(tool_type, tool).params
            request = replace(request, frame=None if is_own else _frame(request.frame))
            selection = Selection.of(level, entity)
            send_job(self, await self.process_jobs.submit(request, selection, by=principal_of(self)))

    return ProcessBelowHandler


class ProcessHandler(ApiHandler):
    """Handler that runs a tool on what a request selects."""

    process_jobs: ProcessJobs

    @operation(
        "Run a plugin or a model on what is selected, as a job",
        tag="processing",
        description="What is selected: `patients`, `studies`, `series`, `instances` (lists of ids), or `filters` as "
        f"the list of a `level` takes them. {_LEFT_OUT}",
        json=PROCESS_REQUEST,
        answers={200: json_answer("With `dry_run`: what a job would do.", _ESTIMATE), 202: _ACCEPTED},
    )
    async def post(self) -> None:
        """Make a job, or tell what it would do."""
        given = await self.json_body()
        jobs = self.process_jobs
        request, selection = jobs.parse(given)
        if given.get("dry_run", False):
            estimate = await jobs.estimate(request, selection)
            self.send_json({"total": estimate.total, "skipped": estimate.skipped})
        else:
            send_job(self, await jobs.submit(request, selection, by=principal_of(self)))


def _frame(given: Any) -> int | None:
    """Read the option `frame`, which is text."""
    text = str(given)
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise Invalid(f"frame is {text[:80]!r}; a number from 1, or all, is expected", field="frame")
    return int(text)


ROUTES = [
    Route("/api/process", ProcessHandler),
    *(
        Route(f"/api/{NAME_OF[level]}/{{id}}/process/by_{tool}/{{{tool}_id}}", below_handler(level, tool))
        for tool in TOOLS
        for level in (Level.PATIENT, Level.STUDY, Level.SERIES)
    ),
]
