"""The executor port: where tasks of plugins and models are computed, on this machine's workers or on a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neurdicom.workers.call import CancellationToken, Priority
from neurdicom.workers.program import Program, Reply


@dataclass(frozen=True, slots=True)
class Input:
    """Input of a task: one frame of a stored instance, or the whole instance.

    Attributes
    ----------
    instance : str
        SOP Instance UID.
    path : str
        The stored file.
    sha256 : str
        SHA-256 of the file's bytes, in hexadecimal.
    layout : Mapping[str, Any]
        Where Pixel Data lies in the file (`dicom.header.Layout`).
    frame : int or None
        Frame number, from 1; None: all frames.
    edits : tuple of dict
        The edits that apply, as `catalog.base.Edit.to_wire` gives them.
    attributes : Mapping[str, Any]
        For an input of a volume, the catalog's attributes of its position, orientation and pixels
        (`dicom.geometry.planes.FIELDS`). They follow from the bytes and the edits.
    key : str
        Key of the instance, for records of the result; workers get the UID alone.
    """

    instance: str
    path: str
    sha256: str
    layout: Mapping[str, Any]
    frame: int | None = 1
    edits: tuple[dict[str, Any], ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """Computation to be done: a program, its inputs and its parameters.

    Attributes
    ----------
    program : Program
        The plugin or model that computes.
    inputs : tuple of Input
        One; or, for a `volume`, the instances of a series in slice order.
    params : Mapping[str, Any]
        Parameters, already converted to their types.
    format : str
        Encoding of an image result.
    volume : bool
        The program gets all inputs at once (`level: series`).
    frame : int
        For a volume: number of the slice of the result, from 1, that is encoded where `format` is a picture.
    priority : Priority
        Interactive tasks go before background tasks.
    fairness : str
        Whose task it is, such as a user's: waiting tasks of different keys take turns.
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
    """Port that runs tasks."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Number of background tasks that one job should keep under way."""

    def describe(self) -> dict[str, Any] | None:
        """Describe the cluster that runs tasks, and its condition; None where there is none."""
        return None

    @abstractmethod
    async def run(self, task: Task, token: CancellationToken | None = None) -> Reply:
        """Run a task and return its reply.

        Parameters
        ----------
        task : Task
            The computation.
        token : CancellationToken, optional
            To be cancelled when nobody waits for the task any more; see `CancellationToken` for what happens then.

        Raises
        ------
        PluginError
            The program failed, crashed, hung or took too much memory.
        NeurdicomError
            An error that a worker may report of the inputs, such as `NotAvailable`.
        """
