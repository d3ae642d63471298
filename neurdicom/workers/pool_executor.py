"""The executor that runs tasks in this machine's worker processes."""

import asyncio
from typing import Any

import orjson

from neurdicom.coordination import SerialThread
from neurdicom.workers.arguments import encoded, is_large
from neurdicom.workers.call import CancellationToken
from neurdicom.workers.executor import Executor, Task
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import Reply
from neurdicom.workers.volumes import VolumeBuilder


class PoolExecutor(Executor):
    """Executor that runs tasks in the worker processes of this machine."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._volumes = VolumeBuilder(pool)
        self._encoding = SerialThread()

    @property
    def slots(self) -> int:
        """See `WorkerPool.slots`."""
        return self._pool.slots

    async def run(self, task: Task, token: CancellationToken | None = None) -> Reply:
        """Run a task; see `Executor.run`."""
        if task.volume:
            return await self._run_volume(task, token)
        (one,) = task.inputs
        arguments = {
            "instance": one.instance,
            "path": one.path,
            "layout": dict(one.layout),
            "frame": one.frame,
            "edits": list(one.edits),
            "params": await self._params(task, token),
            "format": task.format,
        }
        return await self._call(task, arguments, token)

    async def _run_volume(self, task: Task, token: CancellationToken | None) -> Reply:
        """Run a task on a volume: Python code gets the inputs' files, all other code their pixels in shared memory."""
        arguments: dict[str, Any] = {
            "params": await self._params(task, token),
            "frame": task.frame,
            "format": task.format,
        }
        if task.program.kind == "python":
            files = [{"path": one.path, "edits": list(one.edits)} for one in task.inputs]
            return await self._call(task, arguments | {"files": files}, token)
        async with self._volumes.built(task, token) as volume:
            arguments |= {"shape": volume.shape, "image": orjson.Fragment(volume.image)}
            reply = await self._call(task, arguments, token, volume.descriptor)
            if volume.slices != sorted(volume.slices) and reply.meta.get("stack"):
                reply.meta["slices"] = volume.slices  # DICOM output needs it: not the order of the frames in the file
            return reply

    async def _call(
        self, task: Task, arguments: dict[str, Any], token: CancellationToken | None, *descriptors: int
    ) -> Reply:
        return await self._pool.call(
            task.program,
            "process",
            arguments,
            priority=task.priority,
            fairness=task.fairness,
            descriptors=descriptors,
            token=token,
        )

    async def _params(self, task: Task, token: CancellationToken | None) -> Any:
        """Return the parameters for a message; large ones are encoded in a thread, unless the call is stopped."""
        if not is_large(task.params):
            return dict(task.params)
        encoding = asyncio.ensure_future(self._encoding.run(encoded, task.params))
        try:
            if token is None:
                return await encoding
            with token.stopping(encoding.cancel):
                return await encoding
        finally:
            encoding.cancel()
