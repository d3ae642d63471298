"""Making processing jobs: everything that can be checked before is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from neurdicom.archive.selection import MANY, Selection
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Invalid
from neurdicom.jobs import Job, JobService
from neurdicom.processing.items import Items, Skipped
from neurdicom.processing.jobs import KIND
from neurdicom.processing.request import as_request, options_of, tool_of
from neurdicom.processing.service import ProcessService
from neurdicom.processing.work import Work
from neurdicom.security.access import Principal

_FIELDS = ("plugin", "model", "params", "format", "store", "cache", "frame", *MANY, "level", "filters", "dry_run")

#: Bytes of the parameters as JSON: they are written again with the progress.
_MAX_PARAMS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job would do: items, and instances that it would leave out and why."""

    total: int
    skipped: Mapping[str, int]


class ProcessJobs:
    """Makes jobs that run a tool on what is selected.

    Parameters
    ----------
    catalog : Catalog
    process : ProcessService
    jobs : JobService
        With the runner of the kind `process`.
    """

    def __init__(self, catalog: Catalog, process: ProcessService, jobs: JobService) -> None:
        self._items = Items(catalog)
        self._process = process
        self._jobs = jobs

    def parse(self, given: Mapping[str, Any]) -> tuple[Work, Selection]:
        """Read the JSON of a client: `plugin` or `model`, `params`, options, and what is selected.

        Raises
        ------
        NotFound
            There is no such tool.
        Invalid
            A field, a parameter or a filter is wrong; `field` names it.
        """
        for field in given.keys() - set(_FIELDS):
            raise Invalid(f"unknown field {field[:64]!r}; known are {', '.join(_FIELDS)}", field=field[:64])
        tool_type, id = tool_of(given)
        tool = self._process.tool(tool_type, id)
        params = {} if given.get("params") is None else given["params"]
        if not isinstance(params, Mapping):
            raise Invalid(f"params is {str(params)[:80]!r}; an object is expected", field="params")
        converted = self._process.convert(tool, {}, params)
        work = Work(tool_type=tool_type, tool=id, entity="", params=converted, **options_of(given))
        default = Level.SERIES if tool.level == "series" else Level.INSTANCE
        return work, Selection.from_dict(given, default=default)

    async def submit(
        self, work: Work, selection: Selection, *, by: Principal, subject: str = "", rule: str | None = None
    ) -> Job:
        """Make the job, which may be a rule's; the entity of the work does not count, a `frame` of None means all.

        Raises
        ------
        NotFound
            There is no such tool, or an entity that is selected by its id.
        Invalid
            The parameters are too long for a job to keep, or series and instances are mixed for a tool of volumes.
        PluginQuarantined
            The tool can't be run.
        Conflict
            The user has too many jobs already.
        """
        with self._process.hold(work) as tool:
            pass  # it is there, and can be run
        if len(orjson.dumps(work.params)) > _MAX_PARAMS:
            raise Invalid(f"the parameters are longer than the {_MAX_PARAMS} bytes that a job keeps", field="params")
        await self._items.check(selection, tool)
        total = await self._items.count(selection, tool) if work.frame is None or not tool.per_frame else None
        request = as_request(replace(work, digest=tool.digest), selection, tool, rule=rule)
        return await self._jobs.submit(KIND, request, by=by, total=total, subject=subject)

    async def estimate(self, work: Work, selection: Selection) -> Estimate:
        """Count what a job would do, without making one. Raises as `submit` does."""
        tool = self._process.tool(work.tool_type, work.tool)
        await self._items.check(selection, tool)
        skipped, total = Skipped(), 0
        async for _ in self._items.walk(selection, tool, work.frame, skipped):
            total += 1
        return Estimate(total, dict(skipped))
