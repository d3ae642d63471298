"""Frames as they lie in files, and callers who leave while a file is opened."""

import asyncio
from pathlib import Path

from neurdicom.archive.frames import FrameService
from neurdicom.workers.pool import WorkerPool
from tests.support.archive import archive
from tests.support.files import dicom_file


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_caller_who_leaves_leaves_no_file_open(tmp_path: Path) -> None:
    async def go() -> None:
        async with archive(tmp_path) as here:
            stored = await here.add(dicom_file(1))
            location = await here.catalog.locate(stored.id or "")
            assert location is not None
            frames = FrameService(here.guard, WorkerPool(1))
            syntax, numbers = frames.check(location, None)

            async def read() -> list[bytes]:
                return [b"".join([piece async for piece in frame.read()]) async for frame in given]

            given = frames.read(location, numbers, syntax)
            assert await read() == [bytes(range(16))]
            before = descriptors()
            for turns in range(60):  # wherever it is by then
                given = frames.read(location, numbers, syntax)
                reading = asyncio.create_task(read())
                for _ in range(turns % 6):
                    await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait([reading])
            await asyncio.sleep(0.2)
            assert descriptors() <= before

    asyncio.run(go())
