"""Volumes for native code: surveyed and filled by several workers at once, in memory that the plugin's worker maps."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from neurdicom.errors import NotAvailable, PluginError, PluginMemory, Unavailable
from neurdicom.fairness import FairSemaphore
from neurdicom.workers.call import CancellationToken, Priority
from neurdicom.workers.executor import Input, Task
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import Program, Reply
from neurdicom.workers.shared_memory import shared_memory, size_of

#: Volumes have workers of their own, so that a long one does not delay pictures.
_FILLER: Final = Program(kind="builtin", target="neurdicom.workers.volume_tasks", name="volumes", memory=6144)

#: Bytes of doubles that one call fills: a few tens of milliseconds of work, so that all workers finish together.
_PART: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Volume:
    """Volume in shared memory, ready for a plugin.

    Attributes
    ----------
    shape : tuple of int
        Depth, rows, columns.
    slices : list
        For each slice the index of its input, and its frame from 1.
    image : bytes
        The plugin's `_image` parameter, in JSON.
    descriptor : int
        Memory file with the voxels, float64; closed by whoever made it.
    """

    shape: tuple[int, int, int]
    slices: list[list[int]]
    image: bytes
    descriptor: int


@dataclass(frozen=True, slots=True)
class _Part:
    """Consecutive slices that a worker fills in one call."""

    first: int
    slices: Sequence[Sequence[int]]


class VolumeBuilder:
    """Builder of volumes in shared memory.

    Parameters
    ----------
    pool : WorkerPool
        Its workers read, decode and convert.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        # Each volume under way holds its memory, so of either priority there are no more than workers.
        self._room = {priority: FairSemaphore(lambda: pool.workers) for priority in Priority}

    @asynccontextmanager
    async def built(self, task: Task, token: CancellationToken | None = None) -> AsyncIterator[Volume]:
        """Build the volume of a task's inputs, and free its memory after the context.

        Parameters
        ----------
        task : Task
            Its inputs are the instances of a series.
        token : CancellationToken, optional
            Stops the work.

        Raises
        ------
        Invalid, NotAvailable, NotFound
            The inputs make no volume, or one of them can't be read; the message names it.
        PluginMemory
            It would take more memory than the program may have.
        Unavailable
            The workers that fill it keep failing.
        """
        async with self._room[task.priority].place(task.fairness):
            instances = [_described(one) for one in task.inputs]
            asked = {"instances": instances, "input": task.program.input}
            try:
                reply = await self._call("survey", asked, task, token)
            except PluginError:  # its worker was killed, say
                reply = await self._call("survey", asked, task, token)
            shape, slices = tuple(reply.meta["shape"]), reply.meta["slices"]
            _check_size(shape, task.program)
            with shared_memory(size_of(shape)) as descriptor:
                await self._fill(task, token, shape, slices, descriptor)
                yield Volume(shape, slices, bytes(reply.body), descriptor)

    async def _fill(
        self,
        task: Task,
        token: CancellationToken | None,
        shape: Sequence[int],
        slices: list[list[int]],
        descriptor: int,
    ) -> None:
        _, rows, columns = shape
        room = asyncio.Semaphore(self._pool.workers)

        async def fill(part: _Part) -> None:
            async with room:
                await self._fill_part(task, token, (rows, columns), part, descriptor)

        await _together(fill(part) for part in _parts(slices, rows * columns, self._pool.workers))

    async def _fill_part(
        self, task: Task, token: CancellationToken | None, size: tuple[int, int], part: _Part, descriptor: int
    ) -> None:
        """Fill a part; where a worker dies of it, slice by slice, to find the slice that causes it."""
        try:
            await self._call("fill", _arguments(task, size, part), task, token, descriptor)
        except PluginError:
            for at, one in enumerate(part.slices):
                single = _Part(part.first + at, [one])
                try:
                    await self._call("fill", _arguments(task, size, single), task, token, descriptor)
                except PluginError as error:
                    name = f"instance {task.inputs[one[0]].instance} frame {one[1]}"
                    raise NotAvailable(f"the pixels of {name} can't be read: {error}") from error

    async def _call(
        self, verb: str, arguments: dict[str, Any], task: Task, token: CancellationToken | None, *descriptors: int
    ) -> Reply:
        try:
            return await self._pool.call(
                _FILLER,
                verb,
                arguments,
                priority=task.priority,
                fairness=task.fairness,
                descriptors=descriptors,
                token=token,
            )
        except PluginError as error:
            if error.loading:  # not the plugin's fault
                raise Unavailable(f"the volume can't be built: {error}") from error
            raise


def _described(one: Input) -> dict[str, Any]:
    return {
        "instance": one.instance,
        "path": one.path,
        "layout": dict(one.layout),
        "attributes": dict(one.attributes),
    }


def _arguments(task: Task, size: tuple[int, int], part: _Part) -> dict[str, Any]:
    """Build a worker's arguments for a part, with only the instances that are in it."""
    wanted = sorted({number for number, _ in part.slices})
    place = {number: at for at, number in enumerate(wanted)}
    inputs = [task.inputs[number] for number in wanted]
    return {
        "instances": [{"instance": one.instance, "path": one.path, "layout": dict(one.layout)} for one in inputs],
        "slices": [(place[number], frame) for number, frame in part.slices],
        "first": part.first,
        "shape": size,
        "input": task.program.input,
    }


def _check_size(shape: tuple[int, ...], program: Program) -> None:
    size, limit = size_of(shape), program.memory << 20
    if size >= limit:
        depth, rows, columns = shape
        raise PluginMemory(
            f"a volume of {depth} slices of {columns} x {rows} takes {size / (1 << 20):.0f} MiB as doubles, and "
            f"{program.title} may use {program.memory} MiB in all (setting plugin_memory, or memory in META.json)"
        )


def _parts(slices: list[list[int]], pixels: int, workers: int) -> Iterable[_Part]:
    """Cut a volume into parts of bounded size, at least one for each worker."""
    most = max(1, min(_PART // (8 * pixels), -(-len(slices) // workers)))
    for first in range(0, len(slices), most):
        yield _Part(first, slices[first : first + most])


async def _together(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await all calls; the first error cancels the others, and is raised when they have ended."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
