"""Storage of packages of plugins or models in one folder: the uploaded archives and the extracted files, by digest.

`<digest>.zip` is the archive as it was uploaded; `<digest>/` is what workers load, and is extracted from it again when
it is missing. Methods block, and belong in a thread.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Generic, TypeVar

from neurdicom.blobs.base import Spool
from neurdicom.errors import NotFound
from neurdicom.workers.packages.package_zip import PackageZip, extract_into_place, sync_folder

ZipT = TypeVar("ZipT", bound=PackageZip)


class PackageFolders(Generic[ZipT]):
    """Packages below one folder.

    Parameters
    ----------
    folder : Path
        Holds nothing else.
    read : callable
        Opens a package and checks its contents, such as `PluginZip`.
    """

    def __init__(self, folder: Path, read: Callable[[Path], ZipT]) -> None:
        self._read = read
        # Absolute, since workers have a working directory of their own.
        self._folder = folder.absolute()

    def open(self, wanted: Collection[str]) -> None:
        """Make the folder, and delete everything but the packages of these digests, such as an interrupted upload."""
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = {name for digest in wanted for name in (digest, f"{digest}.zip")}
        for path in self._folder.iterdir():
            if path.name not in kept:
                _delete(path)

    def new_spool(self) -> Spool:
        """Make an empty file to receive an archive."""
        return Spool(self._folder / f".{uuid.uuid4().hex}.upload")

    def add(self, spool: Spool) -> str:
        """Store an archive that has arrived, durably; return its digest, a SHA-256 in hexadecimal."""
        digest = spool.sha256
        spool.sync()
        spool.path.replace(self._archive(digest))
        sync_folder(self._folder)
        return digest

    def folder(self, digest: str) -> Path:
        """Return the folder that the archive is, or is to be, extracted to."""
        return self._folder / digest

    def inspect(self, digest: str) -> ZipT:
        """Open the archive, which the caller closes. Raises `NotFound`, or `Invalid` when it is refused."""
        try:
            return self._read(self._archive(digest))
        except FileNotFoundError as error:
            raise NotFound(f"the archive {digest} is not on the server; upload it again") from error

    def extract(self, digest: str) -> ZipT:
        """Extract the archive into place, unless it is there already; return it, closed. Raises as `inspect`."""
        with self.inspect(digest) as archive:
            extract_into_place(archive, self.folder(digest))
        return archive

    def is_extracted(self, digest: str) -> bool:
        """Tell whether the folder exists."""
        return self.folder(digest).is_dir()

    def remove(self, digest: str) -> None:
        """Delete a package. Idempotent."""
        self._archive(digest).unlink(missing_ok=True)
        # Renamed first, so that a half-deleted folder is not taken for a whole one after a crash.
        doomed = self._folder / f".{uuid.uuid4().hex}.old"
        if self.is_extracted(digest):
            self.folder(digest).rename(doomed)
            _delete(doomed)

    def _archive(self, digest: str) -> Path:
        return self._folder / f"{digest}.zip"


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        _make_deletable(path)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _make_deletable(folder: Path) -> None:
    """Restore the write permission of folders: plugins run with the server's rights and may have removed it."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
