"""Routes that make jobs which run a plugin or a model on a series, a study, a patient, or a selection."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from neurdicom.archive.names import EntityNames
from neurdicom.archive.search import SearchService
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
from neurdicom.processing.run import PROCESS_REQUEST, TOOLS
from neurdicom.web.jobs import job_answer, principal_of, send_job
from neurdicom.web.process import FIELDS, FORMS, MODEL_PARAMETERS, OPTIONS, PARAMETERS, QUERY, ToolHandler
from neurdicom.web.schemas import json_answer

_FRAME = "Frame of each instance, from 1, or `all` for a result of every frame, where the tool processes single frames."
_OPTIONS: Mapping[str, Param] = {**OPTIONS, "frame": Param.from_meta("frame", {"type": "text", "default": "all"})}
_QUERY = tuple(
    described_parameter("frame", _FRAME, {"type": "string", "pattern": "^(all|[1-9][0-9]{0,8})$", "default": "all"})
    if each.name == "frame"
    else each
    for each in QUERY
)
_LEFT_OUT = (
    "The job skips series whose modality META.json does not list; instances without pixel data and segmentations, "
    "unless their modality is listed; and results that this server stored, unless they are selected by id. The job "
    "reports the number of skipped instances. All runs use the version of the plugin or the model that is current at "
    "the request."
)
_ACCEPTED = job_answer("The new job; Location is its URL.")

_ESTIMATE = {
    "type": "object",
    "required": ["total", "skipped"],
    "properties": {
        "total": {**INTEGER, "description": "Number of results that the job would compute."},
        "skipped": {
            "type": "object",
            "additionalProperties": INTEGER,
            "description": "Number of instances that the job would skip, by reason: `modality`, `no_pixels`, "
            "`derived`.",
        },
    },
}


def below_handler(level: Level, tool_type: ToolType) -> type[ApiHandler]:
    """Make the handler that runs a tool of a type on all instances below an entity."""

    class ProcessBelowHandler(ToolHandler):
        processing: ProcessService
        process_jobs: ProcessJobs
        search: SearchService
        names: EntityNames

        own_options = _OPTIONS

        async def check_path(self, *ids: str) -> None:
            entity, tool = ids
            await self.search.get(level, entity)
            self.processing.tool(tool_type, tool)

        @operation(
            f"Run a {tool_type} on {'an' if level is Level.INSTANCE else 'a'} {level}, as a job",
            tag="processing",
            description=f"{MODEL_PARAMETERS if tool_type == 'model' else PARAMETERS} {_LEFT_OUT}",
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
            job = await self.process_jobs.submit(request, selection, by=principal_of(self))
            await send_job(self, job, self.names)

    return ProcessBelowHandler


class ProcessHandler(ApiHandler):
    """Handler that runs a tool on a selection."""

    process_jobs: ProcessJobs
    names: EntityNames

    @operation(
        "Run a plugin or a model on a selection, as a job",
        tag="processing",
        description="The selection consists of `patients`, `studies`, `series` and `instances` (lists of ids), or of "
        f"`filters`, which the list of a `level` accepts. {_LEFT_OUT}",
        json=PROCESS_REQUEST,
        answers={200: json_answer("With `dry_run`: what the job would do.", _ESTIMATE), 202: _ACCEPTED},
    )
    async def post(self) -> None:
        """Make a job and send it, or send an estimate of it."""
        given = await self.json_body()
        jobs = self.process_jobs
        request, selection = await self.compute(jobs.parse, given)
        if given.get("dry_run", False):
            estimate = await jobs.estimate(request, selection)
            self.send_json({"total": estimate.total, "skipped": estimate.skipped})
        else:
            await send_job(self, await jobs.submit(request, selection, by=principal_of(self)), self.names)


def _frame(given: Any) -> int | None:
    """Parse the option `frame`, which is text."""
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
