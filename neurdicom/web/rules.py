"""Routes of rules: lists, one, make, replace, delete."""

from typing import Any

from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import INTEGER, STRING, operation
from neurdicom.http.parameters import Paging
from neurdicom.http.routing import Route
from neurdicom.jobs import STATES
from neurdicom.rules import RuleService
from neurdicom.rules.rule import MEMBERS, RULE
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
        "conditions": {"type": "object", "description": "Field to text, or to a list of texts."},
        "user": {**STRING, "description": "Who made or changed it last; its jobs are theirs."},
        "created": _TIME,
        "changed": _TIME,
        "problem": {**_NULLABLE, "description": "Why it can't be run now: its plugin was deleted, say."},
    },
}
_RUN = {
    "type": "object",
    "required": ["series", "time", "job", "state", "error"],
    "properties": {
        "series": STRING,
        "time": _TIME,
        "job": {**_NULLABLE, "description": "Null when none could be made; `error` says why."},
        "state": {"enum": [*STATES, None], "description": "Of the job; null once it is forgotten."},
        "done": {"type": ["integer", "null"]},
        "failed": {"type": ["integer", "null"]},
        "error": {**_NULLABLE, "description": "The first."},
    },
}
_DESCRIBED: dict[str, Any] = {
    **_RULE,
    "required": [*_RULE["required"], "runs_count", "runs"],
    "properties": {
        **_RULE["properties"],
        "runs_count": INTEGER,
        "runs": {"type": "array", "items": _RUN, "description": "The last of them, the newest first."},
    },
}
_PAGING = Paging("rules")


class RulesHandler(ApiHandler):
    """All rules."""

    rules: RuleService

    @operation(
        "List rules",
        tag="rules",
        query=_PAGING.parameters,
        answers={200: json_answer("A page, in the order of their making.", {"type": "array", "items": _RULE})},
    )
    async def get(self) -> None:
        """Answer a page."""
        rules = await self.rules.list()
        send_slice(self, _PAGING, rules, lambda rule: rule.to_api() | {"problem": self.rules.problem(rule)})

    @operation(
        "Make a rule",
        tag="rules",
        access=Access.ADMIN,
        description="When a series is stable (no instance of it came for a while, through whatever door) and meets the "
        "conditions, a job runs the plugin or model over it. Series that were derived here set off no rules.",
        json=RULE,
        answers={201: json_answer("The rule.", _DESCRIBED), 409: "There are too many."},
    )
    async def post(self) -> None:
        """Make it."""
        rule = await self.rules.add(await self.json_body(), by=principal_of(self))
        self.set_header("Location", f"/api/rules/{rule.id}")
        self.send_json(await self.rules.describe(rule), 201)


class RuleHandler(ApiHandler):
    """One rule."""

    rules: RuleService

    @operation("Get a rule, with its last runs", tag="rules", answers={200: json_answer("The rule.", _DESCRIBED)})
    async def get(self, rule: str) -> None:
        """Answer it."""
        service = self.rules
        self.send_json(await service.describe(await service.get(rule)))

    @operation(
        "Replace a rule",
        tag="rules",
        access=Access.ADMIN,
        description="All fields are given anew. Series that are not stable yet meet the rule as it is then.",
        json=RULE,
        answers={200: json_answer("The rule as it is now.", _DESCRIBED)},
    )
    async def put(self, rule: str) -> None:
        """Replace it."""
        replaced = await self.rules.replace(rule, await self.json_body(), by=principal_of(self))
        self.send_json(await self.rules.describe(replaced))

    @operation(
        "Delete a rule",
        tag="rules",
        access=Access.ADMIN,
        description="Jobs that it has made go on.",
        answers={204: "It is gone."},
    )
    async def delete(self, rule: str) -> None:
        """Delete it."""
        await self.rules.remove(rule)
        self.set_status(204)
        self.finish()


ROUTES = [
    Route("/api/rules", RulesHandler),
    Route("/api/rules/{id}", RuleHandler),
]
