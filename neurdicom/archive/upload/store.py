"""The body of a Store transaction (PS3.18 10.5): DICOM files, or metadata and bulk data, in one multipart body."""

from dataclasses import dataclass
from typing import Any

from python_multipart.multipart import parse_options_header

from neurdicom.archive.ingest.result import IngestResult
from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.upload.body import Upload
from neurdicom.archive.upload.bulk import MetadataParts
from neurdicom.archive.upload.files import FileReader
from neurdicom.archive.upload.multipart import Event, PartBegins, PartData
from neurdicom.archive.upload.pairing import PairedDataset
from neurdicom.blobs.base import Spool
from neurdicom.dicom.header import Header
from neurdicom.dicom.identity import key_of, uid_of
from neurdicom.dicom.part10 import media_storage
from neurdicom.errors import Conflict, Malformed, NeurdicomError, NotDicom

DICOM = "application/dicom"
METADATA = ("application/dicom+json", "application/dicom+xml", "application/json", "application/xml")

#: Transfer encodings that leave a part's bytes unchanged (RFC 2045 6.2).
_IDENTITIES = ("", "binary", "8bit", "7bit")


@dataclass(slots=True)
class StoredReference:
    """Instance of a Store transaction with its result; unknown fields are empty. An `ArrivalObserver`.

    Attributes
    ----------
    study : str or None
        Study Instance UID that it must have, or the key of its study by what the file says of its patient.
    sop_class, sop_instance : str
        Its UIDs.
    result : IngestResult or None
        Set at the end.
    """

    study: str | None
    sop_class: str = ""
    sop_instance: str = ""
    result: IngestResult | None = None

    def on_header(self, header: Header) -> None:
        """Record the UIDs of the instance. Raises `Conflict` for one of another study."""
        patient, study, _, self.sop_instance = header.ids
        self.sop_class = header.layout.sop_class
        if self.study not in (None, study, key_of(study, patient)):
            found = key_of(study, patient) if uid_of(self.study) == study else study
            raise Conflict(f"the instance {self.sop_instance} is of study {found}; {self.study} is expected")

    def on_unreadable(self, head: bytes) -> None:
        """Record the UIDs that an unreadable file claims in its file meta information."""
        if not self.sop_instance:
            self.sop_class, self.sop_instance = media_storage(head)


class StoreUpload(Upload):
    """Body of a Store transaction.

    Parameters
    ----------
    ingest : IngestService
        Stores instances.
    content_type : str
        `multipart/related` with the media type of its first part, or `application/dicom` for a single file.
    max_upload : int
        Most bytes of the body; 0 for no limit.
    study : str or None
        Study Instance UID that all instances must have, or the study's key.

    Raises
    ------
    NotDicom
        The media type is another.
    Malformed
        The boundary of a multipart body is missing.
    """

    def __init__(self, ingest: IngestService, content_type: str, max_upload: int, study: str | None) -> None:
        self._study = study
        self._references: list[StoredReference] = []
        kind = _media_type(content_type)
        named = _type_of_parts(content_type) if kind.startswith("multipart/") else kind
        self._type = named or DICOM
        if kind not in ("multipart/related", DICOM) or self._type not in (DICOM, *METADATA):
            raise NotDicom(
                f"Content-Type is {content_type[:200]!r}; multipart/related with type={DICOM} or "
                f"type={METADATA[0]} or {METADATA[1]}, or {DICOM}, is expected"
            )
        self._gathered = MetadataParts(ingest) if self._type in METADATA else None
        self._gathering = False
        self._untyped = not named
        super().__init__(ingest, content_type, "body", max_upload)

    def _reader(self, name: str) -> FileReader:
        reference = StoredReference(self._study)
        self._references.append(reference)
        return FileReader(self._ingest, name, self._results, observer=reference, archives=False)

    async def _handle(self, event: Event) -> None:
        if isinstance(event, PartBegins):
            self._begin(event)
        elif self._gathering and self._gathered is not None:
            if isinstance(event, PartData):
                await self._gathered.write(event.data)
            else:
                self._gathering = False
        else:
            await super()._handle(event)

    def _begin(self, part: PartBegins) -> None:
        self._file, self._gathering = None, False
        encoding = part.headers.get("content-transfer-encoding", "").strip().lower()
        content_type = part.headers.get("content-type", "")
        media_type = _media_type(content_type) or self._type
        name = f"part {len(self._references) + 1}"
        if self._untyped and media_type in METADATA and self._gathered is None:
            self._gathered = MetadataParts(self._ingest)
        if encoding not in _IDENTITIES:
            self._references.append(StoredReference(self._study))
            message = f"Content-Transfer-Encoding is {encoding[:40]!r}; HTTP sends parts in binary"
            self._results.reject(name, Malformed(message))
        elif self._gathered is None or media_type == DICOM:
            self._file = self._reader(name)
        elif media_type in METADATA:
            _, options = parse_options_header(content_type)
            self._gathered.begin_metadata(media_type, options.get(b"charset", b"").decode("latin-1"))
            self._gathering = True
        else:
            _, options = parse_options_header(content_type)
            syntax = options.get(b"transfer-syntax", b"").decode("latin-1") or None
            self._gathered.begin_bulk(part.headers.get("content-location", "").strip(), media_type, syntax)
            self._gathering = True

    async def _complete(self) -> None:
        if self._multipart is None:
            assert self._file is not None
            if not self._size:
                raise Malformed("the body is empty; a DICOM file is expected")
            file, self._file = self._file, None
            await self._finish_part(file)
            return
        if not self._multipart.complete:
            raise Malformed("the multipart body ends before its closing boundary")
        if self._gathered is not None:
            for number, dataset in enumerate(await self._gathered.datasets(), 1):
                reference = _named(dataset.dataset, self._study)
                self._references.append(reference)
                await self._results.add(self._assemble(self._gathered, f"dataset {number}", dataset, reference))
        if not len(self._results):
            raise Malformed("the multipart body has no instance in it")

    async def _assemble(
        self, gathered: MetadataParts, name: str, dataset: PairedDataset, reference: StoredReference
    ) -> IngestResult:
        try:
            spool: Spool = await self._ingest.run(gathered.assemble, dataset)
        except NeurdicomError as error:
            return IngestResult.rejected(name, error)
        return await self._ingest.store(spool, name, self._results.order, reference)

    @property
    def _single(self) -> bool:
        return False

    async def references(self) -> list[StoredReference]:
        """Finish the body; return each instance with its result, in order.

        An error that ended the body after the first of them is one more, without UIDs.

        Raises
        ------
        NeurdicomError
            The body as a whole is wrong, and nothing in it could be recognised.
        """
        try:
            results = await self.finish()
        finally:
            await self._close()
        named = [*self._references, *(StoredReference(self._study) for _ in results[len(self._references) :])]
        for reference, result in zip(named, results, strict=False):
            reference.result = result
        return [reference for reference in named if reference.result is not None]

    async def abort(self) -> None:
        """Discard incomplete files, and wait until they are gone. Idempotent."""
        await super().abort()
        await self._close()

    async def _close(self) -> None:
        if self._gathered is not None:
            await self._gathered.close()


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _type_of_parts(content_type: str) -> str:
    """Read the `type` parameter of multipart/related (RFC 2387); empty where a client leaves it out."""
    _, options = parse_options_header(content_type)
    return _media_type(options.get(b"type", b"").decode("latin-1"))


def _named(dataset: Any, study: str | None) -> StoredReference:
    """Read the UIDs of a dataset before it is known to be well-formed."""

    def first(key: str) -> str:
        element = dataset.get(key) if isinstance(dataset, dict) else None
        values = element.get("Value") if isinstance(element, dict) else None
        return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else ""

    return StoredReference(study, first("00080016"), first("00080018"))
