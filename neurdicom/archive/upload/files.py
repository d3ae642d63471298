"""A file of an upload as it arrives: an instance, a ZIP of files, or neither, by its first bytes."""

from neurdicom.archive.ingest.service import Arrival, ArrivalObserver, IngestService
from neurdicom.archive.upload.results import UploadResults
from neurdicom.archive.upload.zip import ZipReader
from neurdicom.dicom.bare import PROBE, may_be_instance
from neurdicom.errors import NotDicom

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


class FileReader:
    """Reader of one file. Every reader ends in `finish` or in `abort`.

    Parameters
    ----------
    ingest : IngestService
        Stores instances.
    name : str
        The sender's name for the file.
    results : UploadResults
        Receives its result, or those of the files in it.
    observer : ArrivalObserver, optional
        Inspects the header of an instance.
    archives : bool
        Whether a ZIP is unpacked.
    """

    def __init__(
        self,
        ingest: IngestService,
        name: str,
        results: UploadResults,
        *,
        observer: ArrivalObserver | None = None,
        archives: bool = True,
    ) -> None:
        self.name = name
        self._observer = observer
        self._archives = archives
        self._ingest = ingest
        self._results = results
        self._head = bytearray()
        self._decided = False
        self._arrival: Arrival | None = None
        self._archive: ZipReader | None = None

    @property
    def is_archive(self) -> bool:
        """True if the file is a ZIP, whose results are those of the files in it."""
        return self._archive is not None

    async def write(self, data: bytes | memoryview) -> None:
        """Add the next piece."""
        if not self._decided:
            self._head += data
            if len(self._head) < PROBE:
                return
            data = self._decide()
        if self._arrival is not None:
            await self._arrival.write(data)
        elif self._archive is not None:
            await self._archive.write(data)

    def _decide(self) -> bytes:
        head = bytes(self._head)
        self._head.clear()
        self._decided = True
        if may_be_instance(head, strict=self._ingest.strictness.part10):
            self._arrival = self._ingest.receive(self.name, self._results.order, self._observer)
        elif self._archives and head.startswith(_ZIP):
            self._archive = ZipReader(self._ingest, self._results)
        return head

    async def finish(self, *, wait: bool = False) -> None:
        """Finish the file; with `wait`, an instance is stored on return.

        Raises
        ------
        NotDicom
            It is neither a DICOM file nor a ZIP.
        Malformed, TooLarge, Unavailable
            It is a ZIP that can't be read, or that the server can't store.
        """
        if not self._decided:
            head = self._decide()
            if self._arrival is not None:
                await self._arrival.write(head)
            elif self._archive is not None:
                await self._archive.write(head)
        if self._arrival is not None:
            storing = self._arrival.finish()
            await (self._results.take(storing) if wait else self._results.add(storing))
            self._arrival = None
        elif self._archive is not None:
            await self._archive.finish()
        else:
            expected = "neither a DICOM file (PS3.10: no DICM at offset 128) nor a ZIP of such files"
            raise NotDicom(f"this is {expected if self._archives else 'no DICOM file (PS3.10: no DICM at offset 128)'}")

    async def abort(self) -> None:
        """Discard the file. Idempotent."""
        if self._arrival is not None:
            await self._arrival.abort()
        if self._archive is not None:
            await self._archive.abort()
