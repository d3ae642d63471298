"""Files on a Dask worker's disk: copies of stored files, and extracted packages, by SHA-256.

All of them can be sent again; when there is too much, the oldest that no task uses are deleted. State belongs to the
event loop's thread; methods that read or write whole files say so, and belong in another thread.
"""

import hashlib
import shutil
import stat
import uuid
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from neurdicom.blobs.base import Spool
from neurdicom.workers.packages.package_folders import PackageFolders
from neurdicom.workers.packages.package_zip import PackageZip

#: Most bytes of stored files on a Dask worker.
KEEP_BYTES: Final = 8 << 30

#: Most packages on a Dask worker.
KEEP_PACKAGES: Final = 32

#: Most files of shared storage whose digest is remembered.
_REMEMBERED: Final = 100_000


class FileStore:
    """Store of copies of stored files.

    Parameters
    ----------
    folder : Path
        Emptied at the start.
    keep : int
        Most bytes, not counting files in use.
    """

    def __init__(self, folder: Path, keep: int = KEEP_BYTES) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._keep = keep
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._used: Counter[str] = Counter()

    def find(self, sha256: str) -> Path | None:
        """Return the path of a copy; None if there is none."""
        if sha256 not in self._sizes:
            return None
        self._sizes.move_to_end(sha256)
        return self._folder / sha256

    @contextmanager
    def hold(self, sha256s: list[str]) -> Iterator[None]:
        """Protect these files from deletion for as long as the context lasts."""
        self._used.update(sha256s)
        try:
            yield
        finally:
            self._used.subtract(sha256s)
            self._used = +self._used
            self._make_room()

    def new_spool(self) -> Spool:
        """Make an empty file to receive one."""
        return Spool(self._folder / f".{uuid.uuid4().hex}")

    def add(self, spool: Spool) -> None:
        """Take over a file that has arrived."""
        target = self._folder / spool.sha256
        spool.path.replace(target)
        spool.committed(target)
        self._sizes[spool.sha256] = spool.size
        self._make_room()

    def _make_room(self) -> None:
        total = sum(self._sizes.values())
        for sha256 in [one for one in self._sizes if not self._used[one]]:
            if total <= self._keep:
                return
            total -= self._sizes.pop(sha256)
            (self._folder / sha256).unlink(missing_ok=True)


class SharedFiles:
    """Memory of the server's own files that can be read here, where both share a storage."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[int, int, int]] = OrderedDict()

    def has(self, sha256: str, path: str) -> bool:
        """Tell whether the file exists with this digest; reads it whole the first time."""
        key = (sha256, path)
        try:
            status = Path(path).stat()
            if not stat.S_ISREG(status.st_mode):
                return False  # reading a pipe could block
            identity = (status.st_size, status.st_mtime_ns, status.st_ino)
            if self._known.get(key) == identity:
                return True
            with Path(path).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    return False
        except OSError:
            return False
        self._known[key] = identity
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return True


class PackageStore:
    """Store of packages of plugins and models, extracted as they arrive.

    Parameters
    ----------
    packages : PackageFolders
        Emptied at the start.
    keep : int
        Most packages, not counting those in use.
    """

    def __init__(self, packages: PackageFolders[PackageZip], keep: int = KEEP_PACKAGES) -> None:
        packages.open(())
        self.packages = packages
        self._keep = keep
        self._there: OrderedDict[str, None] = OrderedDict()
        self._used: Counter[str] = Counter()

    def find(self, digest: str) -> Path | None:
        """Return the folder of a package; None if it is not there."""
        if digest not in self._there:
            return None
        self._there.move_to_end(digest)
        return self.packages.folder(digest)

    @contextmanager
    def hold(self, digests: list[str]) -> Iterator[None]:
        """Protect these packages from deletion for as long as the context lasts."""
        self._used.update(digests)
        try:
            yield
        finally:
            self._used.subtract(digests)
            self._used = +self._used

    def prepare(self, spool: Spool) -> None:
        """Extract an archive that has arrived; works with whole files. Raises `Invalid` when it is refused."""
        self.packages.extract(self.packages.add(spool))

    def add(self, digest: str) -> list[str]:
        """Register a prepared package; return the packages beyond the limit, which are to be deleted."""
        self._there[digest] = None
        idle = [one for one in self._there if not self._used[one] and one != digest]
        surplus = idle[: max(0, len(self._there) - self._keep)]
        for one in surplus:
            del self._there[one]
        return surplus
