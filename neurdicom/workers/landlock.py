"""Landlock (Linux 5.13 and later): limits on what a process, and those that it starts, may do with files."""

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from neurdicom.workers.system_calls import system_call

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

#: Rights by which files and folders are changed: first those that a file can have, then those of folders alone.
_WRITE_FILE: Final = 1 << 1
_TRUNCATE: Final = 1 << 14  # since version 3
_REFER: Final = 1 << 13  # links and renames from folder to folder, since version 2; before, they are always refused
_CHANGE_FOLDER: Final = sum(1 << bit for bit in range(4, 13))  # remove and make entries of every kind


def version() -> int:
    """Return the version of Landlock that the kernel offers; 0 where it offers none."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def stay_apart() -> None:
    """Keep this process and its children out of other processes and from mounting, for good; files are as before.

    A process under Landlock can't trace one that is not, or open files by way of its `/proc/PID/root`.

    Raises
    ------
    OSError
        The kernel has no Landlock, or it is turned off, or its version 1, which forbids renames from folder to folder.
    """
    if version() < 2:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    ruleset = _make_ruleset(_REFER)
    try:
        _allow(ruleset, Path("/"), _REFER, 0)
        system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def deny_writes(folders: Sequence[Path], writable: Iterable[Path]) -> None:
    """Let this process and its children change nothing below folders, for good.

    Landlock knows what is allowed, and no exceptions from it: allowed is everything beside the folders, as it is now.
    New entries directly in a folder that holds one of them can't be made, therefore.

    Parameters
    ----------
    folders : sequence of Path
        Absolute paths without symbolic links.
    writable : iterable of Path
        Folders in them that may be changed all the same.

    Raises
    ------
    OSError
        The kernel has no Landlock, or it is turned off.
    """
    found = version()
    files = _WRITE_FILE | (_TRUNCATE if found >= 3 else 0)
    rights = files | _CHANGE_FOLDER | (_REFER if found >= 2 else 0)
    ruleset = _make_ruleset(rights)
    try:
        for path in [*_beside(Path("/"), folders), *writable]:
            _allow(ruleset, path, rights, files)
        system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _make_ruleset(rights: int) -> int:
    """Make a set of rules on some rights, none of which it allows yet; return its descriptor."""
    handled = ctypes.c_uint64(rights)
    return system_call(_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)


def _beside(parent: Path, folders: Sequence[Path]) -> Iterable[Path]:
    """List what lies beside the folders: everything outside of them is one of these, or below one."""
    if not any(folder.is_relative_to(parent) for folder in folders):
        yield parent
        return
    if parent in folders:
        return
    with contextlib.suppress(OSError):  # it can't be listed: nothing in it may be changed
        for entry in os.scandir(parent):
            yield from _beside(parent / entry.name, folders)


def _allow(ruleset: int, path: Path, rights: int, file_rights: int) -> None:
    """Allow changes of a file, or of a folder and everything below it; what a symbolic link names counts by its own."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # it was removed a moment ago
        return
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            return
        allowed = rights if stat.S_ISDIR(mode) else file_rights
        rule = allowed.to_bytes(8, "little") + descriptor.to_bytes(4, "little")  # struct landlock_path_beneath_attr
        system_call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
