"""The service that begins uploads of every kind."""

from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.upload.body import Upload, too_large
from neurdicom.archive.upload.multipart import shown_name
from neurdicom.archive.upload.store import StoreUpload

#: Bytes of a refused body that are read and dropped, so that the sender can read the error: most clients see only a
#: broken connection when it is closed while they send.
DRAIN = 64 * 1024 * 1024


class UploadService:
    """Service that begins uploads.

    Parameters
    ----------
    ingest : IngestService
        Stores instances.
    max_upload : int
        Most bytes of a body; 0 for no limit.
    """

    def __init__(self, ingest: IngestService, max_upload: int = 0) -> None:
        self._ingest = ingest
        self._max_upload = max_upload

    def begin(self, content_type: str = "", length: int | None = None, name: str = "body") -> Upload:
        """Begin an upload.

        Parameters
        ----------
        content_type : str
            Content-Type of the body; multipart bodies are parsed, all others are recognised by their bytes.
        length : int, optional
            Bytes of the body where known.
        name : str
            Name in its result of the file in a body that is not multipart.

        Raises
        ------
        TooLarge
            The body is so far beyond the limit that it is not even read.
        Malformed
            The boundary of a multipart body is missing.
        """
        self._check_length(length)
        return Upload(self._ingest, content_type, shown_name(name), self._max_upload)

    def begin_store(self, content_type: str, length: int | None = None, study: str | None = None) -> StoreUpload:
        """Begin the body of a Store transaction (PS3.18 10.5).

        Parameters
        ----------
        content_type, length
            As for `begin`.
        study : str, optional
            Study Instance UID that all instances must have, or the study's key.

        Raises
        ------
        NotDicom
            The body's media type can't hold instances.
        TooLarge, Malformed
            As `begin`.
        """
        self._check_length(length)
        return StoreUpload(self._ingest, content_type, self._max_upload, study)

    def _check_length(self, length: int | None) -> None:
        if self._max_upload and length is not None and length > self._max_upload + DRAIN:
            raise too_large(length, self._max_upload)
