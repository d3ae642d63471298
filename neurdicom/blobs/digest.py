"""Digests of files as the disk has them."""

import hashlib
import os
from pathlib import Path

from neurdicom.blobs.base import BlobDigest, Pace
from neurdicom.errors import NotFound

#: Bytes read at a time; a buffer that stays in the processor's cache is read and hashed fastest.
_DIGESTED = 256 * 1024


def digest_file(path: Path, pace: Pace | None = None, *, from_disk: bool = False) -> BlobDigest:
    """Read a file for its size and SHA-256; blocks.

    Parameters
    ----------
    path : Path
        The file of a blob.
    pace : callable, optional
        Slows the reading down, or stops it.
    from_disk : bool
        Read what the disk has rather than what the system has cached of it, and leave nothing cached.

    Raises
    ------
    NotFound
        There is no file.
    OSError
        The disk can't read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no blob {path.name!r}") from error
    found, size = hashlib.sha256(), 0
    try:
        buffer = memoryview(bytearray(_DIGESTED))
        if from_disk:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        while read := os.readv(descriptor, [buffer]):
            found.update(buffer[:read])
            size += read
            if pace is not None:
                pace(read)
        if from_disk:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return BlobDigest(size, found.hexdigest())
