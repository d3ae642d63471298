"""Routes of the storage: what it holds, which files are damaged, and the job that checks all."""

from typing import Any

from neurdicom.archive.names import EntityNames
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import INTEGER, NUMBER, STRING, operation
from neurdicom.http.routing import Route
from neurdicom.nodes.verification import VERIFICATION, VerificationJobs
from neurdicom.processing.storage import StorageOverview
from neurdicom.security.access import Access
from neurdicom.web.jobs import job_answer, principal_of, send_job
from neurdicom.web.schemas import json_answer

_COUNTED = {
    "type": "object",
    "required": ["count", "bytes"],
    "properties": {"count": INTEGER, "bytes": INTEGER},
}
_DIGEST = {"type": ["object", "null"], "properties": {"sha256": STRING, "size": {"type": ["integer", "null"]}}}
_DAMAGE = {
    "type": "object",
    "properties": {
        "file": {
            **STRING,
            "description": "Path of the file below `blobs/objects` in the data folder; for one that lies in the trash, "
            "or is an earlier version, below `blobs`.",
        },
        "instance": {"type": ["string", "null"], "description": "Its SOP Instance UID; null where it is not known."},
        "instance_key": {"type": ["string", "null"], "description": "Its key, which names no other instance."},
        "entry": {
            "type": ["string", "null"],
            "description": "Id of the entry of the trash in which it lies; null for others.",
        },
        "problem": {"enum": ["missing", "size", "bytes", "unreadable"]},
        "expected": {**_DIGEST, "description": "Null where files of an entry of the trash are missing."},
        "found": {**_DIGEST, "description": "Null where there is no file, or the disk can't read it."},
        "since": {"type": "string", "format": "date-time"},
        "detail": STRING,
    },
}
_STORAGE: dict[str, Any] = {
    "type": "object",
    "required": ["instances", "trash", "quota", "results", "plugins", "models", "disk", "last_check", "damaged"],
    "properties": {
        **dict.fromkeys(("instances", "trash", "results", "plugins", "models"), _COUNTED),
        "quota": {
            "type": "object",
            "required": ["max_storage", "used", "max_age_days", "protected", "alert"],
            "properties": {
                "max_storage": {
                    **INTEGER,
                    "description": "Bytes that instances and the trash may take; 0: all.",
                },
                "used": {**INTEGER, "description": "Bytes that they take."},
                "max_age_days": {
                    **NUMBER,
                    "description": "Days from a study's last arrival to its end; 0: none.",
                },
                "protected": {**_COUNTED, "description": "Studies with the label `protected`, or of such patients."},
                "alert": {
                    "type": ["object", "null"],
                    "description": "Why nothing can be deleted, though more is used than may be.",
                    "required": ["since", "detail"],
                    "properties": {"since": {"type": "string", "format": "date-time"}, "detail": STRING},
                },
            },
        },
        "disk": {"type": "object", "properties": {"total": INTEGER, "free": INTEGER}},
        "last_check": {
            "type": ["object", "null"],
            "description": "The last check of all files, by the background, a job or a command; null before the first.",
            "properties": {
                "began": {"type": "string", "format": "date-time"},
                "ended": {"type": "string", "format": "date-time"},
                "by": {"enum": ["background", "job", "command"]},
                **dict.fromkeys(("files", "bytes", "damaged", "repaired"), NUMBER),
                "unknown": {**INTEGER, "description": "Files that no instance has."},
            },
        },
        "damaged": {
            "type": "object",
            "description": "Files that are damaged now, and not given out, also in the trash; the first 100 are named.",
            "properties": {"count": INTEGER, "files": {"type": "array", "items": _DAMAGE}},
        },
    },
}


class StorageHandler(ApiHandler):
    """Handler of the overview."""

    overview: StorageOverview

    @operation(
        "Get what is stored, and what is damaged",
        tag="operations",
        access=Access.ADMIN,
        description="Bytes of instances and of the trash are those of their files.",
        answers={200: json_answer("Counts and bytes by kind, the disk, the last check, damaged files.", _STORAGE)},
    )
    async def get(self) -> None:
        """Send the overview."""
        self.send_json(await self.overview.describe())


class VerifyHandler(ApiHandler):
    """Handler that makes a job which checks all files."""

    names: EntityNames
    verification: VerificationJobs

    @operation(
        "Check all stored files",
        tag="operations",
        access=Access.ADMIN,
        description="Makes a job that compares every file, also in the trash, with the SHA-256 of what was received. "
        "With `repair` it repairs damaged ones from the trash, and from the nodes that `repair_from` names. Its "
        "`results` have the counts and the first findings: file, instance, problem, what was expected and found.",
        json=VERIFICATION,
        answers={202: job_answer("The job; Location is its URL."), 409: "You have too many jobs that are not over."},
    )
    async def post(self) -> None:
        """Make the job, and send it."""
        given = await self.json_body() if self.body else {}
        await send_job(self, await self.verification.submit(given, by=principal_of(self)), self.names)


ROUTES = [
    Route("/api/storage", StorageHandler),
    Route("/api/storage/verify", VerifyHandler),
]
