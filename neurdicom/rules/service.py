"""The service of rules: stored, listed, and run when a series is stable."""

import hashlib
import logging
from collections.abc import Mapping
from typing import Any, Final

from neurdicom.archive.selection import Selection
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import DocumentQuery
from neurdicom.coordination import Periodic
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Conflict, Invalid, NeurdicomError, NotFound, Unavailable
from neurdicom.jobs import Job, JobService
from neurdicom.jobs.job import new_id, now
from neurdicom.processing.jobs import ProcessJobs
from neurdicom.processing.resolve import is_derived_here
from neurdicom.processing.run import RunRequest
from neurdicom.rules.rule import KIND, Rule
from neurdicom.rules.runs import RunLog
from neurdicom.rules.stable import StableSeries, StableService
from neurdicom.rules.tracker import SeriesTracker
from neurdicom.security.access import Principal

log = logging.getLogger(__name__)

#: Most rules in all; each is evaluated for each stable series.
MAX_RULES: Final = 1000

#: Seconds between looks for rules that were made at other servers.
_WATCH_SECONDS = 10.0


class RuleService:
    """Service of the rules of all servers on a catalog, which runs them on series that become stable here.

    Parameters
    ----------
    catalog : Catalog
        Stores the rules and the log of their runs.
    tracker : SeriesTracker
        Knows which series grow here.
    processing : ProcessJobs
        Checks actions, and makes the jobs.
    jobs : JobService
        Knows the states of the jobs.
    """

    def __init__(
        self,
        catalog: Catalog,
        tracker: SeriesTracker,
        processing: ProcessJobs,
        jobs: JobService,
    ) -> None:
        self._catalog = catalog
        self._documents = catalog.documents
        self._tracker = tracker
        self._stable = StableService(catalog.documents, tracker, self)
        self._processing = processing
        self._jobs = jobs
        self._runs = RunLog(catalog.documents)
        self._watcher = Periodic(self._refresh, _WATCH_SECONDS, "the rules in the catalog can't be read now")

    async def open(self) -> None:
        """Start to watch series, before the first arrival."""
        await self._refresh()
        await self._stable.open()
        self._watcher.start()

    async def close(self) -> None:
        """Stop. Idempotent."""
        await self._watcher.stop()
        await self._stable.close()

    # -- verbs -----------------------------------------------------------------------------------------------

    async def list(self) -> list[Rule]:
        """List every rule, in the order of creation."""
        return [Rule.from_document(document) for document in (await self._documents.query(KIND)).items]

    async def get(self, rule: str) -> Rule:
        """Return a rule. Raises `NotFound`."""
        document = await self._documents.get(KIND, rule)
        if document is None:
            raise NotFound(f"there is no rule {rule[:80]!r}")
        return Rule.from_document(document)

    async def add(self, request: Mapping[str, Any], *, by: Principal) -> Rule:
        """Make a rule.

        Raises
        ------
        Invalid
            A field is wrong, there is no such plugin or model, or it does not take the parameters.
        Conflict
            There are too many rules.
        """
        made = now()
        rule = Rule.from_request(request, id=new_id(), user=by.email, user_id=by.id, created=made, changed=made)
        self._check(rule)
        if (await self._documents.query(KIND, DocumentQuery(limit=0))).total >= MAX_RULES:
            raise Conflict(f"there are {MAX_RULES} rules, the most that are allowed; delete one first")
        await self._documents.put(KIND, {rule.id: rule.to_document()})
        await self._refresh()
        log.info("rule %s (%s) was made by %s", rule.id, rule.name, by.email)
        return rule

    async def replace(self, rule: str, request: Mapping[str, Any], *, by: Principal) -> Rule:
        """Replace the contents of a rule, which runs as the user `by` from now on. Raises as `add`.

        Parameters
        ----------
        rule : str
            Id of the rule.
        request : Mapping
            The new contents.
        by : Principal
            The user who asks.
        """
        while True:
            before = await self.get(rule)
            after = Rule.from_request(
                request, id=before.id, user=by.email, user_id=by.id, created=before.created, changed=now()
            )
            self._check(after)
            if await self._documents.swap(KIND, rule, before.to_document(), after.to_document()):
                await self._refresh()
                return after

    async def remove(self, rule: str) -> None:
        """Delete a rule; its jobs go on. Raises `NotFound`."""
        if not await self._documents.delete(KIND, rule):
            raise NotFound(f"there is no rule {rule[:80]!r}")
        await self._runs.remove(rule)
        await self._refresh()

    def is_stable(self, series: str) -> bool:
        """Tell by a series' key whether no instance of it arrived at this server for the quiet time."""
        return self._tracker.is_stable(series)

    async def describe(self, rule: Rule) -> dict[str, Any]:
        """Describe a rule for the API, with its problem if there is one, and its last runs."""
        return rule.to_api() | {"problem": self.problem(rule), **await self._runs.describe(rule.id, self._jobs)}

    def problem(self, rule: Rule) -> str | None:
        """Explain why a rule can't be run now; None if it can."""
        try:
            self._check(rule)
        except NeurdicomError as error:
            return str(error)
        return None

    def _prepare(self, rule: Rule, series: str) -> tuple[RunRequest, Selection]:
        """Parse the action into a processing job. Raises `Invalid` when it does not fit the installed tools."""
        try:
            return self._processing.prepare(rule.action), Selection.of(Level.SERIES, series)
        except NotFound as error:
            tool_type = "model" if rule.action.get("plugin") is None else "plugin"
            raise Invalid(str(error), field=f"action.{tool_type}") from error
        except Invalid as error:
            raise Invalid(str(error), field=f"action.{error.field}" if error.field else "action") from error

    def _check(self, rule: Rule) -> None:
        rule.queried()
        self._prepare(rule, "1")

    # -- stable series ---------------------------------------------------------------------------------------

    async def is_wanted(self) -> bool:
        """Tell whether any rule is enabled, also one that was just made at another server."""
        return any(rule.enabled for rule in await self.list())

    async def present_key(self, series: str) -> str:
        """Look up the present key of a series that has, or had, a key; that key where the series is gone."""
        return next(iter(await self._catalog.keys(Level.SERIES, series)), series)

    async def on_stable(self, stable: StableSeries) -> None:
        """Run the rules that a stable series meets. Raises temporary errors; the series is then handed over again."""
        rules = [rule for rule in await self.list() if rule.enabled]
        if not rules or await self._is_ours(stable.series):
            return
        for rule in rules:
            if await self._meets(stable.series, rule):
                await self._start(rule, stable)

    async def _is_ours(self, series: str) -> bool:
        """Tell whether a series is gone, or was derived by a NeurDICOM: stored results must not trigger rules."""
        return await is_derived_here(self._catalog, series) is not False

    async def _meets(self, series: str, rule: Rule) -> bool:
        conditions = (AnyOf("series", (series,)), *rule.queried())
        return bool((await self._catalog.find(Query(Level.INSTANCE, conditions, limit=1, counted=False))).items)

    async def _start(self, rule: Rule, stable: StableSeries) -> None:
        subject = hashlib.sha256(f"{rule.id} {stable.epoch}".encode()).hexdigest()
        try:
            job = await self._job_of(subject) if stable.is_repeated else None
            if job is None:
                request, selection = self._prepare(rule, stable.series)
                by = Principal(rule.user_id, rule.user)
                job = await self._processing.submit(request, selection, by=by, subject=subject, rule=rule.id)
        except (Unavailable, Conflict):
            raise
        except NeurdicomError as error:
            log.warning("rule %s (%s) could not be run on series %s: %s", rule.id, rule.name, stable.series, error)
            await self._runs.note(rule.id, stable.series, error=str(error))
            return
        log.info("rule %s (%s) runs on series %s as job %s", rule.id, rule.name, stable.series, job.id)
        await self._runs.note(rule.id, stable.series, job=job.id)

    async def _job_of(self, subject: str) -> Job | None:
        """Find the job that was made before a crash."""
        return await self._jobs.newest({"subject": subject})

    async def _refresh(self) -> None:
        await self._tracker.enable(await self.is_wanted())
