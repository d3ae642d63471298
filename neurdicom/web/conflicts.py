"""Route `/api/conflicts`: UIDs that name several studies, series or instances."""

from typing import Any

from neurdicom.archive.search import SearchService
from neurdicom.catalog.outcomes import CONFLICT_LEVELS, UidConflict
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import STRING, operation
from neurdicom.http.parameters import Paging
from neurdicom.http.routing import Route
from neurdicom.schema import Schema
from neurdicom.web.listing import send_slice
from neurdicom.web.schemas import json_answer

_PAGING = Paging("conflicts")
_CONFLICT: Schema = {
    "type": "object",
    "required": ["kind", "uid", "ids", "since"],
    "properties": {
        "kind": {"enum": list(CONFLICT_LEVELS), "description": "Level of the entities, and where they differ."},
        "uid": STRING,
        "ids": {"type": "array", "items": STRING, "description": "Ids of the entities, the earliest first."},
        "since": {"type": "string", "format": "date-time", "description": "Arrival of the second of them."},
    },
}


class ConflictsHandler(ApiHandler):
    """Handler of the list of conflicts."""

    search: SearchService

    @operation(
        "List the UIDs that name several entities",
        tag="conflicts",
        description="Each is listed at the highest level at which the entities differ: what lies below two studies of "
        "one UID is not listed again. A conflict is over when one of its entities is deleted, or moved to where the "
        "other is.",
        query=_PAGING.parameters,
        answers={200: json_answer("A page of conflicts.", {"type": "array", "items": _CONFLICT})},
    )
    async def get(self) -> None:
        """Send a page of conflicts."""
        send_slice(self, _PAGING, await self.search.conflicts(), _to_api)


def _to_api(conflict: UidConflict) -> dict[str, Any]:
    return {"kind": conflict.kind, "uid": conflict.uid, "ids": list(conflict.ids), "since": conflict.since}


ROUTES = [Route("/api/conflicts", ConflictsHandler)]
