"""Files of results on their way to becoming instances."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from neurdicom.processing.dicom_output.files import DicomOutput
from neurdicom.processing.run import RunResult
from neurdicom.workers.call import CancellationToken
from neurdicom.workers.program import Program, Reply

RUN: Any = SimpleNamespace(
    request=SimpleNamespace(store=False, format="dicom"),
    tool=SimpleNamespace(name="Tool"),
    inputs=[SimpleNamespace(key="1.2.1.1~00000000")],
    to_wire=lambda series, slices: {},
    digest_with=lambda reply: "identity",
)


class OneInstance:
    """A catalog with the source of the run."""

    async def locate(self, instance: str) -> Any:
        return SimpleNamespace(instance=instance, series="1.2.1~00000000")

    async def ids(self, level: Any, keys: list[str]) -> dict[str, str]:
        return {key: key for key in keys}


class SlowToDie:
    """A pool whose calls end when they are stopped, a moment before their worker does."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.output = ""

    async def call(self, program: Program, verb: str, arguments: dict[str, Any], *, token: CancellationToken) -> Reply:
        self.output = arguments["output"]
        Path(f"{self.output}-1").write_bytes(b"first")
        stopped = asyncio.Event()
        with token.stopping(stopped.set):
            self.begun.set()
            await stopped.wait()
        raise asyncio.CancelledError

    def write_late(self) -> None:
        """Do what a worker may do while it is being killed."""
        Path(f"{self.output}-2").write_bytes(b"second")


def test_a_worker_that_outlives_its_call_leaves_no_file(tmp_path: Path) -> None:
    later: list[Coroutine[None, None, None]] = []
    blobs, ingest = SimpleNamespace(spool_folder=tmp_path), SimpleNamespace(later=later.append)

    async def scenario() -> None:
        pool = SlowToDie()
        services = cast(Any, (OneInstance(), blobs, pool, ingest, None, None))
        writing = asyncio.create_task(DicomOutput(*services).write(RUN, RunResult(Reply({"kind": "image"}, b"pixels"))))
        await pool.begun.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        for work in later:
            await work
        with pytest.raises(FileNotFoundError):
            pool.write_late()

    asyncio.run(scenario())
    assert list(tmp_path.iterdir()) == []
