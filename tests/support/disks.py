"""A server on a small disk of its own, which tests fill up and make read-only: a tmpfs in a mount namespace."""

import contextlib
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurdicom.workers.read_only import may_mount
from tests.support.server import Server

#: Runs a command on a new disk.
_ON_A_DISK = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


class SmallDiskServer(Server):
    """A server whose data folder lies on a disk of so many MiB; skips the test where it may not mount.

    Attributes
    ----------
    disk : Path
        Where the disk is mounted, as the server sees it.
    """

    size = 128  # the catalog's journal takes 35 of them
    _namespace: int | None = None

    def start(self) -> "SmallDiskServer":
        """Start it, the first time on a new disk."""
        if self._namespace is None:
            if not may_mount():
                pytest.skip("these tests may not mount")
            self.disk = self.data.parent / f"{self.data.name}-disk"
            self.disk.mkdir()
            self.data = self.disk / "data"
        super().start()
        if self._namespace is None:  # it outlives the process, and so does the disk
            self._namespace = os.open(f"/proc/{self.process.pid}/ns/mnt", os.O_RDONLY)
            weakref.finalize(self, os.close, self._namespace)
        return self

    def _launch(self, arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
        if self._namespace is None:
            command = ["unshare", "--mount", "sh", "-c", _ON_A_DISK, "sh", f"{self.size}m", str(self.disk)]
        else:
            command = ["nsenter", f"--mount=/proc/{os.getpid()}/fd/{self._namespace}"]
        command += [sys.executable, "-m", "neurdicom", *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", env=environment
        )

    def _link_data_folder(self) -> None:
        """Leave it where it is."""

    @property
    def seen(self) -> Path:
        """The disk, as the tests see it."""
        return Path(f"/proc/{self.process.pid}/root") / self.disk.relative_to("/")

    @property
    def files(self) -> Path:
        """The data folder, as the tests see it."""
        return self.seen / "data"

    @contextlib.contextmanager
    def full(self, *, but: int = 0) -> Iterator[None]:
        """Fill the disk, but for some bytes; empty it again after the context."""
        filler = self.seen / "filler"
        with filler.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(bytes(1 << 20)):
                    pass
            with contextlib.suppress(OSError):
                while file.write(bytes(512)):
                    pass
            os.truncate(filler, max(0, filler.stat().st_size - but))
            try:
                yield
            finally:
                filler.unlink()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Make the disk read-only for whatever is opened from now on; writable again after the context."""
        beside = self.disk.with_name(f"{self.disk.name}-read-only")
        beside.mkdir()
        self._mount("mount", "--bind", str(self.disk), str(beside))
        self._mount("mount", "-o", "remount,bind,ro", str(beside))
        self._mount("mount", "--move", str(beside), str(self.disk))
        try:
            yield
        finally:
            self._mount("umount", "--lazy", str(self.disk))

    def _mount(self, *command: str) -> None:
        subprocess.run(["nsenter", "--mount", "--target", str(self.process.pid), *command], check=True)
