"""The log of rules' runs: the last ones, and their number."""

from typing import Any, Final

from neurdicom.catalog.documents import Documents
from neurdicom.errors import NotFound
from neurdicom.jobs import JobService
from neurdicom.jobs.job import now

#: Kind of the documents of runs.
KIND: Final = "rule_runs"

#: Most runs of a rule that are kept.
KEPT: Final = 20


class RunLog:
    """Log of the runs of all rules, a document for each rule."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def note(self, rule: str, series: str, *, job: str | None = None, error: str | None = None) -> None:
        """Record that a rule was run on a series by a job, or that it could not be run.

        Parameters
        ----------
        rule : str
            Id of the rule.
        series : str
            Key of the series.
        job : str, optional
            Id of the job; a job that is recorded already is not counted twice.
        error : str, optional
            Why it could not be run.
        """
        run = {"series": series, "time": now(), "job": job, "error": error}
        while True:
            before = await self._documents.get(KIND, rule)
            if before is None:
                if await self._documents.add(KIND, rule, {"count": 1, "runs": [run]}):
                    return
                continue
            if job is not None and any(one["job"] == job for one in before["runs"]):
                return  # recorded before a crash
            after = {"count": before["count"] + 1, "runs": [run, *before["runs"]][:KEPT]}
            if await self._documents.swap(KIND, rule, before, after):
                return

    async def describe(self, rule: str, jobs: JobService) -> dict[str, Any]:
        """Describe the runs for the API: their number, and the last of them with the states of their jobs."""
        document = await self._documents.get(KIND, rule) or {"count": 0, "runs": []}
        return {"runs_count": document["count"], "runs": [await _describe(run, jobs) for run in document["runs"]]}

    async def remove(self, rule: str) -> None:
        """Delete the log of a rule."""
        await self._documents.delete(KIND, rule)


async def _describe(run: dict[str, Any], jobs: JobService) -> dict[str, Any]:
    described = dict(run) | {"state": "failed" if run["job"] is None else None, "done": None, "failed": None}
    if run["job"] is None:
        return described
    try:
        job = await jobs.get(run["job"])
    except NotFound:  # the job was deleted meanwhile
        return described
    error = job.errors[0]["reason"] if job.errors else None
    return described | {"state": job.state, "done": job.done, "failed": job.failed, "error": error}
