"""Files of the trash and of earlier versions in a data folder, listed by key without holding all of them in memory."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import TextIO

from neurdicom.archive.backup.copying import new_file
from neurdicom.archive.backup.manifest import KEY
from neurdicom.blobs.base import PLACE

#: Lines that are sorted in memory.
_LINES = 50_000

_KINDS = ("trash", "versions")


class SetAsideListing:
    """Listing of the files that are set aside, given out shard by shard.

    Parameters
    ----------
    blobs : Path
        Folder of the blob store.
    scratch : Path
        Folder for the sorted list; nothing is left in it.

    Attributes
    ----------
    count : int
        Number of the files.
    shards : set of str
        First parts of their keys.
    """

    def __init__(self, blobs: Path, scratch: Path) -> None:
        self._blobs = blobs
        self.count = 0
        self.shards: set[str] = set()
        self._sorted = sorted_lines(self._lines(), scratch)
        self._next = next(self._sorted, "")

    def take(self, shard: str) -> dict[str, dict[str, int]]:
        """Give out the files of a shard, after those of the shards before it.

        Parameters
        ----------
        shard : str
            First part of the keys.

        Returns
        -------
        dict of str to dict of str to int
            Sizes by place, by key.
        """
        found: dict[str, dict[str, int]] = {}
        while self._next.startswith(f"{shard}/"):
            key, place, size = self._next.split()
            found.setdefault(key, {})[place] = int(size)
            self._next = next(self._sorted, "")
        return found

    def _lines(self) -> Iterator[str]:
        for kind in _KINDS:
            for folder in _folders(self._blobs / kind):
                if not PLACE.fullmatch(place := f"{kind}/{folder.name}"):
                    continue
                for shard in _folders(folder):
                    for file in _entries(shard):
                        if KEY.fullmatch(key := f"{shard.name}/{file.name}") and (size := _size(file)) is not None:
                            self.count += 1
                            self.shards.add(shard.name)
                            yield f"{key} {place} {size}\n"


def sorted_lines(lines: Iterable[str], scratch: Path) -> Iterator[str]:
    """Sort lines, in files that have no name any more; all are read before the first is yielded.

    Parameters
    ----------
    lines : iterable of str
        Each with its end.
    scratch : Path
        Folder for the files.

    Returns
    -------
    iterator of str
    """
    with ExitStack() as stack:
        runs = []
        remaining = iter(lines)
        while batch := sorted(islice(remaining, _LINES)):
            runs.append(stack.enter_context(_unnamed_file(scratch)))
            runs[-1].writelines(batch)
            runs[-1].seek(0)
        yield from merge(*runs)


def _unnamed_file(scratch: Path) -> TextIO:
    path = scratch / secrets.token_hex(8)
    new_file(path).close()
    file = path.open("r+", encoding="ascii")
    path.unlink()
    return file


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        return list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):  # none yet, or deleted since it was listed
        return []


def _folders(folder: Path) -> Iterator[Path]:
    return (Path(entry.path) for entry in _entries(folder) if entry.is_dir(follow_symlinks=False))


def _size(file: "os.DirEntry[str]") -> int | None:
    try:
        return file.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return None
