"""A rule: read from a request, checked, kept as a document."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from neurdicom.archive.selection import Selection
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Condition
from neurdicom.dicom.query.filter_schemas import conditions_schema
from neurdicom.errors import Invalid
from neurdicom.processing.schemas import ACTION_MEMBERS, EITHER_TOOL
from neurdicom.schema import Declaration
from neurdicom.schema.texts import line_text

#: Members of a rule that a request gives.
MEMBERS: Final[Mapping[str, Any]] = {
    "name": {**line_text(200), "default": ""},
    "enabled": {"type": "boolean", "default": True},
    "conditions": {
        **conditions_schema(Level.INSTANCE),
        "description": "Filters as a list of instances takes them, all of which must hold for one instance of the "
        "series; an empty object means every series.",
    },
    "action": {
        "type": "object",
        "description": "What is run: a plugin or a model, and the options of a processing job.",
        "examples": [{"plugin": "org.example.plugin", "store": True}],
        "additionalProperties": False,
        "properties": ACTION_MEMBERS,
        "allOf": [EITHER_TOOL],
    },
}

#: A rule that is made or takes the place of another.
RULE = Declaration(
    {"type": "object", "required": ["conditions", "action"], "additionalProperties": False, "properties": MEMBERS}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule; what it runs is checked by `RuleService`, against what is installed.

    Attributes
    ----------
    id, name : str
    enabled : bool
        It is run.
    conditions : Mapping[str, Any]
        Filters of a list of instances: a series meets them when one of its instances does.
    action : Mapping[str, Any]
        What is run: `plugin` or `model`, `params`, and the options of a processing job.
    user, user_id : str
        Who made it, and whose its jobs are: the address, and the id.
    created, changed : str
        ISO 8601, UTC.
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
        """Read what a request asks for; `own` are the fields that are the server's. Raises `Invalid`."""
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
        """Read a document of the catalog."""
        return cls(**document)

    def to_document(self) -> dict[str, Any]:
        """Write it as a document of the catalog."""
        return asdict(self)

    def to_api(self) -> dict[str, Any]:
        """Describe it for the API."""
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
        """Translate the conditions for the catalog."""
        return Selection(level=Level.INSTANCE, filters=self.conditions).conditions()
