"""Routes of labels: of an entity's labels, of one of them, and of all labels in use."""

from typing import Any

from neurdicom.archive.labels.service import LabelService, LabelUse
from neurdicom.archive.selection import NAME_OF
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.labels import LABEL_SCHEMA
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import INTEGER, STRING, operation
from neurdicom.http.parameters import Paging, sort_parameter
from neurdicom.http.routing import Route
from neurdicom.schema import Schema
from neurdicom.web.listing import send_items
from neurdicom.web.schemas import LABELS_SCHEMA, json_answer

_PAGING = Paging("labels")
_SORT = sort_parameter(["label"])
_USE: Schema = {
    "type": "object",
    "required": ["label", *NAME_OF.values()],
    "properties": {
        "label": STRING,
        **{name: {**INTEGER, "description": f"Number of {name} that have it."} for name in NAME_OF.values()},
    },
}


class LabelsHandler(ApiHandler):
    """Handler of the list of all labels."""

    labels: LabelService

    @operation(
        "List the labels in use",
        tag="labels",
        description="By name, with the number of entities of each level that have the label themselves.",
        query=[*_PAGING.parameters, _SORT],
        answers={200: json_answer("A page of labels.", {"type": "array", "items": _USE})},
    )
    async def get(self) -> None:
        """Send a page of labels."""
        limit, offset = _PAGING.of(self)
        is_descending = any(descending for _, descending in _SORT.of(self))
        uses, total = await self.labels.page(limit=limit, offset=offset, descending=is_descending)
        send_items(self, [_to_api(use) for use in uses], offset=offset, total=total)


def _to_api(use: LabelUse) -> dict[str, Any]:
    return {"label": use.label, **{NAME_OF[level]: count for level, count in use.counts.items()}}


def label_routes(level: Level) -> list[Route]:
    """Make the routes of the labels of one entity of a level."""
    base = f"/api/{NAME_OF[level]}/{{id}}/labels"
    return [Route(base, labels_handler(level)), Route(f"{base}/{{label}}", label_handler(level))]


def labels_handler(level: Level) -> type[ApiHandler]:
    """Make the handler of the labels of one entity."""

    class EntityLabelsHandler(ApiHandler):
        labels: LabelService

        @operation(
            f"List the labels of {_one(level)}",
            tag=NAME_OF[level],
            answers={200: json_answer("The labels.", LABELS_SCHEMA)},
        )
        async def get(self, entity: str) -> None:
            self.send_json(await self.labels.of(level, entity))

    return EntityLabelsHandler


def label_handler(level: Level) -> type[ApiHandler]:
    """Make the handler that gives a label to one entity, and takes it away."""

    class EntityLabelHandler(ApiHandler):
        labels: LabelService

        @operation(
            f"Give a label to {_one(level)}",
            tag=NAME_OF[level],
            description="Nothing changes if it has that already. Labels are not written into the stored files; they go "
            "along to the trash, and to another patient.",
            path={"label": LABEL_SCHEMA},
            answers={204: "It has the label.", 422: "It is no label, or the entity has as many as it can have."},
        )
        async def put(self, entity: str, label: str) -> None:
            await self.labels.give(level, entity, label, user=self.principal.email if self.principal else None)
            self.set_status(204)
            self.finish()

        @operation(
            f"Take a label from {_one(level)}",
            tag=NAME_OF[level],
            path={"label": LABEL_SCHEMA},
            answers={204: "It does not have the label any more."},
        )
        async def delete(self, entity: str, label: str) -> None:
            await self.labels.take(level, entity, label)
            self.set_status(204)
            self.finish()

    return EntityLabelHandler


def _one(level: Level) -> str:
    return f"{'an' if level is Level.INSTANCE else 'a'} {level}"


ROUTES = [*(route for level in Level for route in label_routes(level)), Route("/api/labels", LabelsHandler)]
