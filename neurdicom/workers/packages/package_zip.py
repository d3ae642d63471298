"""An uploaded ZIP, checked as the hostile input that it may be, then extracted.

Everything is decided from the archive's directory before a byte is inflated, and inflated data are bounded by what the
directory declares. Methods block, and belong in a thread.
"""

import os
import re
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from neurdicom.errors import Invalid
from neurdicom.workers.packages.meta import MAX_META
from neurdicom.workers.packages.nested_zip import check_nesting
from neurdicom.workers.packages.zip_reader import is_bounded, is_encrypted, open_zip, reading, refused

META = "META.json"

#: Files that archive programs add by themselves; ignored.
_CLUTTER = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})

_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of an archive.

    Attributes
    ----------
    entries : int
        Most files and folders.
    total : int
        Most bytes of all files, inflated.
    ratio, ratio_from : int
        Most times that a file, and all together, may be larger than packed; checked from `ratio_from` inflated bytes
        on.
    depth : int
        Most levels of folders.
    directory : int
        Most bytes of the archive's own directory, which is read into memory.
    """

    entries: int = 10_000
    total: int = 2 << 30
    ratio: int = 100
    ratio_from: int = 16 << 20
    depth: int = 16
    directory: int = 4 << 20


LIMITS = Limits()


class PackageZip:
    """Open archive whose files passed every check; subclasses interpret them.

    Attributes
    ----------
    files : tuple of str
        Paths of all files, relative to the folder of META.json.

    Raises
    ------
    Invalid
        The archive is broken or unsafe (`field` is `archive`), or has no META.json.
    """

    def __init__(self, path: Path, limits: Limits = LIMITS) -> None:
        self._file = path.open("rb")
        try:
            size = os.fstat(self._file.fileno()).st_size
            self._zip = open_zip(self._file, limits.directory)
            entries = _check_entries(self._zip.infolist(), size, limits)
            root = _find_root(entries)
            inside = {name[len(root) :]: info for name, info in entries.items() if name.startswith(root)}
            self._folders = [name for name in inside if name.endswith("/")]
            self._files = {name: info for name, info in inside.items() if name and not name.endswith("/")}
            self.files = tuple(sorted(self._files))
            self.interpret()
        except BaseException:
            self._file.close()
            raise

    def interpret(self) -> None:
        """Read META.json and find the files that a subclass needs. Raises `Invalid`; then the ZIP is closed."""

    def read_meta(self) -> bytes:
        """Read the bytes of META.json. Raises `Invalid` when it is broken or too large."""
        info = self._files[META]
        if info.file_size > MAX_META:
            raise Invalid(f"META.json has {info.file_size} bytes; at most {MAX_META} are taken", field=META)
        return reading(lambda: self._zip.read(info))

    def extract(self, folder: Path) -> None:
        """Write the files into a new folder, durably.

        Raises
        ------
        Invalid
            A file's bytes are broken or not those that the directory declares, or a file is a ZIP of ZIPs nested too
            deep. The caller then deletes the folder.
        """
        folder.mkdir()
        for name in self._folders:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, info in self._files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            self._extract_file(info, folder / name)
        check_nesting(folder / name for name in self.files)
        for parent, _, _ in os.walk(folder):
            sync_folder(Path(parent))

    def is_extracted(self, folder: Path) -> bool:
        """Tell whether the folder has all files as they are in the archive; other files may lie beside them."""
        return all(_is_copy(folder / name, info) for name, info in self._files.items())

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._zip.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _extract_file(self, info: zipfile.ZipInfo, path: Path) -> None:
        written = 0
        with reading(lambda: self._zip.open(info)) as source, path.open("xb") as target:
            while piece := reading(lambda: source.read(_PIECE)):
                written += target.write(piece)
            target.flush()
            os.fdatasync(target.fileno())
        if written != info.file_size:
            raise refused(f"{info.filename!r} inflates to {written} bytes; its entry declares {info.file_size}")


def extract_into_place(archive: PackageZip, folder: Path) -> None:
    """Extract into a folder that appears whole or not at all; do nothing when it is there, whole, already.

    It is compared with the archive, since a plugin runs with the right to change these files.
    """
    if archive.is_extracted(folder):
        return
    scratch, damaged = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for path in (scratch, damaged):
        shutil.rmtree(path, ignore_errors=True)
    try:
        archive.extract(scratch)
        if folder.exists():
            folder.rename(damaged)
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    shutil.rmtree(damaged, ignore_errors=True)
    sync_folder(folder.parent)


def _is_copy(path: Path, info: zipfile.ZipInfo) -> bool:
    """Tell whether a file has the bytes of an entry."""
    checksum = 0
    try:
        if not path.is_file() or path.stat().st_size != info.file_size:
            return False
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                checksum = zlib.crc32(piece, checksum)
    except OSError:
        return False
    return checksum == info.CRC


def _check_entries(infos: list[zipfile.ZipInfo], size: int, limits: Limits) -> dict[str, zipfile.ZipInfo]:
    """Check every entry by itself and all together; return them by normalised path, folders with a final slash."""
    if len(infos) > limits.entries:
        raise refused(f"it has {len(infos)} entries; at most {limits.entries} are taken")
    packed = sum(info.compress_size for info in infos)
    inflated = sum(info.file_size for info in infos)
    if packed > size:
        raise refused(f"its entries declare {packed} packed bytes, and the file has {size}")
    if inflated > limits.total:
        raise refused(f"it inflates to {inflated} bytes; at most {limits.total} are taken")
    _check_ratio("it", inflated, size, limits)
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        path = _check_name(info, limits)
        if not _CLUTTER.isdisjoint(path.parts) or path.name.startswith("._") or not path.parts:
            continue
        _check_entry(info, limits)
        is_folder = info.filename.endswith(("/", "\\"))
        name = f"{path}/" if is_folder else str(path)
        if name in entries and not is_folder:
            raise refused(f"{name!r} is in it twice")
        entries[name] = info
    for name in entries:
        for parent in PurePosixPath(name).parents:
            if str(parent) in entries:
                raise refused(f"{str(parent)!r} is both a file and a folder")
        if f"{name}/" in entries:
            raise refused(f"{name!r} is both a file and a folder")
    return entries


def _check_name(info: zipfile.ZipInfo, limits: Limits) -> PurePosixPath:
    # Old archivers on Windows write backslashes; read as separators, they are checked like slashes.
    name = info.filename.replace("\\", "/")
    shown = repr(info.orig_filename[:200])
    if any(ord(char) < 32 or ord(char) == 127 for char in info.orig_filename):
        raise refused(f"the name {shown} has control characters")
    if name.startswith("/") or re.match(r"[A-Za-z]:/", name):
        raise refused(f"the path {shown} is absolute")
    path = PurePosixPath(name)
    if ".." in path.parts:
        raise refused(f"the path {shown} leads out of the folder")
    if len(path.parts) > limits.depth:
        raise refused(f"the path {shown} is {len(path.parts)} levels deep; at most {limits.depth} are taken")
    encoded = [len(os.fsencode(part)) for part in path.parts]
    if max(encoded, default=0) > 255 or sum(encoded) > 1024:
        raise refused(f"the name {shown}... is too long")
    return path


def _check_entry(info: zipfile.ZipInfo, limits: Limits) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "neither a file nor a folder"
        raise refused(f"{info.filename!r} is {what}")
    if is_encrypted(info):
        raise refused(f"{info.filename!r} is encrypted")
    if not is_bounded(info):
        raise refused(f"{info.filename!r} is packed by method {info.compress_type}; stored and deflated are taken")
    _check_ratio(repr(info.filename), info.file_size, info.compress_size, limits)


def _check_ratio(what: str, inflated: int, packed: int, limits: Limits) -> None:
    if inflated >= limits.ratio_from and inflated > limits.ratio * max(packed, 1):
        raise refused(f"{what} inflates from {packed} to {inflated} bytes; at most {limits.ratio} times is taken")


def _find_root(entries: dict[str, zipfile.ZipInfo]) -> str:
    """Find META.json: empty for the root, or the single top-level folder with a final slash."""
    if META in entries:
        return ""
    folders = sorted({name.split("/", 1)[0] for name in entries if "/" in name})
    if len(folders) == 1 and f"{folders[0]}/{META}" in entries:
        return f"{folders[0]}/"
    found = ", ".join(name for name in entries if not name.endswith("/"))[:200] or "no file at all"
    raise Invalid(
        f"META.json is missing at the root of the archive, or in its single top-level folder; found {found}", field=META
    )


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
