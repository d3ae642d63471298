"""The body of an upload as it arrives: a DICOM file, a ZIP of files, or a multipart body with any number of them."""

import asyncio

from neurdicom.archive.ingest.result import IngestResult
from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.upload.files import FileReader
from neurdicom.archive.upload.multipart import Event, MultipartReader, PartBegins, PartData
from neurdicom.archive.upload.results import UploadResults
from neurdicom.errors import Malformed, NeurdicomError, TooLarge

#: Bytes of a multipart body that are parsed at a time, and events that are handled at a time.
_SLICE = 32 * 1024
_MANY = 32


class Upload:
    """Body of an upload. Its methods are called one after another; every upload ends in `finish` or `abort`."""

    def __init__(self, ingest: IngestService, content_type: str, name: str, max_upload: int) -> None:
        self._ingest = ingest
        self._name = name
        self._max_upload = max_upload
        self._size = 0
        self._error: NeurdicomError | None = None
        self._results = UploadResults()
        self._lock = asyncio.Lock()  # `abort` may come while a piece is being written
        multipart = content_type.strip().lower().startswith("multipart/")
        self._multipart = MultipartReader(content_type) if multipart else None
        self._file = None if multipart else self._reader(name)

    def _reader(self, name: str) -> FileReader:
        return FileReader(self._ingest, name, self._results)

    async def write(self, data: bytes) -> None:
        """Add the next piece. Errors are raised by `finish`."""
        async with self._lock:
            self._size += len(data)
            if self._error is not None:
                return
            try:
                await self._write(data)
            except NeurdicomError as error:
                await self._fail(error)

    async def _write(self, data: bytes) -> None:
        if self._max_upload and self._size > self._max_upload:
            raise too_large(self._size, self._max_upload)
        if self._multipart is None:
            assert self._file is not None
            await self._file.write(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), _SLICE):
            for number, event in enumerate(self._multipart.feed(bytes(view[start : start + _SLICE])), 1):
                await self._handle(event)
                if number % _MANY == 0:
                    await asyncio.sleep(0)  # of many tiny parts: yield the event loop

    async def _handle(self, event: Event) -> None:
        if isinstance(event, PartBegins):
            self._file = None if event.file is None else self._reader(event.file)
        elif isinstance(event, PartData):
            if self._file is not None:
                await self._file.write(event.data)
        elif self._file is not None:
            file, self._file = self._file, None
            await self._finish_part(file)

    async def _finish_part(self, file: FileReader) -> None:
        try:
            await file.finish()
        except NeurdicomError as error:
            await file.abort()
            self._results.reject(file.name, error)

    async def _fail(self, error: NeurdicomError) -> None:
        """Stop reading; when there are results already, the error becomes one of them."""
        self._error = error
        file, self._file = self._file, None
        if file is not None:
            await file.abort()
        if len(self._results):
            self._results.note(self._name if file is None else file.name, error)

    async def finish(self) -> list[IngestResult]:
        """Finish the body; return one result for each file, in order.

        Raises
        ------
        NeurdicomError
            The body as a whole is wrong, and no file in it could be recognised; or its only file, when the body is that
            file.
        """
        async with self._lock:
            if self._error is None:
                try:
                    await self._complete()
                except NeurdicomError as error:
                    await self._fail(error)
            results = await self._results.all()
            if self._error is not None and not results:
                raise self._error
            if self._single and results[0].error is not None:
                raise results[0].error
            return results

    @property
    def _single(self) -> bool:
        return self._multipart is None and self._file is not None and not self._file.is_archive

    async def _complete(self) -> None:
        if self._multipart is None:
            assert self._file is not None
            if not self._size:
                raise Malformed("the body is empty; a DICOM file, a ZIP or a multipart body is expected")
            await self._file.finish(wait=True)
        elif not self._multipart.complete:
            raise Malformed("the multipart body ends before its closing boundary")
        elif not len(self._results):
            raise Malformed("the multipart body has no file in it (a part with a file name)")

    def drop(self) -> None:
        """Discard incomplete files, since the sender has disconnected; complete files may still be stored."""
        self._ingest.later(self.abort())

    async def abort(self) -> None:
        """Discard incomplete files, and wait until they are gone. Idempotent."""
        async with self._lock:
            if self._error is None:
                self._error = Malformed("the upload was interrupted by its sender")
            file, self._file = self._file, None
            if file is not None:
                await file.abort()
            await self._results.all()


def too_large(size: int, limit: int) -> TooLarge:
    """Make the error for a body that is larger than the limit."""
    return TooLarge(f"the body has {size} bytes or more; at most {limit} are allowed (max_upload)")
