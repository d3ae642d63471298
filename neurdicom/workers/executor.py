"""The port to who does the computations of plugins and models: this machine's workers, or a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neurdicom.workers.call import CancellationToken, Priority
from neurdicom.workers.program import Program, Reply


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
        """How many tasks of the background are worth having under way for one job."""

    def describe(self) -> dict[str, Any] | None:
        """Which cluster does tasks, and how it is; None where there is none."""
        return None

    @abstractmethod
    async def run(self, task: Task, token: CancellationToken | None = None) -> Reply:
        """Do one.

        Parameters
        ----------
        task : Task
        token : CancellationToken, optional
            To be cancelled when nobody waits for the task any more: it stops, or ends at once if it has come far.

        Raises
        ------
        PluginError
            The program failed, crashed, hung or took too much memory.
        NeurdicomError
            What a worker may report of the inputs, such as `NotAvailable`.
        """
