"""Blobs of a local store that are set aside: what was deleted, and earlier versions.

    trash/<name>/<shard>/<file>         the blobs of a deletion
    versions/<name>/<shard>/<file>      an earlier version of an instance

A blob is set aside by a rename and brought back by a link, and keeps its key.
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
        """Rename blobs to a place."""
        folder = self._root / check_place(place)
        for shard, members in _by_shard(keys):
            _make(folder / shard)
            for key in members:
                with contextlib.suppress(FileNotFoundError):  # moved before, or deleted
                    (self._objects / key).rename(folder / key)
                    # A rename to another name of the same file changes nothing.
                    (self._objects / key).unlink(missing_ok=True)
            flush_folder(folder / shard)
            if (self._objects / shard).is_dir():
                flush_folder(self._objects / shard)

    def bring_back(self, place: str, keys: Sequence[str]) -> None:
        """Link blobs into the store."""
        folder = self._root / check_place(place)
        for shard, members in _by_shard(keys):
            _make(self._objects / shard)
            for key in members:
                # Gone with its place, or linked before.
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    (self._objects / key).hardlink_to(folder / key)
            flush_folder(self._objects / shard)

    def release(self, places: Sequence[str]) -> None:
        """Unlink blobs from places that are in the store, and remove those in which nothing is left."""
        for place in places:
            if (folder := self._root / check_place(place)).is_dir():
                self._release(place, folder)

    def _release(self, place: str, folder: Path) -> None:
        for shard in [entry for entry in folder.iterdir() if entry.is_dir()]:
            for path in [*shard.iterdir()]:
                if (self._objects / shard.name / path.name).exists():
                    path.unlink(missing_ok=True)
            flush_folder(shard)
        if not any(entry.is_file() for entry in folder.rglob("*")):
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

    def restore(self, place: str, key: str, file: Path) -> Path:
        """Rename a file into the place of a blob.

        Parameters
        ----------
        place : str
            Place of the blob.
        key : str
            Key of the blob.
        file : Path
            The file, on the same file system.

        Returns
        -------
        Path
            Its new path.
        """
        path = self._root / check_place(place) / key
        _make(path.parent)
        file.rename(path)
        flush_folder(path.parent)
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


def _by_shard(keys: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Group keys by the folder that they begin with."""
    shards: dict[str, list[str]] = {}
    for key in keys:
        shards.setdefault(key.split("/", 1)[0], []).append(key)
    return list(shards.items())


def _make(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        flush_folder(each.parent)
