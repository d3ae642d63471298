"""STOW-RS (PS3.18 10.5), which stores the instances of a multipart body, and answers with the outcome of each.

And DELETE, which is not in PS3.18, but which clients know from other servers.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any

import orjson

from neurdicom import errors
from neurdicom.archive.remove import RemoveService
from neurdicom.archive.targets import Target, TargetService
from neurdicom.archive.trash.service import Deletion
from neurdicom.archive.upload import StoredReference, StoreUpload, UploadService
from neurdicom.catalog.outcomes import Refusal
from neurdicom.dicom.codec.native_xml import to_xml
from neurdicom.dicomweb.base import (
    ACCEPT,
    DICOM_JSON,
    DICOM_XML,
    REFERENCE,
    TAG,
    DicomWebHandler,
    check_reference,
)
from neurdicom.errors import NeurdicomError, NotAvailable, StorageFull, Unavailable
from neurdicom.http.accept import Offer
from neurdicom.http.operation import FILE, STRING, operation
from neurdicom.http.problems import retry_after
from neurdicom.http.streamed import StreamedHandler

log = logging.getLogger(__name__)

#: Class of error to Failure Reason (0008,1197) (PS3.18 10.5.3.2.1, PS3.4 B.2.3).
FAILURE: dict[type[NeurdicomError], int] = {
    errors.TooLarge: 0xA700,  # out of resources
    errors.Unavailable: 0xA700,
    errors.Invalid: 0xA900,  # the dataset lacks what its SOP class needs: a UID that identifies it
    errors.Conflict: 0xA901,  # likewise: it is not of the study in the path
    errors.NotDicom: 0xC000,  # cannot understand
    errors.Malformed: 0xC000,
    errors.NotAvailable: 0xC122,  # transfer syntax not supported
    errors.NeurdicomError: 0x0110,  # processing failure
}

#: Most instances whose reasons are written to the log and the Warning header.
_MOST_REASONS = 3

_OFFERS = (Offer(DICOM_JSON), Offer("application/json"), Offer(DICOM_XML))
_CONTENT = {
    DICOM_JSON: {"schema": {"type": "object"}},
    "application/json": {"schema": {"type": "object"}},
    DICOM_XML: {"schema": STRING},
}
_ANSWERS = {
    status: {"description": f"{whole}; the answer has the outcome of each.", "content": _CONTENT}
    for status, whole in (
        (200, "All instances are stored"),
        (202, "Some instances are stored, others are refused"),
        (409, "No instance is stored"),
        (503, "No instance is stored, since the server can't store now"),
        (507, "No instance is stored, since the server's disk is full"),
    )
}
_DESCRIPTION = (
    "A multipart/related body with any number of DICOM files (type application/dicom), or with metadata and bulk data "
    "(type application/dicom+json or application/dicom+xml; a part for each BulkDataURI, which is its "
    "Content-Location); or a single application/dicom body. An instance that is reported as stored is durable; one "
    "that was stored before counts as stored, also where settings keep its earlier bytes. One that settings refuse for "
    "others with its UIDs has Failure Reason A900. With a study in the path, instances of other studies are refused, "
    "and the others are stored."
)
_REMOVAL = "Refused with 403 unless the setting `dicomweb_delete` allows it. Parents left empty are deleted too."
_REMOVED = {204: "Deleted, with its files.", 403: "The setting `dicomweb_delete` does not allow it."}


#: Failure Reason of an instance that was refused for others with its UIDs.
_REFUSED = 0xA900


def failure_reason(error: NeurdicomError, refusal: Refusal | None = None) -> int:
    """Look up the Failure Reason (0008,1197) of an error, by its most specific class in the table.

    Parameters
    ----------
    error : NeurdicomError
        Why an instance was not stored.
    refusal : Refusal, optional
        The conflict for which it was refused.
    """
    return _REFUSED if refusal else next(FAILURE[kind] for kind in type(error).__mro__ if kind in FAILURE)


class StoreInstances(DicomWebHandler, StreamedHandler):
    """Handler that stores instances, of any studies or of one; the body is written to the disk as it arrives."""

    uploads: UploadService
    targets: TargetService

    streamed: StoreUpload | None = None

    def begin_body(self, content_type: str, length: int | None) -> StoreUpload:
        """Check the headers and the study in the path, and begin to receive instances."""
        study = self.path_args[0] if self.path_args else None
        if study is not None:
            check_reference(study, "study")
        return self.uploads.begin_store(content_type, length, study)

    @operation(
        "Store instances",
        tag=TAG,
        description=_DESCRIPTION,
        query=[ACCEPT],
        path={"study": REFERENCE},
        body={"multipart/related": FILE, "application/dicom": FILE},
        answers={**_ANSWERS, 415: "A body of another media type, or in another content coding than gzip."},
    )
    async def post(self, study: str | None = None) -> None:
        """Answer with the outcome of each instance."""
        assert self.streamed is not None
        self.check_complete()
        references = await self.streamed.references()
        failed = [error for each in references if each.result and (error := each.result.error)]
        if failed:
            self._warn(references, len(failed))
        media_type = self._media_type()
        # Only now: a later instance of this body may have made the UIDs of an earlier one ambiguous.
        stored = [each for each in references if each.result and each.result.place]
        paths = await self.targets.paths([each.result.place for each in stored if each.result and each.result.place])
        body = await asyncio.to_thread(_encode, references, paths, self.base_url, media_type)
        self.set_status(_status(references, failed))
        if self.get_status() >= HTTPStatus.INTERNAL_SERVER_ERROR:
            worst = max(failed, key=lambda error: isinstance(error, StorageFull))
            for name, value in retry_after(worst).items():
                self.set_header(name, value)
        await self.send_body(body, media_type)

    def _media_type(self) -> str:
        """Choose the media type of the response; JSON if none is acceptable, since the instances are stored by now."""
        try:
            return self.negotiate(_OFFERS).offer.media_type
        except NotAvailable:
            return DICOM_JSON

    def _warn(self, references: Sequence[StoredReference], failures: int) -> None:
        """Write the reasons to the log and the Warning header, since the dataset has no element for text."""
        failed = (each.result for each in references if each.result and each.result.error)
        reasons = "; ".join(f"{result.file}: {result.error}" for result in islice(failed, _MOST_REASONS))
        if failures > _MOST_REASONS:
            reasons += f"; and {failures - _MOST_REASONS} more"
        log.info("%d of %d instances were not stored: %s", failures, len(references), reasons)
        text = "".join(char if " " <= char <= "~" and char not in '"\\' else "'" for char in reasons)[:1000]
        self.set_header("Warning", f'299 neurdicom "{text}"')


def _status(references: Sequence[StoredReference], failed: Sequence[NeurdicomError]) -> int:
    if not failed:
        return HTTPStatus.OK
    if len(failed) < len(references):
        return HTTPStatus.ACCEPTED
    if not all(isinstance(error, Unavailable) for error in failed):
        return HTTPStatus.CONFLICT
    is_full = any(isinstance(error, StorageFull) for error in failed)
    return HTTPStatus.INSUFFICIENT_STORAGE if is_full else HTTPStatus.SERVICE_UNAVAILABLE


def _encode(references: Sequence[StoredReference], paths: Sequence[Target], base: str, media_type: str) -> bytes:
    response = store_response(references, paths, base)
    return to_xml(response) if media_type == DICOM_XML else orjson.dumps(response)


def store_response(references: Sequence[StoredReference], paths: Iterable[Target], base: str) -> dict[str, Any]:
    """Make the Store Instances Response (PS3.18 10.5.3) in the DICOM JSON model.

    Parameters
    ----------
    references : sequence of StoredReference
        The references of the request with their results.
    paths : iterable of Target
        Paths of those that are stored, in their order.
    base : str
        URL of the DICOMweb base.
    """
    stored: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    studies: set[str] = set()
    places = iter(paths)
    for each in references:
        result = each.result
        if result is None:
            continue
        if result.error is None:
            place = next(places)
            studies.add(place.study)
            stored.append(_named(each) | {"00081190": _element("UR", base + place.path)})
            continue
        reason = {"00081197": _element("US", failure_reason(result.error, result.refusal))}
        (failed if each.sop_instance else others).append((_named(each) if each.sop_instance else {}) | reason)
    study_url = base + Target(studies.pop()).path if len(studies) == 1 else None
    dataset: dict[str, Any] = {"00081190": _element("UR", study_url)}
    for key, items in (("00081198", failed), ("00081199", stored), ("0008119A", others)):
        if items:
            dataset[key] = {"vr": "SQ", "Value": items}
    return dataset


def _named(reference: StoredReference) -> dict[str, Any]:
    return {
        "00081150": _element("UI", reference.sop_class or None),
        "00081155": _element("UI", reference.sop_instance),
    }


def _element(vr: str, value: str | int | None) -> Mapping[str, Any]:
    return {"vr": vr} if value is None else {"vr": vr, "Value": [value]}


class Remove(DicomWebHandler):
    """Handler that deletes a study, a series or an instance, with everything below."""

    remove: RemoveService
    targets: TargetService

    @operation("Delete a study, series or instance", tag=TAG, description=_REMOVAL, answers=_REMOVED)
    async def delete(self, study: str, series: str | None = None, instance: str | None = None) -> None:
        """Delete the study, series or instance of the path."""
        if not self.context.settings.dicomweb_delete:
            raise errors.Forbidden(
                "DELETE is not allowed at the DICOMweb base (setting dicomweb_delete); the API's "
                "DELETE /api/studies/{id} does the same"
            )
        target = Target(study, series, instance)
        deletion = Deletion(self.principal.email if self.principal else None)
        await self.remove.delete(target.level, await self.targets.key(target), deletion)
        self.set_status(204)
        self.finish()
