"""Opening of ZIPs that may be hostile: the directory is bounded before it is read; every fault is one error class."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from neurdicom.errors import Invalid

T = TypeVar("T")

#: Exceptions that reading a broken ZIP can raise.
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)

_ENCRYPTED = 0x1 | 0x40 | 0x2000


def refused(reason: str) -> Invalid:
    """Make the error that refuses an archive."""
    return Invalid(f"the archive is refused: {reason}", field="archive")


def reading(read: Callable[[], T]) -> T:
    """Read from a ZIP. Raises `Invalid` for whatever is broken in it."""
    try:
        return read()
    except _BROKEN as error:
        raise refused(f"it is not a ZIP that can be read: {error}") from error


def open_zip(file: BinaryIO, limit: int) -> zipfile.ZipFile:
    """Open a ZIP whose directory has at most `limit` bytes, since zipfile reads the whole of it into memory.

    Raises
    ------
    Invalid
        It is not a ZIP, or its directory is larger.
    """
    size = file.seek(0, io.SEEK_END)
    # The end record with the longest comment, and before it the two records of ZIP64.
    tail_size = min(size, 22 + 65535 + 20 + 56)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) - end < 22:
        raise refused("it is not a ZIP, or its end is missing")
    (directory,) = struct.unpack_from("<L", tail, end + 12)
    zip64 = end - 20 - 56
    if zip64 >= 0 and tail[zip64 : zip64 + 4] == b"PK\6\6":
        (directory64,) = struct.unpack_from("<Q", tail, zip64 + 40)
        directory = directory64 if directory == 0xFFFFFFFF else max(directory, directory64)
    if directory > limit:
        raise refused(f"its directory has {directory} bytes; at most {limit} are taken")
    file.seek(0)
    return reading(lambda: zipfile.ZipFile(file))


def is_encrypted(info: zipfile.ZipInfo) -> bool:
    """Tell whether an entry needs a password."""
    return bool(info.flag_bits & _ENCRYPTED)


def is_bounded(info: zipfile.ZipInfo) -> bool:
    """Tell whether an entry is packed by a method that zipfile inflates piece by piece."""
    return info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
