"""Routes of the trash: what was deleted, its restoration, and its deletion for good."""

from datetime import UTC, datetime
from typing import Any

from neurdicom.archive.trash.entry import KINDS, TrashEntry, to_iso
from neurdicom.archive.trash.service import TrashService
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import INTEGER, STRING, operation
from neurdicom.http.parameters import Paging
from neurdicom.http.routing import Route
from neurdicom.schema import Schema
from neurdicom.web.listing import send_items
from neurdicom.web.schemas import json_answer

_PAGING = Paging("entries")
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_ENTRY: dict[str, Any] = {
    "type": "object",
    "required": [
        *("id", "kind", "uids", "patient_id", "patient_name", "instances", "bytes", "user", "time", "reason", "until")
    ],
    "properties": {
        "id": STRING,
        "kind": {"enum": list(KINDS), "description": "Level of what was deleted, or `version`: replaced bytes."},
        "uids": {
            "type": "object",
            "additionalProperties": STRING,
            "description": "Its UIDs, and those above it, by field name.",
        },
        "patient_id": _TEXT_OR_NULL,
        "patient_name": _TEXT_OR_NULL,
        "instances": {**INTEGER, "description": "Number of files."},
        "bytes": {**INTEGER, "description": "Bytes of the files."},
        "user": {**_TEXT_OR_NULL, "description": "Who deleted it; null for the server itself."},
        "time": {"type": "string", "format": "date-time"},
        "reason": {**_TEXT_OR_NULL, "description": "Why, as the user said it."},
        "until": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When it is deleted for good; null for never.",
        },
        "sha256": {**_TEXT_OR_NULL, "description": "SHA-256 of a version."},
    },
}


class TrashHandler(ApiHandler):
    """Handler of the list of what lies in the trash."""

    trash: TrashService

    @operation(
        "List what lies in the trash",
        tag="trash",
        description="The latest first. What lies there is in no other list, query, count or retrieval.",
        query=_PAGING.parameters,
        answers={200: json_answer("A page of entries.", {"type": "array", "items": _ENTRY})},
    )
    async def get(self) -> None:
        """Send a page of entries."""
        limit, offset = _PAGING.of(self)
        entries, total = await self.trash.page(limit=limit, offset=offset)
        send_items(self, [_to_api(entry) for entry in entries], offset=offset, total=total)


class TrashEntryHandler(ApiHandler):
    """Handler of one entry."""

    trash: TrashService

    @operation("Get an entry of the trash", tag="trash", answers={200: json_answer("The entry.", _ENTRY)})
    async def get(self, entry: str) -> None:
        """Send an entry."""
        self.send_json(_to_api(await self.trash.get(entry)))

    @operation(
        "Delete an entry of the trash for good",
        tag="trash",
        description="Its files, results, edits and labels are deleted, and can't be restored.",
        answers={204: "Deleted.", 409: "It is being restored."},
    )
    async def delete(self, entry: str) -> None:
        """Empty an entry."""
        await self.trash.empty(entry)
        self.set_status(204)
        self.finish()


class RestoreHandler(ApiHandler):
    """Handler that restores an entry."""

    trash: TrashService

    @operation(
        "Restore an entry of the trash",
        tag="trash",
        description="Files, results, edits and labels come back, and parents are made anew. An instance that is there "
        "with the same bytes is left; one with other bytes stays current, and the restored bytes become an earlier "
        "version of it. A version becomes the current one.",
        answers={
            200: json_answer("The entry, which is no more.", _ENTRY),
            409: "It is being restored or deleted.",
            410: "Its files are gone, or one of them is damaged; nothing is restored.",
        },
    )
    async def post(self, entry: str) -> None:
        """Restore an entry."""
        self.send_json(_to_api(await self.trash.restore(entry)))


def _to_api(entry: TrashEntry) -> dict[str, Any]:
    until = None if entry.until is None else to_iso(datetime.fromtimestamp(entry.until, UTC))
    names = (
        "id",
        "kind",
        "uids",
        "patient_id",
        "patient_name",
        "instances",
        "bytes",
        "user",
        "time",
        "reason",
        "sha256",
    )
    return {name: getattr(entry, name) for name in names} | {"until": until}


ROUTES = [
    Route("/api/trash", TrashHandler),
    Route("/api/trash/{id}", TrashEntryHandler),
    Route("/api/trash/{id}/restore", RestoreHandler),
]
