"""Pools of workers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from neurdicom.dicom.part10 import read_header
from neurdicom.workers.pool import Program, Reply, WorkerPool


def descendants() -> list[int]:
    """Living and dead children of this process."""
    found = []
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            found += [int(pid) for pid in (thread / "children").read_text().split()]
    return found


@asynccontextmanager
async def running(workers: int = 2, **options: Any) -> AsyncIterator[WorkerPool]:
    """An open pool, bounded in time."""
    async with asyncio.timeout(60):
        pool = WorkerPool(workers, **options)
        await pool.open()
        try:
            yield pool
        finally:
            await pool.close()


class Pool:
    """A pool with an event loop in a thread of its own, for tests that share it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.pool = self.run(self._open())

    async def _open(self) -> WorkerPool:
        pool = WorkerPool(1)
        await pool.open()
        return pool

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def process(self, program: Program, arguments: dict[str, Any], **params: Any) -> Reply:
        """Call a plugin with these parameters."""
        return self.run(self.pool.call(program, "process", arguments | {"params": params}))

    def close(self) -> None:
        self.run(self.pool.close())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def arguments_of(path: Path) -> dict[str, Any]:
    return {"path": str(path), "layout": read_header(path).layout.to_document()}
