"""Folders that a worker process and the processes that it starts can read and not change: the server's data folder.

A process that may mount does it by mounts: it gets a mount namespace of its own, in which the folders are mounted
read-only, and gives up the capabilities that would undo that; Landlock keeps it out of other processes, which have the
folders as they are. Another one does it by Landlock alone. Where the kernel has neither, the modes of the files are
left.
"""

import contextlib
import ctypes
import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec

from neurdicom.workers import landlock
from neurdicom.workers.system_calls import checked, system_call

Arguments = ParamSpec("Arguments")

_CLONE_NEWNS: Final = 0x20000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_SLAVE: Final = 0x80000

_MOUNT_SETATTR: Final = 442
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_RDONLY: Final = 1

_CAPABILITY_VERSION: Final = 0x20080522
_CAP_SYS_ADMIN: Final = 21
#: Capabilities that lead around a mount: DAC_READ_SEARCH (open by handle), SYS_MODULE, SYS_RAWIO, SYS_PTRACE (the
#: folders of other processes, by /proc), SYS_ADMIN (mounts), MKNOD (disks).
_GIVEN_UP: Final = (2, 16, 17, 19, _CAP_SYS_ADMIN, 27)

#: Errors of writing where nothing can be written.
_REFUSALS: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV)


@dataclass(frozen=True, slots=True)
class ReadOnlyFolders:
    """Folders that workers can't change.

    Attributes
    ----------
    folders : tuple of str
        Absolute paths without symbolic links.
    spool : str
        Folder in one of them in which our own modules write files for the server; empty: none.
    temporary : str
        Folder in one of them for temporary files of all workers; empty: theirs are elsewhere.
    """

    folders: tuple[str, ...] = ()
    spool: str = ""
    temporary: str = ""

    @classmethod
    def of(cls, folders: Iterable[Path], spool: Path | None = None) -> "ReadOnlyFolders":
        """Resolve symbolic links in paths, and leave out folders that lie in others."""
        resolved = {folder.resolve() for folder in folders}
        outer = sorted(str(folder) for folder in resolved if not resolved.intersection(folder.parents))
        return cls(tuple(outer), "" if spool is None else str(spool.resolve()))

    def weakness(self) -> str | None:
        """Describe what this kernel leaves to the modes of files; None where it protects the folders as a whole."""
        found = landlock.version()
        if may_mount() or found >= 3:
            return None
        if found:
            return (
                f"this kernel has Landlock version {found}: a plugin that gives itself the right can truncate stored "
                "files, or (version 1) can't rename from folder to folder; version 3 (Linux 6.2) is expected"
            )
        return (
            "this kernel has no Landlock (Linux 5.13), or it is turned off: nothing but the modes of stored files "
            "keeps plugins from changing them"
        )

    def holds(self, folder: str) -> bool:
        """Tell whether one of the folders lies in a folder, in which Landlock lets workers make no entries then."""
        parent = os.path.realpath(folder)
        return any(Path(each).is_relative_to(parent) for each in self.folders)

    def contain(self, folder: str) -> bool:
        """Tell whether a folder lies in one of the folders, or is one."""
        path = Path(os.path.realpath(folder))
        return any(path.is_relative_to(each) for each in self.folders)

    def protect(self, *, is_ours: bool) -> None:
        """Let this process, and those that it will start, change nothing in the folders, for good.

        Parameters
        ----------
        is_ours : bool
            The process runs a module of our own, which may write to the spool folder.
        """
        folders = [Path(folder) for folder in self.folders]
        writable = [Path(folder) for folder in (self.spool if is_ours else "", self.temporary) if folder]
        if not folders:
            return
        # Mounts are forbidden to some that have the capability, such as by the security module of a container.
        is_mounted = may_mount() and _succeeds(_mount_read_only, folders, writable)
        is_mounted = _succeeds(_give_up, _GIVEN_UP) and is_mounted
        try:
            if is_mounted:
                landlock.stay_apart()
            else:
                landlock.deny_writes(folders, writable)
        except OSError as error:
            if not is_mounted and self.weakness() is None:  # otherwise the server has said so at its start
                print(f"stored files are protected by their modes alone: {error.strerror}", file=sys.stderr)

    def refusal(self, error: BaseException) -> str | None:
        """Describe a refused change in one of the folders; None for other exceptions."""
        if not isinstance(error, OSError) or error.errno not in _REFUSALS:
            return None
        for name in (error.filename, error.filename2):
            if isinstance(name, str | bytes):
                path = Path(os.path.realpath(os.fsdecode(name)))
                if any(path.is_relative_to(folder) for folder in self.folders):
                    way = "the data folder is read-only for plugins; write to a temporary folder"
                    return f"{path} can't be changed: {way}"
        return None


def may_mount() -> bool:
    """Tell whether this process has CAP_SYS_ADMIN, and the kernel the system call (Linux 5.12) for what we mount.

    The call is tried with that capability only: a filter of a hardened service may kill who makes it.
    """
    if not _has_capability(_CAP_SYS_ADMIN):
        return False
    try:
        system_call(_MOUNT_SETATTR, _AT_FDCWD, None, 0, None, 0)
    except OSError as error:
        return error.errno == errno.EINVAL  # not one of a kernel that lacks it, or of a filter
    return True


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def _succeeds(function: Callable[Arguments, None], *args: Arguments.args, **kwargs: Arguments.kwargs) -> bool:
    """Call a function; tell whether it raises no `OSError`."""
    try:
        function(*args, **kwargs)
    except OSError:
        return False
    return True


def _mount_read_only(folders: Sequence[Path], writable: Sequence[Path]) -> None:
    """Mount folders read-only, and others in them writable again, in a mount namespace of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    checked(libc.unshare(_CLONE_NEWNS))
    checked(libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None))  # nothing of it gets out
    for paths, bit_set, bit_cleared in ((folders, _RDONLY, 0), (writable, 0, _RDONLY)):
        for path in paths:
            name = os.fsencode(path)
            checked(libc.mount(name, name, None, ctypes.c_ulong(_MS_BIND | _MS_REC), None))
            attributes = b"".join(each.to_bytes(8, "little") for each in (bit_set, bit_cleared, 0, 0))
            system_call(_MOUNT_SETATTR, _AT_FDCWD, name, _AT_RECURSIVE, attributes, len(attributes))
    with contextlib.suppress(FileNotFoundError):  # it was removed
        os.chdir(Path.cwd())  # by way of the new mounts, since the old ones are still below


def _give_up(capabilities: Iterable[int]) -> None:
    """Drop capabilities of this process, for good, since it may not get new privileges."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice, for the bits from 32 on
    checked(libc.capget(head, sets))
    for capability in capabilities:
        for index in range(3):
            sets[capability // 32 * 3 + index] &= ~(1 << capability % 32)
    checked(libc.capset(head, sets))
