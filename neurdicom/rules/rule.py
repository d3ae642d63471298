"""A rule: read from a request, checked, kept as a document."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from neurdicom.archive.selection import Selection
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Condition
from neurdicom.errors import Invalid

_FIELDS: Final = ("name", "enabled", "conditions", "action")

#: What an action says, as a request for a processing job does (`processing.jobs`).
_ACTION: Final = ("plugin", "model", "params", "format", "store", "cache", "frame")

LONGEST_NAME: Final = 200


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
        fields = _object(request, "the rule", _FIELDS)
        name = fields.get("name", "")
        if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
            raise Invalid(
                f"name is {name!r:.80}; a text of at most {LONGEST_NAME} characters is expected", field="name"
            )
        enabled = fields.get("enabled", True)
        if not isinstance(enabled, bool):
            raise Invalid(f"enabled is {enabled!r:.80}; true or false is expected", field="enabled")
        for required in ("conditions", "action"):
            if required not in fields:
                raise Invalid(f"{required} is missing", field=required)
        selection = _selection(fields["conditions"])
        action = _object(fields["action"], "action", _ACTION)
        conditions = {field: list(texts) for field, texts in selection.filters.items()}
        return cls(name=name, enabled=enabled, conditions=conditions, action=action, **own)

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


def _selection(conditions: object) -> Selection:
    if not isinstance(conditions, dict):
        raise Invalid(f"conditions is {conditions!r:.80}; an object of filters is expected", field="conditions")
    try:
        return Selection.from_document({"level": "instances", "filters": conditions})
    except Invalid as error:
        raise Invalid(str(error), field=f"conditions.{error.field}" if error.field else "conditions") from error


def _object(given: object, name: str, fields: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Invalid(f"{name} is {given!r:.80}; an object is expected", field=name.removeprefix("the "))
    for field in given:
        if field not in fields:
            raise Invalid(f"{name} has {field[:64]!r}; {', '.join(fields)} are known", field=field[:64])
    return given
