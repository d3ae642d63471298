"""What a Dask worker keeps on its disk: copies of stored files, and extracted packages, by SHA-256.

All of it can be had again; the oldest that nobody uses goes when there is too much. What is known belongs to the event
loop's thread; methods that read or write whole files say so, and belong in another.
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

#: Bytes of stored files that a Dask worker keeps.
KEEP_BYTES: Final = 8 << 30

#: Packages that a Dask worker keeps.
KEEP_PACKAGES: Final = 32

#: Files of shared storage that are remembered to be the ones that are meant.
_REMEMBERED: Final = 100_000


class FileStore:
    """Copies of stored files.

    Parameters
    ----------
    folder : Path
        Emptied at the start.
    keep : int
        Bytes that stay at most, but for those in use.
    """

    def __init__(self, folder: Path, keep: int = KEEP_BYTES) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._keep = keep
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._used: Counter[str] = Counter()

    def find(self, sha256: str) -> Path | None:
        """A copy; None if there is none."""
        if sha256 not in self._sizes:
            return None
        self._sizes.move_to_end(sha256)
        return self._folder / sha256

    @contextmanager
    def hold(self, sha256s: list[str]) -> Iterator[None]:
        """Keep these for as long as the context lasts."""
        self._used.update(sha256s)
        try:
            yield
        finally:
            self._used.subtract(sha256s)
            self._used = +self._used
            self._make_room()

    def new_spool(self) -> Spool:
        """An empty file for one that is arriving."""
        return Spool(self._folder / f".{uuid.uuid4().hex}")

    def add(self, spool: Spool) -> None:
        """Keep a file that has arrived."""
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
    """Which of the server's own files can be read here, because the storage is shared."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[int, int, int]] = OrderedDict()

    def has(self, sha256: str, path: str) -> bool:
        """Whether the file is there and is the one that is meant; reads it whole, once."""
        key = (sha256, path)
        try:
            status = Path(path).stat()
            if not stat.S_ISREG(status.st_mode):
                return False  # a pipe, say, would be waited for
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
    """Packages of plugins and models, extracted as they arrive.

    Parameters
    ----------
    packages : PackageFolders
        Emptied at the start.
    keep : int
        How many stay at most, but for those in use.
    """

    def __init__(self, packages: PackageFolders[PackageZip], keep: int = KEEP_PACKAGES) -> None:
        packages.open(())
        self.packages = packages
        self._keep = keep
        self._there: OrderedDict[str, None] = OrderedDict()
        self._used: Counter[str] = Counter()

    def find(self, digest: str) -> Path | None:
        """The folder of a package; None if it is not there."""
        if digest not in self._there:
            return None
        self._there.move_to_end(digest)
        return self.packages.folder(digest)

    @contextmanager
    def hold(self, digests: list[str]) -> Iterator[None]:
        """Keep these for as long as the context lasts."""
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
        """Note that a package is prepared; answers those that are now too many, which nobody finds any more."""
        self._there[digest] = None
        idle = [one for one in self._there if not self._used[one] and one != digest]
        surplus = idle[: max(0, len(self._there) - self._keep)]
        for one in surplus:
            del self._there[one]
        return surplus
