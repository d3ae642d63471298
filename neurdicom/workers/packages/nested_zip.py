"""ZIPs within a plugin's ZIP: data files like any other, unless they are nested too deep.

The server never unpacks them, but a plugin may, and a deep chain of archives serves only to exhaust the reader.
"""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from neurdicom.errors import Invalid
from neurdicom.workers.packages.zip_reader import is_bounded, is_encrypted, open_zip, reading, refused

#: Most levels of ZIPs below the plugin's own: a wheel with an .npz in it has two.
MAX_NESTING = 2

#: Most bytes of an inner archive, and of its directory, that are checked; larger ones are left to the plugin.
_MAX_INNER = 64 << 20
_MAX_DIRECTORY = 1 << 20

_MAGIC = b"PK\3\4"


def check_nesting(paths: Iterable[Path]) -> None:
    """Check the ZIPs among extracted files for their depth.

    Raises
    ------
    Invalid
        One holds ZIPs within ZIPs past `MAX_NESTING`. A file that can't be read as a ZIP counts as none.
    """
    for path in paths:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                _descend(file, path.name, 1)


def _descend(file: BinaryIO, name: str, depth: int) -> None:
    try:
        archive = open_zip(file, _MAX_DIRECTORY)
    except Invalid:
        return
    with archive:
        if depth > MAX_NESTING:
            raise refused(f"{name!r} is a ZIP nested {depth} deep; at most {MAX_NESTING} are taken")
        for info in archive.infolist():
            data = _read_inner(archive, info)
            if data is not None:
                _descend(io.BytesIO(data), info.filename, depth + 1)


def _read_inner(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | None:
    """Read an entry that is a ZIP itself; None for everything else."""
    if info.is_dir() or info.file_size > _MAX_INNER or is_encrypted(info) or not is_bounded(info):
        return None
    try:
        with reading(lambda: archive.open(info)) as source:
            head = reading(lambda: source.read(len(_MAGIC)))
            return head + reading(source.read) if head == _MAGIC else None
    except Invalid:
        return None
