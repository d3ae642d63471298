"""Entries and files of the trash, for tests."""

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.uid import generate_uid

from neurdicom.archive.hold import DeletionHold
from neurdicom.catalog.sqlite import SqliteCatalog
from tests.support.archive_client import Archive
from tests.support.resource_files import make_file
from tests.support.server import Server


def entry_of(archive: Archive, instance: str, kind: str | None = None) -> dict[str, Any]:
    """The latest entry of the trash that has the UID, or is of this kind."""
    for entry in archive.get("/trash", limit=1000).json():
        if entry["uids"].get("sop_instance_uid") == instance or entry["kind"] == kind:
            return dict(entry)
    raise AssertionError(f"{instance} is not in the trash")


def versions_of(count: int, **more: Any) -> list[bytes]:
    """Files of one instance with other bytes each."""
    uids = {"SOPInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    return [make_file(**uids, PatientID="versions", ImageComments=f"version {n}", **more) for n in range(count)]


def sha(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()


def files_in(server: Server, place: str) -> list[Path]:
    """Files of instances in `trash`, `versions` or `objects`; `walk` skips folders that are removed meanwhile."""
    return sorted(Path(folder, name) for folder, _, names in os.walk(server.data / "blobs" / place) for name in names)


@contextmanager
def held(server: Server) -> Iterator[None]:
    """Hold deletions, as a backup does."""
    ended = threading.Event()
    begun = threading.Event()

    async def hold() -> None:
        catalog = SqliteCatalog(server.data / "catalog.sqlite")
        await catalog.open()
        try:
            async with DeletionHold(catalog.documents):
                begun.set()
                await asyncio.to_thread(ended.wait)
        finally:
            await catalog.close()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    try:
        assert begun.wait(30)
        yield
    finally:
        ended.set()
        thread.join()
