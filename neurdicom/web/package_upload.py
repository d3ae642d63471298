"""The upload of a plugin's or model's ZIP: a bare body, or the one file of a multipart body."""

import asyncio
from typing import Any, Generic, TypeVar

from neurdicom.archive.upload.multipart import MultipartReader, PartBegins, PartData
from neurdicom.blobs.base import Spool
from neurdicom.errors import Malformed, NeurdicomError, TooLarge, disk_failure
from neurdicom.plugins.service import PackageService
from neurdicom.plugins.versions import PackageVersion

VersionT = TypeVar("VersionT", bound=PackageVersion)

#: Most bytes of an archive.
MAX_ARCHIVE = 2 << 30


class PackageUpload(Generic[VersionT]):
    """Upload of a package, written to disk as it arrives. Ends in `finish` or `abort`.

    Parameters
    ----------
    packages : PackageService
        Installs the package.
    content_type : str
        A multipart body is parsed; any other body is the archive itself.
    limit : int
        Most bytes of the archive, up to `MAX_ARCHIVE`.
    """

    def __init__(self, packages: PackageService[VersionT, Any], content_type: str, limit: int = MAX_ARCHIVE) -> None:
        self._limit = min(limit, MAX_ARCHIVE)
        self._packages = packages
        self._is_multipart = content_type.strip().lower().startswith("multipart/")
        self._content_type = content_type
        self._reader: MultipartReader | None = None
        self._spool: Spool | None = None
        self._files = 0
        self._in_file = not self._is_multipart
        self._error: NeurdicomError | None = None
        self._lock = asyncio.Lock()  # `abort` may come while a piece is being written

    async def write(self, data: bytes) -> None:
        """Add the next piece. Errors are raised by `finish`."""
        async with self._lock:
            if self._error is not None:
                return
            try:
                await self._write(data)
            except NeurdicomError as error:
                self._error = error
                await self._discard()

    async def finish(self) -> tuple[VersionT, bool]:
        """Finish the upload and install the package; see `PackageService.install`.

        Raises
        ------
        Malformed
            The body is empty, or not a multipart body with one file.
        TooLarge
            It is larger than an archive may be.
        Invalid
            The package is refused; see `PackageService.install`.
        """
        async with self._lock:
            try:
                if self._error is not None:
                    raise self._error
                if self._reader is not None and not self._reader.complete:
                    raise Malformed("the multipart body ends before its closing boundary")
                if self._spool is None:
                    raise Malformed(f"the body has no file; the ZIP of a {self._packages.noun} is expected")
                return await self._packages.install(self._spool)
            finally:
                await self._discard()

    def drop(self) -> None:
        """Discard the upload, since its sender has disconnected; does not wait."""
        self._packages.drop(self.abort())

    async def abort(self) -> None:
        """Discard the upload. Idempotent."""
        async with self._lock:
            await self._discard()
            self._error = self._error or Malformed("the upload was interrupted by its sender")

    async def _write(self, data: bytes) -> None:
        if not self._is_multipart:
            await self._append([data])
            return
        if self._reader is None:
            self._reader = MultipartReader(self._content_type)
        pieces: list[bytes | memoryview] = []
        for event in self._reader.feed(data):
            if isinstance(event, PartBegins):
                self._in_file = event.file is not None
                self._files += self._in_file
                if self._files > 1:
                    raise Malformed(
                        f"the multipart body has several files; the ZIP of one {self._packages.noun} is expected"
                    )
            elif isinstance(event, PartData) and self._in_file:
                pieces.append(event.data)
        await self._append(pieces)

    async def _append(self, pieces: list[bytes | memoryview]) -> None:
        size = sum(map(len, pieces))
        if size + (self._spool.size if self._spool is not None else 0) > self._limit:
            raise TooLarge(f"the archive has more than {self._limit} bytes, the most that are allowed")
        if size:
            self._spool = await asyncio.to_thread(_append, self._packages, self._spool, pieces)

    async def _discard(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            await asyncio.to_thread(spool.discard)


def _append(packages: PackageService[Any, Any], spool: Spool | None, pieces: list[bytes | memoryview]) -> Spool:
    try:
        spool = spool or packages.new_spool()
        for piece in pieces:
            spool.write(piece)
    except OSError as error:
        if spool is not None:
            spool.discard()
        raise disk_failure(error, f"the server can't store the {packages.noun}") from error
    return spool
