"""A ZIP of a folder tree, as on a patient's CD. Names in it appear in results and are never used as paths."""

import asyncio
import io
import struct
import zipfile
import zlib
from typing import IO

from neurdicom.archive.ingest.service import Inflow, IngestService
from neurdicom.archive.upload.multipart import shown_name
from neurdicom.archive.upload.results import MAX_FILES, UploadResults
from neurdicom.blobs.base import Spool
from neurdicom.dicom.bare import may_be_instance
from neurdicom.errors import Malformed, NeurdicomError, NotDicom, TooLarge

#: Most bytes that a ZIP may unpack to: this sum, and this ratio of its own size. Blank images shrink a lot, others not.
UNPACKED_BYTES = 1 << 30
UNPACKED_RATIO = 100

#: Most bytes of a ZIP's table of contents, which is read as a whole.
MAX_DIRECTORY = 32 * 1024 * 1024

_PIECE = 1024 * 1024
_PIECES_AT_A_TIME = 8

_ENCRYPTED = 0x1
#: Supported methods. LZMA is not one, since the archive decides how much memory it takes.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}

#: Exceptions of zipfile and the decompressors for broken input.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)


class ZipReader:
    """Reader of a ZIP, which stores its instances one after another. Ends in `finish` or in `abort`."""

    def __init__(self, ingest: IngestService, results: UploadResults) -> None:
        self._ingest = ingest
        self._results = results
        self._inflow = Inflow(ingest)
        self._left = 0

    async def write(self, data: bytes | memoryview) -> None:
        """Add the next piece."""
        await self._inflow.write(data)

    async def abort(self) -> None:
        """Discard the ZIP. Idempotent."""
        await self._inflow.abort()

    async def finish(self) -> None:
        """Store the instances in the ZIP, and add a result for each of its files.

        Raises
        ------
        Malformed
            It can't be read, or has no file in it.
        TooLarge
            It has too many files.
        Unavailable
            The server can't store it.
        """
        spool = await self._inflow.complete()
        try:
            self._left = UNPACKED_BYTES + UNPACKED_RATIO * spool.size
            file, archive = await self._ingest.run(_open, spool)
            with file, archive:
                files = [member for member in archive.infolist() if not member.is_dir()]
                if not files:
                    raise Malformed("the ZIP has no file in it")
                for member in files:
                    await self._store(archive, member)
                    await asyncio.sleep(0)  # of many refused members: yield the event loop
        finally:
            await self._ingest.run(spool.discard)

    async def _store(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        name = shown_name(member.filename)
        try:
            _check(member)
            spool = await self._unpack(archive, member)
        except NeurdicomError as error:
            self._results.reject(name, error)
            return
        await self._results.add(self._ingest.store(spool, name, self._results.order))

    async def _unpack(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Spool:
        source = await self._ingest.run(_open_member, archive, member)
        spool: Spool | None = None
        try:
            while spool is None or not source.closed:
                # In steps, so that the threads serve other uploads between the parts of a large file.
                spool = await self._ingest.run(self._unpack_some, source, spool)
        finally:
            source.close()
        return spool

    def _unpack_some(self, source: IO[bytes], spool: Spool | None) -> Spool:
        """Unpack the next few pieces; with the last of them, close the source. The spool is discarded on an error."""
        try:
            for _ in range(_PIECES_AT_A_TIME):
                piece = _read(source, _PIECE)
                if spool is None and not may_be_instance(piece, strict=self._ingest.strictness.part10):
                    raise NotDicom("this is not a DICOM file (PS3.10: no DICM at offset 128)")
                self._left -= len(piece)
                if self._left < 0:
                    raise TooLarge("the ZIP unpacks to far more than its own size; this file is not stored")
                if spool is not None and not piece:
                    source.close()
                    return spool
                spool = self._ingest.append(spool, (piece,))
        except BaseException:
            if spool is not None:
                spool.discard()
            raise
        assert spool is not None
        return spool


class _Bounded(io.FileIO):
    """File that limits what zipfile reads of the table of contents, in bytes and entries."""

    opening = True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.opening and size is not None and size > MAX_DIRECTORY:
            raise TooLarge(f"the ZIP's table of contents has {size} bytes; at most {MAX_DIRECTORY} are allowed")
        data = super().read(size)
        if self.opening and data.count(b"PK\x01\x02") > MAX_FILES:
            raise TooLarge(f"the ZIP has more than {MAX_FILES} files; send them in several ZIPs")
        return data


def _open(spool: Spool) -> tuple[_Bounded, zipfile.ZipFile]:
    file = _Bounded(spool.path)
    try:
        archive = zipfile.ZipFile(file)
    except TooLarge:
        file.close()
        raise
    except _BROKEN as error:
        file.close()
        raise Malformed(f"the ZIP can't be read: {error}") from error
    file.opening = False
    return file, archive


def _check(member: zipfile.ZipInfo) -> None:
    if member.filename.rsplit("/", 1)[-1].upper() == "DICOMDIR":
        raise NotDicom("this is a DICOMDIR, an index of other files, which is not stored")
    if member.flag_bits & _ENCRYPTED:
        raise Malformed("this file is encrypted")
    if member.compress_type not in _METHODS:
        raise Malformed(f"ZIP compression method {member.compress_type} is not supported; use deflate")


def _open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(member)
    except _BROKEN as error:
        raise Malformed(f"this file can't be unpacked: {error}") from error


def _read(source: IO[bytes], size: int) -> bytes:
    try:
        return source.read(size)
    except _BROKEN as error:
        raise Malformed(f"this file can't be unpacked: {error}") from error
