"""A rule, and its conversion from a request, to and from a document, and to the API."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from neurdicom.archive.selection import Selection
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Condition
from neurdicom.dicom.query.filter_schemas import conditions_schema
from neurdicom.errors import Invalid
from neurdicom.processing.run import ACTION_MEMBERS, EITHER_TOOL
from neurdicom.schema import Declaration
from neurdicom.schema.texts import line_text

#: Kind of the documents of rules.
KIND: Final = "rule"

#: Members of a rule in a request.
MEMBERS: Final[Mapping[str, Any]] = {
    "name": {**line_text(200), "default": ""},
    "enabled": {"type": "boolean", "default": True},
    "conditions": {
        **conditions_schema(Level.INSTANCE),
        "description": "Filters as in the list of instances, all of which must match one instance of the "
        "series; an empty object matches every series.",
    },
    "action": {
        "type": "object",
        "description": "The plugin or the model to run, and the options of the processing job.",
        "examples": [{"plugin": "org.example.plugin", "store": True}],
        "additionalProperties": False,
        "properties": ACTION_MEMBERS,
        "allOf": [EITHER_TOOL],
    },
}

#: A new rule, or one that replaces another.
RULE = Declaration(
    {"type": "object", "required": ["conditions", "action"], "additionalProperties": False, "properties": MEMBERS}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule; `RuleService` checks its action against the installed plugins and models.

    Attributes
    ----------
    id, name : str
        Id, and name for people.
    enabled : bool
        True if the rule runs.
    conditions : Mapping[str, Any]
        Filters as in a list of instances: a series meets them if one of its instances does.
    action : Mapping[str, Any]
        `plugin` or `model`, `params`, and the options of a processing job.
    user, user_id : str
        Email address and id of the user who made the rule and owns its jobs.
    created, changed : str
        Times, ISO 8601, UTC.
    """

    id: str
    name: str
    enabled: bool
    conditions: Mapping[str, Any]
    action: Mapping[str, Any]
    user: str
    user_id: str
    created: str
    changed: str

    @classmethod
    def from_request(cls, request: Mapping[str, Any], **own: str) -> Self:
        """Read a rule from a request; `own` are the fields that the server sets. Raises `Invalid`."""
        fields = RULE.check(request)
        try:
            selection = Selection.from_document({"level": "instances", "filters": fields["conditions"]})
        except Invalid as error:
            raise Invalid(str(error), field=f"conditions.{error.field}" if error.field else "conditions") from error
        return cls(
            name=fields.get("name", ""),
            enabled=fields.get("enabled", True),
            conditions={field: list(texts) for field, texts in selection.filters.items()},
            action=fields["action"],
            **own,
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a rule from a document of the catalog."""
        return cls(**document)

    def to_document(self) -> dict[str, Any]:
        """Convert the rule to a document of the catalog."""
        return asdict(self)

    def to_api(self) -> dict[str, Any]:
        """Describe the rule for the API."""
        conditions = {field: texts[0] if len(texts) == 1 else texts for field, texts in self.conditions.items()}
        return {
            "id": self.id,
            "name": self.name,
            "enabled": self.enabled,
            "conditions": conditions,
            "action": dict(self.action),
            "user": self.user,
            "created": self.created,
            "changed": self.changed,
        }

    def queried(self) -> tuple[Condition, ...]:
        """Convert the conditions to conditions of the catalog."""
        return Selection(level=Level.INSTANCE, filters=self.conditions).conditions()
