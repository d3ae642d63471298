"""Routes of the versions of an instance: the list, and the restoration of an earlier one."""

import re
from datetime import UTC, datetime
from typing import Any

from neurdicom.archive.search import SearchService
from neurdicom.archive.trash.entry import to_iso
from neurdicom.archive.trash.service import TrashService
from neurdicom.archive.trash.versions import InstanceVersion
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, Invalid, shown
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BOOLEAN, INTEGER, STRING, operation
from neurdicom.http.routing import Route
from neurdicom.schema import Schema
from neurdicom.schema.texts import whole_text
from neurdicom.web.schemas import entity_schema, json_answer

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)

#: JSON Schema of what `parse_sha256` takes.
SHA256_SCHEMA: Schema = whole_text("[0-9A-Fa-f]{64}", description="64 hexadecimal digits.")


def parse_sha256(text: str) -> str:
    """Parse a SHA-256 in hexadecimal, in upper or lower case. Raises `Invalid`."""
    if not _SHA256.fullmatch(text):
        raise Invalid(f"version is {shown(text)}; a SHA-256 has 64 hexadecimal digits", field="version")
    return text.lower()


_VERSION: Schema = {
    "type": "object",
    "required": ["sha256", "size", "received", "current", "trash", "until"],
    "properties": {
        "sha256": STRING,
        "size": INTEGER,
        "received": {"type": ["string", "null"], "format": "date-time"},
        "current": {**BOOLEAN, "description": "Whether these are the bytes that are served."},
        "trash": {
            "type": ["string", "null"],
            "description": "Id of its entry in the trash; null for the current one, and for one of another series that "
            "a move put in the same place.",
        },
        "until": {"type": ["string", "null"], "format": "date-time", "description": "When it is deleted for good."},
    },
}


class VersionsHandler(ApiHandler):
    """Handler of the list of versions."""

    trash: TrashService

    @operation(
        "List the versions of an instance",
        tag="instances",
        description="The current one, then the earlier ones, the latest first. `GET .../file?version=SHA256` gives the "
        "bytes of each.",
        answers={200: json_answer("The versions.", {"type": "array", "items": _VERSION})},
    )
    async def get(self, instance: str) -> None:
        """Send the versions of an instance."""
        self.send_json([_to_api(version) for version in await self.trash.versions.all_of(instance)])


class RestoreVersionHandler(ApiHandler):
    """Handler that makes an earlier version the current one."""

    search: SearchService
    trash: TrashService

    @operation(
        "Make an earlier version of an instance the current one",
        tag="instances",
        description="The one that is current now becomes an earlier version. One of another series that a move put in "
        "the same place can be chosen, too; undoing the move parts them again.",
        answers={
            200: json_answer("The instance.", entity_schema(Level.INSTANCE)),
            409: "It is the current version, is being deleted, or another one arrived at the same moment.",
            410: "Its file is gone, or damaged.",
        },
    )
    async def post(self, instance: str, sha256: str) -> None:
        """Restore a version."""
        version = await self.trash.versions.find(instance, sha256)
        if version.is_current:
            raise Conflict(f"the version {version.sha256} is the current one")
        if version.entry is None:
            await self.trash.versions.renew(instance, version)
        else:
            await self.trash.restore(version.entry.id)
        self.send_json(await self.search.get(Level.INSTANCE, version.entry.entity if version.entry else instance))


def _to_api(version: InstanceVersion) -> dict[str, Any]:
    entry = version.entry
    until = entry.until if entry is not None else None
    return {
        "sha256": version.sha256,
        "size": version.size,
        "received": version.received,
        "current": version.is_current,
        "trash": entry.id if entry is not None else None,
        "until": None if until is None else to_iso(datetime.fromtimestamp(until, UTC)),
    }


ROUTES = [
    Route("/api/instances/{id}/versions", VersionsHandler),
    Route("/api/instances/{id}/versions/{sha256}/restore", RestoreVersionHandler),
]
