"""Blobs of a local store that are set aside: what was deleted, and earlier versions.

    trash/<name>/<shard>/<file>         the blobs of a deletion
    versions/<name>/<shard>/<file>      an earlier version of an instance

A blob is moved by a rename, and keeps its key.
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from neurdicom.blobs.base import PLACE, check_place, flush_folder
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import NotFound

_KINDS = ("trash", "versions")


class AsideFolders:
    """Folders of blobs that are set aside. Its methods block, and raise `OSError`.

    Parameters
    ----------
    root : Path
        Folder of the store.
    objects : Path
        Folder of the blobs in it that are in use, on the same file system.
    read : callable
        Lists the blobs in a folder that has the form of `objects`.
    """

    def __init__(self, root: Path, objects: Path, read: Callable[[Path], list[BlobRef]]) -> None:
        self._root = root
        self._objects = objects
        self._read = read

    def set_aside(self, place: str, keys: Sequence[str]) -> None:
        """Move blobs to a place."""
        folder = self._root / check_place(place)
        if keys and not folder.exists():
            folder.mkdir(parents=True)
            flush_folder(folder.parent)
            flush_folder(self._root)
        _move(self._objects, folder, keys)

    def bring_back(self, place: str, keys: Sequence[str]) -> None:
        """Move blobs back, and remove the place if nothing is left in it."""
        folder = self._root / check_place(place)
        _move(folder, self._objects, keys)
        if folder.exists() and not any(entry.is_file() for entry in folder.rglob("*")):
            self.discard(place)

    def blobs(self, place: str) -> list[BlobRef]:
        """List the blobs at a place."""
        folder = self._root / check_place(place)
        return self._read(folder) if folder.is_dir() else []

    def path(self, place: str, key: str) -> Path:
        """Return the path of a blob at a place. Raises `NotFound`."""
        path = self._root / check_place(place) / key
        if not path.is_file():
            raise NotFound(f"there is no blob {key!r} in {place}")
        return path

    def discard(self, place: str) -> None:
        """Delete a place with its blobs."""
        folder = self._root / check_place(place)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
            flush_folder(folder.parent)

    def places(self) -> list[str]:
        """List the places."""
        kinds = [kind for kind in _KINDS if (self._root / kind).is_dir()]
        found = [f"{kind}/{entry.name}" for kind in kinds for entry in (self._root / kind).iterdir() if entry.is_dir()]
        return sorted(place for place in found if PLACE.fullmatch(place))


def _move(source: Path, target: Path, keys: Sequence[str]) -> None:
    """Rename blobs from one folder to another, flush both, and remove the shards of the source left empty."""
    shards = {}
    for key in keys:
        shard = target / Path(key).parent
        if shard not in shards:
            if not shard.exists():
                shard.mkdir(parents=True)
                flush_folder(target)
            shards[shard] = source / Path(key).parent
        with contextlib.suppress(FileNotFoundError):  # moved before, or deleted
            (source / key).rename(target / key)
    for to, of in shards.items():
        flush_folder(to)
        if of.is_dir():
            flush_folder(of)
