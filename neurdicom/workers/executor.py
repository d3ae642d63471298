"""One computation of a plugin or a model, and the port to who does it: this machine's workers, or a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from neurdicom.workers.background import BackgroundCalls
from neurdicom.workers.call import Priority
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import Program, Reply
from neurdicom.workers.volumes import VolumeBuilder


@dataclass(frozen=True, slots=True)
class Input:
    """One frame of a stored instance, or the whole of it.

    Attributes
    ----------
    instance : str
        SOP Instance UID.
    path : str
        The stored file.
    sha256 : str
        Of its bytes, in hexadecimal.
    layout : Mapping[str, Any]
        Where Pixel Data lies in it (`dicom.part10.Layout`).
    frame : int or None
        Counted from 1; None: all frames.
    edits : tuple of dict
        The edits that apply, as `catalog.base.Edit.to_wire` gives them.
    attributes : Mapping[str, Any]
        Of an input of a volume, what the catalog knows of its place in space and of its pixels
        (`dicom.geometry.planes.FIELDS`).
        It follows from the bytes and the edits.
    """

    instance: str
    path: str
    sha256: str
    layout: Mapping[str, Any]
    frame: int | None = 1
    edits: tuple[dict[str, Any], ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """A computation.

    Attributes
    ----------
    program : Program
        What computes.
    inputs : tuple of Input
        One; or, for a `volume`, those of a series in slice order.
    params : Mapping[str, Any]
        Converted parameters.
    format : str
        What an image result is encoded as.
    volume : bool
        The program gets all inputs at once (`level: series`).
    frame : int
        Of a volume: which slice of the result, from 1, becomes a picture where the format is one.
    priority : Priority
        Interactive tasks go before those of the background.
    fairness : str
        Whose task it is: waiting tasks of different keys take turns.
    """

    program: Program
    inputs: tuple[Input, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    format: str = "png"
    volume: bool = False
    frame: int = 1
    priority: Priority = Priority.INTERACTIVE
    fairness: str = ""


class Executor(ABC):
    """Does tasks."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many tasks are worth having under way at a time."""

    def describe(self) -> dict[str, Any] | None:
        """Which cluster does tasks, and how it is; None where there is none."""
        return None

    @abstractmethod
    async def run(self, task: Task) -> Reply:
        """Do one.

        Raises
        ------
        PluginError
            The program failed, crashed, hung or took too much memory.
        NeurdicomError
            What a worker may report of the inputs, such as `NotAvailable`.
        """


class PoolExecutor(Executor):
    """Does tasks in the worker processes of this machine."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._background = BackgroundCalls(pool)
        self._volumes = VolumeBuilder(pool)

    @property
    def slots(self) -> int:
        """Batches for all workers while calls are short, and something that waits for the first that is free."""
        return self._background.slots

    async def run(self, task: Task) -> Reply:
        """Do one; see `Executor.run`."""
        if task.volume:
            return await self._run_volume(task)
        (one,) = task.inputs
        arguments = {
            "instance": one.instance,
            "path": one.path,
            "layout": dict(one.layout),
            "frame": one.frame,
            "edits": list(one.edits),
            "params": dict(task.params),
            "format": task.format,
        }
        if task.priority is Priority.BACKGROUND:
            return await self._background.call(task.program, arguments)
        return await self._pool.call(task.program, "process", arguments)

    async def _run_volume(self, task: Task) -> Reply:
        """Python code gets the files of the inputs, all other code their pixels in shared memory."""
        arguments = {"params": dict(task.params), "frame": task.frame, "format": task.format}
        if task.program.kind == "python":
            files = [{"path": one.path, "edits": list(one.edits)} for one in task.inputs]
            return await self._pool.call(task.program, "process", arguments | {"files": files}, priority=task.priority)
        async with self._volumes.built(task) as volume:
            arguments |= {"shape": volume.shape, "image": orjson.Fragment(volume.image)}
            reply = await self._pool.call(
                task.program, "process", arguments, descriptors=[volume.descriptor], priority=task.priority
            )
            if volume.slices != sorted(volume.slices) and reply.meta.get("stack"):
                reply.meta["slices"] = volume.slices  # for those who derive from it: not the order of the file's frames
            return reply
