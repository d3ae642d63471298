"""Takes bodies of uploads, of every kind."""

from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.upload.body import Upload, too_large
from neurdicom.archive.upload.multipart import shown_name
from neurdicom.archive.upload.store import StoreUpload

#: What is read and thrown away of a body that is refused, so that the sender gets to read why: most clients see a
#: broken connection when it is closed on them while they send.
DRAIN = 64 * 1024 * 1024


class UploadService:
    """Takes uploads.

    Parameters
    ----------
    ingest : IngestService
    max_upload : int
        Bytes that a body may have; 0 for no limit.
    """

    def __init__(self, ingest: IngestService, max_upload: int = 0) -> None:
        self._ingest = ingest
        self._max_upload = max_upload

    def begin(self, content_type: str = "", length: int | None = None, name: str = "body") -> Upload:
        """Begin to take a body.

        Parameters
        ----------
        content_type : str
            Multipart bodies are taken apart; the bytes of all others tell what they are.
        length : int, optional
            Bytes of the body where it is known.
        name : str
            What the file in a body that is no multipart is called in its result.

        Raises
        ------
        TooLarge
            The body is so far past the limit that it is not even read.
        Malformed
            A multipart body whose boundary is not given.
        """
        self._check_length(length)
        return Upload(self._ingest, content_type, shown_name(name), self._max_upload)

    def begin_store(self, content_type: str, length: int | None = None, study: str | None = None) -> StoreUpload:
        """Begin to take the body of a Store transaction (PS3.18 10.5).

        Parameters
        ----------
        content_type, length
            As for `begin`.
        study : str, optional
            Study Instance UID that all instances must have.

        Raises
        ------
        NotDicom
            The body's media type is none that instances come in.
        TooLarge, Malformed
            As `begin`.
        """
        self._check_length(length)
        return StoreUpload(self._ingest, content_type, self._max_upload, study)

    def _check_length(self, length: int | None) -> None:
        if self._max_upload and length is not None and length > self._max_upload + DRAIN:
            raise too_large(length, self._max_upload)
