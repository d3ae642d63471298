"""Callers that are cancelled at any moment: what arrived is stored whole or not at all, and no file is left over."""

import asyncio
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurdicom.archive.ingest.service import HELD_BYTES
from neurdicom.blobs.base import Spool
from neurdicom.blobs.local import LocalBlobStore
from neurdicom.dicom.part10 import read_header
from tests.support.archive import ArchiveSite, archive
from tests.support.files import ROOT, dicom_file
from tests.support.waiting import until


class Gate:
    """A function that waits in its thread until it is let go."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        self.entered.set()
        assert self.go.wait(30)
        return self._function(*arguments)


async def cancel_at(gate: Gate, work: "asyncio.Task[Any]") -> None:
    """Cancel a task once its thread is in the gate; then let the thread go on."""
    await until(gate.entered.is_set, "the thread to be in the gate")
    work.cancel()
    await asyncio.wait([work])
    assert work.cancelled()
    gate.go.set()


async def adopt(stored: ArchiveSite, content: bytes) -> None:
    """Store a file as the DIMSE processes do."""
    file = stored.blobs.spool_folder / "dimse-1-file"
    file.write_bytes(content)
    with file.open("rb") as opened:
        header = read_header(opened.fileno(), content[:65536], len(content))
    await stored.ingest.adopt("file", file, len(content), hashlib.sha256(content).hexdigest(), header)


@pytest.mark.parametrize("verb", ["commit", "adopt"])
def test_after_the_file_is_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            gate = Gate(getattr(stored.blobs, verb))
            monkeypatch.setattr(stored.blobs, verb, gate)
            adding = stored.add(dicom_file(1)) if verb == "commit" else adopt(stored, dicom_file(1))
            await cancel_at(gate, asyncio.create_task(adding))
            await stored.ingest.close()
            assert await stored.instances() == [f"{ROOT}.1.1.1"]
            await stored.check()

    asyncio.run(test())


def test_while_earlier_files_of_the_sender_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            commit = stored.blobs.commit
            gate = Gate(commit)
            arrivals = [stored.ingest.receive("file") for _ in range(2)]
            order = arrivals[0]._order
            arrivals[1]._order = order
            for number, arrival in enumerate(arrivals):
                await arrival.write(dicom_file(number))
            monkeypatch.setattr(stored.blobs, "commit", gate)
            first = asyncio.create_task(arrivals[0].finish())
            await until(gate.entered.is_set, "the first file to be written")
            monkeypatch.setattr(stored.blobs, "commit", commit)
            second = asyncio.create_task(arrivals[1].finish())
            await until(lambda: len(stored.files) == 1, "the second file to be in place")
            second.cancel()
            await asyncio.wait([second])
            gate.go.set()
            assert (await first).status == "stored"
            await stored.ingest.close()
            assert await stored.instances() == [f"{ROOT}.1.1.0", f"{ROOT}.1.1.1"]
            await stored.check()

    asyncio.run(test())


def test_while_a_piece_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            gate = Gate(stored.ingest.append)
            monkeypatch.setattr(stored.ingest, "append", gate)
            arrival = stored.ingest.receive("file")
            await cancel_at(gate, asyncio.create_task(arrival.write(bytes(HELD_BYTES + 1))))
            await arrival.abort()
            await stored.ingest.close()
            assert stored.spools == []

    asyncio.run(test())


def test_an_abort_that_is_cancelled_before_its_thread_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            arrival = stored.ingest.receive("file")
            await arrival.write(bytes(HELD_BYTES + 1))
            gates = [Gate(bool) for _ in range(8)]  # all threads of ingest are busy
            busy = [asyncio.create_task(stored.ingest.run(gate)) for gate in gates]
            await until(lambda: all(gate.entered.is_set() for gate in gates), "all threads to be busy")
            aborting = asyncio.create_task(arrival.abort())
            await asyncio.sleep(0)
            aborting.cancel()
            await asyncio.wait([aborting])
            for gate in gates:
                gate.go.set()
            await asyncio.gather(*busy)
            await stored.ingest.close()
            assert stored.spools == []

    asyncio.run(test())


def test_a_spool_on_a_disk_that_has_become_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    async def test() -> None:
        blobs = LocalBlobStore(tmp_path / "blobs")
        await blobs.open()
        spool = blobs.new_spool()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            spool.discard()
        assert isinstance(spool, Spool)
        assert len(list(blobs.spool_folder.iterdir())) == 1
        await blobs.close()
        blobs = LocalBlobStore(tmp_path / "blobs")
        await blobs.open()
        assert list(blobs.spool_folder.iterdir()) == []
        await blobs.close()

    asyncio.run(test())
