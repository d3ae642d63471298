"""Routes of rules."""

from typing import Any

from neurdicom.archive.names import EntityNames
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import INTEGER, STRING, operation
from neurdicom.http.parameters import Paging
from neurdicom.http.routing import Route
from neurdicom.jobs import STATES
from neurdicom.rules import RuleService
from neurdicom.rules.rule import MEMBERS, RULE, Rule
from neurdicom.security.access import Access
from neurdicom.web.jobs import principal_of
from neurdicom.web.listing import send_slice
from neurdicom.web.schemas import json_answer

_NULLABLE = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time"}
_RULE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "name", "enabled", "conditions", "action", "user", "created", "changed", "problem"],
    "properties": {
        "id": STRING,
        **MEMBERS,
        "conditions": {"type": "object", "description": "A text, or a list of texts, by field name."},
        "user": {**STRING, "description": "User who last made or changed the rule, and who owns its jobs."},
        "created": _TIME,
        "changed": _TIME,
        "problem": {
            **_NULLABLE,
            "description": "Why the rule can't be run now, for example since its plugin was deleted.",
        },
    },
}
_RUN = {
    "type": "object",
    "required": ["series", "time", "job", "state", "error"],
    "properties": {
        "series": {**STRING, "description": "Id of the series."},
        "series_uid": {**STRING, "description": "Series Instance UID."},
        "time": _TIME,
        "job": {**_NULLABLE, "description": "Id of the job; null if none could be made, for the reason in `error`."},
        "state": {"enum": [*STATES, None], "description": "State of the job; null after its record was deleted."},
        "done": {"type": ["integer", "null"]},
        "failed": {"type": ["integer", "null"]},
        "error": {**_NULLABLE, "description": "First error of the run."},
    },
}
_DESCRIBED: dict[str, Any] = {
    **_RULE,
    "required": [*_RULE["required"], "runs_count", "runs"],
    "properties": {
        **_RULE["properties"],
        "runs_count": INTEGER,
        "runs": {"type": "array", "items": _RUN, "description": "The last runs, newest first."},
    },
}
_PAGING = Paging("rules")


class _RuleHandler(ApiHandler):
    rules: RuleService
    names: EntityNames

    async def _describe(self, rule: Rule) -> dict[str, Any]:
        described = await self.rules.describe(rule)
        return described | {"runs": await self.names.shown(described["runs"])}


class RulesHandler(_RuleHandler):
    """Handler of the list of rules."""

    @operation(
        "List rules",
        tag="rules",
        query=_PAGING.parameters,
        answers={200: json_answer("A page of rules, ordered by creation.", {"type": "array", "items": _RULE})},
    )
    async def get(self) -> None:
        """Send a page of rules."""
        rules = await self.rules.list()
        send_slice(self, _PAGING, rules, lambda rule: rule.to_api() | {"problem": self.rules.problem(rule)})

    @operation(
        "Add a rule",
        tag="rules",
        access=Access.ADMIN,
        description="When a series becomes stable (no instance of it arrived for `stable_seconds`, over any protocol) "
        "and meets the conditions, a job runs the plugin or the model on it. Series that this server derived start no "
        "rules.",
        json=RULE,
        answers={201: json_answer("The new rule.", _DESCRIBED), 409: "The server has too many rules."},
    )
    async def post(self) -> None:
        """Add a rule, and send it."""
        rule = await self.rules.add(await self.json_body(), by=principal_of(self))
        self.set_header("Location", self.public_path(f"/api/rules/{rule.id}"))
        self.send_json(await self._describe(rule), 201)


class RuleHandler(_RuleHandler):
    """Handler of one rule."""

    async def check_path(self, *ids: str) -> None:
        """Check that there is such a rule."""
        await self.rules.get(*ids)

    @operation("Get a rule with its last runs", tag="rules", answers={200: json_answer("The rule.", _DESCRIBED)})
    async def get(self, rule: str) -> None:
        """Send the rule."""
        self.send_json(await self._describe(await self.rules.get(rule)))

    @operation(
        "Replace a rule",
        tag="rules",
        access=Access.ADMIN,
        description="Fields that are left out get their defaults. Series that are not stable yet are compared with "
        "the new rule.",
        json=RULE,
        answers={200: json_answer("The changed rule.", _DESCRIBED)},
    )
    async def put(self, rule: str) -> None:
        """Replace the rule, and send it."""
        replaced = await self.rules.replace(rule, await self.json_body(), by=principal_of(self))
        self.send_json(await self._describe(replaced))

    @operation(
        "Delete a rule",
        tag="rules",
        access=Access.ADMIN,
        description="Jobs of the rule continue.",
        answers={204: "The rule is deleted."},
    )
    async def delete(self, rule: str) -> None:
        """Delete the rule."""
        await self.rules.remove(rule)
        self.set_status(204)
        self.finish()


ROUTES = [
    Route("/api/rules", RulesHandler),
    Route("/api/rules/{id}", RuleHandler),
]
