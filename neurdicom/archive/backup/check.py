"""Checks of backups, and the deletion of old ones with the files that only they name."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from pathlib import Path

from neurdicom.archive.backup.copying import DamagedFile, read_file
from neurdicom.archive.backup.folder import BackupFolder
from neurdicom.archive.backup.manifest import KEY, MANIFEST, BackedUpFile, read_manifest, read_sums
from neurdicom.blobs.base import flush_folder


@dataclass(slots=True)
class CheckOfBackups:
    """Counts of a check: backups, files that were read, and what is missing or damaged."""

    backups: int = 0
    files: int = 0
    damaged: list[str] = field(default_factory=list)


def check_backups(folder: BackupFolder, progress: Callable[[int, int | None], None]) -> CheckOfBackups:
    """Compare every file of all complete backups with its SHA-256; shared files are read once.

    Parameters
    ----------
    folder : BackupFolder
        Locked.
    progress : callable
        Called with the number of files so far, and None, since that of all is not known.

    Returns
    -------
    CheckOfBackups
    """
    result = CheckOfBackups()
    whole = []
    for name in folder.names():
        result.backups += 1
        try:
            read_manifest(folder.path / name)
            own = [file for file in read_sums(folder.path / name) if file.key is None]
        except DamagedFile as error:
            result.damaged.append(str(error))
            continue
        whole.append(name)
        for file in own:
            _check(folder.path / name / file.path, file, result)
    for file in _blobs_of(folder, whole):
        _check(folder.blobs / str(file.key), file, result)
        progress(result.files, None)
    return result


def _check(path: Path, file: BackedUpFile, result: CheckOfBackups) -> None:
    result.files += 1
    try:
        read_file(path, sha256=file.sha256)
    except DamagedFile as error:
        result.damaged.append(str(error))


def delete_old_backups(folder: BackupFolder, keep: int) -> int:
    """Delete all but the latest backups, and the files of instances that no backup names any more.

    Parameters
    ----------
    folder : BackupFolder
        Locked exclusively.
    keep : int
        Number of backups that stay.

    Returns
    -------
    int
        Number of backups that were deleted.

    Raises
    ------
    DamagedFile
        The manifest or the list of files of a backup that stays is damaged; nothing is deleted then.
    """
    names = folder.names()
    old, kept = names[:-keep], names[-keep:]
    for name in kept:
        read_manifest(folder.path / name)
        for _ in read_sums(folder.path / name):  # all lines, before anything is deleted
            continue
    for name in old:
        (folder.path / name / MANIFEST).unlink()  # first: what is half deleted is no backup
        flush_folder(folder.path / name)
        shutil.rmtree(folder.path / name)
    _delete_unnamed(folder, kept)
    return len(old)


def _delete_unnamed(folder: BackupFolder, kept: list[str]) -> None:
    named = _blobs_of(folder, kept)
    next_named = next(named, None)
    for key in _stored(folder):
        while next_named is not None and str(next_named.key) < key:
            next_named = next(named, None)
        if next_named is None or next_named.key != key:
            (folder.blobs / key).unlink()


def _stored(folder: BackupFolder) -> Iterator[str]:
    """Yield the keys of all files in order; a shard that is empty at its end is removed."""
    shards = (entry.name for entry in os.scandir(folder.blobs) if entry.is_dir(follow_symlinks=False))
    for shard in sorted(shards):
        path = folder.blobs / shard
        yield from (key for name in sorted(os.listdir(path)) if KEY.fullmatch(key := f"{shard}/{name}"))  # noqa: PTH208
        if not any(path.iterdir()):
            path.rmdir()


def _blobs_of(folder: BackupFolder, names: list[str]) -> Iterator[BackedUpFile]:
    """Yield the files of instances of several backups, each once, in the order of their keys."""
    lists = (
        ((str(file.key), file) for file in read_sums(folder.path / name) if file.key is not None) for name in names
    )
    for _, same in groupby(merge(*lists, key=lambda each: each[0]), key=lambda each: each[0]):
        yield next(same)[1]
