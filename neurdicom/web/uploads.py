"""Routes that store files: a DICOM file, a multipart body with any number of them, or a ZIP."""

from typing import Any

import orjson
from python_multipart.multipart import parse_options_header

from neurdicom.archive.upload import Upload, UploadService
from neurdicom.errors import NeurdicomError
from neurdicom.http.operation import BOOLEAN, FILE, STRING, operation
from neurdicom.http.problems import problem, retry_after, status_of
from neurdicom.http.routing import Route
from neurdicom.http.streamed import StreamedHandler
from neurdicom.web.schemas import json_answer

_NULLABLE = {"type": ["string", "null"]}
_IDS = ("id", "study", "series")
_UIDS = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
#: Outcomes that change nothing.
_THERE = ("duplicate", "kept")
_REPORT = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["file", "status", *_IDS, *_UIDS, "reason"],
                "properties": {
                    "file": STRING,
                    "status": {
                        "enum": ["stored", "replaced", "duplicate", "kept", "rejected"],
                        "description": "`replaced`: the instance was there with other bytes; `kept`: likewise, and "
                        "they stay (setting same_instance).",
                    },
                    **{name: {**_NULLABLE, "description": "Id after the store."} for name in _IDS},
                    **dict.fromkeys((*_UIDS, "reason"), _NULLABLE),
                    "previous": {**_NULLABLE, "description": "SHA-256 of the bytes that were replaced."},
                    "healed": {
                        **BOOLEAN,
                        "description": "True for a duplicate whose stored file was damaged, and was replaced by it.",
                    },
                },
            },
        }
    },
}


class UploadHandler(StreamedHandler):
    """Handler that stores instances; the body is written to disk as it arrives."""

    uploads: UploadService

    streamed: Upload | None = None

    def begin_body(self, content_type: str, length: int | None) -> Upload:
        """Begin the upload."""
        return self.uploads.begin(content_type, length, self._file_name())

    def _file_name(self) -> str:
        _, options = parse_options_header(self.request.headers.get("Content-Disposition", ""))
        return options.get(b"filename", b"").decode(errors="replace") or "body"

    @operation(
        "Store instances",
        tag="instances",
        description=(
            "The body is a DICOM file; a multipart body with any number of files, each part with a file name; or a ZIP "
            "of a folder tree, in which a DICOMDIR and files that are not DICOM are reported as rejected. The kind is "
            "recognised by the bytes, not by the Content-Type. Instances that are reported as stored are durable."
        ),
        body={
            "application/dicom": FILE,
            "application/zip": FILE,
            "multipart/form-data": {
                "type": "object",
                "properties": {"file": {"type": "array", "items": FILE, "minItems": 1}},
                "required": ["file"],
            },
        },
        answers={
            200: json_answer("All instances were stored before.", _REPORT),
            201: json_answer("All instances are stored.", _REPORT),
            207: json_answer(
                "Some instances are stored, others were rejected for the reasons in the results.", _REPORT
            ),
            409: "All files are refused, since their UIDs are those of other entities (setting conflicts), or since "
            "the instances are there with other bytes (setting same_instance).",
        },
    )
    async def post(self) -> None:
        """Finish the upload, and send the result of each file."""
        assert self.streamed is not None
        self.check_complete()
        results = await self.streamed.finish()
        report: dict[str, Any] = {"results": [result.to_api() for result in results]}
        errors = [result.error for result in results if result.error is not None]
        if len(errors) == len(results):
            self._refuse(errors, report)
        elif errors:
            self.send_json(report, 207)
        else:
            self.send_json(report, 200 if all(result.status in _THERE for result in results) else 201)

    def _refuse(self, errors: list[NeurdicomError], report: dict[str, Any]) -> None:
        statuses = {status_of(error) for error in errors}
        status = statuses.pop() if len(statuses) == 1 else 422
        code = errors[0].code if len({error.code for error in errors}) == 1 else None
        detail = f"none of the {len(errors)} files could be stored" if len(errors) > 1 else str(errors[0])
        self.set_status(status)
        for name, value in retry_after(errors[0]).items():
            self.set_header(name, value)
        self.set_header("Content-Type", "application/problem+json")
        self.finish(orjson.dumps(problem(status, detail, code=code) | report))


ROUTES = [Route("/api/instances/upload", UploadHandler)]
